"""A run's profile against that of an earlier run: for the compiler (edges), and for people (functions)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from fleetpgo import pprof
from fleetpgo.run.artifacts import MergedProfile, ProposedProfile

if TYPE_CHECKING:
    from fleetpgo.run.store import RunStore

_FUNCTIONS = 20
"""Functions of each of the two profiles that are shown."""

_EDGES = 50
"""Hot edges gained, and lost, that are shown; how many there are in all is said."""


@dataclass(frozen=True)
class FunctionChange:
    """A function's own share of the CPU (flat) in the old and in the new profile, 0 … 1."""

    function: str
    old: float
    new: float


@dataclass(frozen=True)
class Difference:
    """The change from the old profile to the new one.

    Attributes:
        old_run: id of the run that made the old one.
        overlap: overlap of the call edges, 0 … 1; see :class:`fleetpgo.pprof.Comparison`.
        unchanged: whether the compiler reads the same from both.
        functions: the heaviest functions of either profile, by their share in the new one.
        hot_gained: how many call edges are hot in the new profile only; ``gained`` the heaviest of them.
        hot_lost: the same for those that are hot in the old profile only, and ``lost``.
    """

    old_run: str
    overlap: float
    unchanged: bool
    functions: tuple[FunctionChange, ...]
    hot_gained: int
    hot_lost: int
    gained: tuple[pprof.Edge, ...]
    lost: tuple[pprof.Edge, ...]


@lru_cache(maxsize=64)
def compare_runs(old: RunStore, new: RunStore, old_profile: str, new_profile: str) -> Difference:  # noqa: ARG001
    """Compare the profiles of two runs.

    Args:
        old: the run whose profile was there before.
        new: the run that is looked at.
        old_profile: digest of the old run's profile: a key of the cache, with the next one.
        new_profile: digest of the new run's profile.

    Raises:
        ArtifactError: one of the runs has no profile.
        ProfileError: one of the profiles cannot be read.
    """
    change = pprof.compare(*(pprof.decode(run.read(ProposedProfile)) for run in (old, new)))
    before, after = (_shares(run.read(MergedProfile)) for run in (old, new))
    shown = dict.fromkeys([*list(after)[:_FUNCTIONS], *list(before)[:_FUNCTIONS]])
    return Difference(
        old_run=old.run,
        overlap=change.overlap,
        unchanged=change.unchanged,
        functions=tuple(FunctionChange(name, before.get(name, 0.0), after.get(name, 0.0)) for name in shown),
        hot_gained=len(change.hot_gained),
        hot_lost=len(change.hot_lost),
        gained=change.hot_gained[:_EDGES],
        lost=change.hot_lost[:_EDGES],
    )


@lru_cache(maxsize=16)
def compare_stacks(old: RunStore, new: RunStore, old_profile: str, new_profile: str) -> tuple[bytes, bytes]:  # noqa: ARG001
    """Return the stacks that grew and those that shrank, as two profiles; see :func:`compare_runs`."""
    return pprof.stack_difference(*(_merged(run.read(MergedProfile)) for run in (old, new)))


def _merged(profile: bytes) -> pprof.Profile:
    return pprof.decode(profile, limits=pprof.MERGED_LIMITS)


def _shares(profile: bytes) -> dict[str, float]:
    """Return the flat share of each function, the heaviest first."""
    everything = pprof.top(_merged(profile), n=1 << 62)
    return {rank.function: rank.flat_share for rank in everything}
