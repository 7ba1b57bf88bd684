"""``fleetpgo history``: what each refresh saved, and all of them together."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from fleetpgo.cli.options import json_option, service_argument, store_option
from fleetpgo.cli.printing import say

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from upath import UPath


@click.command()
@service_argument
@store_option()
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, for a spreadsheet or pandas.")
@json_option
def history(service: str, store: Path | UPath, *, as_csv: bool, as_json: bool) -> None:
    """Show what each refresh of a service has saved.

    One line per measured refresh: saving with its interval, cores, and the core-hours reclaimed so far.
    """
    from pathlib import Path

    from fleetpgo.errors import StoreError
    from fleetpgo.measurement.history import history as read_history

    if isinstance(store, Path) and not store.is_dir():
        raise StoreError(f"there is no store at {store}", hint="check --store, or FLEETPGO_STORE")
    frame = read_history(store, service, now=datetime.now(UTC))
    if as_csv:
        say(frame.to_csv(), nl=False)
    elif as_json:
        say(frame.reset_index().to_json(orient="records", date_format="iso"))
    elif frame.empty:
        say(f"{store / service} holds no measured refresh yet")
    else:
        say(_table(frame))


def _table(frame: pd.DataFrame) -> str:
    shares = {name: 100 * frame[name].astype(float) for name in ("saving", "low", "high")}
    shown = frame.assign(**shares).drop(columns=["profile", "cores_low", "cores_high"])
    shown = shown.rename(columns={name: f"{name} %" for name in shares})
    text: str = shown.to_string(na_rep="–", float_format="{:,.2f}".format)
    return text
