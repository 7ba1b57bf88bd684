"""Check that a profile holds about as much CPU as Prometheus reports for the instance.

Far less CPU means another process at that address, or an idle moment that shows nothing of the service. Far
more means a mistake or a forged profile; one with a billion samples would outweigh the fleet.

Prometheus speaks of the minutes before, and the profile of some seconds after. A load that comes in bursts
puts up to LEAST and MOST between the two: with ``rate(…[5m])`` and 30 s, a tenth of the time may hold all of
the CPU. Beyond that only chance is left, for a sampled profile counts events: an instance is refused only if
even at the bound the samples would be so few, or so many, less often than once in a million times. They
follow a Poisson distribution; its tails are bounded by Chernoff's inequality (Mitzenmacher and Upfal,
"Probability and Computing", theorem 5.4). So a light instance, of which 30 samples are due, is refused for
neither 0.05 nor 0.001 cores.

How many samples a run needs is another question: the merge's (``selection.target_samples``).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from fleetpgo.collection.faults import UnusableError
from fleetpgo.collection.sources.continuous import GO_PERIOD

if TYPE_CHECKING:
    from fleetpgo.pprof import Facts

LEAST = 1 / 20
"""Share of the CPU that Prometheus tells of, below which a profile is of another process or of a lull."""

MOST = 10
"""Times the CPU that Prometheus tells of, above which no profile is believed."""

_SURE = math.log(1e6)


def require_plausible(facts: Facts, *, cores: float, seconds: float, whole: bool) -> None:
    """Check a profile's CPU against what Prometheus says that the instance uses.

    Args:
        facts: of the profile.
        cores: what Prometheus says; 0 or less: it does not say.
        seconds: length that was asked for.
        whole: the profile covers all of it; a store that has seen a part of the time is not called idle.

    Raises:
        UnusableError: ``idle`` or ``implausible``, with both figures.
    """
    if cores <= 0:
        return
    # No profiler of Go's samples more often; the length of its period is only what the profile says.
    period = max(facts.period, GO_PERIOD)
    samples = facts.weight if ("samples", "count") in facts.sample_types else facts.weight / period
    due = cores * seconds * 1e9 / period
    shown = f"{samples:,.0f} samples in {seconds:g} s are {_shown(samples / due * cores)} cores"
    said = f"Prometheus says that it uses {_shown(cores)} (selection.cpu)"
    if whole and samples < LEAST * due and _surprise(samples, LEAST * due) > _SURE:
        raise UnusableError(
            f"idle: {shown}; {said}: another process answers at this address, it does nothing at the moment, "
            "or selection.cpu does not count in cores"
        )
    if samples > MOST * due and _surprise(samples, MOST * due) > _SURE:
        raise UnusableError(
            f"implausible: {shown}; {said}: more than {MOST} times that is not plausible; is it the process "
            "that selection.cpu describes?"
        )


def _surprise(count: float, mean: float) -> float:
    """Return −ln of a bound on the probability that a Poisson variable is this far from its mean."""
    return mean - count + (count * math.log(count / mean) if count else 0)


def _shown(cores: float) -> str:
    return f"{cores:,.0f}" if cores >= 100 else f"{cores:.3g}"  # noqa: PLR2004  # figures that tell something
