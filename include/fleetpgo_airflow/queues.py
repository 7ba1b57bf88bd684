"""Where builds run: the executors that fleetpgo supports, and whether a worker listens to a queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.configuration import conf

from fleetpgo.steps.checks import Check

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fleetpgo.service.rules import ServiceRules

_SECONDS = 5.0
"""How long workers may take to answer."""


def check_executor() -> Iterator[Check]:
    """Check that no task may get a pod of its own (docs/decisions/0624)."""
    executor = conf.get("core", "executor")
    if "Kubernetes" in executor:
        yield Check(
            "executor",
            "failure",
            f"fleetpgo does not support {executor}: each build would begin without its caches",
            "use the CeleryExecutor, with a group of workers for builds (build.queue): docs/production.md",
        )


def check_queue(service: ServiceRules) -> Iterator[Check]:
    """Check that a Celery worker listens to ``build.queue``; nothing is said of other executors."""
    queue = service.build.queue
    if queue is None:
        return
    if "Celery" not in conf.get("core", "executor"):
        yield Check("build.queue", "warning", f"the executor knows no queues: {queue!r} has no effect", "")
        return
    try:
        found = _active_queues()
    except Exception as error:  # noqa: BLE001  # kombu's and Redis' have no ancestor in common
        yield Check("build.queue", "warning", f"the workers cannot be asked: {type(error).__name__}", "")
        return
    workers = sorted(worker for worker, listens in found.items() if queue in listens)
    if workers:
        yield Check("build.queue", "ok", f"{len(workers)} of {len(found)} workers listen to {queue!r}")
    else:
        yield Check(
            "build.queue",
            "failure",
            f"no worker listens to {queue!r}, so no build would ever begin",
            f"start one: airflow celery worker --queues {queue}; or take build.queue out of the service file",
            passing=True,
        )


def _active_queues() -> dict[str, set[str]]:
    """Return the queues of each worker that answers."""
    from airflow.providers.celery.executors.celery_executor import app  # noqa: PLC0415  # not in every task

    found = app.control.inspect(timeout=_SECONDS).active_queues() or {}
    return {str(worker): {str(each["name"]) for each in queues} for worker, queues in found.items()}
