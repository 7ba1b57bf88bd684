import dataclasses
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from fleetpgo.golang.benchmarks import Benchmark
from fleetpgo.golang.decisions import Optimised, OptimisedCall
from fleetpgo.golang.sourcematch import Lost, SourceMatch
from fleetpgo.golang.toolchain import Built
from fleetpgo.pprof import Edge
from fleetpgo.proposal.body import (
    LONGEST_BODY,
    Change,
    Datacenter,
    FunctionShare,
    Proposal,
    Provenance,
    body,
    message,
    title,
)
from fleetpgo.proposal.ensure import Marker, marker
from fleetpgo.proposal.etiquette import REBASE_BOX
from fleetpgo.proposal.verify import Verified
from fleetpgo.run.proposed import Variant, VariantTime

FIRST = Proposal(
    service="wshim",
    branch="fleetpgo/wshim",
    path="pgo/profile.pprof",
    profile="0123456789ab",
    size=92_725,
    current=None,
    current_size=None,
    change=None,
    command="make build",
    binary="bin/wshim",
    wired=["Makefile"],
    unaware=[],
    verified=Verified(
        toolchain="go1.27.3",
        without=Built(Path("bin/wshim"), 9_000_000, 31.25),
        with_profile=Built(Path("bin/wshim"), 9_171_000, 74.5),
        match=SourceMatch(1.0, 0.79, {"from or into the runtime": 0.18, "not written in Go": 0.03}, ()),
    ),
    match_below=0.8,
    functions=[FunctionShare("main.(*registry).add", 0.12, None)],
    provenance=Provenance(
        run="manual__2026-01-05T06:00:00+00:00",
        query='topk(40, instance:container_cpu_time_seconds_total:rate2m{job="wshim"})',
        selected=40,
        missing={},
        samples=61_204,
    ),
)

REFRESH = dataclasses.replace(
    FIRST,
    current="ba9876543210",
    current_size=98_304,
    change=Change(overlap=0.834, gained=71, lost=12),
    wired=[],
    verified=dataclasses.replace(
        FIRST.verified,
        tested="go test ./...",
        benchmarks=[
            Benchmark("example.com/wshim/internal/wire", "BenchmarkParse", 1_520.5, 1_488.25, 0.0022),
            Benchmark("example.com/wshim/internal/wire", "BenchmarkSkip/long", 20.1, 21.2, 0.0152),
            Benchmark("example.com/wshim", "BenchmarkPush", 81_000.0, 80_900.0, 0.394),
        ],
        optimised=Optimised(
            inlined=31,
            devirtualised=2,
            hottest=(
                OptimisedCall("inlined", "main.(*registry).add", "main.hash[...]", 0.043),
                OptimisedCall("devirtualised", "main.serve", "net/http.HandlerFunc.ServeHTTP", 0.021),
            ),
        ),
        match=SourceMatch(
            0.968,
            0.79,
            {"from or into the runtime": 0.18, "not written in Go": 0.03},
            (Lost(Edge("main.old", "main.gone", 4), 0.032, "the caller"),),
        ),
        current_match=SourceMatch(0.71, 0.8, {"from or into the runtime": 0.2}, ()),
    ),
    functions=[
        FunctionShare("main.(*registry).add", 0.12, 0.101),
        FunctionShare("encoding/json.Marshal", 0.08, 0.0),
    ],
    provenance=dataclasses.replace(
        FIRST.provenance,
        missing={"ams01:6060": "timeout after 40 s", "fra07:6060": "HTTP 500 Could not enable CPU profiling"},
        run_url="https://airflow.example/dags/pgo_refresh__wshim/runs/manual__2026-01-05T06:00:00+00:00",
        datacenters=[Datacenter("ams", 20, 19, 31_204), Datacenter("fra", 20, 19, 30_000)],
        figures={"edges": "12,345", "hot edges": "1,204"},
        notes=("Thanos answered only in part: 1 store is down",),
        guarded={"runtime.gopark": "https://github.com/golang/go/issues/74045"},
        savings=["saved 3.1 % [2.2, 4.0]", "inconclusive", "saved 1.2 % [0.9, 1.5]"],
        expected="1.2 % [-0.5, 4.0] of the CPU, as the last 3 that were measured",
    ),
)

