"""Profiles that lack start lines, from their fetch to the merge, with the binaries of real revisions."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass

import pytest

from fleetpgo import pprof
from fleetpgo.collection import read_record, write_record
from fleetpgo.errors import QuorumError
from fleetpgo.golang.preprofile import preprofile
from fleetpgo.prometheus import Answer, Series
from fleetpgo.proposal.forges.local import LocalForge
from fleetpgo.proposal.git import git
from fleetpgo.run.artifacts import FetchedProfile, ProposedProfile
from fleetpgo.run.profiled import Manifest, Record
from fleetpgo.selection import Selection, Target
from fleetpgo.service.rules import ServiceRules
from fleetpgo.steps.collect import collect_profiles
from fleetpgo.steps.merge import merge_run
from fleetpgo.steps.repair import Origin
from tests.collection.instances import http, serving
from tests.repairing import SOURCE, addresses, damaged, functions, start_lines, type_arguments
from tests.steps.rounds import select
from tests.steps.rounds import service as fetched_service


@dataclass
class Revisions:
    """A Prometheus that knows which revision runs where."""

    series: list[dict[str, str]]

    def instant(self, query, **_):
        return Answer(query, tuple(Series(labels, ((0.0, 1.0),)) for labels in self.series))


@pytest.fixture(scope="session")
def repository(tmp_path_factory):
    """The forge of the program: the revision that was profiled, one that cannot be built, and the head."""
    forge = tmp_path_factory.mktemp("forge")
    work = shutil.copytree(SOURCE, forge / "work")
    (work / ".gitignore").write_text("bin/\n")
    git(work, "init", "--quiet", "--initial-branch=main")
    revisions = []
    for edit in (
        ("", ""),
        ("func main() {", "func main() { does not compile"),
        # So far down that no line of what was profiled is one of the other program, whatever was sampled.
        ("func sum", "\n" * 300 + "func sum"),
    ):
        text = (SOURCE / "main.go").read_text()
        (work / "main.go").write_text(text.replace(*edit) if edit[0] else text)
        git(work, "add", ".")
        git(work, "commit", "--quiet", "--allow-empty", "--message", "Edit")
        revisions.append(git(work, "rev-parse", "HEAD"))
    # Somebody's branch, which is not in the history of the base.
    git(work, "switch", "--quiet", "--create", "other")
    git(work, "commit", "--quiet", "--allow-empty", "--message", "Not reviewed")
    revisions.append(git(work, "rev-parse", "HEAD"))
    git(work, "switch", "--quiet", "main")
    git(forge, "clone", "--quiet", "--bare", str(work), "repair.git")
    return LocalForge(str(forge), "repair"), revisions


def service(**profile) -> ServiceRules:
    return ServiceRules.model_validate(
        {
            "name": "repair",
            "prometheus": {"connection": "prometheus"},
            "selection": {"cpu": "up"},
            "repository": {"forge": "local", "connection": "forge", "project": "repair"},
            "build": {
                "command": ["go", "build", "-trimpath", "-ldflags=-s -w", "-o", "bin/repair", "."],
                "binary": "bin/repair",
                "environment": {"CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false"},
            },
            "profile": {"repair": True, **profile},
            "rollout": {"fraction": "up", "revision": "revision"},
            "measurement": {"cpu": "up"},
        }
    )


def put(store, name, data, *, repairable=True):
    """Leave a profile and its record, as collecting does."""
    sha256, facts = hashlib.sha256(data).hexdigest(), pprof.facts(data)
    store.write(FetchedProfile(data), sha256)
    said = {"reason": "repairable: no-start-line: None has one.", "repairable": True} if repairable else {}
    record = Record(
        name,
        "ams",
        1.0,
        "fetched",
        size=len(data),
        sha256=sha256,
        samples=facts.samples,
        kind=facts.kind,
        **said,
    )
    write_record(store, record)


@pytest.fixture
def lacking(builds):
    return damaged(builds("stripped").profile, start_lines, addresses)


@pytest.fixture
def merge(store, repository, go_cache):
    """Merge the profiles of some instances; their revisions are what Prometheus says."""
    forge, _ = repository

    def run(instances, series, described=None):
        selection = Selection(tuple(Target(name, "ams", 1.0, {}) for name in instances), "up")
        origin = Origin(Revisions(series), forge, go_cache)
        return merge_run(described or service(), store, selection, seconds=1, go="go", origin=origin)

    return run


def test_a_profile_is_repaired_from_the_revision_that_its_instance_runs(
    store, merge, repository, lacking, builds, caplog
):
    whole = builds("stripped").profile
    put(store, "a:80", lacking)
    put(store, "b:80", damaged(whole, type_arguments), repairable=False)
    caplog.set_level("INFO")
    manifest = merge(["a:80", "b:80"], [{"revision": repository[1][0]}])

    assert [each.state for each in manifest.instances] == ["used", "used"]
    assert preprofile(store.read(ProposedProfile)) == preprofile(pprof.merge([whole, whole]).data)
    assert manifest.instances[0].reason.startswith(
        f"repaired from revision {repository[1][0][:12]}: start lines of "
    )
    (name,) = (name for name in manifest.figures if name.startswith("Repaired from the binary of revision "))
    assert manifest.figures[name].startswith("2 of 2 profiles, ")
    assert store.read(Manifest).figures == manifest.figures
    assert [each.message for each in caplog.records if each.message.startswith("building revision")] == [
        f"building revision {repository[1][0]}, to repair the profiles of its instances"
    ]


def test_addresses_alone_are_named_and_judged_as_any_profile(store, merge, repository, builds):
    whole = builds("stripped").profile
    put(store, "a:80", damaged(whole, functions))
    manifest = merge(["a:80"], [{"revision": repository[1][0]}])
    # Built anew in another folder, but with -trimpath: it has the build id that the profile names.
    assert preprofile(store.read(ProposedProfile)) == preprofile(whole)
    assert any("addresses named" in figure for figure in manifest.figures.values())


def test_merging_again_repairs_again(store, merge, repository, lacking):
    put(store, "a:80", lacking)
    first, second = (merge(["a:80"], [{"revision": repository[1][0][:10]}]) for _ in range(2))
    assert first.profile == second.profile


def test_what_runs_another_source_than_it_says_stays_refused(store, merge, repository, lacking, builds):
    put(store, "a:80", lacking)
    put(store, "b:80", builds("stripped").profile, repairable=False)
    manifest = merge(["a:80", "b:80"], [{"instance": "a:80", "revision": repository[1][2]}])

    refused, used = manifest.instances
    assert (refused.state, used.state) == ("refused", "used")
    assert refused.reason.startswith("partial-start-line: ")
    assert "their lines are not in the binary" in refused.reason


@pytest.mark.parametrize(
    ("series", "reason"),
    [
        ([], "rollout.revision returns no series with the label `revision`"),
        (
            [{"revision": "a"}, {"revision": "b"}],
            "does not say which instance runs which: keep the label instance",
        ),
        ([{"revision": "a", "instance": "other:80"}], "rollout.revision names no revision of this instance"),
        (
            [{"revision": name, "instance": "a:80"} for name in ("a", "b")],
            "rollout.revision names no revision of this instance, or several",
        ),
        (
            [{"revision": "0000000"}],
            "revision 0000000 cannot be built: the repository has no revision 0000000",
        ),
        ([{"revision": "--help"}], "revision --help cannot be built: the repository has no revision --help"),
        ([{"revision": "BROKEN"}], "cannot be built: `go build"),
        ([{"revision": "ANOTHER BRANCH"}], "cannot be built: the repository has no revision"),
    ],
)
def test_without_a_binary_a_profile_is_refused_by_name_and_the_rest_is_merged(
    store, merge, repository, lacking, builds, series, reason
):
    put(store, "a:80", lacking)
    put(store, "b:80", builds("stripped").profile, repairable=False)
    known = {"BROKEN": repository[1][1], "ANOTHER BRANCH": repository[1][3]}
    named = [{name: known.get(value, value) for name, value in each.items()} for each in series]
    manifest = merge(["a:80", "b:80"], named)

    refused, used = manifest.instances
    assert (refused.state, used.state) == ("refused", "used")
    assert refused.reason.startswith("no-start-line: ")
    assert reason in refused.reason
    assert any(reason in warning for warning in manifest.warnings)


def test_without_the_key_nothing_is_built(store, merge, lacking):
    put(store, "a:80", lacking)
    with pytest.raises(QuorumError, match=r"no-start-line: .* profile\.repair is off"):
        merge(["a:80"], [], service(repair=False))


async def test_a_profile_without_start_lines_is_kept_for_its_repair(store, lacking):
    described = fetched_service()
    mending = described.model_copy(update={"profile": described.profile.model_copy(update={"repair": True})})
    async with serving(http(lacking)) as one, serving(http(lacking[:-9])) as other:
        targets = select(described, store, one, other)
        kept, cut = await collect_profiles(mending, store, targets)
        assert (kept.state, kept.repairable) == ("fetched", True)
        assert kept.reason.startswith("repairable: no-start-line: ")
        assert store.read(FetchedProfile, kept.sha256) == lacking
        assert read_record(store, targets[0]) == kept
        assert (cut.state, cut.repairable) == ("missing", False)


async def test_without_the_key_it_is_refused(store, lacking):
    described = fetched_service()
    async with serving(http(lacking)) as one:
        (refused,) = await collect_profiles(described, store, select(described, store, one))
    assert (refused.state, refused.reason.partition(":")[0]) == ("refused", "no-start-line")
