"""Makes the inputs of the merge benchmark: profiles as a fleet would send them, from one that Go ships.

Source: ``src/cmd/compile/default.pgo`` of the Go toolchain, a real CPU profile of the Go compiler. Each input
draws anew from its stacks (multinomial; every stack's weight is first multiplied by a gamma-distributed
factor, so that instances differ as real ones do). Records are numbered in the order in which they are first
used and the gzip level is 1, both as Go's runtime/pprof does it, so the tables of no two inputs agree. The
seed is fixed: input i is always the same.
"""

from __future__ import annotations

import gzip
import subprocess
from pathlib import Path

import numpy as np

from fleetpgo.pprof import profile_pb2

SEED = 20_230_905
SAMPLES = 6_000
"""Draws for one input: they meet about 4,400 different stacks."""
GAMMA_SHAPE = 2.0
GO_GZIP_LEVEL = 1


def make(folder: Path, count: int) -> list[Path]:
    """``count`` inputs in ``folder``; the ones that are there already stay."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:04}.pb.gz" for number in range(count)]
    missing = [(number, path) for number, path in enumerate(paths) if not path.exists()]
    if missing:
        base = _base()
        weights = np.array([sample.value[0] for sample in base.sample], dtype=np.float64)
        for number, path in missing:
            random = np.random.default_rng([SEED, number])
            jittered = weights * random.gamma(GAMMA_SHAPE, size=len(weights))
            draws = random.multinomial(SAMPLES, jittered / jittered.sum())
            path.write_bytes(_resampled(base, draws))
    return paths


def _base() -> profile_pb2.Profile:
    goroot = subprocess.run(
        ["go", "env", "GOROOT"], capture_output=True, check=True, text=True
    ).stdout.strip()
    data = Path(goroot, "src/cmd/compile/default.pgo").read_bytes()
    return profile_pb2.Profile.FromString(gzip.decompress(data))


def _resampled(base: profile_pb2.Profile, draws: np.ndarray) -> bytes:
    """The profile with these counts for the stacks of ``base``, and only the records that they use."""
    out = profile_pb2.Profile(period=base.period, duration_nanos=30 * 10**9, time_nanos=base.time_nanos)
    strings: dict[int, int] = {0: 0}

    def text(index: int) -> int:
        return strings.setdefault(index, len(strings))

    for kind in base.sample_type:
        out.sample_type.add(type=text(kind.type), unit=text(kind.unit))
    out.period_type.type, out.period_type.unit = text(base.period_type.type), text(base.period_type.unit)
    for mapping in base.mapping:
        copy = out.mapping.add()
        copy.CopyFrom(mapping)
        copy.filename, copy.build_id = text(mapping.filename), text(mapping.build_id)
    locations: dict[int, int] = {}
    functions: dict[int, int] = {}
    for index in np.flatnonzero(draws):
        stack = base.sample[index].location_id
        count = int(draws[index])
        out.sample.add(
            location_id=[locations.setdefault(location, len(locations) + 1) for location in stack],
            value=(count, count * base.period),
        )
    for old, new in locations.items():
        location = out.location.add()
        location.CopyFrom(base.location[old - 1])
        location.id = new
        for line in location.line:
            line.function_id = functions.setdefault(line.function_id, len(functions) + 1)
    for old, new in functions.items():
        source = base.function[old - 1]
        out.function.add(
            id=new,
            name=text(source.name),
            system_name=text(source.system_name),
            filename=text(source.filename),
            start_line=source.start_line,
        )
    out.string_table.extend(base.string_table[index] for index in strings)
    return gzip.compress(out.SerializeToString(), GO_GZIP_LEVEL, mtime=0)
