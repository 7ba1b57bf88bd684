"""Build variants beside a profile, on the tiny module and real Go."""

from __future__ import annotations

import pytest

from fleetpgo.errors import BuildError
from fleetpgo.proposal.body import Provenance
from fleetpgo.proposal.git import git
from fleetpgo.run.artifacts import ProposedProfile
from fleetpgo.run.proposed import Proposed, Variant, VariantTime
from fleetpgo.run.store import RunStore
from fleetpgo.steps import propose_run
from fleetpgo.steps.propose import propose
from tests.run.artifacts import manifest
from tests.tiny import tiny

PROVENANCE = Provenance(run="run-1", query="up", selected=6, missing={}, samples=1_234)
BENCHMARK = """\
package main

import "testing"

func BenchmarkTotal(b *testing.B) {
	for b.Loop() {
		total([]shape{square{2}})
	}
}
"""


@pytest.fixture
def run(forge, go_profile, go_cache):
    """A dry run that is asked for variants: its result, and the pull request's text."""

    def propose_it(names, variants, **build):
        service = tiny(build={"variants": variants, **build})
        kept = []
        proposed = propose(
            service,
            forge,
            go_profile,
            PROVENANCE,
            dry_run=True,
            cache=go_cache,
            keep=kept.append,
            variants=names,
        )
        return proposed, kept[0].decode()

    return propose_it


def test_a_variant_that_does_not_build_is_a_sentence_and_the_run_goes_on(run):
    proposed, text = run(["bad"], {"bad": {"flags": "-tags=x -gcflags=-nosuchflag"}})

    (bad,) = proposed.variants
    assert (bad.name, bad.sets, bad.size) == ("bad", "-tags=x -gcflags=-nosuchflag", None)
    assert bad.failed.startswith("it does not build: `make build` failed with exit status 2")
    assert bad.failed.endswith("make: *** [Makefile:2: build] Error 1")
    assert "Build variants" in text
    assert proposed.size_with


def test_a_variant_that_changes_nothing_says_so_and_one_that_does_is_another_binary(run):
    variants = {"same": {"environment": {"GOAMD64": "v1"}}, "small": {"flags": "-ldflags=-s"}}

    same, small = run(["same", "small"], variants)[0].variants

    assert (same.same, small.same) == (True, False)
    assert small.size < same.size


def test_a_variant_that_the_service_file_lacks_is_an_error_that_names_the_others(run):
    with pytest.raises(BuildError, match=r"build\.variants has no v4; it has v3"):
        run(["v4"], {"v3": {"environment": {"GOAMD64": "v3"}}})


def test_a_run_that_is_asked_for_none_builds_none(run):
    proposed, text = run([], {"v3": {"environment": {"GOAMD64": "v3"}}})

    assert (proposed.variants, "Build variants" in text) == ((), False)


def test_where_nothing_is_proposed_the_reason_says_that_the_variants_were_not_built(
    bare, tmp_path, forge, go_profile, go_cache
):
    work = tmp_path / "work"
    git(tmp_path, "clone", "--quiet", bare.as_uri(), str(work))
    (work / "Makefile").write_text("build:\n\tgo build -pgo=pgo/profile.pprof -o bin/tiny .\n")
    (work / "pgo").mkdir()
    (work / "pgo" / "profile.pprof").write_bytes(go_profile)
    git(work, "add", "--force", ".")
    git(work, "commit", "--quiet", "--message", "Add the profile")
    git(work, "push", "--quiet", "origin", "main")
    service = tiny(build={"variants": {name: {"flags": "-trimpath"} for name in ("v3", "v4")}})

    one, two, none = (
        propose(
            service, forge, go_profile, PROVENANCE, dry_run=True, cache=go_cache, variants=names
        ).reason.partition("; the ")[2]
        for names in (["v3"], ["v3", "v4"], [])
    )

    assert (one, two, none) == ("variant v3 was not built", "variants v3, v4 were not built", "")


def test_a_pull_request_that_is_made_anew_keeps_the_variants_that_its_run_was_asked_for(
    tmp_path, forge, monkeypatch
):
    store = RunStore(tmp_path / "store", "tiny", "run-1")
    tried = (
        Variant("v3", "GOAMD64=v3", benchmarks=(VariantTime("a", "BenchmarkA", 0.9, 0.8, 1.0),)),
        Variant("gone", "-trimpath"),
    )
    before = Proposed("fleetpgo/tiny", "main", "0123456789ab", unchanged=False, dry_run=False, variants=tried)
    for artifact in (manifest(), ProposedProfile(b"profile"), before):
        store.write(artifact)
    asked = []

    def propose_it(*_, variants, **__):
        asked.append(variants)
        return store.read(Proposed)

    monkeypatch.setattr(propose_run, "propose", propose_it)
    service = tiny(build={"variants": {"v3": {"environment": {"GOAMD64": "v3"}}}})

    again = propose_run.propose_profile(service, store, forge, dry_run=False, cache=tmp_path, again=True)

    assert (asked, again.variants) == ([["v3"]], tried)


@pytest.mark.slow  # builds what `testing` needs twice
def test_a_variant_is_benchmarked_in_turn_with_the_build_with_the_profile(run, bare, tmp_path):
    work = tmp_path / "work"
    git(tmp_path, "clone", "--quiet", bare.as_uri(), str(work))
    (work / "main_test.go").write_text(BENCHMARK)
    git(work, "add", ".")
    git(work, "commit", "--quiet", "--message", "Benchmark")
    git(work, "push", "--quiet", "origin", "main")
    # Without any optimisation it is slower for certain.
    variants = {"slow": {"flags": "-gcflags=-N"}, "bad": {"flags": "-gcflags=-nosuchflag"}}

    proposed, text = run(["slow", "bad"], variants, benchmark="Total")

    slow, bad = proposed.variants
    (time,) = slow.benchmarks
    assert (time.package, time.benchmark) == ("example.com/tiny", "BenchmarkTotal")
    assert 1 < time.low <= time.ratio <= time.high
    assert (bad.benchmarks, bad.failed[:17]) == ((), "it does not build")
    assert "| `slow` | `example.com/tiny` | `BenchmarkTotal` |" in text
