"""``fleetpgo profile …``: look at profiles, merge and shrink them, without Airflow.

The commands only read files, call :mod:`fleetpgo.pprof` and print; exit codes are in the group's help.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fleetpgo.cli.options import JSON, json_option
from fleetpgo.cli.printing import say
from fleetpgo.errors import FleetPGOError, ProfileError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fleetpgo.pprof import Edge
    from fleetpgo.pprof.merging import Weights

STDIN = "-"
REFUSED = 1
UNPROVEN = 3

PROFILE = click.Path(exists=True, dir_okay=False, allow_dash=True)

go_command = click.option("--go", default="go", show_default=True, help="The go command (1.23 or newer).")
output = click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(dir_okay=False, allow_dash=True),
    help="File to write, or -.",
)


class _Group(click.Group):
    """Group that prints why a profile is refused, as text or as JSON, and exits with 1."""

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 -- as click declares it
        try:
            return super().invoke(ctx)
        except FleetPGOError as error:
            if ctx.meta.get(JSON):
                reason = error.reason if isinstance(error, ProfileError) else type(error).__name__
                say(json.dumps({"error": error.message, "reason": reason, "hint": error.hint}))
            else:
                say(f"error: {error}", err=True)
            ctx.exit(REFUSED)
        except OSError as error:
            if error.filename is None:
                raise
            # The profile is not refused: a path is wrong, or may not be used.
            raise click.UsageError(f"{error.filename}: {error.strerror}") from error


@click.group(cls=_Group)
def profile() -> None:
    """Inspect, merge and minimise CPU profiles of Go programs.

    PROFILE is a file in pprof format, gzipped or not, or - for standard input.

    \b
    Exit codes:
      0  done
      1  a profile was refused; the reason is printed
      2  wrong usage
      3  minimise: not proven, so the full profile was written
    """  # noqa: D301  # \b is click's mark for "do not wrap", not an escape gone wrong


@profile.command()
@click.argument("path", metavar="PROFILE", type=PROFILE)
@json_option
def info(path: str, *, as_json: bool) -> None:
    """Print what a profile says about itself."""
    from fleetpgo import pprof

    _show(asdict(pprof.facts(_read(path))), as_json=as_json)


@profile.command()
@click.argument("paths", metavar="PROFILE…", nargs=-1, required=True, type=PROFILE)
@click.option("--seconds", type=float, help="Expected duration; another one is refused.")
@click.option("--main-package", help="Expected main package, as `info` prints it; another one is refused.")
@json_option
def check(paths: tuple[str, ...], *, seconds: float | None, main_package: str | None, as_json: bool) -> None:
    """Say whether a build can use each profile, and if not, why."""
    from fleetpgo import pprof

    results: list[dict[str, str | None]] = []
    for path in paths:
        try:
            pprof.check(_read(path), seconds=seconds, main_package=main_package)
        except ProfileError as error:
            results.append(
                {"profile": path, "reason": error.reason, "message": error.message, "hint": error.hint}
            )
        else:
            results.append({"profile": path, "reason": None})
    if as_json:
        say(json.dumps(results))
    else:
        for result in results:
            say(
                f"{result['profile']}: "
                + (f"{result['reason']}: {result['message']}" if result["reason"] else "ok")
            )
    if any(result["reason"] for result in results):
        click.get_current_context().exit(REFUSED)


@profile.command()
@click.argument("paths", metavar="PROFILE…", nargs=-1, required=True, type=PROFILE)
@output
@click.option("--minimise", "minimal", is_flag=True, help="Keep only what the compiler reads; needs Go.")
@click.option(
    "--weights",
    type=click.Choice(["none", "equal"]),
    default="none",
    show_default=True,
    help="none: every sample counts the same. equal: every profile counts the same.",
)
@click.option("--keep-labels", is_flag=True, help="Keep samples with different labels apart.")
@go_command
@json_option
def merge(
    paths: tuple[str, ...],
    *,
    output: str,
    minimal: bool,
    weights: Weights,
    keep_labels: bool,
    go: str,
    as_json: bool,
) -> None:
    """Add up profiles into one. Their order makes no difference."""
    from fleetpgo import pprof
    from fleetpgo.golang.preprofile import preprofile

    if minimal and keep_labels:
        raise click.UsageError(
            "--minimise and --keep-labels exclude each other: the minimal profile has no labels."
        )
    sizes: list[int] = []
    profiles = _each(paths, sizes)
    record: dict[str, object] = {"output": output, "profiles": len(paths), "weights": weights}
    if minimal:
        edges = pprof.call_edges(pprof.merge(profiles, weights=weights))
        small = pprof.minimise_edges(edges, prove=partial(preprofile, go=go), size_before=sum(sizes))
        data = small.data
        record |= {"proof": small.proof, "edges": small.edges, "hot_edges": small.hot_edges}
    else:
        data = pprof.merge(profiles, weights=weights, keep_labels=keep_labels).data
    _write(output, data)
    _show(record | {"size_before": sum(sizes), "size_after": len(data)}, as_json=as_json, err=output == STDIN)


@profile.command()
@click.argument("path", metavar="PROFILE", type=PROFILE)
@output
@go_command
@json_option
def minimise(path: str, *, output: str, go: str, as_json: bool) -> None:
    """Write the smallest profile that builds the same binary.

    `go tool preprofile` proves it. Without the proof the profile is written as it is, and the exit code is 3.
    """
    from fleetpgo import pprof
    from fleetpgo.golang.preprofile import preprofile

    small = pprof.minimise(pprof.decode(_read(path)), prove=partial(preprofile, go=go))
    _write(output, small.data)
    record = asdict(small)
    del record["data"]
    _show(record, as_json=as_json, err=output == STDIN)
    if not small.proven:
        click.get_current_context().exit(UNPROVEN)


@profile.command()
@click.argument("old", type=PROFILE)
@click.argument("new", type=PROFILE)
@json_option
def compare(old: str, new: str, *, as_json: bool) -> None:
    """Compare two profiles as the compiler sees them."""
    from fleetpgo import pprof

    found = pprof.compare(pprof.decode(_read(old)), pprof.decode(_read(new)))
    if as_json:
        say(json.dumps(asdict(found)))
        return
    say("nothing changed for the compiler" if found.unchanged else f"overlap: {found.overlap:.4f}")
    for sign, edges in (("+", found.hot_gained), ("-", found.hot_lost)):
        for edge in edges:
            say(f"{sign} {_edge(edge)}")


@profile.command()
@click.argument("path", metavar="PROFILE", type=PROFILE)
@click.option(
    "-n", "count", default=20, show_default=True, type=click.IntRange(min=1), help="How many functions."
)
@json_option
def top(path: str, *, count: int, as_json: bool) -> None:
    """Print the functions with the most weight."""
    from fleetpgo import pprof

    ranks = pprof.top(pprof.decode(_read(path)), count)
    if as_json:
        say(json.dumps([asdict(rank) for rank in ranks]))
        return
    say(f"{'flat':>14} {'flat %':>7} {'cum':>14} {'cum %':>7}  function")
    for rank in ranks:
        say(
            f"{rank.flat:>14,} {100 * rank.flat_share:>7.2f} {rank.cum:>14,} {100 * rank.cum_share:>7.2f}  "
            f"{rank.function}"
        )


@profile.command()
@click.argument("path", metavar="PROFILE", type=PROFILE)
@click.option("--hot", is_flag=True, help="Only edges that are hot by Go's 99 % rule.")
@json_option
def edges(path: str, *, hot: bool, as_json: bool) -> None:
    """Print the call edges that the compiler derives, heaviest first."""
    from fleetpgo import pprof

    found = pprof.call_edges(pprof.decode(_read(path)))
    shown = {edge: found.weights[edge] for edge in (found.hot if hot else found.weights)}
    if as_json:
        say(json.dumps([edge._asdict() | {"weight": weight} for edge, weight in shown.items()]))
        return
    for edge, weight in shown.items():
        say(f"{weight:>12}  {_edge(edge)}")


@profile.command()
@click.argument("path", metavar="PROFILE", type=PROFILE)
@click.argument("source", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--package",
    default="./...",
    show_default=True,
    help="Packages to compare with, as `go build` takes them.",
)
@click.option("--tags", default="", help="Build tags, comma-separated.")
@json_option
def match(path: str, source: Path, *, package: str, tags: str, as_json: bool) -> None:
    """Show how well a profile fits a Go module's source.

    SOURCE is the module's directory. A call edge fits if caller, callee and line of the call are still there.
    """
    from fleetpgo import pprof
    from fleetpgo.golang.packages import packages
    from fleetpgo.golang.sourcematch import Sources
    from fleetpgo.measurement.figures import percent

    found = Sources(packages(source, package, environment=os.environ, tags=tags)).match(
        pprof.call_edges(pprof.decode(_read(path)))
    )
    if as_json:
        say(json.dumps(asdict(found)))
        return
    say("no edge can be compared" if found.share is None else f"source match: {found.share:.4f}")
    say(f"compared: {percent(found.compared)} of the edge weight")
    for why, share in found.excluded.items():
        say(f"left out: {percent(share)} {why}")
    if found.other_go:
        say(found.other_go)
    for lost in found.lost:
        say(f"{100 * lost.share:>6.2f} % {_edge(lost.edge)}: {lost.why} is gone")


@profile.command()
@click.argument("path", metavar="PROFILE", type=PROFILE)
@click.option(
    "--binary",
    "binaries",
    required=True,
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The program that was profiled, as `go build` wrote it; it may be stripped.",
)
@output
@json_option
def repair(path: str, *, binaries: tuple[Path, ...], output: str, as_json: bool) -> None:
    """Give a profile what the compiler needs and it has lost, from the program's binary.

    Three things get lost on the way to a build. Each of them is in every Go binary of Go 1.20 or newer (ELF),
    also in a stripped one:

    \b
      start lines     lost by `go tool pprof`, by symbolisers and eBPF agents; without
                      them the compiler refuses the profile, or places calls wrongly
      type arguments  stores such as Pyroscope take [go.shape…] out of names; the
                      compiler then ignores all calls from and to generic functions
      functions       perf and eBPF agents may send addresses alone; these are named
                      where the profile's build id is the binary's

    The binary should be the very one that was profiled. If no build id says so, lines are compared, and the
    functions of a file whose lines are not in the binary are left alone. What cannot be repaired is printed
    by reason. If the profile still cannot be used, nothing is written, and the exit code is 1.

    \b
    Example:
      fleetpgo profile repair cpu.pb.gz --binary bin/api -o repaired.pb.gz
      fleetpgo profile check repaired.pb.gz
    """  # noqa: D301  # \b is click's mark for "do not wrap", not an escape gone wrong
    from fleetpgo import pprof
    from fleetpgo.golang.pclntab import read_program

    binary, *others = binaries
    if others:
        raise click.UsageError("--binary: name one; repair the profiles of each program first, then merge")
    if output != STDIN and Path(output).exists() and binary.samefile(output):
        raise click.UsageError("--output would overwrite the binary: name another file")
    repaired = pprof.repair(pprof.decode(_read(path)), read_program(binary))
    repaired.require_useful()
    _write(output, repaired.profile.data)
    err = output == STDIN
    if as_json:
        counts = {
            name: getattr(repaired, name) for name in ("symbolised", "names", "names_share", "start_lines")
        }
        say(json.dumps({"output": output, **counts, "left": list(map(asdict, repaired.left))}), err=err)
        return
    for line in repaired.done or ("nothing was missing",):
        say(line, err=err)
    for left in repaired.left:
        say(f"not repaired: {left}", err=err)


def _edge(edge: Edge) -> str:
    return f"{edge.caller}:{edge.offset} → {edge.callee}"


def _read(path: str) -> bytes:
    return sys.stdin.buffer.read() if path == STDIN else Path(path).read_bytes()


def _each(paths: Sequence[str], sizes: list[int]) -> Iterator[bytes]:
    """Read file after file, noting their sizes; with a progress bar on a terminal."""
    with click.progressbar(paths, label="merging", file=sys.stderr, hidden=not sys.stderr.isatty()) as shown:
        for path in shown:
            data = _read(path)
            sizes.append(len(data))
            yield data


def _write(path: str, data: bytes) -> None:
    if path == STDIN:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    else:
        Path(path).write_bytes(data)


def _show(record: dict[str, Any], *, as_json: bool, err: bool = False) -> None:
    if as_json:
        say(json.dumps(record), err=err)
        return
    for name, value in record.items():
        say(f"{name.replace('_', ' ')}: {value}", err=err)
