"""The compiler's rules once more, as directly as they can be written, over the protobuf runtime's objects.

It follows ``internal/profile/graph.go`` and ``cmd/internal/pgo/pprof.go`` of Go 1.27, sample by sample.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleetpgo.pprof.edges import Edge, Edges

if TYPE_CHECKING:
    from fleetpgo.pprof import profile_pb2


def call_edges(profile: profile_pb2.Profile) -> Edges:
    text = [value.decode("utf-8", "surrogateescape") for value in profile.string_table]
    types = [(text[kind.type], text[kind.unit]) for kind in profile.sample_type]
    index = next(i for i, kind in enumerate(types) if kind in (("samples", "count"), ("cpu", "nanoseconds")))
    functions = {item.id: item for item in profile.function}
    nodes: dict[int, list[tuple[str, int, int, int]]] = {}
    for location in profile.location:
        nodes[location.id] = []
        for line in location.line:
            if line.function_id:
                function = functions[line.function_id]
                node = (text[function.name], location.address, function.start_line, line.line)
            else:
                node = ("", location.address, 0, 0)
            nodes[location.id].append(node)
        if not location.line:
            nodes[location.id].append(("", location.address, 0, 0))
    weights: dict[Edge, int] = {}
    for sample in profile.sample:
        if not sample.value[index]:
            continue
        caller, seen = None, set()
        for number in reversed(sample.location_id[:2]):
            for node in reversed(nodes[number]):
                if caller is not None and node != caller and (caller, node) not in seen:
                    seen.add((caller, node))
                    edge = Edge(caller[0], node[0], caller[3] - caller[2])
                    weights[edge] = weights.get(edge, 0) + sample.value[index]
                caller = node
    return Edges.of(weights)
