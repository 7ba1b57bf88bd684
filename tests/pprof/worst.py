"""Profiles that cost as much as one can: each takes one kind of record, or of sharing, to the limit.

All are well-formed, so nothing but a limit stops them. They are written by hand, byte by byte: the protobuf
runtime takes a minute for the largest. ``python -m tests.pprof.worst`` prints what each costs to check, to
merge and to minimise.
"""

from __future__ import annotations

import gzip
import subprocess
import sys
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MIB = 1 << 20
LONG = 64 << 10
LAST_OF_ONE_BYTE = 0x7F

STEPS = """
import re, sys, time
from fleetpgo import pprof
from fleetpgo.errors import ProfileError
from fleetpgo.pprof.minimising import from_edges
data = sys.stdin.buffer.read()
step, reason = sys.argv[1], "-"
start = time.process_time()
try:
    if step == "check":
        pprof.check(data, seconds=1)
    elif step == "merge":
        pprof.merge([data]).data
    elif step == "guard":
        pprof.guard(pprof.decode(data))
    elif step == "minimise":
        pprof.minimise(pprof.decode(data), prove=None)
    elif step == "minimal":
        edges = pprof.call_edges(pprof.merge([data]))
        from_edges(edges), edges.preprofile()
    elif step == "agree":
        table = pprof.EdgeTable()
        table.add(pprof.pack(list(zip("abc", pprof.edges_of_each([data] * 3)))))
        pprof.sufficiency({"a": "a", "b": "b", "c": "c"}, table)
    elif step == "show":  # what the pages' server does
        packed = pprof.merge([data]).data
        start = time.process_time()
        merged = pprof.decode(packed, limits=pprof.MERGED_LIMITS)
        pprof.top(merged, n=1 << 62), pprof.stack_difference(merged, merged)
except ProfileError as error:
    reason = error.reason
    assert len(str(error)) < 2000
seconds = time.process_time() - start
# Not ru_maxrss: a child inherits that of the process that started it.
peak = int(re.search(r"VmHWM:\\s*(\\d+) kB", open("/proc/self/status").read())[1])
print(reason, seconds, peak // 1024)
"""


