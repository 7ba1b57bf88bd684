"""``fleetpgo measure``: the saving of a run's profile, or of any past deploy."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fleetpgo.cli.options import (
    ca_option,
    forge_option,
    json_option,
    open_prometheus,
    prometheus_option,
    service_argument,
    store_option,
)
from fleetpgo.cli.printing import TOO_EARLY, say

if TYPE_CHECKING:
    from upath import UPath

    from fleetpgo.measurement.measuring import Measured
    from fleetpgo.service.rules import ServiceRules


class _Moment(click.ParamType[datetime]):
    """A time in ISO 8601, with its zone."""

    name = "time"

    def convert(
        self, value: str | datetime, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Read the time."""
        if isinstance(value, datetime):
            return value
        try:
            when = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is not a time such as 2026-03-02T09:00Z", param, ctx)
        if when.tzinfo is None:
            self.fail(f"{value!r} has no time zone; write {value}Z for UTC", param, ctx)
        return when


class _Length(click.ParamType[timedelta]):
    """A duration in Prometheus' notation."""

    name = "duration"

    def convert(
        self, value: str | timedelta, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        """Read the duration."""
        from fleetpgo.service.values import duration

        try:
            return duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command()
@service_argument
@prometheus_option(required=False)
@click.option(
    "--rollout-start", type=_Moment(), help="When the first instance got the new build: 2026-03-02T09:00Z."
)
@click.option("--rollout-end", type=_Moment(), help="When the last instance got it.")
@click.option(
    "--profile",
    default="",
    help="First 12 hex digits of the new profile's SHA-256, for the query rollout.treated.",
)
@click.option(
    "--treated",
    metavar="PROMQL",
    help="One series per instance that got the new build: of any deploy to a part of the fleet, such as a "
    "build variant. Default: rollout.treated.",
)
@click.option("--window", type=_Length(), help="Length of each window: 7d, 1h. Default: measurement.week.")
@click.option(
    "--exclude",
    "excluded",
    type=(_Moment(), _Moment()),
    metavar="START END",
    multiple=True,
    help="A span to leave out; may be repeated.",
)
@click.option(
    "--from-csv",
    "csv",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Measure a CSV file instead; columns: timestamp, instance, datacenter, cpu, requests, version.",
)
@click.option(
    "--from-parquet",
    "parquet",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Measure a Parquet file with the same columns instead (needs pyarrow).",
)
@click.option(
    "--version", "version", help="Version in the file whose rollout is measured. Default: the last."
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory to write measurement.json, .md and .svg to.",
)
@click.option(
    "--run",
    metavar="ID",
    help="Measure the rollout of this run's profile, or of the `latest` that opened a pull request.",
)
@click.option("--wait", is_flag=True, help="With --run: wait for merge, rollout and week, and measure then.")
@store_option(required=False)
@forge_option(required=False)
@ca_option
@json_option
def measure(
    service: str,
    prometheus_address: str | None,
    rollout_start: datetime | None,
    rollout_end: datetime | None,
    profile: str,
    treated: str | None,
    window: timedelta | None,
    excluded: tuple[tuple[datetime, datetime], ...],
    csv: Path | None,
    parquet: Path | None,
    version: str | None,
    out: Path | None,
    run: str | None,
    store: Path | UPath | None,
    address: str | None,
    *,
    wait: bool,
    as_json: bool,
) -> None:
    """Measure the saving of a run's profile, or of any past deploy.

    With --run, when it was merged is asked of the forge, and when it was rolled out of Prometheus
    (`rollout.fraction`, or `rollout.started`); the result goes into the store and the pull request. If it is
    too early, the command says from when it is possible, and its exit code is 3.

    Without --run, the deploy may be with PGO or without; a date without a deploy shows the noise of the
    service. A terminal shows tables; elsewhere the report is Markdown, or JSON with --json.

    \b
      fleetpgo measure wshim --run latest --wait --prometheus http://localhost:9090 \\
        --store ./store --forge https://github.com
      fleetpgo measure wshim --prometheus http://localhost:9090 \\
        --rollout-start 2026-03-02T09:00Z --rollout-end 2026-03-02T11:00Z
      fleetpgo measure wshim --from-csv fleet.csv --window 1d
    """  # noqa: D301  # \b is click's mark for "do not wrap", not an escape gone wrong
    from rich.console import Console

    from fleetpgo.measurement import measuring
    from fleetpgo.measurement.rollout import given
    from fleetpgo.measurement.terminal import render
    from fleetpgo.service.files import load_named

    described = _treating(load_named(service), treated, profile, by_hand=not (run or csv or parquet))
    if run is not None:
        from fleetpgo.cli.measure_run import measure_run

        if prometheus_address is None or store is None or address is None:
            raise click.UsageError("--run needs --prometheus, --store and --forge")
        measure_run(described, store, run, prometheus_address, address, wait=wait, as_json=as_json)
        return
    length = window or described.measurement.week
    file = csv or parquet
    if file is not None:
        measured = _measure_file(described, file, length, version, excluded)
    elif prometheus_address is None or rollout_start is None or rollout_end is None:
        raise click.UsageError(
            "give --run, or --prometheus, --rollout-start and --rollout-end, or a file: --from-csv, "
            "--from-parquet"
        )
    elif rollout_end < rollout_start:
        raise click.UsageError("--rollout-end is before --rollout-start")
    elif (seen := rollout_end + described.measurement.settle + length) > datetime.now(UTC):
        say(
            "fleetpgo: too early: the window after the rollout ends at "
            f"{seen.astimezone(UTC):%Y-%m-%d %H:%M} UTC\n→ ask again then; it begins measurement.settle "
            "after --rollout-end, and is as long as --window or measurement.week",
            err=True,
        )
        raise SystemExit(TOO_EARLY)
    else:
        prometheus = open_prometheus(prometheus_address)
        rollout = given(
            prometheus,
            described.rollout,
            profile=profile,
            start=rollout_start,
            end=rollout_end,
            seen=seen,
        )
        measured = measuring.measure(
            prometheus,
            described,
            rollout,
            period="by hand",
            window=length,
            excluded=excluded,
        )
    files = measured.files()
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        for extension, content in files.items():
            (out / f"measurement.{extension}").write_bytes(content)
    console = Console()
    if console.is_terminal and not as_json:
        console.print(render(measured.comparison))
    else:
        say(files["json" if as_json else "md"].decode(), nl=False)


def _treating(service: ServiceRules, treated: str | None, profile: str, *, by_hand: bool) -> ServiceRules:
    """Return the rules with another query for the instances on the new build, if one was given."""
    from pydantic import TypeAdapter, ValidationError

    from fleetpgo.measurement.rollout import names_profile
    from fleetpgo.service.values import ProfilePromQL

    if treated is None:
        return service
    if not by_hand:
        raise click.UsageError("--treated is for a deploy that --rollout-start and --rollout-end name")
    try:
        TypeAdapter(ProfilePromQL).validate_python(treated)
    except ValidationError as error:
        said = "; ".join(mistake["msg"].removeprefix("Value error, ") for mistake in error.errors())
        raise click.UsageError(f"--treated: {said}") from error
    if names_profile(treated) and not profile:
        raise click.UsageError("--treated has $profile: give --profile, or write the value of the label")
    rollout = service.rollout.model_copy(update={"treated": treated})
    return service.model_copy(update={"rollout": rollout})


def _measure_file(
    service: ServiceRules,
    file: Path,
    window: timedelta,
    version: str | None,
    excluded: tuple[tuple[datetime, datetime], ...],
) -> Measured:
    from fleetpgo.measurement import frames, measuring

    return measuring.measure_table(
        frames.read(file),
        service.measurement,
        window=window,
        complete=service.rollout.complete,
        version=version,
        excluded=excluded,
    )
