from __future__ import annotations

from fleetpgo.collection import read_record
from tests.collection.instances import target_at


def test_a_task_that_died_before_its_record_leaves_one_that_says_so(store):
    record = read_record(store, target_at("a:80"))
    assert (record.state, record.reason) == ("missing", "its task ended before it answered")
