"""Paths of files: what a pattern matches, and the time that it tells."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from fleetpgo.collection.faults import NeverError
from fleetpgo.collection.sources.files import Files, globs, has_time, span_of
from tests.collection.instances import rules, target_at

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()


def test_a_pattern_is_filled_in_and_a_label_is_no_wildcard():
    source = Files("/p/$pod/$instance/*.pb.gz")
    assert source.question(target_at("[::1]:80", pod="api-0"), seconds=1) == "/p/api-0/[[]::1]:80/*.pb.gz"


@pytest.mark.parametrize("label", ["*", "..", "a/b", "%Y", "[a]", ""])
def test_a_label_that_is_no_word_is_no_part_of_a_path(label):
    with pytest.raises(NeverError, match="may not be part of a request"):
        Files("/p/$pod/*").question(target_at("a:80", pod=label), seconds=1)


@pytest.mark.parametrize(
    ("pattern", "hours", "patterns"),
    [
        ("/p/*.pb.gz", 24, ["/p/*.pb.gz"]),
        ("/p/%Y-%m-%d/*", 6, ["/p/2026-03-01/*"]),
        ("/p/%Y-%m-%d/*", 24, ["/p/2026-02-28/*", "/p/2026-03-01/*"]),
        ("/p/%Y/%m/%d/%H%M.gz", 1, ["/p/2026/03/01/[0-9][0-9][0-9][0-9].gz"]),
        ("/p/%s.gz", 1, ["/p/" + "[0-9]" * 10 + ".gz"]),
    ],
)
def test_only_the_days_of_the_window_are_listed(pattern, hours, patterns):
    assert globs(pattern, NOON - hours * 3600, NOON) == patterns


@pytest.mark.parametrize(
    ("pattern", "path", "begin", "seconds"),
    [
        ("/p/%Y-%m-%d/*", "/p/2026-03-01/x.gz", "2026-03-01T00:00:00", 86_400),
        ("/p/*-%Y%m%dT%H.gz", "/p/api-20260301T11.gz", "2026-03-01T11:00:00", 3_600),
        ("/p/%Y%m%d%H%M", "/p/202603011159", "2026-03-01T11:59:00", 60),
        ("/p/%Y%m%d%H%M%S?", "/p/20260301115958Z", "2026-03-01T11:59:58", 1),
        ("/p/%Y/%Y-%m-%d", "/p/2026/2026-03-01", "2026-03-01T00:00:00", 86_400),
        ("/p/**/%s.gz", "/p/a/b/1772366400.gz", "2026-03-01T12:00:00", 1),
        ("/p/[ab]/%s", "/p/b/1772366400", "2026-03-01T12:00:00", 1),
        ("/p/[!ab]/%s", "/p/c/1772366400", "2026-03-01T12:00:00", 1),
        ("/p/[^ab]/%s", "/p/^/1772366400", "2026-03-01T12:00:00", 1),
        ("/p/**/%s", "/p/a\nb/1772366400", "2026-03-01T12:00:00", 1),
    ],
)
def test_a_path_tells_its_time(pattern, path, begin, seconds):
    start = datetime.fromisoformat(begin).replace(tzinfo=UTC).timestamp()
    assert span_of(pattern, path) == (start, start + seconds)


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("/p/%Y-%m-%d/*", "/p/2026-02-31/x"),
        ("/p/%Y/%Y-%m-%d", "/p/2025/2026-03-01"),
        ("/p/%s", "/p/177236640"),
        ("/p/*/%s", "/p/a/b/1772366400"),
    ],
)
def test_a_path_that_is_of_no_time_has_none(pattern, path):
    assert span_of(pattern, path) is None


def test_whether_a_pattern_tells_times():
    assert [has_time(each) for each in ("/p/*", "/p/%Y-%m-%d", "/p/%s")] == [False, True, True]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"source": "files"}, "the source files needs `files`"),
        ({"files": "/p/$host"}, "no other source takes it"),
        ({"source": "files", "files": "p/$host"}, "write an absolute path"),
        ({"source": "files", "files": "/p/../$host"}, "without .."),
        ({"source": "files", "files": "s3:///$host"}, "write an absolute path"),
        ({"source": "files", "files": "s3://$host/x"}, "write an absolute path"),
        ({"source": "files", "files": "http://p/$host"}, "write an absolute path"),
        ({"source": "files", "files": "/p/*.gz"}, "every instance gets the same files"),
        ({"source": "files", "files": "/p/$host/%j"}, "a time in a path is"),
        ({"source": "files", "files": "/p/$host/%H%M"}, "a time in a path is"),
        ({"source": "files", "files": "/p/$host", "allow": ["*.example"]}, "have no effect"),
    ],
)
def test_a_pattern_that_cannot_work_is_refused(keys, message):
    with pytest.raises(ValueError, match=message):
        rules(**{"allow": (), **keys})
