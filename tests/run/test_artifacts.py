"""What the store reads, what it refuses, and who spells the names."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from fleetpgo.errors import ArtifactError
from fleetpgo.run.artifacts import FILES, ProposedProfile, Trouble, key_of
from fleetpgo.run.measured import Measurement
from fleetpgo.run.profiled import Contribution, Manifest, Record, Stop
from fleetpgo.run.proposed import Merge, Proposed, Reverted, Rollout
from fleetpgo.run.selected import Selection, Target
from fleetpgo.run.store import RunStore
from tests.run.artifacts import AT, PROFILE, manifest, measurement, proposed

ROOT = Path(__file__).parents[2]


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path, "edge", "run")


def rewrite(store, kind, change, key=""):
    """Change an artifact's JSON by hand."""
    record = json.loads(store.read_bytes(kind, key))
    change(record)
    store.path(kind, key).write_text(json.dumps(record))


@pytest.mark.parametrize(
    ("value", "key"),
    [
        (
            Selection(
                (Target("a:80", "ams", 1.5, {"pod": "a"}),), "up", ("one",), {"x": 2.0}, {"ams": 1}, 30
            ),
            "",
        ),
        (Selection((), seconds=30), "night"),
        (Record("a:80", "ams", 1.5, "fetched", samples=80, modules={"m": 3}), key_of("a:80")),
        (Stop("HTTP 401"), ""),
        (manifest(instances=(Contribution("a:80", "ams", "used", 1.0),), warnings=("few",)), ""),
        (proposed(source_match=0.5), ""),
        (Merge("merged", AT, "4f2a"), ""),
        (Merge("skipped", reason="closed"), ""),
        (Rollout(PROFILE, AT, AT, 0.5), ""),
        (measurement(), "week"),
        (Reverted(2, "https://forge.example/2"), ""),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_written_is_read_alike(store, value, key):
    store.write(value, key)
    found = store.read(type(value), key)
    if isinstance(found, Measurement):
        assert found.whole.items() >= json.loads(json.dumps(value.whole)).items()
        found = replace(found, whole=value.whole)
    assert found == value


def test_each_json_artifact_says_its_version(store):
    store.write(manifest())
    assert json.loads(store.read_bytes(Manifest))["schema_version"] == FILES[Manifest].version


def test_an_artifact_from_before_there_were_versions_is_read(store):
    store.write(proposed(source_match=0.5))
    rewrite(store, Proposed, lambda record: (record.pop("schema_version"), record.pop("source_match")))
    assert store.read(Proposed) == proposed()


def test_a_key_that_is_not_known_is_ignored(store):
    store.write(Stop("HTTP 401"))
    rewrite(store, Stop, lambda record: record.update(by="hand"))
    assert store.read(Stop) == Stop("HTTP 401")


def test_a_text_with_half_a_surrogate_pair_is_read(store):
    store.write(Stop("HTTP 401"))
    rewrite(store, Stop, lambda record: record.update(reason="\udcff"))
    assert "\udcff" in vars(store.read(Stop)).values()


def test_a_newer_version_is_refused_with_what_to_do(store):
    store.write(manifest())
    rewrite(store, Manifest, lambda record: record.update(schema_version=99))
    with pytest.raises(
        ArtifactError, match=r"manifest\.json is of version 99; this fleetpgo reads"
    ) as raised:
        store.read(Manifest)
    assert "newer fleetpgo" in raised.value.hint


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda record: record.pop("samples"), "samples: Field required"),
        (lambda record: record.update(made_at="yesterday"), "made_at: Input should be a valid datetime"),
        (lambda record: record.update(made_at="2026-02-02T12:00:00"), "made_at: .*timezone"),
        (lambda record: record["sufficiency"].update(weight="x"), r"sufficiency\.weight: Input should be"),
        (lambda record: record.update(instances=[{}]), r"instances\.0\.instance: Field required, and 2 more"),
    ],
)
def test_an_artifact_that_does_not_say_what_it_must_is_refused_by_its_field(store, change, said):
    store.write(manifest())
    rewrite(store, Manifest, change)
    with pytest.raises(ArtifactError, match=rf"(?s)manifest\.json cannot be read: {said}.*clear the task"):
        store.read(Manifest)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "3", '"x"', "\xff", "[" * 100_000])
def test_what_is_no_record_at_all_is_refused(store, text):
    store.write(manifest())
    store.path(Manifest).write_bytes(text.encode("latin-1"))
    with pytest.raises(ArtifactError, match=r"manifest\.json (is not JSON|cannot be read)"):
        store.read(Manifest)


def test_a_measurement_written_by_hand_needs_only_what_is_read_of_it(store):
    record = {
        "period": "week",
        "rollout": {"profile": PROFILE, "end": AT.isoformat()},
        "verdict": {"call": "saved"},
        "estimate": None,
    }
    store.directory.mkdir(parents=True)
    store.path(Measurement, "week").write_text(json.dumps(record))
    assert store.read(Measurement, "week").verdict.attribution == "PGO"


def test_two_instances_never_share_a_file():
    names = ["a:80", "a_80", "a/80", "A:80"]
    assert len({key_of(name) for name in names}) == len(names)


def test_no_other_module_spells_the_name_of_an_artifact():
    # profile.pprof is also the usual path of the committed profile in a repository.
    others = [file for kind, file in FILES.items() if kind is not ProposedProfile]
    names = {re.escape(name) for file in others for name in (file.name, file.keyed) if name}
    spelt = re.compile("|".join(name.replace(r"\{\}", r"(\{[^}]*\}|[\w-]+)") for name in names))
    found = {
        str(file.relative_to(ROOT))
        for folder in ("include", "demo", "bench")
        for file in (ROOT / folder).rglob("*.py")
        if spelt.search(file.read_text())
    }
    assert found == {"include/fleetpgo/run/artifacts.py"}


def test_an_instance_in_trouble_is_kept_as_it_spoke(store):
    store.write(Trouble("HTTP 503 Überlast".encode()), key_of("a:80"))
    assert store.keys(Trouble) == [key_of("a:80")]


def test_an_account_of_the_merge_without_figures_is_read(store):
    text = {"query": "up", "selected": 1, "samples": 1000, "instances": []}
    store.write(manifest())
    store.path(Manifest).write_text(json.dumps(text))

    found = store.read(Manifest)

    assert (found.query, found.samples, found.refused) == ("up", 1000, "")
