"""Find where a profile belongs in a repository, and edit the build so that it uses the profile.

Both follow from a build of the base: the ``go build`` calls (:mod:`fleetpgo.proposal.wiring.recording`) and
the build settings in the binary. fleetpgo edits only the Makefile line that made the service's binary. If it
is not certain which line that is, fleetpgo edits nothing, and the error shows the exact edit.
"""

from __future__ import annotations

import logging
import os
import posixpath
import re
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from fleetpgo.errors import RepositoryError
from fleetpgo.proposal.wiring.images import unreached_images
from fleetpgo.proposal.wiring.makefile import (
    add_profile,
    build_lines,
    command_lines,
    free_variable,
    script_lines,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fleetpgo.proposal.wiring.recording import GoBuild
    from fleetpgo.proposal.wiring.texts import BuildTexts
    from fleetpgo.service.rules import ServiceRules

_log = logging.getLogger(__name__)

_DEFAULT = "default.pgo"
_ORDER = ("GNUmakefile", "makefile", "Makefile")
"""The names by which make looks for its file; it reads the first that is there."""

_MAKEFILES = set(_ORDER)
_MAKEFILE = re.compile(r"(?:.*/)?(?:(?:GNU)?[Mm]akefile[^/]*|[^/]*\.(?:mk|mak))")
_SHOWN = 3


def is_makefile(path: str) -> bool:
    """Return whether a file's name is that of a Makefile."""
    return _MAKEFILE.fullmatch(path) is not None


@dataclass(frozen=True)
class Wiring:
    """How the profile gets to ``go build``.

    Attributes:
        path: where the profile belongs.
        files: path and content of each file that is edited for it; empty where nothing needs to be.
        off: the call that says that the repository wants no profile; "" if none does.
        unaware: files that build something and pass no profile on; what production runs may be built there.
        images: a sentence for each Dockerfile that the profile does not reach.
    """

    path: str
    files: Mapping[str, bytes] = field(default_factory=dict)
    off: str = ""
    unaware: Sequence[str] = ()
    images: Sequence[str] = ()


@dataclass(frozen=True)
class BaseBuild:
    """Result of the build of the unchanged base branch.

    Attributes:
        calls: each ``go build`` in it.
        settings: of its binary, see :func:`fleetpgo.golang.toolchain.build_settings`.
    """

    calls: Sequence[GoBuild]
    settings: Mapping[str, str]

    def maker(self, repository: BuildTexts, name: str) -> GoBuild | None:
        """Return the call that made the binary; None if that is not certain.

        Args:
            repository: its build files.
            name: path of the binary, relative to the repository.
        """
        binary = (repository.root / name).parent.resolve() / Path(name).name
        makers = [call for call in self.calls if call.makes(binary)]
        if makers:
            return makers[-1]
        # It may have been copied from elsewhere.
        package = self.settings.get("path", "")
        main = repository.package_directory(package)
        copied = [call for call in self.calls if main is None or call.builds(repository.root / main, package)]
        return copied[0] if len(copied) == 1 else None


def find_wiring(repository: BuildTexts, service: ServiceRules, base: BaseBuild) -> Wiring:
    """Find the profile's path and how ``go build`` gets it; if it does not, return the edit of a Makefile.

    Nothing is written. Without ``repository.profile`` the path is the one from which the base's build takes a
    profile already; else ``default.pgo`` beside the main package, which Go finds without any edit.

    Args:
        repository: the repository's build files, read before the build.
        service: rules of the service.
        base: what the build of the base branch did.

    Raises:
        RepositoryError: if the build takes another profile, or it is not certain what must be edited.
    """
    maker = base.maker(repository, service.build.binary)
    if maker is not None and maker.pgo == "off":
        return Wiring(service.repository.profile or "", off=f"{service.build.binary} is made by `{maker}`")
    main = _main_directory(repository, base, maker)
    automatic = None if main is None else _inside(repository, repository.root / main / _DEFAULT)
    taken = _taken(repository, base, maker, automatic, service.repository.profile)
    path = service.repository.profile or taken or automatic
    if path is None:
        raise RepositoryError(
            f"no main package of the repository makes {service.build.binary}, so {_DEFAULT} has no effect",
            hint="set repository.profile in the service file to the path that the build passes as -pgo",
        )
    path = posixpath.normpath(path)
    if taken == path:
        if service.repository.profile is None and path != automatic:
            _log.info("the build on %s passes -pgo=%s, so the profile stays there", repository.base, path)
        return _reached(repository, service, path, automatic=path == automatic and not _passes(maker))
    if taken is not None:
        raise RepositoryError(
            f"{service.build.binary} is built with {taken}, not with {path}",
            hint=f"set repository.profile in the service file to {taken}, or leave it out; or have the build "
            f"pass -pgo={path}, and remove {taken}",
        )
    if path == automatic:
        return _reached(repository, service, path, automatic=True)
    if maker is None and repository.passes_profile(path):
        # Bazel, GoReleaser and their like leave no record. The two binaries will tell.
        return _reached(repository, service, path, automatic=False)
    return _edit(repository, service, path, automatic, maker)


def _passes(maker: GoBuild | None) -> bool:
    """Return whether the call that made the binary passes ``-pgo`` with a path."""
    return maker is not None and maker.pgo not in ("", "auto")


def _reached(
    repository: BuildTexts,
    service: ServiceRules,
    path: str,
    *,
    automatic: bool,
    files: Mapping[str, bytes] | None = None,
) -> Wiring:
    """Return the wiring, with notes for the reviewer on other builds in the repository."""
    unaware = () if automatic else repository.building_without(service.repository.makefile)
    images = unreached_images(repository, path, service.build.command, automatic=automatic)
    return Wiring(path, files or {}, unaware=unaware, images=images)


def _main_directory(repository: BuildTexts, base: BaseBuild, maker: GoBuild | None) -> str | None:
    """Directory of the main package that the binary is made from; None if it is not in the repository."""
    package = base.settings.get("path", "")
    if package == "command-line-arguments" and maker and maker.packages:
        place = (maker.directory / maker.packages[0]).parent
        return _inside(repository, place)
    named = maker.packages or (".",) if maker else ()
    if maker and len(named) == 1 and re.match(r"\.{1,2}(?:/|\Z)", named[0]) and "..." not in named[0]:
        # Two modules may have one name.
        return _inside(repository, Path(os.path.normpath(maker.directory / named[0])))
    return repository.package_directory(package)


def _taken(
    repository: BuildTexts,
    base: BaseBuild,
    maker: GoBuild | None,
    automatic: str | None,
    wanted: str | None,
) -> str | None:
    """Return the path of the profile that the base's build uses; None if there is none or it is unknown."""
    told = base.settings.get("-pgo", "")
    if PurePosixPath(told).is_absolute():
        parts = PurePosixPath(told).parts[1:]
        inner = ["/".join(parts[at:]) for at in range(len(parts))]
        held = (each for each in inner if each in (wanted, automatic) or (repository.root / each).is_file())
        likely = (each for each in held if is_elsewhere(repository, told, each, maker))
        return _inside(repository, Path(told)) or next(likely, told)
    if maker is not None and _passes(maker):
        place = Path(os.path.normpath(maker.directory / maker.pgo))
        return _inside(repository, place) or maker.pgo
    # With -trimpath the binary knows the name alone.
    return automatic if told == _DEFAULT else None


def is_elsewhere(repository: BuildTexts, told: str, path: str, maker: GoBuild | None) -> bool:
    """Return whether a build in a container, where the repository is at another place, used a path of it.

    Args:
        repository: its build files.
        told: the absolute path in the binary.
        path: relative to the repository.
        maker: the call that made the binary; a container leaves no record.
    """
    inside = Path(told).is_relative_to(repository.root)
    return maker is None and not inside and told.endswith(f"/{path}")


def _inside(repository: BuildTexts, place: Path) -> str | None:
    """Return a path relative to the repository; None if it is outside."""
    real = place.parent.resolve() / place.name
    return real.relative_to(repository.root).as_posix() if real.is_relative_to(repository.root) else None


def _edit(
    repository: BuildTexts, service: ServiceRules, path: str, automatic: str | None, maker: GoBuild | None
) -> Wiring:
    """Edit the one line of the Makefile that made the binary."""
    binary, named = service.build.binary, service.repository.makefile
    makefile = repository.links.get(named or "", named)
    text = repository.texts.get(makefile or "", "")
    if maker is None:
        raise _unrecorded(service, repository, path, automatic)
    directory = _inside(repository, maker.directory)
    if directory is None:
        raise _uncertain(service, repository, path, automatic, f"`{maker}` runs outside of the repository")
    flag = posixpath.relpath(path, directory)
    overridden = {word.partition("=")[0] for word in service.build.command if "=" in word}
    lines = [
        (name, line)
        for name in (makefile, *_read_first(repository, makefile))
        for line in build_lines(repository.texts.get(name or "", ""), overridden)
        if line.may_be(maker)
    ]
    by_hand = f"add `-pgo={flag}` to `{maker}`, which makes {binary} in {directory}/"
    if named is None and (there := sorted(_MAKEFILES & {*repository.texts, *repository.links})):
        why = f"repository.makefile is null, so {there[0]} is not edited"
        raise _uncertain(service, repository, path, automatic, why, f"{by_hand}, or name {there[0]} there")
    if len(lines) != 1 or lines[0][0] != makefile:
        places = [f"{name}:{line.line}" for name, line in lines]
        why = f"any of {', '.join(places)} may have run" if places[1:] else ""
        other = _other_makefile(repository, makefile, maker)
        by_hand += f", or set repository.makefile to {other}" if other and not why else ""
        why = why or _elsewhere(repository, named, maker)
        raise _uncertain(service, repository, path, automatic, why, by_hand)
    _, line = lines[0]
    assert makefile is not None  # noqa: S101 -- a line was found in it
    if doubt := line.doubt(maker) or line.elsewhere(maker, directory, posixpath.dirname(named or "")):
        if "several programs" in doubt:
            by_hand = f"make {binary} by a `go build -pgo={flag}` of its own in {directory}/"
        raise _uncertain(service, repository, path, automatic, f"{makefile}:{line.line}: {doubt}", by_hand)
    makefiles = (each for name, each in repository.texts.items() if _MAKEFILE.fullmatch(name))
    content = add_profile(text, line, flag, free_variable([text, *makefiles], overridden))
    return _reached(
        repository, service, path, automatic=False, files={makefile: content.encode(errors="surrogateescape")}
    )


def _read_first(repository: BuildTexts, makefile: str | None) -> list[str]:
    """Return the files beside a Makefile that make reads in its place.

    Source: "What Name to Give Your Makefile", in the manual of GNU make.
    """
    directory, name = posixpath.split(makefile or "")
    before = _ORDER[: _ORDER.index(name)] if name in _ORDER else ()
    paths = (posixpath.join(directory, each) for each in before)
    return [
        repository.links.get(each, each) for each in paths if each in {*repository.texts, *repository.links}
    ]


def _other_makefile(repository: BuildTexts, makefile: str | None, maker: GoBuild) -> str:
    """Return the only other Makefile with a line that may be edited; "" if there is none."""
    found = [
        name
        for name, text in sorted(repository.texts.items())
        if name != makefile and _MAKEFILE.fullmatch(name)
        for line in build_lines(text)
        if line.may_be(maker) and not line.doubt(maker)
    ]
    return found[0] if len(found) == 1 else ""


def _unrecorded(
    service: ServiceRules, repository: BuildTexts, path: str, automatic: str | None
) -> RepositoryError:
    """Return the error for a build that left no record, with the lines that call Go by its path."""
    shown = [
        f"{name}:{line.line} (`{line.text}`)"
        for name, text in sorted(repository.texts.items())
        for line in (build_lines if _MAKEFILE.fullmatch(name) else script_lines)(text)
        if "/" in line.program
    ][:_SHOWN]
    why = "the build left no record of the call"
    if not shown or _bazel(repository, path):
        why += ", as where Go runs in a container or with a PATH of its own"
        return _uncertain(service, repository, path, automatic, why)
    return _uncertain(
        service,
        repository,
        path,
        automatic,
        f"{why}; Go is called by its path in {', '.join(shown)}",
        f"add `-pgo={path}`, as seen from where it runs, to the one that makes {service.build.binary}; or "
        "call `go` there, so that fleetpgo sees the call",
    )


def _elsewhere(repository: BuildTexts, makefile: str | None, maker: GoBuild) -> str:
    """Say where else a call may come from."""
    places = [
        f"{name}: {line.strip()}"
        for name, line in repository.lines()
        if any(each.may_be(maker) for each in command_lines(line))
    ]
    if places:
        return f"it may be in {places[0]}"
    if makefile and makefile not in repository.texts and makefile not in repository.links:
        return f"there is no {makefile}"
    return f"no recipe of {makefile} runs it as it stands" if makefile else "repository.makefile is null"


def _bazel(repository: BuildTexts, path: str) -> str:
    """Return the edit of a Bazel rule; "" if there is none.

    Source: https://github.com/bazel-contrib/rules_go/blob/master/docs/go/core/rules.md#go_binary.
    """
    rules = [
        name
        for name, text in sorted(repository.texts.items())
        if posixpath.basename(name) in ("BUILD", "BUILD.bazel") and "go_binary" in text
    ]
    return f'set `pgoprofile = "//:{path}"` in the go_binary of {" or ".join(rules)}' if rules else ""


def _uncertain(
    service: ServiceRules,
    repository: BuildTexts,
    path: str,
    automatic: str | None,
    why: str,
    by_hand: str = "",
) -> RepositoryError:
    edit = by_hand or _bazel(repository, path)
    edit = edit or f"add `-pgo={path}` to the `go build` that makes {service.build.binary}, wherever that is"
    first = (
        f"leave repository.profile out of the service file: the profile then goes to {automatic}, where Go "
        "looks by itself, and nothing is edited; or "
        if automatic
        else ""
    )
    return RepositoryError(
        f"nothing on {repository.base} passes {path} to the `go build` that makes {service.build.binary}, "
        f"and what to edit is not certain: {why}",
        hint=f"{first}by hand, {edit}",
    )
