"""Following a DAG run: what its tasks do, as lines on the terminal and as events for other code."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from demo.processes import DemoError
from fleetpgo_airflow import RELEASE_STAGES
from fleetpgo_airflow import STAGES as OWN_STAGES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rich.console import Console

    from demo.airflow import Airflow
    from demo.fleet import Fleet

_POLL_S = 2.0
STAGES = (*RELEASE_STAGES, *OWN_STAGES)
_FAILED = {"failed", "upstream_failed"}


class Progress:
    """One DAG run on the terminal.

    Args:
        console: where to print.
        airflow: where the run is; watched as well.
        fleet: watched: its end is an error too.
        dag_id: id of the DAG.
        run_id: id of the run.
    """

    def __init__(self, console: Console, airflow: Airflow, fleet: Fleet, dag_id: str, run_id: str) -> None:
        self._console = console
        self._airflow = airflow
        self._fleet = fleet
        self._dag_id = dag_id
        self._run_id = run_id
        self._start = time.monotonic()
        self._stage_start: dict[str, float] = {}
        self._shown: dict[str, str] = {}

    def say(self, text: str) -> None:
        """Print a line with the time since the run began."""
        minutes, seconds = divmod(int(time.monotonic() - self._start), 60)
        self._console.print(f"[dim]{minutes:2}:{seconds:02}[/dim]  {text}", highlight=False)

    def follow_until(
        self, stage: str, states: set[str], meanwhile: Callable[[], object] = lambda: None
    ) -> None:
        """Print what happens until that stage is in one of these states.

        Args:
            stage: a task of the DAG.
            states: of the stage.
            meanwhile: what is done every two seconds.

        Raises:
            DemoError: a task has failed, with the end of its log; or the run ended without that.
        """
        with self._console.status("") as status:
            while True:
                meanwhile()
                self._airflow.check()
                self._fleet.check()
                finished = self._airflow.run_state(self._dag_id, self._run_id) in {"success", "failed"}
                instances = self._airflow.task_instances(self._dag_id, self._run_id)
                self._show(instances)
                status.update(f"[dim]{self._running(instances)}[/dim]")
                reached = {each["state"] for each in instances if each["task_id"] == stage}
                if reached and reached <= states:
                    return
                if finished:
                    raise DemoError(f"The run ended while {stage} was {', '.join(map(str, reached))}.")
                time.sleep(_POLL_S)

    def _show(self, instances: list[dict[str, Any]]) -> None:
        """Print each stage whose state is another than before."""
        for stage in STAGES:
            own = [each for each in instances if each["task_id"] == stage]
            counts = Counter(each["state"] or "waiting" for each in own)
            if not {"waiting", "queued", "scheduled"} >= set(counts):
                self._stage_start.setdefault(stage, time.monotonic())
            text = ", ".join(
                f"{count} {state}" if len(own) > 1 else state for state, count in sorted(counts.items())
            )
            if stage in self._stage_start and text != self._shown.get(stage):
                self._shown[stage] = text
                self.say(f"{stage:<18} {text:<24} {time.monotonic() - self._stage_start[stage]:5.0f} s")
            for each in own:
                if each["state"] in _FAILED:
                    raise DemoError(f"{self._failure(each)}")

    def _running(self, instances: list[dict[str, Any]]) -> str:
        """The stages that are neither finished nor waiting for their turn, and for how long already."""
        return ", ".join(
            f"{stage} for {time.monotonic() - self._stage_start[stage]:.0f} s"
            for stage in STAGES
            if stage in self._stage_start
            and any(each["task_id"] == stage and not each["end_date"] for each in instances)
        )

    def _failure(self, instance: Mapping[str, Any]) -> str:
        name = instance["task_id"]
        if instance["rendered_map_index"]:
            name += f" [{instance['rendered_map_index']}]"
        return f"{name} is {instance['state']}. The end of its log:\n{self._airflow.task_log(instance)}"
