"""Find Dockerfiles that build the service but do not copy the profile.

A Dockerfile is read as text. Its build context is taken to be the root of the repository.
"""

from __future__ import annotations

import posixpath
import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fleetpgo.proposal.wiring.texts import BuildTexts

_DOCKERFILE = re.compile(r"(?:.*/)?[^/]*(?:Docker|Container)file[^/]*")
_CONTINUED = re.compile(r"\\[ \t]*\r?\n")
_INSTRUCTION = re.compile(r"\s*(COPY|ADD|RUN)\s+(.*)", re.IGNORECASE)
_GO_BUILD = re.compile(r"\bgo\s+(?:build|install)\b")
_MAKE = re.compile(r"\bmake\b((?:\s+[^\s;&|]+)*)")


def unreached_images(
    repository: BuildTexts, profile: str, command: Sequence[str], *, automatic: bool
) -> tuple[str, ...]:
    """Return a warning for each Dockerfile that builds the service without copying the profile.

    Args:
        repository: its build files.
        profile: path of the profile.
        command: the service's build command.
        automatic: whether Go finds the profile by itself; else a build without the file fails.

    Returns:
        a sentence for each.
    """
    said = []
    for name, text in repository.texts.items():
        if not _DOCKERFILE.fullmatch(name):
            continue
        instructions = list(_instructions(text))
        runs = [words for kind, words in instructions if kind == "RUN"]
        builds = any(_runs(words, command) or (automatic and _GO_BUILD.search(words)) for words in runs)
        passes = any(_GO_BUILD.search(words) and profile in words for words in runs)
        sources = [source for kind, words in instructions if kind != "RUN" for source in _sources(words)]
        mounted = any("--mount=type=bind" in words and "from=" not in words for words in runs)
        if not (builds or passes) or mounted or not sources:
            continue
        why = ""
        if not any(_covers(source, profile) for source in sources):
            why = f"does not copy {profile}"
        elif left_out := _ignored(repository, name, profile):
            why = f"does not get {profile}, which {left_out} leaves out,"
        if why:
            effect = "builds without the profile" if automatic else "no longer builds"
            said.append(f"the image of {name} {effect}: it {why} before it builds the service")
    return tuple(said)


def _instructions(text: str) -> Iterator[tuple[str, str]]:
    for line in _CONTINUED.sub(" ", text).splitlines():
        if match := _INSTRUCTION.match(line):
            yield match[1].upper(), match[2]


def _runs(words: str, command: Sequence[str]) -> bool:
    """Whether a RUN runs the service's build command, whatever else is in it."""
    program, *arguments = command
    if posixpath.basename(program) == "make":
        targets = {word for word in arguments if not word.startswith("-") and "=" not in word}
        for made in _MAKE.finditer(words):
            asked = {word for word in made[1].split() if not word.startswith("-") and "=" not in word}
            if asked & targets or asked == targets:
                return True
        return False
    return " ".join(command) in " ".join(words.split()) if program == "go" else program in words


def _sources(words: str) -> list[str]:
    """What a COPY or ADD takes from the build context."""
    flags = [word for word in words.split() if word.startswith("--")]
    if any(flag.startswith("--from=") for flag in flags):
        return []
    rest = re.findall(r'"((?:[^"\\]|\\.)*)"', words) if "[" in words else words.split()[len(flags) :]
    return rest[:-1]


def _covers(source: str, path: str) -> bool:
    """Whether a source of COPY holds a path: it, or a directory above it."""
    pattern = posixpath.normpath(source.lstrip("/") or ".")
    parts = path.split("/")
    above = ["/".join(parts[: count + 1]) for count in range(len(parts))]
    return pattern == "." or any(
        each.count("/") == pattern.count("/") and fnmatchcase(each, pattern) for each in above
    )


def _ignored(repository: BuildTexts, dockerfile: str, path: str) -> str:
    """The .dockerignore that leaves a path out; "" if none does."""
    for name in (f"{dockerfile}.dockerignore", ".dockerignore"):
        if name not in repository.ignored:
            continue
        out = False
        for line in repository.ignored[name].splitlines():
            rule = line.strip()
            if not rule or rule.startswith("#"):
                continue
            pattern = posixpath.normpath(rule.lstrip("!").strip().strip("/") or ".")
            if _matches(pattern, path):
                out = not rule.startswith("!")  # the last rule that matches decides
        return name if out else ""
    return ""


def _matches(pattern: str, path: str) -> bool:
    """Whether a rule of a .dockerignore is about a path, or a directory above it."""
    expression = ""
    for part in re.split(r"(\*\*/|\*\*|\*|\?)", pattern):
        expression += {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}.get(part) or re.escape(part)
    return pattern == "." or re.fullmatch(f"{expression}(?:/.*)?", path) is not None
