"""``fleetpgo measure`` and ``fleetpgo history``: a saving by hand, and what all of them add up to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fleetpgo.cli.options import json_option, service_argument, store_option
from fleetpgo.service import rules
from fleetpgo.service.files import load_named

if TYPE_CHECKING:
    import pandas as pd
    from upath import UPath

    from fleetpgo.measurement.measuring import Measured


class _Moment(click.ParamType[datetime]):
    """A time as ISO 8601 writes it, with its zone."""

    name = "time"

    def convert(
        self, value: str | datetime, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """The aware time."""
        if isinstance(value, datetime):
            return value
        try:
            when = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no time such as 2026-03-02T09:00Z", param, ctx)
        if when.tzinfo is None:
            self.fail(f"{value!r} has no time zone; write {value}Z for UTC", param, ctx)
        return when


class _Length(click.ParamType[timedelta]):
    """A duration as Prometheus writes it."""

    name = "duration"

    def convert(
        self, value: str | timedelta, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        """The duration."""
        try:
            return rules.duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command()
@service_argument
@click.option(
    "--prometheus",
    "address",
    metavar="URL",
    envvar="FLEETPGO_PROMETHEUS",
    show_envvar=True,
    help="Prometheus or Thanos that knows the service.",
)
@click.option("--rollout-start", type=_Moment(), help="When the first instance went over: 2026-03-02T09:00Z.")
@click.option("--rollout-end", type=_Moment(), help="When the last one did.")
@click.option("--profile", default="", help="12 hex digits of the new profile: tells who was treated.")
@click.option("--window", type=_Length(), help="Length of each window: 7d, 1h. Default: measurement.week.")
@click.option(
    "--exclude",
    "excluded",
    type=(_Moment(), _Moment()),
    metavar="START END",
    multiple=True,
    help="A span to leave out; may be given several times.",
)
@click.option(
    "--from-csv",
    "csv",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Measure this file instead: timestamp, instance, datacenter, cpu, requests, version.",
)
@click.option(
    "--from-parquet",
    "parquet",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The same from Parquet (needs the package pyarrow).",
)
@click.option(
    "--version", "version", help="The version in the file whose rollout is measured. Default: the last."
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory that takes measurement.json, .md and .svg.",
)
@json_option
def measure(
    service: str,
    address: str | None,
    rollout_start: datetime | None,
    rollout_end: datetime | None,
    profile: str,
    window: timedelta | None,
    excluded: tuple[tuple[datetime, datetime], ...],
    csv: Path | None,
    parquet: Path | None,
    version: str | None,
    out: Path | None,
    *,
    as_json: bool,
) -> None:
    """Measure any past deploy, with PGO or without; a date without a deploy shows the noise.

    A terminal shows tables; elsewhere the report is Markdown, or JSON with --json.

    \b
      fleetpgo measure wshim --prometheus http://localhost:9090 \\
        --rollout-start 2026-03-02T09:00Z --rollout-end 2026-03-02T11:00Z
      fleetpgo measure wshim --from-csv fleet.csv --window 1d
    """  # noqa: D301  # \b is click's mark for "do not wrap", not an escape gone wrong
    from rich.console import Console  # noqa: PLC0415  # not for `--help`

    from fleetpgo.measurement.terminal import render  # noqa: PLC0415  # likewise

    described = load_named(service)
    length = window or described.measurement.week
    file = csv or parquet
    if file is not None:
        measured = _measure_file(described, file, length, version, excluded)
    elif address is None or rollout_start is None or rollout_end is None:
        raise click.UsageError("give --prometheus, --rollout-start and --rollout-end, or a file")
    elif rollout_end < rollout_start:
        raise click.UsageError("--rollout-end is before --rollout-start")
    else:
        from fleetpgo.measurement import measuring  # noqa: PLC0415  # scipy and matplotlib: not for `--help`
        from fleetpgo.measurement.rollout import given  # noqa: PLC0415
        from fleetpgo.prometheus import Prometheus  # noqa: PLC0415

        prometheus = Prometheus(address)
        rollout = given(
            prometheus,
            described.rollout,
            profile=profile,
            start=rollout_start,
            end=rollout_end,
            seen=rollout_end + described.measurement.settle + length,
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
        click.echo(files["json" if as_json else "md"].decode(), nl=False)


def _measure_file(
    service: rules.ServiceRules,
    file: Path,
    window: timedelta,
    version: str | None,
    excluded: tuple[tuple[datetime, datetime], ...],
) -> Measured:
    from fleetpgo.measurement import frames, measuring  # noqa: PLC0415  # as above

    return measuring.measure_table(
        frames.read(file),
        service.measurement,
        window=window,
        complete=service.rollout.complete,
        version=version,
        excluded=excluded,
    )


@click.command()
@service_argument
@store_option
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, for a spreadsheet or pandas.")
@json_option
def history(service: str, store: Path | UPath, *, as_csv: bool, as_json: bool) -> None:
    """Show every measured refresh of a service: estimate, interval, cores, core-hours reclaimed so far."""
    from fleetpgo.measurement.history import history as read_history  # noqa: PLC0415  # pandas

    frame = read_history(store, service, now=datetime.now(UTC))
    if as_csv:
        click.echo(frame.to_csv(), nl=False)
    elif as_json:
        click.echo(frame.reset_index().to_json(orient="records", date_format="iso"))
    elif frame.empty:
        click.echo(f"{store / service} holds no measured refresh yet")
    else:
        click.echo(_table(frame))


def _table(frame: pd.DataFrame) -> str:
    shares = {name: 100 * frame[name].astype(float) for name in ("saving", "low", "high")}
    shown = frame.assign(**shares).drop(columns=["profile", "cores_low", "cores_high"])
    shown = shown.rename(columns={name: f"{name} %" for name in shares})
    text: str = shown.to_string(na_rep="–", float_format="{:,.2f}".format)
    return text
