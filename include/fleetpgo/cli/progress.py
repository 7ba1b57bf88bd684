"""Live table of the instances' states in a terminal; elsewhere the log has a line for each."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.table import Table

from fleetpgo.cli.printing import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from fleetpgo.selection import Target

_ROWS = 30
"""Most rows; those that changed last are shown."""


@contextmanager
def watching(
    targets: Sequence[Target], console: Console | None = None
) -> Iterator[Callable[[str, str], None]]:
    """Yield a function that shows an instance's state on standard error."""
    console = console or Console(stderr=True)
    if not console.is_terminal:
        yield lambda _instance, _state: None
        return
    states: dict[str, str] = {}
    datacenters = {target.instance: target.datacenter for target in targets}

    def table() -> Table:
        shown = Table("instance", "datacenter", "", box=None)
        for instance, state in list(states.items())[-_ROWS:]:
            shown.add_row(*map(plain, (instance, datacenters.get(instance, ""), state)))
        if len(states) > _ROWS:
            shown.add_row(f"and {len(states) - _ROWS:,} more", "", "")
        return shown

    def watch(instance: str, state: str) -> None:
        # An instance that changes moves to the end of the dictionary, and so into sight.
        states.pop(instance, None)
        states[instance] = state

    with Live(console=console, get_renderable=table, refresh_per_second=4):
        yield watch
