"""Evidence from a table instead of Prometheus: one row per instance and time.

Columns: ``timestamp`` (ISO 8601 with time zone, or Unix seconds), ``instance``, ``datacenter``, ``cpu``
(cores), ``requests`` (per second; may be left out), ``version``. Rows are averages over equal steps. An empty
cell of ``cpu``, ``requests`` or ``version`` was not measured.

The types are fixed and never guessed from the values: instances, datacenters and versions are text. So 1.10
is not 1.1, and ``NA`` is a datacenter.

The rollout is derived from the versions. It begins when the new version first occurs. It ends when the share
``rollout.complete`` of the instances has it for good, or all instances have it that ever will. Instances that
still run after the rollout and never have the new version are the control group.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fleetpgo.errors import MeasurementError
from fleetpgo.measurement.asking import grid
from fleetpgo.measurement.disturbances import MOST_RESTARTED
from fleetpgo.measurement.evidence import Amount, Evidence, change
from fleetpgo.measurement.usage import Panel, Usage
from fleetpgo.measurement.windows import PLACEBOS, spans
from fleetpgo.prometheus import from_timestamp
from fleetpgo.run.proposed import Rollout

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from fleetpgo.measurement.evidence import Change
    from fleetpgo.measurement.usage import Floats
    from fleetpgo.measurement.windows import Span, Windows

REQUIRED = ("timestamp", "instance", "datacenter", "cpu", "version")
_NAMES = ("instance", "datacenter", "version")
_RATES = ("cpu", "requests")
_NOT_MEASURED = ["", "NaN", "nan", "null"]
_LATEST = 1e11
"""Unix seconds of the year 5138. Larger timestamps are milliseconds, as Grafana exports them, or finer."""


@dataclass(frozen=True)
class Recorded:
    """A checked table in wide form: shape (times, instances), index in Unix seconds at equal steps."""

    step: int
    cpu: pd.DataFrame
    requests: pd.DataFrame | None
    version: pd.DataFrame
    datacenter: pd.Series[str]


def read(file: Path) -> pd.DataFrame:
    """Read a CSV or Parquet file.

    Raises:
        MeasurementError: the file cannot be read, or ``cpu`` or ``requests`` is not a number; or nothing is
            installed that reads Parquet.
    """
    try:
        if file.suffix == ".parquet":
            return pd.read_parquet(file)
        return pd.read_csv(
            file,
            dtype={**dict.fromkeys(("timestamp", *_NAMES), "str"), **dict.fromkeys(_RATES, "float64")},
            keep_default_na=False,
            na_values=dict.fromkeys(_RATES, _NOT_MEASURED),
        )
    except ImportError as error:
        raise MeasurementError(
            f"{file} cannot be read: there is nothing here that reads Parquet",
            hint="pip install pyarrow, or give a CSV file",
        ) from error
    except (OSError, ValueError) as error:
        raise MeasurementError(
            f"{file} cannot be read: {error}", hint="cpu and requests must be numbers or empty"
        ) from error


def record(frame: pd.DataFrame) -> Recorded:
    """Check a table and convert it to wide form.

    Raises:
        MeasurementError: a column is missing or has the wrong type, a time has no time zone or is not a
            multiple of the step, or a row occurs twice.
    """
    if missing := [name for name in REQUIRED if name not in frame.columns]:
        raise MeasurementError(
            f"the table lacks {', '.join(missing)}",
            hint="its columns are timestamp, instance, datacenter, cpu, requests (optional), version",
        )
    frame = frame.assign(
        timestamp=_seconds(frame["timestamp"]), **{name: _text(frame[name], name) for name in _NAMES}
    )
    for name in ("cpu", "requests"):
        if name in frame.columns:
            _reject_impossible(frame, name)
    repeated = frame.duplicated(["timestamp", "instance"])
    if repeated.any():
        row = frame[repeated].iloc[0]
        raise MeasurementError(
            f"instance {row['instance']} has two rows for {from_timestamp(row['timestamp'])}"
        )
    times = np.unique(frame["timestamp"])
    if len(times) < 2:  # noqa: PLR2004  # one time has no step
        raise MeasurementError("the table holds fewer than two times")
    step = int(np.median(np.diff(times)))
    if (off := times[times % step != 0]).size:
        raise MeasurementError(
            f"{off.size} of {times.size} times, such as {from_timestamp(off[0])}, are no multiples of the "
            f"step, {step} s, since the epoch",
            hint="average the rows over equal steps, and give each the time at which its step begins",
        )

    def wide(name: str) -> pd.DataFrame:
        table = frame.pivot(index="timestamp", columns="instance", values=name)
        return table.reindex(index=grid([(int(times[0]), int(times[-1]) + step)], step))

    return Recorded(
        step=step,
        cpu=wide("cpu"),
        requests=wide("requests") if "requests" in frame.columns else None,
        version=wide("version"),
        datacenter=frame.groupby("instance")["datacenter"].first(),
    )


def _reject_impossible(frame: pd.DataFrame, name: str) -> None:
    """Refuse a column that holds something else than rates."""
    if not pd.api.types.is_numeric_dtype(frame[name]):
        raise MeasurementError(f"the column {name} does not hold numbers alone")
    wrong = frame[(frame[name] < 0) | np.isinf(frame[name])]
    if len(wrong):
        row = wrong.iloc[0]
        raise MeasurementError(
            f"{name} of instance {row['instance']} is {row[name]} at {from_timestamp(row['timestamp'])}: "
            "a rate cannot be that",
            hint="leave out what was not measured; a counter's rate is never negative",
        )


def _text(names: pd.Series[str], column: str) -> pd.Series[str]:
    """Return names as text; a version that is empty is missing."""
    if pd.api.types.is_float_dtype(names):
        raise MeasurementError(
            f"the column {column} holds decimal numbers, such as {names.iloc[0]}",
            hint="write it as text: as numbers, 1.10 and 1.1 are the same",
        )
    if column == "version":
        return names.where(names.isna() | names.astype(str).ne("")).map(str, na_action="ignore")
    if names.isna().any() or (column == "instance" and names.eq("").any()):
        raise MeasurementError(f"a row has no {column}")
    return names.astype(str)


def _seconds(timestamps: pd.Series[float] | pd.Series[str]) -> pd.Series[int]:
    """Return Unix seconds."""
    numbers = pd.to_numeric(timestamps, errors="coerce") if timestamps.dtype.kind != "M" else None
    if numbers is not None and numbers.notna().all():
        if (numbers.abs() >= _LATEST).any():
            raise MeasurementError(
                f"timestamps such as {timestamps.iloc[0]} are not Unix seconds; they look like milliseconds",
                hint="divide them by 1,000, or write times as 2026-03-02T09:00:00Z",
            )
        return numbers.astype("int64")
    try:
        times = pd.to_datetime(timestamps, errors="raise")
    except (ValueError, TypeError, OverflowError) as error:
        raise MeasurementError(
            f"a timestamp cannot be read: {error}", hint="write every time as 2026-03-02T09:00:00Z"
        ) from error
    if times.isna().any():
        raise MeasurementError("a row has no timestamp")
    if times.dt.tz is None:
        raise MeasurementError(
            f"timestamps such as {timestamps.iloc[0]} have no time zone", hint="write them as …Z or …+00:00"
        )
    return times.dt.tz_convert("UTC").dt.as_unit("s").astype("int64")


def find_rollout(
    recorded: Recorded, version: str | None, *, complete: float
) -> tuple[Rollout, dict[str, float]]:
    """Return the rollout of a version, and the Unix time at which each instance first had it.

    Args:
        recorded: the table.
        version: the new version; None: the one that first occurs last.
        complete: share of the instances at which the rollout counts as complete.

    Raises:
        MeasurementError: the version is not in the table or is in its first row, or the rollout does not end.
    """
    times = recorded.version.index.to_numpy()
    versions = recorded.version.to_numpy()
    there = recorded.version.notna().to_numpy()
    known = list(dict.fromkeys(versions[there]))
    if not known:
        raise MeasurementError("no row of the table has a version")
    wanted = version or known[-1]  # row by row, the last one to be seen first came last
    has = versions == wanted
    if wanted not in known or has[0].any():
        raise MeasurementError(
            f"version {wanted} is " + ("already in the first row" if wanted in known else "not in the table"),
            hint=f"the table must begin before the rollout; versions in it: {', '.join(known)}",
        )
    switched = {
        str(name): float(times[flags.argmax()])
        for name, flags in zip(recorded.version.columns, has.T, strict=True)
        if flags.any()
    }
    new = there & (has.cumsum(axis=0) > 0)
    held_back = there[-max(len(times) // 10, 1) :].any(axis=0) & ~has.any(axis=0)
    # Pods come and go: an old one that will leave is waited for, a new one that is added later is not.
    done = (new.sum(axis=1) >= complete * there.sum(axis=1)) | (new == (there & ~held_back)).all(axis=1)
    start = min(switched.values())
    first = int(np.flatnonzero(~done & (times >= start)).max(initial=-1)) + 1
    ended = max(first, int(np.searchsorted(times, start)))
    if ended >= len(times):
        raise MeasurementError(
            f"the rollout of version {wanted} is not complete at the end of the table",
            hint="add later rows, or lower rollout.complete, the share of instances that must run it",
        )
    fraction = float(new[ended].sum() / max(there[ended].sum(), 1))
    rollout = Rollout(wanted, from_timestamp(start - recorded.step), from_timestamp(times[ended]), fraction)
    return rollout, switched


def evidence(recorded: Recorded, windows: Windows, switched: dict[str, float]) -> Evidence:
    """Return the same evidence as from Prometheus, but without guardrails and queries.

    Args:
        recorded: the table.
        windows: the windows to compare.
        switched: instance → Unix time at which it first had the new version.
    """
    after = recorded.cpu.reindex(grid([windows.after], recorded.step))
    held_back = after.notna().any().to_numpy() & ~after.columns.isin(list(switched))
    usage = _usage(recorded, list(spans(windows, weeks=PLACEBOS)), held_back)
    window = windows.length
    amounts = [
        _amount(recorded, span) for span in ((windows.rolling[0] - window, windows.rolling[0]), windows.after)
    ]
    return Evidence(
        usage=usage,
        history=_usage(recorded, [(int(recorded.cpu.index[0]), windows.rolling[0])], held_back),
        panel=_panel(recorded, windows, switched) if windows.across_rollout else None,
        raw=_raw(recorded, *amounts),
        defects=tuple(_other_deploys(recorded, windows)),
    )


def _usage(recorded: Recorded, needed: list[Span], held_back: NDArray[np.bool_]) -> Usage:
    """Return sums by group and datacenter; `held_back` has a flag for each instance."""
    times = grid(needed, recorded.step)
    datacenters = tuple(sorted(recorded.datacenter.unique()))
    names = recorded.cpu.columns
    groups = [~held_back, held_back] if held_back.any() else [~held_back]

    def sums(table: pd.DataFrame) -> Floats:
        at = table.reindex(times)
        return np.array(
            [
                [
                    at.loc[:, group & (recorded.datacenter.reindex(names) == d).to_numpy()]
                    .sum(axis=1, min_count=1)
                    .to_numpy()
                    for d in datacenters
                ]
                for group in groups
            ]
        )

    return Usage(
        times=times,
        step=recorded.step,
        datacenters=datacenters,
        cpu=sums(recorded.cpu),
        requests=None if recorded.requests is None else sums(recorded.requests),
        instances=sums(_there(recorded.cpu)),
        serving=None if recorded.requests is None else sums(_there(recorded.requests)),
    )


def _there(table: pd.DataFrame) -> pd.DataFrame:
    """Return 1 for each value, and NaN where there is none."""
    return table.notna().astype(float).replace(0.0, np.nan)


def _panel(recorded: Recorded, windows: Windows, switched: dict[str, float]) -> Panel:
    times = grid([(windows.rolling[0] - windows.length, windows.after[1])], recorded.step)
    names = recorded.cpu.columns
    when = np.array([switched.get(str(name), math.inf) for name in names])
    return Panel(
        times=times,
        datacenter=np.unique(recorded.datacenter.reindex(names), return_inverse=True)[1],
        cpu=recorded.cpu.reindex(times).to_numpy().T,
        requests=None if recorded.requests is None else recorded.requests.reindex(times).to_numpy().T,
        switched=when,
        restarted=when,  # a table does not tell of restarts on the old build
    )


def _amount(recorded: Recorded, span: Span) -> Amount:
    times = grid([span], recorded.step)

    def mean(table: pd.DataFrame) -> float:
        return float(table.reindex(times).sum(axis=1, min_count=1).mean())

    requests = None if recorded.requests is None else mean(recorded.requests)
    return Amount(mean(recorded.cpu), requests)


def _raw(recorded: Recorded, before: Amount, after: Amount) -> Change:
    if math.isnan(before.cores + after.cores):
        raise MeasurementError(
            "the table has no rows in the window before or after the rollout",
            hint="choose a shorter --window, or add rows",
        )
    return change(recorded.cpu.shape[1], before, after)


def _other_deploys(recorded: Recorded, windows: Windows) -> list[str]:
    """Return a sentence for each window in which instances changed their version."""
    found = []
    for side, (start, end) in (
        ("before", (windows.before[0], windows.rolling[0])),
        ("after", windows.after),
    ):
        versions = recorded.version.reindex(grid([(start, end)], recorded.step))
        first = versions.bfill().iloc[0]
        share = float((versions.ne(first) & versions.notna()).any().mean())
        if share > MOST_RESTARTED:
            found.append(
                f"{100 * share:.0f} % of the instances changed their version in the window {side} the "
                "rollout: another deploy"
            )
    return found
