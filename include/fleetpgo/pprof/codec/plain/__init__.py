"""The inner loops in Python: what :mod:`fleetpgo.pprof.codec.kernel` describes."""

from fleetpgo.pprof.codec.plain.decoding import Refused, decode
from fleetpgo.pprof.codec.plain.distinct import Distinct
from fleetpgo.pprof.codec.plain.tables import Tables

FORM = 2

__all__ = ["FORM", "Distinct", "Refused", "Tables", "decode"]
