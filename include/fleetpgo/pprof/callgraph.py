"""Call edges of a profile."""

from fleetpgo.pprof.reference import call_edges

__all__ = ["call_edges"]
