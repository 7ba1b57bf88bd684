"""Bad inputs, each with the reason that it must be refused with.

``python -m tests.pprof.corpus FOLDER`` writes them as files, to try other readers on them.
"""

from __future__ import annotations

import gzip
import sys
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from tests.pprof.messages import message

if TYPE_CHECKING:
    from collections.abc import Callable

    from fleetpgo.pprof import profile_pb2

MIB = 1 << 20
LEAF, CALLER = [("main.leaf", 50, 51)], [("main.caller", 10, 17)]


def good() -> profile_pb2.Profile:
    """What the bad ones are made from: two stacks, ten seconds, one core busy."""
    return message([([LEAF, CALLER], 900), ([CALLER], 100)], duration=10 * 10**9)


def changed(change: Callable[[profile_pb2.Profile], object]) -> bytes:
    profile = good()
    change(profile)
    return gzip.compress(profile.SerializeToString(), mtime=0)


def counting(*types: tuple[str, str]) -> bytes:
    return gzip.compress(message([([LEAF], 5)], types=types).SerializeToString(), mtime=0)


def bomb(record: bytes, size: int) -> bytes:
    """A gzip stream of a string table, and one record repeated to about ``size`` bytes."""
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    parts = [b"\x32\x00", *[record * (MIB // len(record))] * (size // MIB)]
    return b"".join(map(packer.compress, parts)) + packer.flush()


def many_lines_in_many_stacks(count: int, *above: list[tuple[str, int, int]]) -> bytes:
    """All stacks share a location in which so many calls are inlined: count² lines to look at."""
    profile = message([([*above, LEAF * count], 100)], duration=10**9)
    for _ in range(count):
        profile.sample.append(profile.sample[0])
    return gzip.compress(profile.SerializeToString(), mtime=0)


def without_start_lines(profile: profile_pb2.Profile, *names: str) -> None:
    for function in profile.function:
        if profile.string_table[function.name].decode() in names:
            function.start_line = 0


def renamed(profile: profile_pb2.Profile, text: bytes) -> None:
    profile.string_table[profile.function[0].name] = text


def corpus() -> dict[str, tuple[str, bytes]]:
    """name → (reason, bytes)."""
    raw = good().SerializeToString()
    packed = gzip.compress(raw, mtime=0)
    damaged = bytearray(packed)
    damaged[-5] ^= 0xFF
    scrambled = bytearray(packed)
    scrambled[20:40] = bytes(20)
    deep = message([([CALLER] * 5000, 100)], duration=10**9).SerializeToString()
    packed_cut = b"\x12\x04\x0a\x02\x01\xff" + raw
    empty_lines = b"\x22\x08\x08\x01" + b"\x22\x00" * 2 + b"\x18\x01"
    return {
        "empty": ("empty", b""),
        "web-page": ("html", b"<!DOCTYPE html><html><body>Please log in</body></html>"),
        "web-page-in-capitals": ("html", b"\n\n  <HTML><TITLE>502 Bad Gateway</TITLE></HTML>"),
        "go-refuses": ("text", b"Could not enable CPU profiling: cpu profiling already in use\n"),
        "text-form": ("text", b"heap profile: 3: 4096 [10: 8192] @ heap/1048576\n"),
        "json": ("text", b'{"error": "not found"}'),
        "web-page-zipped": ("not-a-profile", gzip.compress(b"<!DOCTYPE html><html></html>", mtime=0)),
        "an-elf-binary": ("not-a-profile", b"\x7fELF\x02\x01\x01" + bytes(500)),
        "zeros": ("not-a-profile", bytes(1000)),
        "no-string-table": ("not-a-profile", gzip.compress(b"\x48\x01", mtime=0)),
        "string-table-without-empty-string": (
            "not-a-profile",
            changed(lambda p: p.string_table.__setitem__(0, b"x")),
        ),
        "gzip-cut-off": ("truncated", packed[:-30]),
        "gzip-header-only": ("truncated", packed[:10]),
        "gzip-without-checksum": ("truncated", packed[:-8]),
        "message-cut-off": ("truncated", raw[:-3]),
        "message-cut-off-zipped": ("truncated", gzip.compress(raw[:-50], mtime=0)),
        "packed-list-cut-off": ("not-a-profile", gzip.compress(packed_cut, mtime=0)),
        "gzip-wrong-checksum": ("corrupt", bytes(damaged)),
        "gzip-scrambled": ("corrupt", bytes(scrambled)),
        "two-profiles-in-one-file": ("concatenated", packed + packed),
        "bytes-after-the-profile": ("concatenated", packed + b"\n"),
        "bomb-of-zeros": ("too-large", bomb(b"\0", 128 * MIB)),
        "bomb-of-empty-samples": ("too-large", bomb(b"\x12\x00", 12 * MIB)),
        "bomb-of-empty-functions": ("too-large", bomb(b"\x2a\x00", 12 * MIB)),
        "bomb-of-empty-strings": ("too-large", bomb(b"\x32\x00", 12 * MIB)),
        "bomb-of-empty-lines": ("too-large", bomb(empty_lines, 12 * MIB)),
        "bomb-of-deep-stacks": (
            "too-large",
            bomb(b"\x12\xa3\x1f\x0a\xa0\x1f" + b"\x01" * 4000, 15 * MIB),
        ),
        "bomb-of-values": ("too-large", bomb(b"\x12\xa3\x1f\x12\xa0\x1f" + b"\x01" * 4000, 15 * MIB)),
        "bomb-of-labels": ("too-large", bomb(b"\x12\xa0\x1f" + b"\x1a\x00" * 2000, 15 * MIB)),
        "bomb-of-comments": ("too-large", bomb(b"\x6a\xa0\x1f" + b"\x01" * 4000, 15 * MIB)),
        "bomb-of-inlined-calls": ("too-large", many_lines_in_many_stacks(1500)),
        "bomb-of-inlined-calls-deep": ("too-large", many_lines_in_many_stacks(5000, LEAF, LEAF)),
        "too-many-bytes": ("too-large", b"\x1f\x8b" + bytes(33 * MIB)),
        "endless-stack": ("too-deep", gzip.compress(deep, mtime=0)),
        "heap": ("heap-profile", counting(("alloc_space", "bytes"), ("inuse_space", "bytes"))),
        "mutex": ("contention-profile", counting(("contentions", "count"), ("delay", "nanoseconds"))),
        "goroutines": ("goroutine-profile", counting(("goroutine", "count"))),
        "threads": ("thread-profile", counting(("threadcreate", "count"))),
        "wall-clock": ("wall-profile", counting(("samples", "count"), ("time", "nanoseconds"))),
        "other-unit": ("no-cpu-samples", counting(("cpu", "seconds"))),
        "no-sample-types": ("no-cpu-samples", gzip.compress(b"\x32\x00", mtime=0)),
        "no-samples": ("no-samples", changed(lambda p: p.ClearField("sample"))),
        "all-zero": ("no-samples", gzip.compress(message([([LEAF], 0)]).SerializeToString(), mtime=0)),
        "difference": ("negative-values", changed(lambda p: p.sample[0].value.__setitem__(0, -5))),
        "no-start-lines": (
            "no-start-line",
            changed(lambda p: without_start_lines(p, "main.leaf", "main.caller")),
        ),
        "some-start-lines": ("partial-start-line", changed(lambda p: without_start_lines(p, "main.caller"))),
        "unknown-location": ("bad-reference", changed(lambda p: p.sample[0].location_id.append(99))),
        "location-zero": ("bad-reference", changed(lambda p: p.sample[0].location_id.append(0))),
        "unknown-function": (
            "bad-reference",
            changed(lambda p: setattr(p.location[0].line[0], "function_id", 1 << 63)),
        ),
        "unknown-mapping": ("bad-reference", changed(lambda p: setattr(p.location[0], "mapping_id", 7))),
        "unknown-string": ("bad-reference", changed(lambda p: setattr(p.function[0], "name", 1000))),
        "negative-string": ("bad-reference", changed(lambda p: setattr(p.function[0], "name", -1))),
        "negative-file-of-a-mapping": (
            "bad-reference",
            changed(lambda p: setattr(p.mapping[0], "filename", -1)),
        ),
        "unknown-string-in-header": ("bad-reference", changed(lambda p: p.comment.append(500))),
        "two-locations-with-one-id": ("duplicate-id", changed(lambda p: setattr(p.location[1], "id", 1))),
        "function-with-id-zero": ("duplicate-id", changed(lambda p: setattr(p.function[0], "id", 0))),
        "one-value-too-many": ("wrong-value-count", changed(lambda p: p.sample[0].value.append(1))),
        "one-value-too-few": ("wrong-value-count", changed(lambda p: p.sample[0].value.pop())),
        "line-beyond-all-files": (
            "bad-line",
            changed(lambda p: setattr(p.location[1].line[0], "line", (1 << 63) - 1)),
        ),
        "start-line-before-all-files": (
            "bad-line",
            changed(lambda p: setattr(p.function[1], "start_line", -(1 << 63))),
        ),
        "counts-too-far": ("overflow", changed(lambda p: p.sample[0].value.__setitem__(1, 1 << 62))),
        "period-too-long": ("overflow", changed(lambda p: setattr(p, "period", 1 << 62))),
        "name-that-is-not-utf-8": ("bad-name", changed(lambda p: renamed(p, b"main.caf\xe9"))),
        "name-with-line-break": ("bad-name", changed(lambda p: renamed(p, b"main.a\nmain.b\n1 99999"))),
    }


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, (reason, data) in corpus().items():
        (folder / f"{reason}--{name}").write_bytes(data)
