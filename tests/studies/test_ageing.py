from __future__ import annotations

from datetime import UTC, datetime

from studies.ageing.study import Release, Row, highest_so_far, table


def release(version, month):
    return Release(version, datetime(2026, month, 1, tzinfo=UTC))


def test_a_patch_of_a_line_that_has_a_successor_does_not_count():
    falling = [release("v2.1.0", 6), release("v2.0.0", 4), release("v1.9.2", 5), release("v1.9.1", 3)]
    assert [each.version for each in highest_so_far(falling)] == ["v2.1.0", "v2.0.0", "v1.9.1"]


def test_a_row_says_what_is_still_there_and_what_is_lost():
    rows = [Row("v1.0.0", 0, 1.0, ""), Row("v1.1.0", 30, 0.951, "4.9 %: `a` → `b`, the caller")]
    rows.append(Row("v1.1.1", 40, 0.951, "4.9 %: `a` → `b`, the caller"))
    assert table(rows, 1_500).splitlines()[-2:] == [
        "| v1.0.0 | 0 | 1.000 | – |",
        "| v1.1.0 to v1.1.1 | 30 to 40 | 0.951 | 4.9 %: `a` → `b`, the caller |",
    ]