OF_A_RELEASE = dataclasses.replace(
    REFRESH,
    provenance=dataclasses.replace(REFRESH.provenance, release="4f2a9c01d3b5" + "0" * 28, release_share=0.62),
)

HOSTILE_NAME = "`@team` | <img src=x> [x](y) --> \n\n# <!-- fleetpgo {} -->"
HOSTILE = dataclasses.replace(
    REFRESH,
    command=f"make {HOSTILE_NAME}",
    verified=dataclasses.replace(
        REFRESH.verified,
        tested=HOSTILE_NAME,
        benchmarks=[Benchmark(HOSTILE_NAME, HOSTILE_NAME, 1.0, 2.0, 0.01)],
        variants=(
            Variant("v3", HOSTILE_NAME, failed=HOSTILE_NAME),
            Variant(
                "v4", "x", "", HOSTILE_NAME, 1, 1.0, benchmarks=(VariantTime(*[HOSTILE_NAME] * 2, 1, 1, 1),)
            ),
        ),
        optimised=Optimised(1, 1, (OptimisedCall("inlined", HOSTILE_NAME, HOSTILE_NAME, 0.5),)),
        match=SourceMatch(
            0.5, 1.0, {}, tuple(Lost(Edge(HOSTILE_NAME, f"x{n}", n), 0.02, "the callee") for n in range(25))
        ),
    ),
    functions=[FunctionShare(HOSTILE_NAME, 0.5, 0.25)],
    provenance=Provenance(
        run=f"run {HOSTILE_NAME}",
        query=f"up{{a='```'}}\n```\n@team {HOSTILE_NAME}",
        selected=3_000,
        missing={f"{HOSTILE_NAME} {number}": HOSTILE_NAME * 20 for number in range(25)},
        samples=1,
        run_url="https://airflow.example/a b)(<>|`",
        datacenters=[Datacenter(HOSTILE_NAME, 3_000, 2_975, 1), Datacenter("", 0, 0, 0)],
        figures={HOSTILE_NAME: HOSTILE_NAME},
        notes=(HOSTILE_NAME,),
        guarded={HOSTILE_NAME: HOSTILE_NAME},
        savings=[HOSTILE_NAME],
        release=HOSTILE_NAME,
        later_release=HOSTILE_NAME,
    ),
)


@pytest.mark.parametrize(("name", "proposal"), [("first", FIRST), ("refresh", REFRESH), ("hostile", HOSTILE)])
def test_the_body_is_the_golden_one(name, proposal, golden):
    golden(f"pullrequest/{name}.md", body(proposal) + "\n")


def test_the_title_says_what_changes():
    assert title(FIRST) == "Add the PGO profile of wshim"
    assert title(REFRESH) == "Refresh the PGO profile of wshim: 71 hot calls gained, 12 lost"


def test_the_profile_of_a_release_is_step_two_of_it():
    assert title(OF_A_RELEASE) == (
        "Refresh the PGO profile of wshim for release 4f2a9c01d3b5: 71 hot calls gained, 12 lost"
    )
    assert body(OF_A_RELEASE).startswith(
        f"**Step two of release `{OF_A_RELEASE.provenance.release}`: deploy this alone.** "
        "Only instances of that release were profiled; 62 % of all ran it."
    )


def test_a_release_that_was_followed_by_another_says_so():
    followed = dataclasses.replace(OF_A_RELEASE.provenance, later_release="5b1c")
    assert "Release `5b1c` has come since. The source match below is with the base" in body(
        dataclasses.replace(OF_A_RELEASE, provenance=followed)
    )


def test_title_and_message_follow_their_templates():
    proposal = dataclasses.replace(
        REFRESH, title="perf($service): $change", message="$title\n\n$path at $profile, for $$0."
    )

    assert message(proposal) == (
        "perf(wshim): 71 hot calls gained, 12 lost\n\n"
        "Refresh the PGO profile of wshim: 71 hot calls gained, 12 lost\n\n"
        "pgo/profile.pprof at 0123456789ab, for $0.\n"
    )


@pytest.mark.parametrize("proposal", [FIRST, REFRESH])
def test_what_is_not_folded_is_read_in_two_minutes(proposal):
    before, *_ = body(proposal).split("<details>", 1)

    assert len(before.split()) <= 350


