"""The fetching part of a refresh, from as many instances as the run says; and the same with nothing to do."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, BaseAsyncOperator, Context, get_current_context, task

from fleetpgo_airflow import hooks
from fleetpgo_airflow.operators import FetchProfileOperator

SERVICE = "bench"
TASKS = 8
LIMIT = timedelta(minutes=10)


@task
def select_instances() -> list[dict[str, Any]]:
    """Select all instances, in as many datacenters as there are tasks; returns the packs."""
    from bench.fleet_server import address  # noqa: PLC0415  # not when the DAG file is parsed
    from fleetpgo.selection import Selection, Target, pack  # noqa: PLC0415

    context = get_current_context()
    instances, seconds = context["params"]["instances"], context["params"]["seconds"]
    targets = tuple(Target(address(number), f"dc{number % TASKS}", 1.0, {}) for number in range(instances))
    sizes = {f"dc{number}": -(-instances // TASKS) for number in range(TASKS)}
    store = hooks.run_store(SERVICE, context["run_id"])
    store.write(Selection(targets, datacenters=sizes, seconds=seconds))
    packs = pack(targets, max_tasks=TASKS, limits=sizes, per_host=1)
    return [asdict(each) for each in packs]


class IdleOperator(BaseAsyncOperator):
    """Waits as long as a profile takes."""

    def __init__(self, *, number: int, **kwargs: Any) -> None:  # noqa: ANN401  # BaseOperator's own
        super().__init__(**kwargs)
        self.number = number

    async def aexecute(self, context: Context) -> None:
        """Wait."""
        await asyncio.sleep(context["params"]["seconds"])


with DAG("bench_collect", schedule=None, params={"instances": 1000, "seconds": 30}):
    FetchProfileOperator.partial(task_id="mapped", service=SERVICE, execution_timeout=LIMIT).expand(
        pack=select_instances()
    )

with DAG("bench_idle", schedule=None, params={"seconds": 30}):
    IdleOperator.partial(task_id="mapped", execution_timeout=LIMIT).expand(number=list(range(TASKS)))
