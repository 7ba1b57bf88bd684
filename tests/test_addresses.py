from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetpgo.network.addresses import METADATA, parse_allow

SPECIAL = ["127.0.0.1", "::1", "169.254.1.1", "fe80::1", "::", "224.0.0.1", *sorted(map(str, METADATA))]


def objection(address: str, *entries: str, host: str = "host.example.com") -> str | None:
    return parse_allow(entries).objection(host, ipaddress.ip_address(address))


@pytest.mark.parametrize("address", SPECIAL)
@pytest.mark.parametrize("entries", [(), ("0.0.0.0/0", "::/0"), ("host.example.com",), ("*.example.com",)])
def test_a_special_address_is_refused_unless_a_network_names_it(address, entries):
    assert "collection.allow does not name it" in objection(address, *entries)


@pytest.mark.parametrize("address", SPECIAL)
def test_a_special_address_that_is_named_will_do(address):
    assert objection(address, address) is None


@pytest.mark.parametrize("entry", ["127.0.0.0/8", "127.0.0.1"])
def test_loopback_is_named_by_a_network_inside_it(entry):
    assert objection("127.0.0.1", entry) is None


def test_the_link_does_not_name_its_metadata_service():
    assert "cloud metadata" in objection("169.254.169.254", "169.254.0.0/16")


@pytest.mark.parametrize("address", ["::ffff:169.254.169.254", "2002:a9fe:a9fe::1", "64:ff9b::a9fe:a9fe"])
def test_metadata_in_the_clothes_of_ipv6_is_refused(address):
    assert objection(address) is not None


@pytest.mark.parametrize(
    ("entries", "host", "address", "allowed"),
    [
        ((), "a", "10.0.0.1", True),
        (("10.0.0.0/8",), "a", "10.0.0.1", True),
        (("10.0.0.0/8",), "a", "192.168.0.1", False),
        (("*.example.com",), "a.example.com", "10.0.0.1", True),
        (("*.example.com",), "A.EXAMPLE.com.", "10.0.0.1", True),
        (("*.example.com",), "a.b.example.com", "10.0.0.1", True),
        (("*.example.com",), "example.com", "10.0.0.1", False),
        (("*.example.com",), "badexample.com", "10.0.0.1", False),
        (("example.com",), "example.com.evil.org", "10.0.0.1", False),
        (("*.example.com", "10.0.0.0/8"), "a", "10.0.0.1", True),
    ],
)
def test_entries_allow_names_and_networks(entries, host, address, allowed):
    assert (objection(address, *entries, host=host) is None) == allowed


@pytest.mark.parametrize("entry", ["", "*", "*.", "10.0.0.1/8", "10.0.0", "a b", "http://a", "a:80", "a/24"])
def test_what_is_neither_a_network_nor_a_name_is_refused(entry):
    with pytest.raises(ValueError, match="is neither a network"):
        parse_allow([entry])


@given(st.ip_addresses())
def test_with_entries_nothing_is_allowed_that_no_entry_covers(address):
    assert parse_allow(["203.0.113.0/24"]).objection("a", address) is not None or (
        address in ipaddress.ip_network("203.0.113.0/24")
    )
