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
    remember(tmp_path, ["commit", "make"], PLAIN)

    assert recall(tmp_path, ["commit", "make"]) == PLAIN


def test_a_build_of_another_kind_is_not_known(tmp_path):
    remember(tmp_path, ["commit", "make"], PLAIN)

    assert recall(tmp_path, ["commit make"]) is None
    assert recall(tmp_path, ["commit", "make", "GOFLAGS=-race"]) is None


@pytest.mark.parametrize("content", ["", "[]", '{"base": 1}', "\xff"])
def test_a_damaged_record_is_no_record(tmp_path, content, caplog):
    remember(tmp_path, ["commit"], PLAIN)
    next(tmp_path.glob("*.json")).write_text(content, encoding="latin-1")

    assert recall(tmp_path, ["commit"]) is None
    assert "so it is built again" in caplog.text


def test_a_record_that_leads_elsewhere_is_no_record(tmp_path):
    remember(tmp_path / "other", ["commit"], PLAIN)
    record = next((tmp_path / "other").glob("*.json"))
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / record.name).symlink_to(record)

    assert recall(tmp_path / "own", ["commit"]) is None


def test_the_oldest_records_go(tmp_path):
    for number in range(25):
        remember(tmp_path, [str(number)], PLAIN)

    assert recall(tmp_path, ["0"]) is None
    assert recall(tmp_path, ["24"]) == PLAIN
