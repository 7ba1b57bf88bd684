"""A profile that Linux' perf took: addresses and build ids, and no function's name."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

import pytest

from fleetpgo import pprof
from fleetpgo.errors import ProfileError
from fleetpgo.golang.packages import packages
from fleetpgo.golang.preprofile import preprofile
from fleetpgo.golang.sourcematch import Sources
from fleetpgo.pprof import profile_pb2
from tests.pprof.messages import packed
from tests.repairing import SOURCE

MAPPED = re.compile(r"PERF_RECORD_MMAP2 \S+ \[(0x\w+)\((0x\w+)\) @ (0x\w+|0) .*\]: \S+ (\S+)")
FRAME = re.compile(r"\s+([0-9a-f]+) \((.+)\)")
HERTZ = 499


def perf(*arguments) -> str:
    done = subprocess.run(["perf", *map(str, arguments)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"perf does not work here: {done.stderr.strip()[-200:]}")
    return done.stdout


def to_pprof(data) -> bytes:
    """Write what perf recorded as pprof, as perf_to_profile does: addresses, mappings and their build ids."""
    profile = profile_pb2.Profile(string_table=[b"", b"samples", b"count", b"cpu", b"nanoseconds"])
    profile.sample_type.add(type=1, unit=2)
    profile.period_type.type, profile.period_type.unit = 3, 4
    profile.period = 10**9 // HERTZ
    build_ids = dict(line.split(None, 1)[::-1] for line in perf("buildid-list", "-i", data).splitlines())

    def text(value: str) -> int:
        profile.string_table.append(value.encode())
        return len(profile.string_table) - 1

    mappings, locations = {}, {}
    said = perf("script", "-i", data, "--show-mmap-events", "-F", "comm,ip,dso,event")
    for block in said.split("\n\n"):
        stack = []
        for line in block.splitlines():
            if match := MAPPED.search(line):
                start, size, offset = (int(each, 16) for each in match.groups()[:3])
                mapping = profile.mapping.add(
                    id=len(profile.mapping) + 1,
                    memory_start=start,
                    memory_limit=start + size,
                    file_offset=offset,
                    filename=text(match[4]),
                    build_id=text(build_ids.get(match[4], "")),
                )
                mappings[match[4]] = mapping
            elif (match := FRAME.fullmatch(line)) and (mapping := mappings.get(match[2])):
                # perf says where in the file it is.
                address = int(match[1], 16) - mapping.file_offset + mapping.memory_start
                if address not in locations:
                    locations[address] = len(locations) + 1
                    profile.location.add(id=locations[address], mapping_id=mapping.id, address=address)
                stack.append(locations[address])
        if stack:
            profile.sample.add(location_id=stack, value=[1])
    return packed(profile)


@pytest.fixture(
    params=[
        "pie",
        pytest.param("stripped", marks=pytest.mark.slow),
        pytest.param("cgo", marks=pytest.mark.slow),
    ]
)
def built(request, builds):
    return builds(request.param)


@pytest.fixture
def recorded(built, tmp_path) -> bytes:
    if not shutil.which("perf"):
        pytest.skip("there is no perf: apt install linux-perf")
    data = tmp_path / "perf.data"
    how = ("-e", "cpu-clock:u", "-F", HERTZ, "--call-graph", "fp", "-o", data)
    perf("record", *how, "--", built.binary, "-")
    return to_pprof(data)


def test_a_profile_of_perf_becomes_one_that_the_compiler_reads(built, recorded):
    with pytest.raises(ProfileError) as refused:
        pprof.check(recorded)
    assert refused.value.reason == "no-start-line"

    repaired = pprof.repair(pprof.decode(recorded), built.program)

    facts = repaired.require_useful()
    assert facts.samples > HERTZ / 20
    assert preprofile(repaired.profile.data).startswith(b"GO PREPROFILE V1\n")
    # perf misses the caller of what has no frame of its own, such as assembly. Other calls are in the source.
    environment = {**os.environ, "GOTOOLCHAIN": "local"}
    found = Sources(packages(SOURCE, ".", environment=environment)).match(pprof.call_edges(repaired.profile))
    assert found.share > 0.85
    assert found.compared > 0.5