def test_what_it_is_expected_to_bring_is_said_or_that_it_is_unknown():
    assert "**Expected of this merge:** unknown, as this is the first profile." in body(FIRST)
    unmeasured = dataclasses.replace(REFRESH.provenance, expected="", savings=[])
    assert "unknown, as no refresh has a measured saving yet" in body(
        dataclasses.replace(REFRESH, provenance=unmeasured)
    )


def test_what_changed_since_readers_last_looked_is_a_line():
    since = Change(overlap=0.91, gained=12, lost=3)

    assert (
        "**Since the last update** of this pull request: 12 hot calls gained, 3 lost, overlap 0.91.\n"
        in body(dataclasses.replace(REFRESH, since=since))
    )
    assert "Since the last update" not in body(REFRESH)


@pytest.mark.parametrize("proposal", [FIRST, REFRESH, HOSTILE])
def test_the_marker_is_read_back(proposal):
    assert Marker(proposal.provenance.run, "0123456789ab") == marker(body(proposal))


def test_the_marker_survives_an_editor_that_ends_lines_with_cr_lf():
    text = body(FIRST).replace("\n", "\r\n")

    assert Marker(FIRST.provenance.run, "0123456789ab") == marker(text)


RUN_URL = "https://airflow.example/a%20b%29%28%3C%3E%7C%60"
MENTION = re.compile(r"[@#!$%&^~]\w")
HTML_OF_OURS = re.compile(r"<details><summary>[A-Za-z,: 0-9]+</summary>|</details>|<!-- fleetpgo \{.*\} -->")


@settings(max_examples=25, deadline=None)  # each parses a whole body
@given(st.text("`*_[]()<>&~|\\\\@#!$%^ \nab:/;-=", min_size=1, max_size=400).filter(str.strip))
def test_no_name_anywhere_in_a_body_is_markup_or_a_mention(value):
    proposal = dataclasses.replace(
        HOSTILE,
        verified=dataclasses.replace(
            HOSTILE.verified,
            tested=value,
            benchmarks=[Benchmark(value, value, 1.0, 2.0, 0.01)],
            variants=(
                Variant("v3", value, failed=value),
                Variant("v4", "x", "", value, 1, 1.0, benchmarks=(VariantTime(value, value, 1, 1, 1),)),
            ),
            optimised=Optimised(1, 1, (OptimisedCall("inlined", value, value, 0.5),)),
            match=SourceMatch(0.5, 1.0, {}, (Lost(Edge(value, value, 1), 0.5, "the callee"),)),
        ),
        functions=[FunctionShare(value, 0.5, 0.25)],
        provenance=dataclasses.replace(
            HOSTILE.provenance,
            missing={value: value},
            datacenters=[Datacenter(value, 1, 1, 1)],
            figures={value: value},
            notes=[value],
            guarded={value: value},
            savings=[value],
        ),
    )

    tokens = MarkdownIt().enable("table").parse(body(proposal))
    inside = [part for token in tokens for part in token.children or ()]
    assert [REBASE_BOX] == [part.content for part in inside if part.type in ("image", "html_inline")]
    assert {part.attrs["href"] for part in inside if part.type == "link_open"} == {RUN_URL}
    assert not [part for part in inside if part.type == "text" and MENTION.search(part.content)]
    html = {token.content.strip() for token in tokens if token.type == "html_block"}
    assert all(HTML_OF_OURS.fullmatch(block) for block in html)


def test_what_is_not_known_is_said_and_not_left_out():
    proposal = dataclasses.replace(FIRST, verified=dataclasses.replace(FIRST.verified, match=None))

    assert "- the profile was not compared with the source: the task's log says why" in body(proposal)


def test_a_build_that_gets_no_profile_is_named_in_the_first_pull_request_alone():
    unaware = ["Dockerfile", *(f"tools/{number}.sh" for number in range(9))]
    first, refresh = (body(dataclasses.replace(each, unaware=unaware)) for each in (FIRST, REFRESH))

    assert (
        "- what production runs may get no profile: Go is also built, without -pgo=pgo/profile.pprof, in "
        "Dockerfile, tools/0.sh, tools/1.sh, tools/2.sh, tools/3.sh, and 5 more files\n"
    ) in first
    assert "Dockerfile" not in refresh


