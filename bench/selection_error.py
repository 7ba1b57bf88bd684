"""How well a selection's merged profile shows what the whole fleet spends its CPU on.

    python -m bench.selection_error

A simulated fleet of 1,000 instances in 10 datacenters. Each datacenter has work of its own: its distribution
over 2,000 call edges is half the fleet's common one and half one that only it has. The datacenters differ in
size and in how busy their instances are; an instance's CPU varies log-normally within its datacenter. A
profile of 30 s holds 100 samples for each second of CPU, drawn from the distribution of its datacenter.

The error is the total variation distance between the merged profile's edge distribution and the fleet's true
one, Σ_i c_i p_i ÷ Σ_i c_i: half the sum of the absolute differences, 0 … 1, the share of the profile's weight
that lies on the wrong edges. With finitely many samples it is not 0 even for the best selection; the row
"every instance" shows what is left when all are profiled.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import numpy as np

from fleetpgo.selection import Target, merge_weights, stratified, topk, weighted
from fleetpgo.service.profiling import SelectionRules

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fleetpgo.selection import Selection

    Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

DATACENTERS, EDGES = 10, 2_000
SECONDS, HZ = 30, 100


class Fleet:
    """A simulated fleet.

    Args:
        seed: fixes everything that is random about it.
        instances: how many.
    """

    def __init__(self, seed: int, instances: int = 1_000) -> None:
        self._random = np.random.default_rng(seed)
        common = self._edges()
        self.work = np.array([(common + self._edges()) / 2 for _ in range(DATACENTERS)])
        sizes = self._random.dirichlet(np.full(DATACENTERS, 2.0))
        busy = self._random.lognormal(0, 0.7, DATACENTERS)
        homes = self._random.choice(DATACENTERS, size=instances, p=sizes)
        cores = busy[homes] * self._random.lognormal(0, 0.5, instances)
        fleet = [
            Target(f"i{number}:80", f"dc{home}", float(own), {"datacenter": f"dc{home}"})
            for number, (home, own) in enumerate(zip(homes, cores, strict=True))
        ]
        self.targets = sorted(fleet, key=lambda target: -target.cores)
        self.truth = self.merged([target.cores for target in self.targets], self.targets)

    def _edges(self) -> Array:
        """A distribution over the edges with a few hot ones and a long tail, as profiles have."""
        weights = self._random.permutation(1 / np.arange(1, EDGES + 1))
        return np.asarray(weights / weights.sum())

    def merged(self, factors: Sequence[float], targets: Sequence[Target]) -> Array:
        """The distribution over the edges that instances of those weights have together."""
        homes = [int(target.datacenter.removeprefix("dc")) for target in targets]
        shares = np.bincount(homes, weights=factors, minlength=DATACENTERS)
        return np.asarray(shares / shares.sum() @ self.work)

    def error(self, selection: Selection) -> float:
        """Profile the selection, merge it with its weights, and compare with the truth."""
        profiles = {target.instance: self._profile(target) for target in selection.targets}
        samples = {instance: int(profile.sum()) for instance, profile in profiles.items()}
        weights = merge_weights(selection, {name: count for name, count in samples.items() if count})
        total = sum(profiles[instance] * factor for instance, factor in weights.items())
        return float(np.abs(total / np.sum(total) - self.truth).sum() / 2)

    def _profile(self, target: Target) -> Array:
        expected = target.cores * SECONDS * HZ
        home = int(target.datacenter.removeprefix("dc"))
        return self._random.multinomial(self._random.poisson(expected), self.work[home]).astype(float)


def errors(instances: int, fleets: int) -> Mapping[str, list[float]]:
    """Strategy → its error on each of so many fleets, with so many instances profiled."""
    rules = SelectionRules(cpu="cpu", instances=instances, max_rounds=1)
    equal = rules.model_copy(update={"allocation": "equal"})
    found: dict[str, list[float]] = {}
    for seed in range(fleets):
        fleet = Fleet(seed)
        run = str(seed)
        drawn = stratified.choose(fleet.targets, equal, seed=run)
        selections = {
            "topk": topk.choose(fleet.targets, rules),
            "weighted": weighted.choose(fleet.targets, rules, seed=run),
            "stratified, proportional": stratified.choose(fleet.targets, rules, seed=run),
            "stratified, equal": drawn,
            "the same without weights": type(drawn)(drawn.targets),
            "every instance": type(drawn)(tuple(fleet.targets)),
        }
        for name, selection in selections.items():
            found.setdefault(name, []).append(fleet.error(selection))
    return found


def main() -> None:
    """Print the table of docs/selection.md."""
    parser = argparse.ArgumentParser(description="The error of each selection strategy, by simulation.")
    parser.add_argument("--fleets", type=int, default=60, help="how many fleets are simulated")
    fleets = parser.parse_args().fleets
    sizes = (10, 20, 40, 80)
    rows: dict[str, list[str]] = {}
    for size in sizes:
        for name, values in errors(size, fleets).items():
            error = np.std(values, ddof=1) / np.sqrt(fleets)
            rows.setdefault(name, []).append(f"{np.mean(values):.3f} ± {1.96 * error:.3f}")
    print(f"| strategy | {' | '.join(f'{size} instances' for size in sizes)} |")
    print("|---|" + "---|" * len(sizes))
    for name, cells in rows.items():
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
