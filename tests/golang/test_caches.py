"""Caches of builds are bounded; whoever is built keeps its own."""

from __future__ import annotations

import fcntl
import os
from contextlib import ExitStack

import pytest

from fleetpgo.golang import caches
from fleetpgo.golang.environment import clone_directory, repository_cache


@pytest.fixture
def cache(tmp_path):
    """Three repositories with a megabyte each, built one after the other."""
    for number, name in enumerate(("first", "second", "third")):
        with clone_directory(tmp_path, name):
            pass
        own = repository_cache(tmp_path, name)
        module = own / "gopath/pkg/mod/example.com@v1.0.0"
        module.mkdir(parents=True)
        (module / "big.go").write_bytes(bytes(1_000_000))
        (module / "big.go").chmod(0o444)
        module.chmod(0o555)
        os.utime(own, (number, number))
    return tmp_path


def left(cache):
    return sorted(
        each.name.rpartition("-")[0] for each in (cache / "repositories").iterdir() if each.is_dir()
    )


def test_what_was_built_longest_ago_goes_first(cache):
    gone = caches.bound(cache, 2_500_000)
    assert [name.rpartition("-")[0] for name in gone] == ["first"]
    assert left(cache) == ["second", "third"]


def test_a_build_makes_a_cache_new_again(cache):
    with clone_directory(cache, "first"):
        pass
    caches.bound(cache, 2_500_000)
    assert left(cache) == ["first", "third"]


def test_nothing_goes_below_the_bound(cache):
    assert caches.bound(cache, 3_500_000) == []


def test_a_repository_that_is_being_built_keeps_its_cache(cache):
    with clone_directory(cache, "first"):
        caches.bound(cache, 0)
        assert left(cache) == ["first"]


def test_a_repository_that_is_about_to_be_built_keeps_its_cache(cache):
    caches.bound(cache, 0, keep=repository_cache(cache, "first"))
    assert left(cache) == ["first"]


def test_a_clone_that_is_made_meanwhile_is_not_moved(cache, monkeypatch):
    measure = caches._size

    def begin(place):
        cloned.enter_context(clone_directory(cache, "first"))
        monkeypatch.setattr(caches, "_size", measure)
        return measure(place)

    with ExitStack() as cloned:
        monkeypatch.setattr(caches, "_size", begin)
        caches.bound(cache, 0)
        assert left(cache) == ["first"]


def test_only_one_bounds_at_a_time(cache):
    with caches.locked(cache / "bound.lock", fcntl.LOCK_EX):
        assert caches.bound(cache, 0) == []
    assert len(caches.bound(cache, 0)) == 3


def test_remains_of_one_that_was_killed_go(cache):
    remains = cache / "gone/first/module"
    remains.mkdir(parents=True)
    remains.chmod(0)
    caches.bound(cache)
    assert not (cache / "gone").exists()


def test_a_repository_may_have_any_name(cache):
    with clone_directory(cache, "gone-one") as place:
        caches.bound(cache, 0)
        assert place.exists()


def test_a_file_counts_with_what_it_takes_on_the_disk(cache):
    with (repository_cache(cache, "third") / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    assert caches.bound(cache, 3_500_000) == []


@pytest.mark.parametrize("what", ["link", "pipe"])
def test_a_lock_that_a_build_has_replaced_stops_nobody(cache, caplog, what):
    lock = caches.use_lock(repository_cache(cache, "first"))
    lock.unlink()
    if what == "link":
        lock.symlink_to(cache / "elsewhere")
    else:
        os.mkfifo(lock)
    caches.bound(cache, 0)
    assert left(cache) == (["first"] if what == "link" else [])
    assert ("stays: the lock" in caplog.text) == (what == "link")


def test_a_worker_without_caches_has_nothing_to_bound(tmp_path):
    assert caches.bound(tmp_path / "none", 0) == []
