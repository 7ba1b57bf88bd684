"""Fetch a CPU profile of each target into the store, and write a record of each, failed ones included.

This is the only part that talks to production. It is normal that an instance does not answer: its record says
why. A profile that the store already holds is not fetched again.

This package limits what a profile costs production, and what an untrusted answer can cost the worker:

- :mod:`.rounds`: one round over many targets; retries, records, what is asked again.
- :mod:`.guards`: how many at once of a datacenter, of a host, in all; and when a round stops.
- :mod:`.fetching`: one answer, streamed to disk (:mod:`.spool`).
- :mod:`.examining`: check of the received bodies; only good ones are stored.
- :mod:`.packs`: the call edges of the profiles, kept for the steps that follow.
- :mod:`.usage`: whether a profile holds about as much CPU as Prometheus says.
- :mod:`.resolving`: check of the resolved address of each connection (:mod:`fleetpgo.network.addresses`).
- :mod:`.access`: credentials and TLS; no secret is ever part of a URL, a record or a log line.
- :mod:`.sources`: what to ask, and how to read the answer: the instance itself, Pyroscope, Parca.
- :mod:`.records`: the record of each target's result.
"""

from fleetpgo.collection.access import Access
from fleetpgo.collection.examining import Profile, keep
from fleetpgo.collection.fetching import Limits
from fleetpgo.collection.packs import read_edges
from fleetpgo.collection.records import read_record, read_records, was_asked, write_record
from fleetpgo.collection.rounds import collect

__all__ = [
    "Access",
    "Limits",
    "Profile",
    "collect",
    "keep",
    "read_edges",
    "read_record",
    "read_records",
    "was_asked",
    "write_record",
]