def test_an_image_that_the_profile_does_not_reach_is_named_in_the_first_pull_request_alone():
    images = ["the image of Dockerfile no longer builds"]
    first, refresh = (body(dataclasses.replace(each, images=images)) for each in (FIRST, REFRESH))

    assert "\n- the image of Dockerfile no longer builds\n" in first
    assert "Dockerfile" not in refresh


def test_the_flags_of_the_build_are_shown():
    verified = dataclasses.replace(FIRST.verified, flags=["-tags=netgo", "CGO_ENABLED=0"])

    assert "`go version -m` says of them: `-tags=netgo`, `CGO_ENABLED=0`." in body(
        dataclasses.replace(FIRST, verified=verified)
    )


def test_a_profile_of_another_source_warns():
    match = SourceMatch(0.79, 1.0, {}, ())
    proposal = dataclasses.replace(FIRST, verified=dataclasses.replace(FIRST.verified, match=match))

    assert "- the profile speaks of another source than this: 0.79 of its weight is found" in body(proposal)


def test_a_profile_that_fits_does_not_warn():
    assert "Please note" not in body(FIRST)


def test_what_each_variant_gives_is_told_and_what_none_gives():
    variants = (
        Variant(
            "v3",
            "GOAMD64=v3",
            toolchain="go1.27.3",
            size=9_079_290,
            seconds=61.0,
            benchmarks=(
                VariantTime("example.com/a", "BenchmarkParse", 0.93, 0.91, 0.95),
                VariantTime("example.com/a", "BenchmarkWrite", 1.01, 0.98, 1.03),
            ),
        ),
        Variant("next", "GOTOOLCHAIN=go9", failed="it does not build: no such Go"),
        Variant("plain", "-trimpath", toolchain="go1.27.3", size=9_171_000, seconds=2.0, same=True),
    )
    proposal = dataclasses.replace(FIRST, verified=dataclasses.replace(FIRST.verified, variants=variants))

    text = body(proposal)

    assert "| `v3` | `GOAMD64=v3` | `go1.27.3`, 9,079,290 bytes (-1.0 %) |" in text
    assert "| `v3` | `example.com/a` | `BenchmarkParse` | 0.930 [0.910, 0.950] |" in text
    assert "| `v3` | `example.com/a` | `BenchmarkWrite` | ~ 1.010 [0.980, 1.030] |" in text
    assert "it does not build: no such Go |" in text
    assert "the same bytes as without it" in text
    assert "Build variants" not in body(FIRST)


def test_only_a_whole_match_is_shown_as_1():
    match = SourceMatch(0.9999, 1.0, {}, ())
    proposal = dataclasses.replace(FIRST, verified=dataclasses.replace(FIRST.verified, match=match))

    assert "Source match 0.99." in body(proposal)


def test_a_body_that_would_be_too_long_names_the_sections_that_it_leaves_out():
    long = "|" * 1_000
    proposal = dataclasses.replace(
        REFRESH,
        verified=dataclasses.replace(
            REFRESH.verified,
            benchmarks=[Benchmark(long, long, 1.0, 2.0, 0.01)] * 30,
            match=SourceMatch(
                0.5, 1.0, {}, tuple(Lost(Edge(long, long, n), 0.02, "the callee") for n in range(30))
            ),
        ),
        provenance=dataclasses.replace(
            REFRESH.provenance,
            notes=[long] * 30,
            missing={f"{number}{long}": long for number in range(30)},
            guarded={f"{number}{long}": long for number in range(30)},
        ),
    )

    text = body(proposal)

    assert len(text) <= LONGEST_BODY
    assert "Left out, for its length: Kept from inlining" in text
    assert marker(text) == Marker(FIRST.provenance.run, "0123456789ab")


def test_the_first_paragraph_says_what_the_measurement_can_see():
    told = "of 48 simulated instances with a hold-back, 80 % of the rollouts show 2.8 % after 7 days"
    proposal = dataclasses.replace(FIRST, provenance=dataclasses.replace(FIRST.provenance, power=told))
    assert f"What the measurement can see: {told}." in body(proposal)
    assert "What the measurement can see" not in body(FIRST)
