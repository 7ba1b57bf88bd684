"""Profiles made by hand for the tests, through the protobuf runtime."""

from __future__ import annotations

import gzip

from fleetpgo.pprof import profile_pb2

Frame = tuple[str, int, int]
"""Function, its start line, line."""

Stack = list[list[Frame]]
"""Locations, leaf first; each its lines, innermost call first."""


def message(  # noqa: C901 -- one loop for each table
    samples: list[tuple[Stack, int]],
    *,
    types: tuple[tuple[str, str], ...] = (("samples", "count"), ("cpu", "nanoseconds")),
    labels: list[dict[str, str]] | None = None,
    start: int = 0x400000,
    duration: int = 10**9,
) -> profile_pb2.Profile:
    """A CPU profile with these stacks and counts; every location has its own address."""
    profile = profile_pb2.Profile(
        string_table=[b""], period=10**7, duration_nanos=duration, time_nanos=10**18
    )
    functions: dict[tuple[str, int], int] = {}

    def text(value: str) -> int:
        encoded = value.encode()
        if encoded not in profile.string_table:
            profile.string_table.append(encoded)
        return list(profile.string_table).index(encoded)

    def function(name: str, start_line: int) -> int:
        if (name, start_line) not in functions:
            functions[name, start_line] = len(functions) + 1
            profile.function.add(
                id=len(functions),
                name=text(name),
                system_name=text(name),
                filename=text("f.go"),
                start_line=start_line,
            )
        return functions[name, start_line]

    for kind, unit in types:
        profile.sample_type.add(type=text(kind), unit=text(unit))
    profile.period_type.type, profile.period_type.unit = text("cpu"), text("nanoseconds")
    profile.mapping.add(id=1, memory_start=start, memory_limit=start + 0x100000, filename=text("/bin/app"))
    locations: dict[str, int] = {}
    for number, (stack, count) in enumerate(samples):
        ids = []
        for lines in stack:
            key = repr(lines)
            if key not in locations:
                locations[key] = len(locations) + 1
                address = start + 16 * len(locations)
                location = profile.location.add(id=len(locations), mapping_id=1, address=address)
                for name, start_line, line in lines:
                    location.line.add(function_id=function(name, start_line), line=line)
            ids.append(locations[key])
        values = [count] if len(types) == 1 else [count, count * 10**7]
        sample = profile.sample.add(location_id=ids, value=values)
        for key, value in (labels[number] if labels else {}).items():
            sample.label.add(key=text(key), str=text(value))
    return profile


def packed(profile: profile_pb2.Profile) -> bytes:
    return gzip.compress(profile.SerializeToString(), mtime=0)


def unpacked(data: bytes) -> profile_pb2.Profile:
    return profile_pb2.Profile.FromString(gzip.decompress(data))


def contents(profile: profile_pb2.Profile, *, with_labels: bool = False) -> dict[str, object]:
    """Everything a profile says, without its numbering: equal for equal profiles, whoever wrote them."""
    text = [value.decode() for value in profile.string_table]
    functions = {
        item.id: (text[item.name], text[item.system_name], text[item.filename], item.start_line)
        for item in profile.function
    }
    mappings = {
        item.id: (
            item.memory_start,
            item.memory_limit,
            item.file_offset,
            text[item.filename],
            text[item.build_id],
            item.has_functions,
        )
        for item in profile.mapping
    }
    locations = {
        item.id: (
            mappings.get(item.mapping_id),
            item.address,
            item.is_folded,
            tuple((functions.get(line.function_id), line.line, line.column) for line in item.line),
        )
        for item in profile.location
    }
    samples: dict[object, list[int]] = {}
    for sample in profile.sample:
        labels = sorted((text[label.key], text[label.str], label.num) for label in sample.label)
        key = tuple(locations[number] for number in sample.location_id), tuple(labels if with_labels else ())
        sums = samples.setdefault(key, [0] * len(sample.value))
        for index, value in enumerate(sample.value):
            sums[index] += value
    return {
        "types": [(text[kind.type], text[kind.unit]) for kind in profile.sample_type],
        "period": (text[profile.period_type.type], text[profile.period_type.unit], profile.period),
        "time": profile.time_nanos,
        "duration": profile.duration_nanos,
        "comments": sorted(text[row] for row in profile.comment),
        "samples": samples,
        "locations": sorted(map(repr, locations.values())),
        "functions": sorted(functions.values()),
        "mappings": sorted(mappings.values()),
    }
