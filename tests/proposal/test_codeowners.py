import pytest

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
    ],
)
def test_the_last_line_that_matches_names_the_reviewers(bare, lines, kind, expected):
    push_files(bare, "main", {".github/CODEOWNERS": lines})
    service = tiny(
        repository={"forge": kind, "project": "acme/tiny"},
        review={"reviewers": ["zoe", "CODEOWNERS"]},
    )

    with clone(bare.as_uri(), "main", "bot", config={}) as checkout:
        review = with_owners(service, checkout, "pgo/profile.pprof")
    assert review.reviewers == ("zoe", *expected)
