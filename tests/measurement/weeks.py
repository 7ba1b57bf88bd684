"""Four weeks of nine instances in three datacenters, of which others run the baseline each week."""

from __future__ import annotations

from datetime import datetime

import numpy as np

WEEK = 604_800
SAVING = 0.05


def rotated_weeks(now: datetime) -> list[tuple[str, dict[str, str], list[tuple[int, float]]]]:
    """Series ``cpu``, ``requests`` and ``baseline`` until a full hour; machines differ by a tenth.

    The last week goes on for an hour: a test may ask in the next one.
    """
    random = np.random.default_rng(3)
    end = int(now.timestamp())
    hours = np.arange(end - 4 * WEEK, end + 3_601, 3_600)
    weeks = np.minimum((hours - hours[0]) // WEEK, 3)
    # A sample a few seconds before each hour: Prometheus looks back five minutes.
    times = hours - 60
    data = []
    for d in range(3):
        for i in range(3):
            labels = {"instance": f"i{i}.dc{d}:80", "datacenter": f"dc{d}"}
            baseline = weeks % 3 == i
            requests = 100 * (1 + 0.3 * np.sin(2 * np.pi * hours / 86_400))
            cpu = 0.02 * requests * np.where(baseline, 1, 1 - SAVING)
            cpu = cpu * np.exp(random.normal(0, 0.1) + random.normal(0, 0.01, len(hours)))
            for name, values in (("cpu", cpu), ("requests", requests)):
                data.append((name, labels, list(zip(times.tolist(), values.tolist(), strict=True))))
            data.append(("baseline", labels, [(at, 1) for at in times[baseline].tolist()]))
    return data
