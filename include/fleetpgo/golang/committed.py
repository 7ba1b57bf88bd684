"""Check that the profile in a repository still fits its program. A service's own CI runs this check.

It knows a work tree, a main package and a profile: no service file, no forge and no fleet.
"""

from __future__ import annotations

import stat
import tempfile
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from fleetpgo import pprof
from fleetpgo.errors import BuildError, ProfileError, ToolchainError
from fleetpgo.golang.packages import packages
from fleetpgo.golang.sourcematch import Sources
from fleetpgo.golang.toolchain import run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fleetpgo.golang.sourcematch import SourceMatch

_TIMEOUT = timedelta(minutes=30)
_MEMORY = 1 << 40
"""Bytes: what bounds a build in CI is the CI's own."""

_NAMED = 3

Check = Literal["profile", "match", "build"]


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        check: which one: can the profile be read, does it match the source, does the program build with it.
        failed: whether that must be mended.
        said: what was found, in a sentence.
        hint: what to do about it; "" if nothing need be done.
    """

    check: Check
    failed: bool
    said: str
    hint: str = ""


def default_profile(source: Path, package: str, *, environment: Mapping[str, str], tags: str) -> Path:
    """Return the path of ``default.pgo`` beside a main package; the file need not exist.

    Args:
        source: directory of the Go module, or a part of it.
        package: the main package, as ``go build`` takes it: a directory, files, or an import path.
        environment: of Go: the caller's own.
        tags: build tags, comma-separated.

    Raises:
        ToolchainError: if there is no Go, or it cannot list the package of an import path.
    """
    place = source / package
    if package.endswith(".go"):
        place = place.parent
    elif not place.is_dir():
        listed = packages(source, package, environment=environment, tags=tags)
        place = next(
            (Path(each.directory) for each in listed if each.path == package and each.directory), place
        )
    return place / "default.pgo"


def check_committed(
    source: Path,
    package: str,
    profile: Path,
    *,
    least: float,
    builds: Sequence[Sequence[str]],
    environment: Mapping[str, str],
    tags: str = "",
    seen: Callable[[str], None],
) -> list[Finding]:
    """Check a committed profile against the source and the toolchain beside it.

    Args:
        source: directory of the Go module, or a part of it.
        package: the main package, as ``go build`` takes it.
        profile: the file.
        least: share of its weight that the source must still have, 0 … 1.
        builds: further flags of each build to try, such as ``["-race"]``; one without any is ``[]``.
        environment: of Go: the caller's own.
        tags: build tags, comma-separated.
        seen: takes each line that a build prints.

    Returns:
        a finding for each check, in their order; after a profile that cannot be read, no other.

    Raises:
        ToolchainError: if there is no Go, not the one that the source asks for, or no such main package.
    """
    try:
        content = _read(profile)
        edges = pprof.call_edges(pprof.decode(content))
    except (OSError, ProfileError) as error:
        said = error.message if isinstance(error, ProfileError) else f"{profile}: {error.strerror}"
        hint = "restore the file from the commit that brought it, or remove it: Go refuses one it cannot read"
        if not profile.exists():
            hint = "name the main package, or the file (--package, --profile)"
        elif _is_pointer(profile):
            hint = (
                "it is a pointer of Git LFS: fetch it with `git lfs pull`, in CI by an option of the checkout"
            )
        return [Finding("profile", failed=True, said=f"the profile cannot be read: {said}", hint=hint)]
    if not edges.total:
        hint = "an empty file is no profile to Go; remove it, or have fleetpgo propose one"
        return [Finding("profile", failed=True, said=f"{profile} holds no call", hint=hint)]
    found = [Finding("profile", failed=False, said=f"{len(edges.weights):,} call edges can be read")]
    listed = packages(source, package, environment=environment, tags=tags)
    if not any(each.name == "main" for each in listed):
        raise ToolchainError(
            f"`go list` finds no main package {package} in {source}",
            hint="name it as `go build` takes it, such as ./cmd/api, and the tags that it needs "
            "(--package, --tags)",
        )
    match = Sources(listed).match(edges)
    found.append(_judge(match, least))
    return found + [_build(source, package, profile, flags, tags, environment, seen) for flags in builds]


def _read(profile: Path) -> bytes:
    """Return the bytes of a profile that a repository holds, as a file or a link to anything.

    Raises:
        OSError: it is not there.
        ProfileError: it is no file, or too large to be a profile.
    """
    about = profile.stat()
    most = pprof.Limits().packed_bytes
    if not stat.S_ISREG(about.st_mode):
        raise ProfileError(f"{profile} is no file", reason="not-a-profile")
    if about.st_size > most:
        raise ProfileError(f"{profile} is larger than {most:,} bytes", reason="too-large")
    return profile.read_bytes()


def _is_pointer(profile: Path) -> bool:
    """Return whether a file stands in for one that Git LFS keeps.

    Source: https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md.
    """
    if not profile.is_file():
        return False
    with profile.open("rb") as stream:
        return stream.read(100).startswith(b"version https://git-lfs.github.com/spec/")


def _judge(match: SourceMatch, least: float) -> Finding:
    if match.share is None:
        hint = "see that it was taken from this program; `fleetpgo profile top` shows what is in it"
        return Finding("match", failed=True, said="no call of the profile is in this program", hint=hint)
    said = f"source match {match.share:.2f}, of {match.compared:.0%} of the weight".replace("%", " %")
    if match.share >= least:
        if not match.other_go:
            return Finding("match", failed=False, said=said)
        hint = "have a new profile proposed once production runs this version"
        return Finding("match", failed=False, said=f"{said}; {match.other_go}", hint=hint)
    gone = "; ".join(
        f"{lost.edge.caller} calls {lost.edge.callee}: {lost.why} is gone" for lost in match.lost[:_NAMED]
    )
    why = match.other_go or "the source has changed since the profile was taken, or it is another program's"
    return Finding(
        "match",
        failed=True,
        said=f"{said}, below {least:g}: {why} ({gone})",
        hint="have a new profile proposed",
    )


def _build(
    source: Path,
    package: str,
    profile: Path,
    flags: Sequence[str],
    tags: str,
    environment: Mapping[str, str],
    seen: Callable[[str], None],
) -> Finding:
    shown = " ".join(["go build", *flags])
    with tempfile.TemporaryDirectory(prefix="fleetpgo-") as directory:
        output = Path(directory) / "program"
        named = ("-pgo", str(profile.absolute()), "-tags", tags, "-o", str(output))
        command = ("go", "build", *flags, *named, package)
        try:
            run(source, command, timeout=_TIMEOUT, memory=_MEMORY, environment=environment, seen=seen)
        except ToolchainError:
            raise
        except BuildError as error:
            last = error.message.splitlines()[-1]
            return Finding(
                "build",
                failed=True,
                said=f"`{shown}` fails with the profile: {last}",
                hint=_build_hint(flags),
            )
    return Finding("build", failed=False, said=f"`{shown}` works with the profile")


def _build_hint(flags: Sequence[str]) -> str:
    """Say what to do about a build that fails."""
    known = {"-cover": " (known with -cover: golang/go#80891)", "-race": " (with -race: golang/go#61376)"}
    about = "".join(known.get(flag, "") for flag in flags)
    return f"try it with -pgo=off: if that works, the profile is to blame{about}; if not, it is the source"
