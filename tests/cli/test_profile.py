from __future__ import annotations

import gzip
import json
import os
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from fleetpgo.cli.profile import profile
from fleetpgo.pprof import call_edges, decode, merge
from tests.pprof.messages import message, packed, unpacked

PROFILES = Path(__file__).parents[1] / "testdata/profiles"
ONE, TWO = str(PROFILES / "go1.27.3.pb.gz"), str(PROFILES / "go1.27.3-b.pb.gz")


@pytest.fixture
def run():
    def invoke(*arguments: object, stdin: bytes | None = None):
        return CliRunner().invoke(profile, [str(argument) for argument in arguments], input=stdin)

    return invoke


@pytest.fixture
def page(tmp_path) -> Path:
    path = tmp_path / "page.html"
    path.write_bytes(b"<html>login</html>")
    return path


def test_info_prints_the_facts(run):
    said = json.loads(run("info", ONE, "--json").stdout)
    assert (said["main_package"], said["samples"]) == ("example.com/profiled", 133)


def test_a_profile_is_read_from_stdin(run):
    assert "samples: 133" in run("info", "-", stdin=Path(ONE).read_bytes()).stdout


def test_a_refused_profile_exits_with_1_and_says_why(run, page):
    done = run("info", page)
    assert (done.exit_code, done.stderr.splitlines()[0]) == (
        1,
        "error: A web page came instead of a profile.",
    )


def test_a_refusal_as_json_names_the_reason(run, page):
    done = run("info", page, "--json")
    assert (done.exit_code, json.loads(done.stdout)["reason"]) == (1, "html")


def test_check_says_it_of_every_profile(run, page):
    done = run("check", ONE, page)
    assert (done.exit_code, done.stdout) == (
        1,
        f"{ONE}: ok\n{page}: html: A web page came instead of a profile.\n",
    )


def test_check_of_good_profiles_exits_with_0(run):
    done = run("check", ONE, TWO, "--seconds", 3, "--json")
    assert (done.exit_code, json.loads(done.stdout)) == (
        0,
        [{"profile": ONE, "reason": None}, {"profile": TWO, "reason": None}],
    )


def test_merge_writes_the_merged_profile(run, tmp_path):
    done = run("merge", ONE, TWO, "-o", tmp_path / "out.pb.gz")
    assert done.exit_code == 0
    assert (tmp_path / "out.pb.gz").read_bytes() == merge(
        [Path(ONE).read_bytes(), Path(TWO).read_bytes()]
    ).data


def test_merge_straight_to_the_minimal_profile(run, tmp_path):
    done = run("merge", ONE, TWO, "-o", tmp_path / "out.pgo", "--minimise", "--json")
    assert json.loads(done.stdout)["proof"] == "identical"
    merged = merge([Path(ONE).read_bytes(), Path(TWO).read_bytes()])
    assert call_edges(decode((tmp_path / "out.pgo").read_bytes())) == call_edges(merged)


def test_a_heap_profile_is_not_merged_even_alone(run, tmp_path):
    heap = tmp_path / "heap.pb.gz"
    heap.write_bytes(packed(message([], types=(("inuse_space", "bytes"),))))
    done = run("merge", heap, "-o", tmp_path / "out.pb.gz")
    assert done.exit_code == 1
    assert done.stderr.startswith("error: Profile 0: This is a heap profile: it counts inuse_space/bytes.")
    assert not (tmp_path / "out.pb.gz").exists()


def test_merge_to_stdout_keeps_the_record_apart(run):
    done = run("merge", ONE, TWO, "-o", "-")
    assert done.stdout_bytes == merge([Path(ONE).read_bytes(), Path(TWO).read_bytes()]).data
    assert "profiles: 2" in done.stderr


def test_minimise_prints_sizes_and_proof(run, tmp_path):
    done = run("minimise", ONE, "-o", tmp_path / "out.pgo")
    size = (tmp_path / "out.pgo").stat().st_size
    before = Path(ONE).stat().st_size
    edges = call_edges(decode(Path(ONE).read_bytes()))
    assert done.stdout == (
        f"proof: identical\nedges: {len(edges)}\nhot edges: {len(edges.hot)}\n"
        f"size before: {before}\nsize after: {size}\n"
    )


def test_minimise_without_proof_keeps_the_profile_and_exits_with_3(run, tmp_path):
    done = run("minimise", ONE, "-o", tmp_path / "out.pgo", "--go", "/no/such/go")
    assert (done.exit_code, (tmp_path / "out.pgo").read_bytes()) == (3, Path(ONE).read_bytes())


def test_compare_says_that_nothing_changed(run):
    assert run("compare", ONE, ONE).stdout == "nothing changed for the compiler\n"


def test_compare_gives_the_overlap(run):
    said = json.loads(run("compare", ONE, TWO, "--json").stdout)
    assert (said["unchanged"], 0 < said["overlap"] < 1) == (False, True)


def test_top_prints_a_table(run):
    assert run("top", ONE, "-n", 1).stdout.count("\n") == 2


