from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from fleetpgo.service import values


@given(st.lists(st.integers(0, 99), min_size=5, max_size=5).filter(any))
def test_durations_are_read_as_prometheus_writes_them(counts):
    written = "".join(f"{count}{unit}" for count, unit in zip(counts, "wdhms", strict=True) if count)
    weeks, days, hours, minutes, seconds = counts
    assert TypeAdapter(values.Duration).validate_python(written) == timedelta(
        weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds
    )


@pytest.mark.parametrize("written", ["", "5", "5 m", "m5", "1s1m", -1])
def test_what_prometheus_would_not_write_is_no_duration(written):
    with pytest.raises(ValidationError):
        TypeAdapter(values.Duration).validate_python(written)
