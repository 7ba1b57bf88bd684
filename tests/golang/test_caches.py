"""Caches of builds are bounded; whoever is built keeps its own."""

from __future__ import annotations

import os

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
    return sorted(each.name.rpartition("-")[0] for each in (cache / "repositories").iterdir())


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


def test_a_worker_without_caches_has_nothing_to_bound(tmp_path):
    assert caches.bound(tmp_path / "none", 0) == []
