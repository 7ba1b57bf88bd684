"""fleetpgo in Airflow: operators and triggers that only translate.

They turn a Connection into a client, the task's context into arguments, and a domain error into a failure, a
retry or a skip. :mod:`fleetpgo.steps` does the work. It is imported when a task runs, never when a DAG file
is parsed.
"""

DAG_PREFIX = "pgo_refresh__"
"""Start of the id of a service's DAG; the service's name follows."""
