from dataclasses import replace
from pathlib import Path

import pytest

from fleetpgo.golang.toolchain import Built
from fleetpgo.proposal.remembered import Plain, recall, remember
from fleetpgo.proposal.wiring.edits import BaseBuild
from fleetpgo.proposal.wiring.recording import parse_call

CALL = parse_call(Path("/clone"), ["build", "-o", "bin/api", "./cmd/api"], "-tags=x", "/clone/bin")
PLAIN = Plain(
    BaseBuild((CALL,), {"path": "example.com/api", "-pgo": "/clone/\udce9.pgo"}),
    Built(Path("/clone/bin/api"), 12, 3.5),
    "0a" * 32,
)


def test_a_build_is_remembered_as_it_was(tmp_path):
    remember(tmp_path, ["commit", "make"], {"bin/api": PLAIN})

    assert recall(tmp_path, ["commit", "make"], "bin/api") == PLAIN


def test_each_binary_of_a_build_is_remembered(tmp_path):
    other = replace(PLAIN, digest="1b" * 32)

    remember(tmp_path, ["commit"], {"bin/api": PLAIN, "bin/worker": other})

    assert recall(tmp_path, ["commit"], "bin/worker") == other
    assert recall(tmp_path, ["commit"], "bin/other") is None


def test_a_build_of_another_kind_is_not_known(tmp_path):
    remember(tmp_path, ["commit", "make"], {"bin/api": PLAIN})

    assert recall(tmp_path, ["commit make"], "bin/api") is None
    assert recall(tmp_path, ["commit", "make", "GOFLAGS=-race"], "bin/api") is None


@pytest.mark.parametrize("content", ["", "1", '{"bin/api": 1}', "\xff"])
def test_a_damaged_record_is_no_record(tmp_path, content, caplog):
    remember(tmp_path, ["commit"], {"bin/api": PLAIN})
    next(tmp_path.glob("*.json")).write_text(content, encoding="latin-1")

    assert recall(tmp_path, ["commit"], "bin/api") is None
    assert "so it is built again" in caplog.text


def test_a_record_that_leads_elsewhere_is_no_record(tmp_path):
    remember(tmp_path / "other", ["commit"], {"bin/api": PLAIN})
    record = next((tmp_path / "other").glob("*.json"))
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / record.name).symlink_to(record)

    assert recall(tmp_path / "own", ["commit"], "bin/api") is None


def test_the_oldest_records_go(tmp_path):
    for number in range(25):
        remember(tmp_path, [str(number)], {"bin/api": PLAIN})

    assert recall(tmp_path, ["0"], "bin/api") is None
    assert recall(tmp_path, ["24"], "bin/api") == PLAIN
