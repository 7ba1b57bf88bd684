"""The servers' profiles and binaries: made once, and kept by all that went into them.

The profile is taken, checked, merged, minimised and given to the build by fleetpgo's own functions, as a
refresh does it. Every binary then has to serve some requests; one that cannot is left out of the measurement,
and the table has what it said. Only what the compiler, the linker, BOLT or the server said is kept: any other
failure ends the preparation, and the next run goes on.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from fleetpgo import pprof
from fleetpgo.errors import BuildError
from fleetpgo.golang import toolchain
from fleetpgo.golang.preprofile import preprofile
from fleetpgo.run.digest import digest
from studies.beyond_pgo import bolt, linking
from studies.beyond_pgo.measuring import FIRST, DiedError, started
from studies.beyond_pgo.variants import AGAIN

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fleetpgo.pprof import Profile
    from studies.beyond_pgo.serving import Server
    from studies.beyond_pgo.variants import Variant

    Say = Callable[[str], None]

PROFILES = 3
OUTPUT = "bin/beyond-pgo"
TIMEOUT, MEMORY = timedelta(minutes=60), 16 << 30
CHECKED = 200
"""Requests that a binary must answer before it is measured."""


@dataclass(frozen=True)
class Made:
    """A variant of a server.

    Attributes:
        server, variant: their names.
        key: of all that went into it.
        binary: its path; "" if it does not work.
        size: bytes of the binary.
        samples: of the profile that it was built with; 0 if with none.
        told: what a tool had to say, or why it does not work.
    """

    server: str
    variant: str
    key: str
    binary: str
    size: int = 0
    samples: int = 0
    told: str = ""


@dataclass(frozen=True)
class Taken:
    """The profile of a server: as merged, as the compiler gets it, and how many samples it has."""

    merged: Profile
    small: bytes
    samples: int


class DoesNotWorkError(Exception):
    """A binary cannot be made, or does not serve; the message is what the compiler or the server said."""


def prepare(server: Server, variants: Sequence[Variant], into: Path, *, seconds: int, say: Say) -> list[Made]:
    """Build all variants of a server, the profile first; what is there already is kept.

    Args:
        server: the server.
        variants: the first is the build without anything.
        into: where all is kept.
        seconds: length of each of the profiles.
        say: takes a line about each thing that is made.
    """
    source = server.source(into)
    place = into / slug(server.name)
    place.mkdir(parents=True, exist_ok=True)
    base = _make(server, variants[0], source, place, say)
    taken = None
    if any(each.profile or each.ordered or each.bolt for each in variants):
        taken = profiled(server, base, place, seconds, say)
    return [base, *(_make(server, each, source, place, say, base, taken) for each in variants[1:])]


def profiled(server: Server, base: Made, place: Path, seconds: int, say: Say) -> Taken:
    """Return the profile of a server; the parts that are merged are kept."""
    folder = place / f"profiles-{base.key}-{seconds}s"
    folder.mkdir(exist_ok=True)
    parts = []
    for number in range(PROFILES):
        file = folder / f"{number}.pprof"
        if not file.exists():
            say(f"{server.name}: profile {number + 1} of {PROFILES}, {seconds} s")
            partial = file.with_suffix(".partial")
            take(server, Path(base.binary), partial, seconds, seed=number + 1)
            facts = pprof.check(partial.read_bytes())
            say(f"{server.name}: {facts.samples:,} samples")
            partial.rename(file)
        parts.append(file.read_bytes())
    merged = pprof.merge(parts)
    small = pprof.minimise(merged, prove=preprofile).data
    return Taken(merged, small, pprof.facts(merged.data).samples)


def take(server: Server, binary: Path, file: Path, seconds: int, seed: int) -> None:
    """Profile a server while it is driven."""
    with started(server, binary) as side, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(server.profile, side.running, seconds, file)
        requests = FIRST
        while not asked.done():
            if side.drive(requests, seed) < 1:
                requests *= 2
        asked.result()


def _make(
    server: Server,
    variant: Variant,
    source: Path,
    place: Path,
    say: Say,
    base: Made | None = None,
    taken: Taken | None = None,
) -> Made:
    small = taken.small if taken and variant.profile else None
    order = linking.order(taken.merged) if taken and variant.ordered else []
    key = key_of(server, variant, small, order, taken.merged if taken and variant.bolt else None)
    record = place / f"{slug(variant.name)}-{key}.json"
    if record.exists():
        made = Made(**json.loads(record.read_text()))
        if not made.binary:
            say(f"{server.name}: {variant.name} did not work before; to try it again, remove {record}")
        return made
    say(f"{server.name}: building {variant.name}")
    binary, told = place / f"{slug(variant.name)}-{key}.bin", ""
    try:
        if variant.bolt and taken and base:
            told = bolt.summary(bolt.rewrite(Path(base.binary), taken.merged, binary))
        elif variant.name == AGAIN and base:
            shutil.copy(base.binary, binary)
        else:
            _build(server, variant, source, binary, small, order)
        works(server, binary, told)
        made = Made(
            server.name,
            variant.name,
            key,
            str(binary.absolute()),
            size=binary.stat().st_size,
            samples=taken.samples if taken and variant.profile else 0,
            told=told,
        )
    except (DoesNotWorkError, linking.CannotPatchError, bolt.BoltError) as error:
        if not base:
            raise
        made = Made(server.name, variant.name, key, "", told=str(error))
        say(f"{server.name}: {variant.name} does not work:\n{error}")
    partial = record.with_suffix(".partial")
    partial.write_text(json.dumps(asdict(made), indent=1))
    partial.rename(record)
    return made


def key_of(
    server: Server, variant: Variant, small: bytes | None, order: Sequence[str], for_bolt: Profile | None
) -> str:
    """Return a digest of all that goes into a binary, and of the load that it is measured under."""
    parts = [
        go_version(),
        server.module, server.version, server.package, server.tags, server.load_digest(),
        repr(variant),
        digest(small) if small else "",
        "\n".join(order),
        linking.STEP if variant.ordered else "",
        f"{bolt.version()} {bolt.FLAGS} {digest(for_bolt.data)}" if for_bolt else "",
        c_version() if ("CGO_ENABLED", "1") in variant.environment else "",
    ]  # fmt: skip
    return digest("\0".join(parts).encode())


def _build(
    server: Server, variant: Variant, source: Path, binary: Path, small: bytes | None, order: Sequence[str]
) -> None:
    environment = {**os.environ, "CGO_ENABLED": "0", **dict(variant.environment)}
    flags = ["-trimpath", "-buildvcs=false", *variant.flags]
    if server.tags:
        flags.append(f"-tags={server.tags}")
    if small is None:
        flags.append("-pgo=off")
    else:
        file = binary.with_suffix(".pgo").absolute()
        file.write_bytes(small)
        flags.append(f"-pgo={file}")
    if order:
        file = binary.with_suffix(".order").absolute()
        file.write_text("\n".join(order))
        environment[linking.ORDER] = str(file)
        flags.append(f"-toolexec={linking.linker(binary.parents[1].absolute())}")
    command = ["go", "build", *flags, "-o", OUTPUT, server.package]
    said: list[str] = []
    try:
        built = toolchain.build(
            source, command, OUTPUT, timeout=TIMEOUT, memory=MEMORY, environment=environment, seen=said.append
        )
    except BuildError as error:
        if linking.tool_said(said):
            raise DoesNotWorkError(error.message) from error
        raise BuildError(error.message) from error  # its hint is about a service file
    shutil.move(built.path, binary)


def works(server: Server, binary: Path, told: str) -> None:
    """Raise DoesNotWorkError unless a binary serves, and lives on."""
    try:
        with started(server, binary) as side:
            side.drive(CHECKED, 1)
            if side.running.process.poll() is None:
                return
        said = "it ended, without a word"
    except DiedError as error:
        said = str(error)
    raise DoesNotWorkError("\n".join(filter(None, [told, said])))


@cache
def go_version() -> str:
    """Return what ``go version`` prints."""
    return subprocess.run(["go", "version"], capture_output=True, text=True, check=True).stdout.strip()


def c_version() -> str:
    """Return the first line of what the C compiler says of itself, or ""."""
    if not shutil.which("gcc"):
        return ""
    told = subprocess.run(["gcc", "--version"], capture_output=True, text=True, check=False).stdout
    return told.partition("\n")[0]


def slug(name: str) -> str:
    """Return a name as a file's."""
    return re.sub(r"[^a-z0-9.=-]+", "-", name.lower())
