"""fleetpgo in Airflow: operators and triggers that only translate.

They turn a Connection into a client, the task's context into arguments, and a domain error into a failure, a
retry or a skip. :mod:`fleetpgo.steps` does the work. It is imported when a task runs, never when a DAG file
is parsed.
"""

import os

# When numpy is loaded, its linear algebra would start a spinning thread for each core; nothing here uses it
# (docs/decisions/0101).
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

DAG_PREFIX = "pgo_refresh__"
"""A service's DAG is called this and the service's name."""

LEVEL_PREFIX = "pgo_level__"
"""The DAG that measures the level of a service with a baseline is called this and the service's name."""

STAGES = (
    "preflight",
    "select_instances",
    "fetch_profile",
    "top_up",
    "merge_profiles",
    "wait_for_turn",
    "build_and_open_pr",
    "wait_for_merge",
    "wait_for_rollout",
    "measure_rollout",
    "wait_for_week",
    "measure_week",
)
"""Ids of the tasks that each such DAG has, one after the other."""

RELEASE_STAGES = ("notice_release", "needs_profile")
"""Ids of the tasks that the DAG of a service with `release` has besides."""
