from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def airflow_database():
    """Airflow's metadata database: SQLite in the test run's own AIRFLOW_HOME."""
    from airflow.utils.db import initdb  # noqa: PLC0415  # imports Airflow, which not every test needs

    initdb()
