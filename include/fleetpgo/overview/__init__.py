"""The fleet and a run as the artifact store shows them, as plain values to display.

These modules only read the store, unfinished runs included. They ask neither Prometheus nor a forge.

- :mod:`.summaries`: what is kept in memory of each run.
- :mod:`.fleet`: each service in one row, and what all of them have reclaimed.
- :mod:`.run`: one run: its stages, its instances, how far they agree, what was measured, its downloads.
- :mod:`.instances`, :mod:`.measurements`: what became of each instance, and what was measured.
- :mod:`.stages`: its steps, in figures for people.
- :mod:`.difference`: a run's profile against that of the run before it, for tables and flame graphs.
"""

from fleetpgo.overview.difference import Difference, compare_runs, compare_stacks
from fleetpgo.overview.fleet import Row, level_of, look_at_fleet, look_at_service, reclaimed_by_day
from fleetpgo.overview.run import Overview, find_download, look_at_run, previous_run

__all__ = [
    "Difference",
    "Overview",
    "Row",
    "compare_runs",
    "compare_stacks",
    "find_download",
    "level_of",
    "look_at_fleet",
    "look_at_run",
    "look_at_service",
    "previous_run",
    "reclaimed_by_day",
]
