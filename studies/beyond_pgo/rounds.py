"""The interleaved measurement: rounds, each of all servers in random order, all their variants in turn.

A finished round is one line of a file, so a run that was stopped goes on. A round that was stopped is
measured anew: its parts would be compared across the pause. So is one whose line was not written to its end.
Rounds of other binaries, of another length or of another machine do not count.
"""

from __future__ import annotations

import json
import os
import random
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from studies.beyond_pgo.measuring import SLICE_S, DiedError, calibrate, measure
from studies.beyond_pgo.variants import NONE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from studies.beyond_pgo.builds import Made, Say
    from studies.beyond_pgo.measuring import Measured
    from studies.beyond_pgo.serving import Server

    Measure = Callable[[Server, Mapping[str, Path], int, int, int], dict[str, Measured]]
    Pairs = Sequence[tuple[Server, Made]]


@dataclass(frozen=True)
class One:
    """What one variant took in one round.

    Attributes:
        server, variant, key: which binary.
        requests: how many it was to answer.
        cpu_ns: its CPU for them.
        wall_s: and its time.
        said: what it said when it died; "" if it lived.
    """

    server: str
    variant: str
    key: str
    requests: int
    cpu_ns: int
    wall_s: float
    said: str = ""


@dataclass(frozen=True)
class Round:
    """A finished round.

    Attributes:
        number: from 1; the seed of its order and of its requests.
        seconds: of requests that each variant got.
        began: date and time, UTC.
        load_before, load_after: the machine's load average of a minute.
        measured: one for each variant of each server.
        slice_s: seconds of requests that a variant got at a time.
        machine: its kind: how many processors, and which.
    """

    number: int
    seconds: float
    began: str
    load_before: float
    load_after: float
    measured: tuple[One, ...]
    slice_s: float = 0
    machine: str = ""


def read(file: Path, pairs: Pairs, seconds: float, machine: str) -> list[Round]:
    """Return the finished rounds of exactly these binaries, this length and this kind of machine."""
    wanted = {(server.name, made.variant, made.key) for server, made in pairs}
    found = []
    for line in _whole(file).splitlines():
        told = json.loads(line)
        each = Round(**{**told, "measured": tuple(One(**one) for one in told["measured"])})
        if (each.seconds, each.slice_s, each.machine) == (seconds, SLICE_S, machine) and {
            (one.server, one.variant, one.key) for one in each.measured
        } == wanted:
            found.append(each)
    return found


def run(
    file: Path,
    pairs: Pairs,
    *,
    rounds: int,
    seconds: float,
    machine: str,
    say: Say,
    measure: Measure = measure,
) -> list[Round]:
    """Measure the rounds that are missing, and return all.

    Args:
        file: where finished rounds are kept, one in a line.
        pairs: the servers with their binaries, those that work.
        rounds: how many there are to be.
        seconds: of requests that each variant gets in a round.
        machine: its kind.
        say: takes a line about each measurement.
        measure: :func:`.measuring.measure`.
    """
    done = read(file, pairs, seconds, machine)
    requests = _calibrated(file.with_suffix(".requests.json"), pairs) if len(done) < rounds else {}
    servers = list(dict.fromkeys(server for server, _ in pairs))
    for number in range(len(done) + 1, rounds + 1):
        order = random.Random(number).sample(servers, len(servers))  # noqa: S311  an order, no secret
        began, before = datetime.now(UTC), os.getloadavg()[0]
        measured = []
        for server in order:
            made = {each.variant: each for of, each in pairs if of == server}
            binaries = {variant: Path(each.binary) for variant, each in made.items()}
            found = measure(server, binaries, requests[server.name], round(seconds / SLICE_S), number)
            if said := found[NONE].said:
                raise DiedError(f"{server.name}, {NONE}: {said}")
            for variant, each in found.items():
                measured.append(One(server.name, variant, made[variant].key, **asdict(each)))
                per_request = each.cpu_ns / each.requests / 1e3
                say(
                    f"round {number} of {rounds}: {server.name}, {variant}: "
                    + (each.said or f"{per_request:.1f} µs a request, {each.wall_s:.1f} s")
                )
        done.append(
            Round(
                number,
                seconds,
                f"{began:%Y-%m-%d %H:%M}",
                before,
                os.getloadavg()[0],
                tuple(measured),
                SLICE_S,
                machine,
            )
        )
        with file.open("a") as lines:
            lines.truncate(len(_whole(file).encode()))
            lines.write(json.dumps(asdict(done[-1])) + "\n")
    return done


def _whole(file: Path) -> str:
    """Return the lines of a file without the last one, if that was not written to its end."""
    text = file.read_text() if file.exists() else ""
    return text[: text.rfind("\n") + 1]


def _calibrated(file: Path, pairs: Pairs) -> dict[str, int]:
    """Return how many requests a slice of each server has; found once for a binary and a length."""
    known: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}
    found = {}
    for server, made in pairs:
        if server.name not in found:
            name = f"{server.name} {made.key} {SLICE_S} s"
            if name not in known:
                known[name] = calibrate(server, Path(made.binary), SLICE_S, seed=1)
                file.write_text(json.dumps(known))
            found[server.name] = known[name]
    return found
