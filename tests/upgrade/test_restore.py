"""A backup is restored, in the order that docs/backup.md says, and the run that waited goes on.

Airflow's database is SQLite here and PostgreSQL in production; what is kept, and in which order, is the same.
"""

from __future__ import annotations

import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path

import pytest
from airflow.models.crypto import get_fernet
from airflow.models.trigger import Trigger
from airflow.utils.session import create_session
from cryptography.fernet import Fernet, InvalidToken
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from fleetpgo.run import soundness
from fleetpgo.run.proposed import Merge
from fleetpgo.run.store import RunStore
from tests.pages import fleet
from tests.upgrade.conftest import RELEASES, go_on

pytestmark = pytest.mark.parametrize("left", RELEASES[-1:], indirect=True)


@dataclass
class Backup:
    """What docs/backup.md says to keep."""

    database: Path
    store: Path
    fernet_key: str
    row: int
    """The wait's row: the database may hold others, of what ran before in this process."""


@pytest.fixture
def use_key(monkeypatch):
    def use(key):
        monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", key)
        get_fernet.cache_clear()

    yield use
    get_fernet.cache_clear()


@pytest.fixture
def backup(left, tmp_path, airflow_database, use_key):
    """Made while a run waits for its merge; production goes on and then loses everything."""
    key = Fernet.generate_key().decode()
    use_key(key)
    (row,) = (each for each in left.triggers if each["kwargs"]["what"] == "merge")
    with create_session() as session:
        waiting = Trigger(classpath=row["classpath"], kwargs=row["kwargs"])
        session.add(waiting)
        session.flush()
        number = waiting.id
        database = Path(session.get_bind().url.database)
    kept = Backup(tmp_path / "airflow.db", tmp_path / "backup", key, number)
    with sqlite3.connect(database) as source, sqlite3.connect(kept.database) as copy:
        source.backup(copy)  # first the database …
    later = RunStore(left.store, "edge", row["kwargs"]["run"])
    later.write(Merge("skipped", reason="written between the two"))
    shutil.copytree(left.store, kept.store)  # … then the store, which may be newer
    shutil.rmtree(left.store)
    with create_session() as session:
        session.delete(session.get_one(Trigger, number))
    return kept


def restored_row(backup):
    engine = create_engine(f"sqlite:///{backup.database}")
    with Session(engine) as session:
        row = session.get_one(Trigger, backup.row)
        return row.classpath, row.kwargs


def test_the_run_that_waited_goes_on_from_the_backup(left, backup):
    shutil.copytree(backup.store, left.store)
    assert list(soundness.check(left.store, "edge")) == []
    classpath, arguments = restored_row(backup)
    assert go_on(classpath, arguments) == "TaskSuccessEvent"
    assert RunStore(left.store, "edge", fleet.SECOND).read(Merge).state == "merged"


def test_without_the_fernet_key_the_waits_cannot_be_read(left, backup, use_key):
    use_key(Fernet.generate_key().decode())
    with pytest.raises(InvalidToken):
        restored_row(backup)


def test_after_a_rotation_both_keys_read_what_the_old_one_wrote(left, backup, use_key):
    use_key(f"{Fernet.generate_key().decode()},{backup.fernet_key}")
    assert restored_row(backup)[1]["what"] == "merge"


def test_a_store_older_than_the_database_is_found_by_the_check(left, backup):
    """The wrong order: the store was copied before a task that the database knows as done."""
    shutil.copytree(backup.store, left.store)
    run = RunStore(left.store, "edge", fleet.SECOND)
    run.path(Merge).with_name("pull_request.json").unlink()
    states = {each.path.rpartition("/")[2]: each.state for each in soundness.check(left.store, "edge")}
    assert states == {"pull_request.json": "missing"}
