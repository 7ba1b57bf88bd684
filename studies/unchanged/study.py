"""When is a profile another one, and when only another sample? Simulated fleets, week by week.

    python -m studies.unchanged.study --fleets 20 --write docs/profile.md

A fleet's program has STACKS stacks, whose shares fall as Zipf's law has it, each with two call edges: its
own, and one that it has in common with others. INSTANCES of them are profiled each week. No two do quite the
same: each multiplies each share with a random factor, anew each week. Nothing else changes.

Each fleet's profile is proposed and merged in the first week. In each of the eleven weeks after it the new
profile is compared with the committed one, by the rule by which a pull request is opened or not, and a
proposed profile is committed. Then, in a week of its own, some of the weight moves to other functions.
"""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fleetpgo.pprof.comparing import compare_edges
from fleetpgo.pprof.edges import Edge, Edges
from fleetpgo.service.rules import ProfileRules

SIZES = (500, 2_000, 10_000, 40_000)
MOVED = (0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4)
HALF = 0.5
STACKS, SHARED, FLATTENED = 3_000, 5, 10
INSTANCES, DIFFERENCE = 40, 25  # the factors' gamma distribution has this shape: they differ by 20 %
WEEKS = 12
NOTICED = 0.9  # share of the fleets from which a change counts as noticed
MOST_PROPOSALS = 1
THRESHOLD = ProfileRules().unchanged_above
BEGIN, END = "<!-- study-unchanged -->", "<!-- /study-unchanged -->"


@dataclass(frozen=True)
class Row:
    """What came of all fleets with so many samples a week."""

    samples: int
    overlap: float
    by_chance: float
    proposals: list[int]
    noticed: dict[float, float]

    @property
    def smallest(self) -> float | None:
        """The smallest change from which on each was noticed."""
        found = None
        for share in sorted(self.noticed, reverse=True):
            if self.noticed[share] < NOTICED:
                break
            found = share
        return found

    @property
    def holds(self) -> bool:
        """Whether nothing is proposed without reason, and the great change at once."""
        return max(self.proposals) <= MOST_PROPOSALS and self.noticed[HALF] == 1


def shares(random: np.random.Generator) -> np.ndarray:
    """The shares of a program's stacks; with them as many stacks that it does not have yet."""
    falling = 1 / (np.arange(STACKS) + FLATTENED)
    return np.concatenate([random.permutation(falling / falling.sum()), np.zeros(STACKS)])


def moved(program: np.ndarray, share: float, random: np.random.Generator) -> np.ndarray:
    """A program of which so much of the weight has gone from some stacks to as many others."""
    order = random.permutation(STACKS)
    gone = order[np.cumsum(program[order]) <= share]
    after = program.copy()
    # What is left over of the share goes from the next one, so that it is met exactly.
    rest, last = share - program[gone].sum(), order[len(gone)]
    after[gone + STACKS], after[gone] = program[gone], 0
    after[last + STACKS], after[last] = rest, program[last] - rest
    return after


def week(program: np.ndarray, samples: int, random: np.random.Generator) -> Edges:
    """The call edges of one week's profile."""
    counts = np.zeros(len(program), dtype=np.int64)
    for _ in range(INSTANCES):
        own = program * random.gamma(DIFFERENCE, size=len(program))
        counts += random.multinomial(samples // INSTANCES, own / own.sum())
    weights: dict[Edge, int] = {}
    for stack in np.flatnonzero(counts).tolist():
        for edge in (Edge("", f"leaf {stack}", 0), Edge("", f"shared {stack // SHARED}", 1)):
            weights[edge] = weights.get(edge, 0) + int(counts[stack])
    return Edges.of(weights)


def run(samples: int, fleets: int) -> Row:
    """All fleets of one size."""
    proposals, overlaps, chances = [], [], []
    noticed = dict.fromkeys((*MOVED, HALF), 0)
    for fleet in range(fleets):
        random = np.random.default_rng([samples, fleet])
        program = shares(random)
        committed, proposed = week(program, samples, random), 0
        for _ in range(WEEKS - 1):
            new = week(program, samples, random)
            change = compare_edges(committed, new)
            overlaps.append(change.overlap)
            chances.append(change.by_chance)
            if not change.alike(THRESHOLD):
                proposed, committed = proposed + 1, new
        proposals.append(proposed)
        for share in noticed:
            new = week(moved(program, share, random), samples, random)
            noticed[share] += not compare_edges(committed, new).alike(THRESHOLD)
    return Row(
        samples,
        float(np.mean(overlaps)),
        float(np.mean(chances)),
        proposals,
        {share: count / fleets for share, count in noticed.items()},
    )


def table(rows: list[Row], fleets: int) -> str:
    """The rows in Markdown."""
    heads = (
        "samples a week",
        "overlap of two weeks",
        "least by chance",
        "proposals in eleven weeks, mean (most)",
        "half of the weight moves: proposed in the first week",
        "smallest change noticed",
    )
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for row in rows:
        smallest = f"{row.smallest:.1%}".replace(".0%", "%").replace("%", " %") if row.smallest else "none"
        lines.append(
            f"| {row.samples:,} | {row.overlap:.2f} | {row.by_chance:.2f} | {np.mean(row.proposals):.2f} "
            f"({max(row.proposals)}) | {row.noticed[HALF]:.0%}".replace("%", " %")
            + f" | {smallest} |"
        )
    said = f"{fleets} simulated fleets a row; a change is noticed if it is proposed in {NOTICED:.0%} of them."
    lines += ["", said.replace("%", " %")]
    return "\n".join(lines)


def main() -> None:
    """Run the study; exit code 1 if a bound is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--fleets", type=int, default=20)
    parser.add_argument("--write", type=Path, help="the page whose table is to be written anew")
    args = parser.parse_args()
    rows = [run(samples, args.fleets) for samples in SIZES]
    text = table(rows, args.fleets)
    print(text)
    if args.write:
        page = args.write.read_text()
        marked = re.compile(f"({re.escape(BEGIN)}\n).*({re.escape(END)})", re.DOTALL)
        args.write.write_text(marked.sub(lambda marks: f"{marks[1]}\n{text}\n\n{marks[2]}", page))
    sys.exit(not all(row.holds for row in rows))


if __name__ == "__main__":
    main()
