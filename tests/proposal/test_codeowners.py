import pytest

from fleetpgo.proposal import codeowners
from fleetpgo.proposal.checkout import clone
from fleetpgo.proposal.codeowners import with_owners
from tests.proposal.forges.merging import push_files
from tests.tiny import tiny


@pytest.mark.parametrize(
    ("lines", "kind", "expected"),
    [
        ("* @ada\npgo/ @grace @acme/perf", "github", ("grace", "acme/perf")),
        ("pgo/ @grace\n* @ada # who comes last", "github", ("ada",)),
        ("*.pprof @ada perf@acme.example", "gitlab", ("ada",)),
        ("[Perf][2] @grace\n/pgo/**/profile.pprof @ada", "gitlab", ("ada",)),
        ("docs/* @ada\nother/pgo @grace", "github", ()),
        (r"pgo/.*\.pprof$ @ada", "gitea", ("ada",)),
        ("pgo/.* @ada\n.*pprof @grace\n!docs/.* @perf", "gitea", ("ada", "grace", "perf")),
        ("pgo/ @ada", "gitlab", ("ada",)),
        ("pgo @ada", "gitlab", ()),
        ("pgo @ada", "local", ("ada",)),
        ("[a-p]go/.* @ada\na{99999999999999999999} @grace", "gitea", ("ada",)),
        ("é" * 40_000 + " @ada\npgo/.* @grace", "gitea", ()),
        ("pgo/* @ada", "gitlab", ("ada",)),
        ("**/profile.* @ada", "gitlab", ("ada",)),
        ("/profile.pprof @ada", "gitlab", ()),
        (r"p\go/[p]rofile.pprof @ada", "gitlab", ()),
        ("**/" * 40 + "z @ada\n" + "*a" * 40 + "*z @ada", "gitlab", ()),
        ("([a-z/.]+)+! @ada", "gitea", ()),
    ],
)
def test_who_owns_a_file(bare, monkeypatch, lines, kind, expected):
    monkeypatch.setattr(codeowners, "_SECONDS", 2.0)
    places = {"github": ".github/CODEOWNERS", "gitea": ".gitea/CODEOWNERS"}
    push_files(bare, "main", {places.get(kind, "CODEOWNERS"): lines})
    service = tiny(
        repository={"forge": kind, "project": "acme/tiny"},
        review={"reviewers": ["zoe", "CODEOWNERS"]},
    )

    with clone(bare.as_uri(), "main", "bot", config={}) as checkout:
        review = with_owners(service, checkout, "pgo/profile.pprof")
    assert review.reviewers == ("zoe", *expected)


@pytest.mark.parametrize(("kind", "expected"), [("github", "ada"), ("gitlab", "grace"), ("gitea", "grace")])
def test_each_forge_has_its_own_order_of_places(bare, kind, expected):
    # A directory of that name is no file.
    files = {
        ".github/CODEOWNERS": ".* @ada\n* @ada",
        "CODEOWNERS": ".* @grace\n* @grace",
        "docs/CODEOWNERS/x": "",
    }
    push_files(bare, "main", files)
    service = tiny(repository={"forge": kind, "project": "acme/tiny"}, review={"reviewers": ["CODEOWNERS"]})

    with clone(bare.as_uri(), "main", "bot", config={}) as checkout:
        assert with_owners(service, checkout, "x").reviewers == (expected,)
