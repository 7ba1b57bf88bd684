"""Check that a profile holds about as much CPU as Prometheus reports for the instance.

Far less CPU means another process at that address, or an idle moment that shows nothing of the service. Far
more means a mistake or a forged profile; one with a billion samples would outweigh the fleet.

Prometheus reports the minutes before, the profile some seconds after. With a bursty load the two can differ
by the factors LEAST and MOST: with ``rate(…[5m])`` and 30 s, all CPU may be used in a tenth of the time.
Sampling adds random noise. So an instance is refused only if its number of samples has a probability of less
than one in a million even at these bounds. The number follows a Poisson distribution, whose tails are bounded
by Chernoff's inequality (Mitzenmacher and Upfal, "Probability and Computing", theorem 5.4). An instance with
little CPU, of which 30 samples are expected, is therefore accepted with 0.05 and even with 0.001 cores.

Whether a run has enough samples is decided later, at the merge (``selection.target_samples``).
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
            "that selection.cpu describes, and was it running for as long as the query's rate looks back?"
        )


def _surprise(count: float, mean: float) -> float:
    """Return −ln of a bound on the probability that a Poisson variable is this far from its mean."""
    return mean - count + (count * math.log(count / mean) if count else 0)


def _shown(cores: float) -> str:
    return f"{cores:,.0f}" if cores >= 100 else f"{cores:.3g}"  # noqa: PLR2004  # figures that tell something