def test_edges_are_printed_heaviest_first(run):
    said = json.loads(run("edges", ONE, "--json").stdout)
    assert [edge["weight"] for edge in said] == list(
        call_edges(decode(Path(ONE).read_bytes())).weights.values()
    )


def test_match_says_how_much_of_the_source_is_still_there(run):
    done = run("match", ONE, PROFILES / "program")
    assert done.stdout.startswith("source match: 1.0000\ncompared: 54.6 % of the edge weight\n")


def test_match_names_what_is_gone(run, tmp_path):
    (tmp_path / "go.mod").write_text("module example.com/profiled\n\ngo 1.24\n")
    (tmp_path / "main.go").write_text("package main\n\nfunc main() {}\n")
    said = json.loads(run("match", ONE, tmp_path, "--json").stdout)
    assert (["main.fibonacci", "main.fibonacci", 4], "the caller") in [
        (each["edge"], each["why"]) for each in said["lost"]
    ]


@pytest.mark.parametrize("command", ["top", "edges", "compare"])
def test_no_name_reaches_the_terminal_as_it_is(run, tmp_path, command):
    hostile = tmp_path / "hostile.pb"
    raw = gzip.decompress(Path(ONE).read_bytes())
    name = b"main.main"
    assert name in raw
    hostile.write_bytes(raw.replace(name, b"main.\x1b[\xff\n"))
    files = [ONE, str(hostile)] if command == "compare" else [str(hostile)]
    result = run(command, *files)
    assert result.exit_code == 0, result.exception
    assert "\x1b" not in result.stdout


@pytest.fixture(scope="session")
def program(tmp_path_factory, go_cache) -> Path:
    """The program of the real profiles, built anew: of the same source and the same Go."""
    binary: Path = tmp_path_factory.mktemp("program") / "program"
    environment = {**os.environ, "GOCACHE": str(go_cache / "go-build"), "GOFLAGS": "-buildvcs=false"}
    subprocess.run(
        ["go", "build", "-trimpath", "-ldflags=-s -w", "-o", binary, "."],
        cwd=PROFILES / "program",
        env=environment,
        check=True,
    )
    return binary


@pytest.fixture
def lacking(tmp_path) -> Path:
    """A profile without start lines, as `go tool pprof -proto` writes it."""
    whole = unpacked(Path(ONE).read_bytes())
    for function in whole.function:
        function.start_line = 0
    path = tmp_path / "lacking.pb.gz"
    path.write_bytes(packed(whole))
    return path


def test_repair_gives_start_lines_back_and_says_so(run, lacking, program, tmp_path):
    done = run("repair", lacking, "--binary", program, "-o", tmp_path / "out")
    assert (done.exit_code, done.stdout) == (0, "start lines of 104 functions filled in\n")
    assert call_edges(decode((tmp_path / "out").read_bytes())) == call_edges(decode(Path(ONE).read_bytes()))


def test_repair_as_json_counts(run, lacking, program, tmp_path):
    done = run("repair", lacking, "--binary", program, "-o", tmp_path / "out", "--json")
    assert json.loads(done.stdout) == {
        "output": str(tmp_path / "out"),
        "symbolised": 0,
        "names": 0,
        "names_share": 0.0,
        "start_lines": 104,
        "left": [],
    }


def test_what_repair_cannot_mend_is_refused_and_not_written(run, lacking, tmp_path):
    root = subprocess.run(["go", "env", "GOROOT"], check=True, capture_output=True, text=True).stdout.strip()
    done = run("repair", lacking, "--binary", Path(root) / "bin" / "go", "-o", tmp_path / "out", "--json")
    said = json.loads(done.stdout)
    assert (done.exit_code, said["reason"]) == (1, "partial-start-line")
    assert "the binary has no such function" in said["error"]
    assert not (tmp_path / "out").exists()


def test_repair_takes_one_binary(run, lacking, program, tmp_path):
    done = run("repair", lacking, "--binary", lacking, "--binary", program, "-o", tmp_path / "out")
    assert (done.exit_code, (tmp_path / "out").exists()) == (2, False)
    assert "--binary: name one" in done.stderr


def test_repair_does_not_overwrite_the_binary(run, lacking, tmp_path):
    binary = tmp_path / "api"
    binary.write_bytes(b"\x7fELF")
    done = run("repair", lacking, "--binary", binary, "-o", binary)
    assert (done.exit_code, binary.read_bytes()) == (2, b"\x7fELF")
    assert "--output would overwrite the binary" in done.stderr


def test_a_file_that_cannot_be_written_is_named(run, lacking, tmp_path):
    done = run("merge", lacking, "-o", tmp_path / "nowhere" / "out")
    assert done.exit_code == 2
    assert f"{tmp_path}/nowhere/out: No such file or directory" in done.stderr


def test_repair_of_no_binary_says_what_it_needs(run, lacking, tmp_path):
    done = run("repair", lacking, "--binary", lacking, "-o", tmp_path / "out")
    assert (done.exit_code, done.stderr.splitlines()[0]) == (1, "error: lacking.pb.gz is not an ELF binary")
