"""Merge (interim, through the protobuf runtime)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from fleetpgo.errors import ProfileError
from fleetpgo.pprof import profile_pb2, reference
from fleetpgo.pprof.reading import Limits
from fleetpgo.pprof.writing import gzipped

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

EQUAL_SAMPLES = 10_000


def merge(
    profiles: Iterable[bytes],
    *,
    weights: Literal["none", "equal"] | Sequence[float] = "none",
    keep_labels: bool = False,
) -> bytes:
    """Add profiles up to one, gzipped."""
    out = profile_pb2.Profile(string_table=[b""])
    strings: dict[bytes, int] = {b"": 0}
    tables: dict[tuple[object, ...], int] = {}
    totals: dict[tuple[object, ...], list[float]] = {}
    first = None

    def s(text: bytes) -> int:
        if text not in strings:
            strings[text] = len(strings)
            out.string_table.append(text)
        return strings[text]

    for number, data in enumerate(profiles):
        p = reference.parse(data, Limits())
        t = p.string_table
        if first is None:
            first = reference.types(p)
            for a, b in first:
                out.sample_type.add(type=s(a.encode()), unit=s(b.encode()))
            out.period_type.CopyFrom(profile_pb2.ValueType(type=s(t[p.period_type.type]), unit=s(t[p.period_type.unit])))
        elif first != reference.types(p):
            raise ProfileError(f"Profile {number} has other sample types.", reason="incompatible")
        total = sum(x.value[reference.value_index(p)] for x in p.sample) or 1
        factor = {"none": 1.0, "equal": EQUAL_SAMPLES / total}[weights] if isinstance(weights, str) else weights[number]
        out.period = max(out.period, p.period)
        out.duration_nanos += p.duration_nanos
        out.time_nanos = min(out.time_nanos or p.time_nanos, p.time_nanos)
        mids, fids, lids = {0: 0}, {0: 0}, {}
        for m in p.mapping:
            key: tuple[object, ...] = ("m", t[m.build_id] or t[m.filename], m.file_offset)
            if key not in tables:
                new = out.mapping.add()
                new.CopyFrom(m)
                new.id, new.filename, new.build_id = len(out.mapping), s(t[m.filename]), s(t[m.build_id])
                tables[key] = new.id
            mids[m.id] = tables[key]
        for f in p.function:
            row = (s(t[f.name]), s(t[f.system_name]), s(t[f.filename]), f.start_line)
            if row not in tables:
                g = out.function.add(id=len(out.function) + 1, name=row[0], system_name=row[1], filename=row[2])
                g.start_line = f.start_line
                tables[row] = g.id
            fids[f.id] = tables[row]
        for x in p.location:
            lines = tuple((fids[ln.function_id], ln.line, ln.column) for ln in x.line)
            key = (mids[x.mapping_id], x.address, x.is_folded, lines)
            if key not in tables:
                y = out.location.add(id=len(out.location) + 1, mapping_id=mids[x.mapping_id], address=x.address)
                for a_, b_, c_ in lines:
                    y.line.add(function_id=a_, line=b_, column=c_)
                tables[key] = y.id
            lids[x.id] = tables[key]
        for x in p.sample:
            stack = tuple(lids[i] for i in x.location_id)
            sums = totals.setdefault(stack, [0.0] * len(x.value))
            for i, v in enumerate(x.value):
                sums[i] += v * factor
    if first is None:
        raise ProfileError("There are no profiles to merge.", reason="no-profiles")
    for stack, sums in totals.items():
        out.sample.add(location_id=stack, value=[round(v) or 1 for v in sums])  # type: ignore[arg-type]
    return gzipped(out.SerializeToString(deterministic=True))
