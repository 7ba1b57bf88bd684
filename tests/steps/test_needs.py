"""Whether a release needs a new profile, with real git and Go; nothing of the repository is built."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from fleetpgo.errors import RepositoryError
from fleetpgo.pprof import Edges
from fleetpgo.pprof.edges import Edge
from fleetpgo.pprof.minimising import from_edges
from fleetpgo.proposal.git import git
from fleetpgo.run.proposed import Merge, Proposed
from fleetpgo.run.released import Begun, Fit
from fleetpgo.run.store import RunStore
from fleetpgo.steps.needs import needs_profile
from tests.conftest import TINY
from tests.tiny import tiny

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
PROFILE = from_edges(
    Edges.of({Edge("main.total", "main.square.area", 2): 30, Edge("main.main", "main.total", 0): 10})
)
OF_THE_RUNTIME = from_edges(Edges.of({Edge("runtime.noSuchThing", "runtime.norThis", 1): 9}))
PATH = "pgo/profile.pprof"
# The call that holds three quarters of the weight is a line further down in its function.
EDITED = TINY.replace("range shapes {\n", "range shapes {\n\t\t_ = s\n")


@pytest.fixture
def release(go_module, bare):
    """Commit files to the base; return the commit that a release was built from."""

    def commit(files):
        for name, content in files.items():
            (go_module / name).parent.mkdir(exist_ok=True)
            (go_module / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        git(go_module, "add", "--all", "--force")
        git(
            go_module,
            *("commit", "--quiet", "--allow-empty", "--message", "Release"),
            config={"user.name": "Ada", "user.email": "ada@example.com"},
        )
        git(go_module, "push", "--quiet", str(bare), "HEAD:main")
        return git(go_module, "rev-parse", "HEAD")

    return commit


@pytest.fixture
def gate(tmp_path, forge, go_cache):
    """Ask whether a revision needs a new profile; return the answer and what was kept."""

    def ask(revision, profile=PATH, **rules):
        store = RunStore(tmp_path / "store", "tiny", "run-1")
        store.write(Begun("run-1", NOW, revision, NOW if revision else None))
        service = tiny(
            repository={"profile": profile},
            selection={"cpu": "up", "builds": "build_info"},
            rollout={"fraction": "up", "revision": "count by (revision) (build_info)"},
            # Nothing of the repository may run here.
            build={"command": ["false"]},
            release=rules,
        )
        return needs_profile(service, store, forge, go_cache), store.find(Fit)

    return ask


def test_a_release_that_the_profile_still_fits_needs_none(release, gate):
    why, fit = gate(release({PATH: PROFILE})[:12])
    assert why.endswith(
        f"1.00 of the weight of the profile at {PATH} is still there: "
        "nothing to do (release.refresh_below 0.9)"
    )
    assert fit.share == 1.0


def test_a_release_with_another_hot_function_needs_one(release, gate):
    why, fit = gate(release({PATH: PROFILE, "main.go": EDITED}))
    assert (why, fit.share) == ("", 0.25)
    assert fit.lost == ("main.total → main.square.area (75 %): the call on that line",)


def test_the_threshold_is_the_service_files(release, gate):
    assert "nothing to do" in gate(release({PATH: PROFILE, "main.go": EDITED}), refresh_below=0.2)[0]


def test_the_release_counts_and_not_the_base(release, gate):
    fits = release({PATH: PROFILE})
    release({"main.go": EDITED})
    assert gate(fits)[1].share == 1.0


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, f"there is no profile at {PATH}"),
        ({PATH: b""}, f"there is no profile at {PATH}"),
        ({PATH: b"no profile"}, f"the profile at {PATH} cannot be read"),
        ({PATH: PROFILE, "go.mod": "module\n"}, "the packages of the release cannot be listed"),
        ({PATH: OF_THE_RUNTIME}, f"0 % of the profile at {PATH} can be compared"),
    ],
)
def test_where_the_share_cannot_be_said_the_run_goes_on(release, gate, files, said):
    why, fit = gate(release(files))
    assert (why, fit.share) == ("", None)
    assert fit.why.startswith(said)


def test_a_revision_that_the_repository_does_not_have_is_an_error(release, gate):
    release({PATH: PROFILE})
    with pytest.raises(RepositoryError, match="the repository has no revision 0123abcd"):
        gate("0123abcd")


def test_a_run_for_no_release_is_not_asked(release, gate):
    release({PATH: PROFILE})
    assert gate("") == ("", None)


def test_without_a_key_the_profile_is_where_the_last_one_was_merged(release, gate, tmp_path):
    before = RunStore(tmp_path / "store", "tiny", "run-0")
    before.write(Proposed("b", "main", "p", unchanged=False, dry_run=False, path="other/profile.pprof"))
    before.write(Merge("merged", NOW, "c" * 40))
    _, fit = gate(release({"other/profile.pprof": PROFILE}), profile=None)
    assert (fit.path, fit.share) == ("other/profile.pprof", 1.0)
