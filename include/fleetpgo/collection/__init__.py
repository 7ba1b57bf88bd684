"""Fetch a CPU profile of each target into the store, and a record of each, failed ones included.

The only part that talks to production. That an instance does not answer is normal and is data: its record
says why. What the store already holds is not fetched again.

What a profile costs production, and what a stranger's answer may cost us, is bounded here:

- :mod:`.rounds`: one round over many targets; retries, records, what is asked again.
- :mod:`.guards`: how many at once of a datacenter, of a host, in all; and when a round stops.
- :mod:`.fetching`: one answer, streamed to disk (:mod:`.spool`).
- :mod:`.examining`: what has come, checked, and only then put into the store.
- :mod:`.usage`: whether a profile holds about as much CPU as Prometheus says.
- :mod:`.resolving`: where a request may go, judged on the resolved address (:mod:`fleetpgo.addresses`).
- :mod:`.access`: credentials and TLS; no secret is ever part of a URL, a record or a log line.
- :mod:`.sources`: what to ask, and how to read the answer: the instance itself, Pyroscope, Parca.
- :mod:`.records`: what became of each target.
"""

from fleetpgo.collection.access import Access
from fleetpgo.collection.examining import Profile, keep
from fleetpgo.collection.fetching import Limits
from fleetpgo.collection.records import read_record, read_records, was_asked, write_record
from fleetpgo.collection.rounds import collect

__all__ = [
    "Access",
    "Limits",
    "Profile",
    "collect",
    "keep",
    "read_record",
    "read_records",
    "was_asked",
    "write_record",
]
