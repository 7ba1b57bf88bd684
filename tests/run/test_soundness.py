"""`fleetpgo store check`: what is damaged, missing or belongs to nothing, in a store of real runs."""

from __future__ import annotations

import shutil

import pytest
from click.testing import CliRunner

from fleetpgo.cli.main import cli
from fleetpgo.errors import StoreError
from fleetpgo.run import soundness, storage
from fleetpgo.run.artifacts import FILES, EdgePack, FetchedProfile, MergedProfile, ProposedProfile
from fleetpgo.run.profiled import Manifest, Record
from fleetpgo.run.proposed import Proposed
from fleetpgo.run.store import RunStore
from tests.pages import fleet


@pytest.fixture
def run(fleet_root, tmp_path):
    return RunStore(shutil.copytree(fleet_root / "store", tmp_path / "store"), "edge", fleet.FIRST)


def findings(run):
    start = f"edge/{run.directory.name}/"
    return [
        (each.path.removeprefix(start), each.state, each.why) for each in soundness.check(run.root, "edge")
    ]


def test_a_store_of_real_runs_is_sound(run):
    assert findings(run) == []


def test_a_json_file_that_cannot_be_read_is_damaged(run):
    run.path(Manifest).write_text("{")
    ((name, state, why),) = findings(run)
    assert (name, state) == ("manifest.json", "damaged")
    assert "is not JSON" in why


def test_a_profile_whose_digest_is_not_its_name_is_damaged(run):
    key = run.keys(FetchedProfile)[0]
    run.path(FetchedProfile, key).write_bytes(b"other")
    ((name, state, why),) = findings(run)
    assert (name, state, "and not its name" in why) == (f"profiles/{key}.pb.gz", "damaged", True)


def test_a_pack_of_edges_whose_digest_is_not_its_name_is_damaged(run):
    run.write(EdgePack(b"other"), "a" * 64)
    ((name, state, why),) = findings(run)
    assert (name, state, "and not its name" in why) == (f"edges/{'a' * 64}.npz", "damaged", True)


@pytest.mark.parametrize(
    ("kind", "why"), [(MergedProfile, "it cannot be unzipped"), (ProposedProfile, "and the manifest's is")]
)
def test_a_profile_that_is_cut_is_damaged(run, kind, why):
    run.path(kind).write_bytes(run.read_bytes(kind)[:-9])
    ((name, state, said),) = findings(run)
    assert (name, state, why in said) == (FILES[kind].path(), "damaged", True)


def test_a_profile_that_a_record_refers_to_is_missing(run):
    key = run.keys(FetchedProfile)[0]
    run.remove(FetchedProfile, key)
    ((name, state, _),) = findings(run)
    assert (name, state) == (f"profiles/{key}.pb.gz", "missing")


def test_what_a_later_artifact_was_written_after_is_missing(run):
    run.remove(Proposed)
    assert findings(run) == [("pull_request.json", "missing", "merge.json was written after it")]


def test_a_profile_without_a_record_is_an_orphan(run):
    key = run.keys(Record)[0]
    sha256 = run.read(Record, key).sha256
    run.remove(Record, key)
    assert findings(run) == [(f"profiles/{sha256}.pb.gz", "orphan", "no record refers to it")]


@pytest.mark.parametrize(
    ("name", "why"),
    [(".manifest.json.1a2b3c4d.part", "a write cut short"), ("notes.txt", "fleetpgo writes no such file")],
)
def test_a_file_that_is_no_artifact_is_an_orphan(run, name, why):
    (run.directory / name).write_text("")
    assert findings(run) == [(name, "orphan", why)]


def test_a_file_that_cannot_be_read_hides_no_other(run, monkeypatch):
    read = storage.read

    def read_some(path, **limits):
        if path == run.path(Manifest):
            raise StoreError(f"the store cannot read {path}: Permission denied")
        return read(path, **limits)

    monkeypatch.setattr(storage, "read", read_some)
    (run.directory / "notes.txt").write_text("")
    found = findings(run)
    assert [(name, state) for name, state, _ in found] == [
        ("manifest.json", "damaged"),
        ("notes.txt", "orphan"),
    ]
    assert found[0][2].endswith("Permission denied")


def test_the_command_fails_for_damage_and_not_for_orphans(run):
    (run.directory / "notes.txt").write_text("")
    orphan = CliRunner().invoke(cli, ["store", "check", "--store", str(run.root)])
    assert orphan.exit_code == 0, orphan.output
    assert orphan.stdout.splitlines()[-1].endswith("runs: 1 findings")
    run.path(Manifest).write_text("{")
    damaged = CliRunner().invoke(cli, ["store", "check", "edge", "--store", str(run.root)])
    assert (damaged.exit_code, "damaged: edge/" in damaged.stdout) == (1, True)
