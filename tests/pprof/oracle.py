"""Interim: the format through the protobuf runtime."""

from __future__ import annotations

from fleetpgo.errors import ProfileError
from fleetpgo.pprof import profile_pb2
from fleetpgo.pprof.edges import Edge, Edges, go_name
from fleetpgo.pprof.reading import Limits, message


def parse(data: bytes, limits: Limits) -> profile_pb2.Profile:
    from google.protobuf.message import DecodeError

    raw = message(data, limits)
    try:
        p = profile_pb2.Profile.FromString(raw)
    except DecodeError as e:
        raise ProfileError(f"The bytes are not a pprof message: {e}.", reason="not-a-profile") from e
    n = len(p.string_table)
    if not n or p.string_table[0]:
        raise ProfileError("The bytes are not a pprof message: no string table.", reason="not-a-profile")
    fids = {f.id for f in p.function}
    lids = {x.id for x in p.location}
    mids = {m.id for m in p.mapping} | {0}
    ok = (
        all(0 <= i < n for f in p.function for i in (f.name, f.system_name, f.filename))
        and all(0 <= i < n for m in p.mapping for i in (m.filename, m.build_id))
        and all(0 <= i < n for t in p.sample_type for i in (t.type, t.unit))
        and all(x.mapping_id in mids for x in p.location)
        and all(ln.function_id in fids or not ln.function_id for x in p.location for ln in x.line)
        and all(i in lids for s in p.sample for i in s.location_id)
        and all(
            0 <= i < n for i in (p.drop_frames, p.keep_frames, p.default_sample_type, p.doc_url, *p.comment)
        )
    )
    if not ok:
        raise ProfileError("The profile refers to records that it does not hold.", reason="bad-reference")
    if any(len(s.value) != len(p.sample_type) for s in p.sample):
        raise ProfileError("A sample has too few or too many values.", reason="wrong-value-count")
    return p


def types(p: profile_pb2.Profile) -> list[tuple[str, str]]:
    s = p.string_table
    return [(go_name(s[t.type]), go_name(s[t.unit])) for t in p.sample_type]


def value_index(p: profile_pb2.Profile) -> int:
    for i, t in enumerate(types(p)):
        if t in (("samples", "count"), ("cpu", "nanoseconds")):
            return i
    raise ProfileError(f"No CPU sample type: {types(p)}.", reason="no-cpu-samples")


def call_edges(data: bytes) -> Edges:
    p = parse(data, Limits())
    index = value_index(p)
    functions = {f.id: f for f in p.function}
    nodes: dict[int, list[tuple[str, int, int, int]]] = {}
    for loc in p.location:
        rows = []
        for line in loc.line or [profile_pb2.Line()]:
            if line.function_id:
                f = functions[line.function_id]
                rows.append((go_name(p.string_table[f.name]), loc.address, f.start_line, line.line))
            else:
                rows.append(("", loc.address, 0, 0))
        nodes[loc.id] = rows
    weights: dict[Edge, int] = {}
    for sample in p.sample:
        w = sample.value[index]
        if not w:
            continue
        parent = None
        seen = set()
        for lid in reversed(sample.location_id[:2]):
            for node in reversed(nodes[lid]):
                if parent is not None and node != parent and (parent, node) not in seen:
                    seen.add((parent, node))
                    e = Edge(parent[0], node[0], parent[3] - parent[2])
                    weights[e] = weights.get(e, 0) + w
                parent = node
    return Edges.of(weights)
