"""The saving against a hold-back control group: difference in differences of CPU per request.

Assumption: whatever else changed between the two windows (traffic, its mix, hardware, other releases) changed
the treated and the held-back instances of a datacenter alike, and datacenters are independent of each other.

For datacenter d, with C the CPU in cores and Q the requests per second, both summed over the group:

    D_d = Δ ln(C/Q) of the treated − Δ ln(C/Q) of the hold-back,  Δ = after − before
    τ   = mean of D_d over the n datacenters,  s = their standard deviation
    interval: τ ± t(97.5 %, n − 1) · s/√n

The saving, as a share of the CPU that would have been used, is 1 − exp(τ). Without a traffic expression Q
is 1: then the groups' traffic must have changed alike, too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scipy import stats

if TYPE_CHECKING:
    import pandas as pd

CONFIDENCE = 0.95
FEWEST_DATACENTERS = 2


@dataclass(frozen=True)
class Estimate:
    """A saving as a share of the CPU (0.03: 3 % less), with its 95 % interval; a negative one is a loss.

    ``cores`` is the same in cores of the treated group, over the window after the rollout.
    """

    method: str
    saving: float
    low: float
    high: float
    cores: float
    datacenters: int


def estimate(usage: pd.DataFrame) -> tuple[Estimate | None, str]:
    """The estimate, or why there is none.

    Args:
        usage: one row per instance; columns ``datacenter``, ``treated`` (bool), ``cpu_before``, ``cpu_after``
            (cores), ``requests_before``, ``requests_after`` (per second; NaN if not measured).
    """
    if usage["requests_before"].isna().all():
        usage = usage.assign(requests_before=1.0, requests_after=1.0)
    sums = usage.groupby(["datacenter", "treated"])[
        ["cpu_before", "cpu_after", "requests_before", "requests_after"]
    ].sum()
    sums = sums[(sums > 0).all(axis=1)]
    before, after = (sums[f"cpu_{window}"] / sums[f"requests_{window}"] for window in ("before", "after"))
    change = (after / before).map(math.log)
    groups = change.unstack("treated").reindex(columns=[True, False]).dropna()
    differences = (groups[True] - groups[False]).to_numpy()
    n = len(differences)
    if n < FEWEST_DATACENTERS:
        return None, (
            f"{n} datacenter(s) with both a treated and a held-back group; "
            f"an interval needs at least {FEWEST_DATACENTERS}"
        )
    tau = float(differences.mean())
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * differences.std(ddof=1) / math.sqrt(n))
    saving = -math.expm1(tau)
    cores_after = float(usage.loc[usage["treated"], "cpu_after"].sum())
    return (
        Estimate(
            method="hold-back control group, difference in differences of CPU per request",
            saving=saving,
            low=-math.expm1(tau + half),
            high=-math.expm1(tau - half),
            cores=cores_after * saving / (1 - saving),
            datacenters=n,
        ),
        "",
    )
