from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetpgo.collection.faults import NeverError
from fleetpgo.collection.sources.labels import fill
from tests.collection.instances import target_at


@pytest.mark.parametrize(
    ("instance", "filled"),
    [
        ("a:6060", "http://a:6060 a 5 x-1"),
        ("a", "http://a a 5 x-1"),
        ("[2001:db8::1]:80", "http://[2001:db8::1]:80 [2001:db8::1] 5 x-1"),
    ],
)
def test_a_template_is_filled_in_from_the_labels(instance, filled):
    target = target_at(instance, pod="x-1")
    assert fill("http://$instance $host $seconds $pod", target, seconds=5) == filled


def test_a_label_that_the_target_does_not_have_is_named():
    with pytest.raises(NeverError, match="needs the label 'pod'; it has instance"):
        fill("http://$pod/", target_at("a:80"), seconds=5)


HOSTILE = [
    "http://evil",
    "../x",
    "..",
    ".",
    "a b",
    "user@evil",
    "a%2f",
    "a\n",
    "",
    "a/b",
    "a?b",
    "a#b",
    '"',
    "é",
    "a\0",
]


@pytest.mark.parametrize("value", HOSTILE)
def test_a_hostile_label_never_reaches_the_url(value):
    with pytest.raises(NeverError, match="may not be part of a request"):
        fill("http://h/$pod", target_at("a:80", pod=value), seconds=5)


@pytest.mark.parametrize("value", [*HOSTILE, "a:b", "a:80/x", "-a"])
def test_a_hostile_instance_never_reaches_the_url(value):
    with pytest.raises(NeverError, match="is not host:port"):
        fill("http://$instance/", target_at(value), seconds=5)


@given(st.text())
def test_whatever_a_label_holds_only_words_get_through(value):
    try:
        filled = fill("$pod", target_at("a:80", pod=value), seconds=5)
    except NeverError:
        return
    assert set(filled) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._~+-")


def test_the_targets_own_labels_do_not_replace_what_is_ours():
    assert fill("$seconds", target_at("a:80", seconds="600"), seconds=5) == "5"
