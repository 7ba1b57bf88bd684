"""Is this a CPU profile that a build can use? Its facts, or the named reason why not."""

from __future__ import annotations

from dataclasses import dataclass

from fleetpgo.errors import ProfileError
from fleetpgo.pprof import reference
from fleetpgo.pprof.edges import go_name
from fleetpgo.pprof.reading import Limits, message


@dataclass(frozen=True)
class Facts:
    """What a profile says about itself.

    Args:
        bytes: size as given.
        message_bytes: size after unzipping.
        sample_types: (type, unit) of each value of a sample.
        samples: CPU samples in it.
        stacks: different stacks (sample records) in it.
        weight: Σ of the value that the compiler reads: samples, or nanoseconds.
        duration_seconds: how long was profiled; 0: not said.
        period: nanoseconds of CPU time between two samples.
        cores: mean cores in use: samples × period ÷ duration; 0: unknown.
        build_id: of the main binary; "": none.
        binary: file name of the main binary, without its folder.
        main_package: import path (or folder) of package main, from the files of its functions; "": none was seen.
        main_share: share of the weight whose stack has a function of package main.
        start_line_share: share of the weight whose two leaf-most locations carry ``start_line`` throughout.
        functions: number of functions.
        comments: comments in the profile.
    """

    bytes: int
    message_bytes: int
    sample_types: tuple[tuple[str, str], ...]
    samples: int
    stacks: int
    weight: int
    duration_seconds: float
    period: int
    cores: float
    build_id: str
    binary: str
    main_package: str
    main_share: float
    start_line_share: float
    functions: int
    comments: tuple[str, ...]


def check(data: bytes, *, limits: Limits = Limits(), seconds: float | None = None) -> Facts:  # noqa: B008 -- frozen
    """Check a profile."""
    p = reference.parse(data, limits)
    s = p.string_table
    types = reference.types(p)
    index = reference.value_index(p)
    weight = sum(x.value[index] for x in p.sample)
    if not weight:
        raise ProfileError(
            "The profile has no samples: the process used no CPU while it was profiled.",
            reason="no-samples",
            hint="Profile a busier instance, or for longer.",
        )
    samples = weight if types[index] == ("samples", "count") else weight // (p.period or 1)
    duration = p.duration_nanos / 1e9
    cores = samples * p.period / p.duration_nanos if p.duration_nanos else 0.0
    starts = {f.id: f.start_line for f in p.function}
    lines = {x.id: all(starts.get(ln.function_id) for ln in x.line) for x in p.location}
    started = sum(x.value[index] for x in p.sample if all(lines[i] for i in x.location_id[:2]))
    if not started:
        raise ProfileError("No function has a start_line.", reason="no-start-line")
    mains = {f.id: go_name(s[f.filename]) for f in p.function if s[f.name].startswith(b"main.")}
    has_main = {x.id: any(ln.function_id in mains for ln in x.line) for x in p.location}
    m = p.mapping[0] if p.mapping else None
    return Facts(
        bytes=len(data),
        message_bytes=len(message(data, limits)),
        sample_types=tuple(types),
        samples=samples,
        stacks=len(p.sample),
        weight=weight,
        duration_seconds=duration,
        period=p.period,
        cores=cores,
        build_id=go_name(s[m.build_id]) if m else "",
        binary=go_name(s[m.filename]).rpartition("/")[2] if m else "",
        main_package=next((name.rpartition("/")[0] for name in mains.values()), ""),
        main_share=sum(x.value[index] for x in p.sample if any(has_main[i] for i in x.location_id)) / weight,
        start_line_share=started / weight,
        functions=len(p.function),
        comments=tuple(go_name(s[c]) for c in p.comment),
    )
