"""Which profiles count, in relation to the others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fleetpgo import pprof
from fleetpgo.pprof import Edge, Edges
from fleetpgo.pprof.minimising import from_edges
from fleetpgo.run.profiled import Record
from fleetpgo.steps.contributions import EVIDENCE, GO_KIND, builds, contributions
from fleetpgo.steps.toolchains import toolchains
from tests.pprof.messages import message, packed

PROFILES = sorted((Path(__file__).parents[1] / "testdata/profiles").glob("*.pb.gz"))
API, MAILER, GRPC = "example.com/api", "example.com/mailer", "google.golang.org/grpc"


def record(*, main="", kind=GO_KIND, modules=None, functions=None, outside=None, state="fetched", build=""):
    modules, functions = modules or {}, functions or {}
    if outside is None:
        outside = max([*modules.values(), *functions.values()], default=0)
    return Record(
        "",
        "ams",
        1.0,
        state,
        samples=100,
        main_package=main,
        kind=kind,
        modules=modules,
        outside=outside,
        main_functions=functions,
        build_id=build,
    )


def judged(*records):
    return contributions([replace(each, instance=f"{place}:80") for place, each in enumerate(records)])


def states(*records):
    return [each.state for each in judged(*records)]


def test_the_kind_that_most_have_counts_also_where_the_first_one_is_odd():
    odd = record(kind="cpu/nanoseconds each cpu/nanoseconds")
    first, *others = judged(odd, record(), record())
    assert (first.state, [each.state for each in others]) == ("refused", ["used", "used"])
    assert first.reason == f"incompatible: it counts {odd.kind}; most instances count {GO_KIND}"


def test_of_two_kinds_that_are_equally_frequent_go_s_own_counts():
    assert states(record(kind="cpu/nanoseconds each /"), record()) == ["refused", "used"]


def test_a_record_that_does_not_say_its_kind_counts():
    assert states(record(kind=""), record(), record()) == ["used"] * 3


def test_what_was_not_fetched_has_no_say():
    assert states(record(kind="other", state="refused"), record()) == ["refused", "used"]


def test_another_main_package_than_most_have_is_refused():
    assert states(record(main="x.org/a"), record(main="x.org/b"), record(main="x.org/a")) == [
        "used",
        "refused",
        "used",
    ]


def test_another_program_s_modules_are_refused_by_name():
    api = record(modules={API: 90})
    *_, odd = judged(api, api, record(modules={MAILER: 90}))
    assert odd.reason == f"another-binary: its stacks are in {MAILER}, those of most are in {API}"


def test_what_programs_share_does_not_make_them_one():
    api, mailer = record(modules={GRPC: 100, API: 90}), record(modules={GRPC: 100, MAILER: 80})
    assert states(api, mailer, api) == ["used", "refused", "used"]


def test_few_samples_outside_the_standard_library_are_no_evidence():
    api = record(modules={API: 90})
    assert states(api, api, record(modules={MAILER: EVIDENCE - 1})) == ["used"] * 3
    assert states(api, api, record()) == ["used"] * 3


def test_an_instance_that_does_something_else_is_of_the_same_program():
    api = record(modules={API: 90})
    leader = record(modules={"example.com/compaction": 95, API: 1})
    assert states(api, api, leader) == ["used"] * 3


def test_a_canary_with_a_new_dependency_is_of_the_same_program():
    api = record(modules={API: 100, "example.org/old": 40})
    assert states(api, api, record(modules={API: 100, "example.org/new": 40})) == ["used"] * 3


def test_two_programs_that_are_equally_frequent_are_both_used():
    assert states(record(modules={API: 90}), record(modules={MAILER: 90})) == ["used", "used"]


def test_package_main_where_it_is_known_outweighs_modules():
    api = record(modules={API: 90}, main="x.org/api")
    assert states(api, api, record(modules={MAILER: 90}, main="x.org/api")) == ["used"] * 3
    api, mailer = record(modules={API: 90}), record(modules={MAILER: 90}, main="x.org/mailer")
    assert states(api, api, mailer) == ["used", "used", "refused"]


SERVE = {"main.serve": 95, "main.(*server)": 60}


def test_another_program_built_in_the_same_folder_is_told_by_its_package_main():
    api, mailer = record(functions=SERVE), record(functions={"main.sendMail": 90})
    *_, odd = judged(api, api, mailer)
    assert odd.reason == "another-binary: its stacks are in main.sendMail, those of most are in main.serve"


def test_few_samples_of_modules_do_not_hide_another_package_main():
    api = record(functions=SERVE, modules={API: 10})
    mailer = record(functions={"main.sendMail": 90}, modules={MAILER: 10})
    assert states(api, api, mailer) == ["used", "used", "refused"]


def test_two_roles_of_one_program_share_its_module():
    store, compactor = ({name: 95} for name in ("main.runStore", "main.runCompact"))
    api = record(functions=store, modules={API: 90})
    assert states(api, api, record(functions=compactor, modules={API: 20})) == ["used"] * 3


def test_one_function_of_package_main_in_common_is_the_same_program():
    api = record(functions=SERVE)
    assert states(api, api, record(functions={"main.compact": 95, "main.(*server)": 1})) == ["used"] * 3


def test_one_build_is_one_program_whatever_it_does():
    api = record(functions=SERVE, build="b1")
    assert states(api, api, record(functions={"main.compact": 95}, build="b1")) == ["used"] * 3
    api = record(modules={API: 90}, build="b1")
    assert states(api, api, record(modules={MAILER: 90}, build="b1")) == ["used"] * 3


def test_builds_of_one_program_are_told_apart_and_said():
    canary, api = record(modules={API: 90}, build="2" * 40), record(modules={API: 90}, build="1" * 40)
    (said,) = builds(judged(api, canary, api))
    assert said == (
        "the instances ran 2 builds of the program: 2 of build 111111111111, 1 of build 222222222222; "
        "was a deploy under way?"
    )
    assert builds(judged(api, api)) == []


def test_a_window_across_a_deploy_is_said_with_an_instance_to_look_at():
    one, both = record(modules={API: 90}, build="1" * 40), record(modules={API: 90}, build="1" * 40)
    (said,) = builds(judged(one, replace(both, other_builds=("2" * 40,))))
    assert said == (
        "the profiles are of 2 builds of the program: 2 of build 111111111111, 1 of build 222222222222; 1 of "
        "2 hold several, such as that of 1:80: a deploy lies in the window that the store was asked for; run "
        "again once a whole window (collection.seconds) has passed since the deploy"
    )


def test_a_build_in_a_window_is_the_same_program_as_that_build_alone():
    api = record(functions=SERVE, build="b1")
    other = replace(record(functions={"main.compact": 95}, build="b2"), other_builds=("b1",))
    assert states(api, api, other) == ["used"] * 3


def test_toolchains_that_differ_are_said_with_what_differs():
    merged = pprof.merge(
        [path.read_bytes() for path in PROFILES if path.stem.startswith(("go1.26", "go1.27"))]
    )
    (said,) = toolchains(merged)
    assert said.startswith("the instances ran programs that were built by several versions of Go: ")
    assert "standard library functions start at different lines, such as " in said
    assert said.endswith("Run again when one version of Go has built all running programs")


def test_closures_that_are_numbered_in_two_ways_are_said():
    edges = Edges.of(
        {
            Edge("main.f", "runtime.Stack.func1.tracebackothers.1", 1): 5,
            Edge("main.f", "main.g-range1.func1", 1): 5,
        }
    )
    (said,) = toolchains(pprof.decode(from_edges(edges)))
    assert "Go 1.27 numbers closures differently from earlier versions" in said


def test_one_toolchain_is_not_worth_a_word():
    assert toolchains(pprof.merge([path.read_bytes() for path in PROFILES if "1.27" in path.stem])) == []


def test_real_builds_of_one_program_by_several_toolchains_are_one_program():
    found = [pprof.facts(path.read_bytes()) for path in PROFILES]
    records = [
        record(
            main=each.main_package,
            kind=each.kind,
            modules=each.modules,
            functions=each.main_functions,
            outside=each.outside,
            build=each.build_id,
        )
        for each in found
    ]
    assert {each.main_package for each in found} == {"example.com/profiled"}
    assert min(each.outside for each in found) >= EVIDENCE
    assert states(*records) == ["used"] * len(PROFILES)
    other = record(main="example.com/other", modules=found[0].modules, functions=found[0].main_functions)
    assert states(*records, other)[-1] == "refused"


def test_a_build_that_does_not_say_its_id_is_no_other_build():
    assert builds(judged(record(build="1" * 40), record())) == []


def facts(*names, file="/src/x.go"):
    """Facts of a profile of 100 samples whose stack has these functions, leaf first."""
    profile = message([([[(name, 1, 2)] for name in names], 100)])
    profile.string_table[profile.function[0].filename] = file.encode()
    return pprof.facts(packed(profile))


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("example.com/api/codec.(*Reader).next", "example.com/api"),
        ("github.com/acme/api/internal/x.F.func1", "github.com/acme/api"),
        ("git.example.com/team/api.F", "git.example.com/team/api"),
        ("wshim/internal/x.F", "wshim"),
        ("gopkg.in/yaml%2ev3.Unmarshal", "gopkg.in/yaml%2ev3"),
        ("example.com/api/set.Add[go.shape.struct { example.org/x.F int }]", "example.com/api"),
        ("net/http.(*conn).serve", None),
        ("vendor/golang.org/x/net/http2/hpack.F", None),
        ("runtime.mallocgc", None),
        ("main.serve", None),
        ("memcpy", None),
        ("", None),
    ],
)
def test_a_function_s_module(name, module):
    assert dict(facts(name).modules) == ({module: 100} if module else {})


@pytest.mark.parametrize(
    "file",
    [
        "/go/pkg/mod/google.golang.org/grpc@v1.60.0/server.go",
        "/src/vendor/x/y.go",
        "/b/external/com_x/y.go",
    ],
)
def test_a_function_whose_file_is_a_dependency_s_tells_nothing(file):
    found = facts("google.golang.org/grpc.(*Server).Serve", "runtime.goexit", file=file)
    assert (found.modules, found.outside) == ({}, 0)


def test_samples_count_for_each_module_in_their_stack():
    profile = message(
        [
            ([[("example.com/a.F", 1, 2)], [("example.com/b.F", 1, 2)]], 60),
            ([[("runtime.f", 1, 2)], [("runtime.g", 1, 2), ("example.com/b.F", 1, 3)]], 30),
            ([[("runtime.f", 1, 2)]], 10),
        ]
    )
    found = pprof.facts(packed(profile))
    assert (list(found.modules.items()), found.outside) == (
        [("example.com/b", 90), ("example.com/a", 60)],
        90,
    )


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("main.serve", "main.serve"),
        ("main.serve.func1.2", "main.serve"),
        ("main.(*server).handle.func1", "main.(*server)"),
        ("main.Map[go.shape.int].func1", "main.Map"),
        ("main.main", None),
        ("main.main.func1", None),
        ("main.init.0", None),
        ("example.com/api/main.F", None),
    ],
)
def test_a_function_of_package_main(name, function):
    assert dict(facts(name).main_functions) == ({function: 100} if function else {})