@cache
def varint(number: int) -> bytes:
    out = bytearray()
    while number > LAST_OF_ONE_BYTE:
        out.append(number & LAST_OF_ONE_BYTE | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def block(field: int, content: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(content)) + content


def packed(field: int, numbers: Iterable[int]) -> bytes:
    listed = list(numbers)
    short = max(listed, default=0) <= LAST_OF_ONE_BYTE
    return block(field, bytes(listed) if short else b"".join(map(varint, listed)))


def sample(stack: Iterable[int], *, labels: bytes = b"", values: Iterable[int] = (1, 10**7)) -> bytes:
    return block(2, packed(1, stack) + packed(2, values) + labels)


def mapping(row: int, *, start: int, name: int) -> bytes:
    return block(3, number(1, row) + number(2, start) + number(3, start + 4096) + number(5, name))


def location(row: int, lines: Iterable[tuple[int, int]], *, mapping: int = 1) -> bytes:
    return block(
        4,
        number(1, row)
        + number(2, mapping)
        + number(3, 4096 + row)
        + b"".join(block(4, number(1, function) + number(2, line)) for function, line in lines),
    )


def function(row: int, name: int, *, file: int = 5, start: int = 1) -> bytes:
    return block(5, number(1, row) + number(2, name) + number(3, name) + number(4, file) + number(5, start))


def text(value: bytes) -> bytes:
    return block(6, value)


TEXTS = (b"", b"samples", b"count", b"cpu", b"nanoseconds", b"/src/main.go")
NAMES = len(TEXTS)
DEEP = [1 + (place * place // 7) % 100 for place in range(4200)]
"""The first of a profile's own texts."""


def message(records: Iterable[bytes], texts: Iterable[bytes], *, mappings: bytes | None = None) -> bytes:
    """A message of one second of CPU with these records; texts are numbered from NAMES."""
    types = block(1, number(1, 1) + number(2, 2)) + block(1, number(1, 3) + number(2, 4))
    tail = block(11, number(1, 3) + number(2, 4)) + number(12, 10**7) + number(10, 10**9)
    first = mapping(1, start=4096, name=5) if mappings is None else mappings
    return b"".join(chain([types, first], records, map(text, chain(TEXTS, texts)), [tail]))


def distinct(count: int) -> Iterable[bytes]:
    return (b"main.f%d" % place for place in range(count))


def functions(count: int) -> Iterable[bytes]:
    return (function(row, NAMES + row - 1) for row in range(1, count + 1))


def shared_name(count: int, name: bytes) -> bytes:
    """Functions that all have one long name, called from each other's lines."""
    return message(
        chain(
            (function(row, NAMES) for row in range(1, count + 1)),
            (location(row, [(row, row)]) for row in range(1, count + 1)),
            (sample([row, row % count + 1]) for row in range(1, count + 1)),
        ),
        [name],
    )


def messages() -> dict[str, Callable[[], bytes]]:
    """Name → what makes the message."""
    found: dict[str, Callable[[], bytes]] = {}
    found["functions sharing a long name"] = lambda: shared_name(60_000, b"main." + b"x" * LONG)
    found["functions sharing a long name outside main"] = lambda: shared_name(
        60_000, b"lib.com/a." + b"x" * LONG
    )
    found["long names that begin alike"] = lambda: message(
        chain(
            functions(900),
            (location(row, [(row, 2)]) for row in range(1, 901)),
            (sample([1 + row % 900, 1 + row // 900]) for row in range(200_000)),
        ),
        (b"main." + b"x" * LONG + b"%d" % place for place in range(900)),
    )
    found["long file names"] = lambda: message(
        chain(
            (function(row, NAMES + 1, file=NAMES, start=row) for row in range(1, 60_001)),
            (location(row, [(row, 2 * row)]) for row in range(1, 60_001)),
            (sample([row]) for row in range(1, 60_001)),
        ),
        [b"/src/" + b"x" * LONG, b"main.f"],
    )
    found["mappings sharing a long name"] = lambda: message(
        chain(
            [function(1, NAMES + 1)],
            (location(row, [(1, row)], mapping=row) for row in range(1, 100_001)),
            (sample([row]) for row in range(1, 100_001)),
        ),
        [b"/bin/" + b"x" * LONG, b"main.f"],
        mappings=b"".join(mapping(row, start=row << 13, name=NAMES) for row in range(1, 100_001)),
    )
    found["sample types sharing a long name"] = lambda: (
        b"".join([block(1, number(1, 1) + number(2, 1)) * 60_000]) + text(b"") + text(b"x" * LONG)
    )
    found["comments sharing a long text"] = lambda: message(
        chain(functions(1), [location(1, [(1, 2)]), sample([1])], [packed(13, [NAMES + 1] * 4_000_000)]),
        [b"main.f", b"x" * LONG],
    )
    stacks = 160_000
    found["distinct stacks"] = lambda: message(
        chain(
            functions(400),
            (location(row, [(row, 2)]) for row in range(1, 401)),
            (sample([1 + row % 400, 1 + row // 400, 1]) for row in range(stacks)),
        ),
        distinct(400),
    )
    found["as many samples as may be"] = lambda: message(
        chain(
            functions(700),
            (location(row, [(row, 2)]) for row in range(1, 701)),
            (sample([1 + row % 700, 1 + row // 700]) for row in range(489_000)),
        ),
        distinct(700),
    )
    found["as many locations as may be"] = lambda: message(
        chain(
            functions(1),
            (location(row, [(1, row)]) for row in range(1, 249_000)),
            (sample([row]) for row in range(1, 249_000)),
        ),
        distinct(1),
    )
    found["as many functions as may be"] = lambda: message(
        chain(
            functions(120_000),
            (location(row, [(row, 2)]) for row in range(1, 120_001)),
            (sample([row, row % 120_000 + 1]) for row in range(1, 120_001)),
        ),
        distinct(120_000),
    )
    found["as many strings as may be"] = lambda: message(
        chain(functions(1), [location(1, [(1, 2)]), sample([1])]), distinct(480_000)
    )
    found["deep stacks"] = lambda: message(
        chain(
            functions(100),
            (location(row, [(row, 2)]) for row in range(1, 101)),
            (sample(DEEP[row % 3000 :][: 1000 + row % 50]) for row in range(40_000)),
        ),
        distinct(100),
    )
    found["stacks as deep as may be"] = lambda: message(
        chain(
            functions(100),
            (location(row, [(row, 2)]) for row in range(1, 101)),
            (sample(DEEP[row % 100 :][:4000]) for row in range(15_000)),
        ),
        distinct(100),
    )
    found["locations of many lines"] = lambda: message(
        chain(
            functions(100),
            (location(row, [(1 + row % 100, line) for line in range(1, 61)]) for row in range(1, 8_001)),
            (sample([row, row % 8000 + 1, (row * 7) % 8000 + 1]) for row in range(1, 8_001)),
        ),
        distinct(100),
    )
    found["many lines next to the leaves of many stacks"] = lambda: message(
        chain(
            functions(100),
            (
                location(row, [(1 + (row * line) % 100, line) for line in range(1, 101)])
                for row in range(1, 4_001)
            ),
            (sample([row, row % 4000 + 1]) for row in range(1, 4_001)),
        ),
        distinct(100),
    )
    found["one location of many lines in many stacks"] = lambda: message(
        chain(
            functions(100),
            [location(1, [(1 + line % 100, line) for line in range(1, 101)])],
            (location(row, [(1 + row % 100, row)]) for row in range(2, 100_001)),
            (sample([row, row // 7 + 2, 1]) for row in range(2, 100_001)),
        ),
        distinct(100),
    )
    labels = b"".join(block(3, number(1, NAMES) + number(2, NAMES + 1)) for _ in range(15))
    found["labels"] = lambda: message(
        chain(
            functions(3),
            [location(1, [(1, 2)])],
            (
                sample([1], labels=labels + block(3, number(1, NAMES) + number(3, row)))
                for row in range(31_000)
            ),
        ),
        distinct(3),
    )
    found["labels of their own text"] = lambda: message(
        chain(
            functions(1),
            [location(1, [(1, 2)])],
            (
                sample([1], labels=block(3, number(1, NAMES) + number(2, NAMES + row)))
                for row in range(200_000)
            ),
        ),
        (b"main.%0200x" % row for row in range(200_001)),
    )
    found["empty lines"] = lambda: message(
        chain(
            functions(1), [location(1, [(1, 2)]), sample([1]), block(4, number(1, 2) + b"\x22\0" * 1_900_000)]
        ),
        distinct(1),
    )
    found["values"] = lambda: (
        block(1, number(1, 1) + number(2, 2)) * 60
        + message(
            chain(
                functions(1),
                [location(1, [(1, 2)])],
                (sample([1], values=[row % 100 + 1] * 62) for row in range(400_000)),
            ),
            distinct(1),
        )
    )
    found["one long text"] = lambda: message(
        chain(functions(1), [location(1, [(1, 2)]), sample([1])]), [b"main." + b"x" * (60 * MIB)]
    )
    found["unknown fields"] = lambda: (
        message(chain(functions(1), [location(1, [(1, 2)]), sample([1])]), [b"main.f"])
        + (b"\xf2\x3f\x03new" * 480_000)
    )
    found["fields of numbers"] = lambda: (
        message(chain(functions(1), [location(1, [(1, 2)]), sample([1])]), [b"main.f"])
        + number(12, 10**7) * 480_000
    )
    return found


def cost(data: bytes, step: str, before: str = "") -> tuple[str, float, int]:
    """Reason of the refusal or -, CPU seconds, and MB at the peak, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", before + STEPS, step], input=data, capture_output=True, check=False
    )
    if done.returncode:
        return done.stderr.decode()[-300:], 0.0, 0
    reason, seconds, megabytes = done.stdout.split()
    return reason.decode(), float(seconds), int(megabytes)


def main() -> None:
    wanted = sys.argv[1:]
    for name, make in messages().items():
        if wanted and not any(each in name for each in wanted):
            continue
        raw = make()
        data = gzip.compress(raw, 1, mtime=0)
        print(f"{name}: {len(data):,} bytes, unpacked {len(raw):,}")  # noqa: T201 -- a table for people
        for step in ("check", "merge", "minimal", "minimise", "guard", "agree", "show"):
            reason, seconds, megabytes = cost(data, step)
            bad = " <<<" if seconds > 2 or megabytes > 500 or not megabytes else ""
            print(f"   {step:10} {seconds:7.2f} s {megabytes:6} MB {reason}{bad}", flush=True)  # noqa: T201
            if reason != "-" and step == "check":
                break


if __name__ == "__main__":
    main()
