"""The build files of a repository (Makefiles, Dockerfiles, go.mod …), read before any build has run.

They are read as text, line by line. They decide what fleetpgo edits and tells the reviewer, but never whether
the profile reached the build.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fleetpgo.errors import RepositoryError
from fleetpgo.golang import worktree
from fleetpgo.proposal.git import git

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fleetpgo.proposal.checkout import Checkout

_BUILD_FILE = re.compile(
    r"""(?:.*/)?(?:
        (?:GNU)?[Mm]akefile[^/]* | [^/]*\.(?:mk|mak|sh|bash|bat|cmd|ps1|py|ya?ml|toml|bzl|bazel)
        | [^/]*(?:Docker|Container)file[^/]* | BUILD | WORKSPACE | \.bazelrc | [Jj]ustfile | Taskfile[^/]*
        | [Mm]agefile[^/]* | (?:[^/]*/)*magefiles/[^/]*\.go
        | (?:[^/]*/)*(?:bin|build|ci|hack|script|scripts|tools)/[^/.]*
    )""",
    re.VERBOSE,
)
_ELSEWHERE = re.compile(r"(?:.*/)?(?:vendor|testdata|node_modules|third_party)/")
_LARGEST = 1 << 20
"""Bytes of the largest file that is read: no person writes a longer build script."""

_COMMENT = re.compile(r"\s*(?:\#|//|REM\b)")
_DESCRIBES = re.compile(r"\bgit\b.*\b(?:describe|rev-list|shortlog)\b")
_PASSES = re.compile(r"-pgo[=\s\"']|\bpgoprofile\b")
_NO_BUILD = re.compile(r"\bgo\s+(?:test|vet|run|generate)\b")
_BUILDS = re.compile(r"\bgo\s+(?:build|install)\b|\bgo_binary\b")
_GORELEASER = re.compile(r"(?:.*/)?\.?goreleaser[^/]*\.ya?ml")
"""It runs ``go build`` by itself; which flags that gets, its file says."""

_OFF = re.compile(r"-pgo[=\s]\s*[\"']?off\b")


@dataclass(frozen=True)
class BuildTexts:
    """The build files of a repository.

    Attributes:
        root: the work tree, links resolved.
        base: the branch.
        texts: path and text of each; bytes that are no UTF-8 are kept as surrogates.
        modules: path and directory of each Go module.
        links: path of each tracked link that leads to a file in the tree, and of that file.
        ignored: text of each ``.dockerignore``, by its path.
    """

    root: Path
    base: str
    texts: Mapping[str, str]
    modules: Mapping[str, Path]
    links: Mapping[str, str]
    ignored: Mapping[str, str]

    @property
    def history(self) -> bool:
        """Whether the build asks git for tags or older commits."""
        return any(_DESCRIBES.search(line) for _, line in self.lines())

    def lines(self) -> Iterator[tuple[str, str]]:
        """Yield the lines that are not comments, each with the path of its file."""
        for name, text in self.texts.items():
            for line in text.splitlines():
                if not _COMMENT.match(line):
                    yield name, line

    def passes_profile(self, profile: str) -> bool:
        """Return whether a build may use the profile: through a ``-pgo`` flag, or as Go's ``default.pgo``."""
        if Path(profile).name == "default.pgo":
            return True
        name = Path(profile).name
        return any(
            _PASSES.search(line)
            # A variable may hold the name.
            and (name in line or re.search(r"[$%{]", line))
            and not _OFF.search(line)
            and not _NO_BUILD.search(line)
            for _, line in self.lines()
        )

    def building_without(self, but: str | None) -> tuple[str, ...]:
        """Return the files, except one, that build something without a profile."""
        building, passing = set(), {but}
        for name, line in self.lines():
            if _BUILDS.search(line) or _GORELEASER.fullmatch(name):
                building.add(name)
            if _PASSES.search(line) and (_BUILDS.search(line) or not _NO_BUILD.search(line)):
                passing.add(name)
        return tuple(sorted(building - passing))

    def package_directory(self, package: str) -> str | None:
        """Directory of a package of the repository, relative to its root; None if it is not of it."""
        module = innermost(self.modules, package)
        if module is None:
            return None
        path = next(path for path, directory in self.modules.items() if directory == module)
        return (module / package.removeprefix(path).lstrip("/")).relative_to(self.root).as_posix()


def read_build_texts(checkout: Checkout) -> BuildTexts:
    """Read the build files of a clone.

    Args:
        checkout: the clone, which no build has touched.

    Raises:
        RepositoryError: if git fails.
    """
    root = checkout.path.resolve()
    texts: dict[str, str] = {}
    ignored: dict[str, str] = {}
    modules, links = {}, {}
    tracked = [name for name in git(checkout.path, "ls-files", "-z").split("\0") if name]
    for name in tracked:
        path = root / name
        if path.is_symlink():
            if _text(root, name) is not None:
                links[name] = worktree.resolve(root, name).relative_to(root).as_posix()
        elif path.name == "go.mod":
            declared = re.search(r'^module\s+"?([^\s"]+)', _text(root, name) or "", re.MULTILINE)
            if declared:
                modules[declared[1]] = path.parent
        elif name.endswith(".dockerignore"):
            ignored[name] = _text(root, name) or ""
        elif _is_build_file(name) and (text := _text(root, name)) is not None:
            texts[name] = text
    # What a link leads to need not be named as a build file is.
    for link, name in links.items():
        if _BUILD_FILE.fullmatch(link) and (text := _text(root, name)) is not None:
            texts[name] = text
    return BuildTexts(root, checkout.base, texts, modules, links, ignored)


def innermost(modules: Mapping[str, Path], package: str) -> Path | None:
    """Directory of the innermost module that a package is in; None if none is."""
    around: Sequence[str] = [path for path in modules if f"{package}/".startswith(f"{path}/")]
    return modules[max(around, key=len)] if around else None


def _is_build_file(name: str) -> bool:
    return bool(_BUILD_FILE.fullmatch(name)) and not _ELSEWHERE.match(name)


def _text(root: Path, name: str) -> str | None:
    """Return a file's text, its line ends as they are; None: it is no file of the tree that anybody wrote."""
    try:
        content = worktree.read(root, name, _LARGEST)
    except RepositoryError:
        return None
    return None if content is None else content.decode(errors="surrogateescape")
