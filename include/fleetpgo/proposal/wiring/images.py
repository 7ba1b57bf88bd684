"""Find Dockerfiles that build the service but do not copy the profile.

A Dockerfile is read as text. Its build context may be the root of the repository or its own directory: an
image is named if the profile reaches it from neither.
"""

from __future__ import annotations

import posixpath
import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from fleetpgo.proposal.wiring.makefile import command_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fleetpgo.proposal.wiring.texts import BuildTexts

_DOCKERFILE = re.compile(r"(?:.*/)?[^/]*(?:Docker|Container)file[^/]*")
_CONTINUED = re.compile(r"\\[ \t]*\r?\n")
_INSTRUCTION = re.compile(r"\s*(COPY|ADD|RUN)\s+(.*)", re.IGNORECASE)
_GO_BUILD = re.compile(r"\bgo\s+(?:build|install)\b")
_HERE = re.compile(r"<<-?[\"']?(\w+)")
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
        builds = any(
            _runs(words, command) or (automatic and _may_build(words, posixpath.dirname(profile)))
            for words in runs
        )
        passes = any(_GO_BUILD.search(words) and profile in words for words in runs)
        sources = [source for kind, words in instructions if kind != "RUN" for source in _sources(words)]
        mounted = any("--mount=type=bind" in words and "from=" not in words for words in runs)
        if not (builds or passes) or mounted or not sources:
            continue
        whys = [
            _unreached(repository, name, sources, profile, context)
            for context in dict.fromkeys(("", posixpath.dirname(name)))
        ]
        if all(whys):
            effect = "builds without the profile" if automatic else "no longer builds"
            said.append(f"the image of {name} {effect}: it {whys[0]} before it builds the service")
    return tuple(said)


def _unreached(
    repository: BuildTexts, dockerfile: str, sources: Sequence[str], profile: str, context: str
) -> str:
    """Why an image does not get the profile from a build context; "" if it does."""
    inside = posixpath.relpath(profile, context or ".")
    if inside.startswith("../") or not any(_covers(source, inside) for source in sources):
        return f"does not copy {profile}"
    left_out = _ignored(repository, dockerfile, inside, context)
    return f"does not get {profile}, which {left_out} leaves out," if left_out else ""


def _may_build(words: str, main: str) -> bool:
    """Return whether a RUN may build the main package in a directory; not if it names only others."""
    for build in command_lines(words):
        named = [word.strip("\"'") for word in build.words]
        packages = [posixpath.normpath(word) for word in named if re.match(r"\.{1,2}(?:/|\Z)", word)]
        if not packages or any(
            "..." in each or "$" in each or each == "." or f"/{main}".endswith(f"/{each}")
            for each in packages
        ):
            return True
    return False


def _instructions(text: str) -> Iterator[tuple[str, str]]:
    """Yield the instructions that copy or run something, a list of words or a here-document as one line."""
    lines = iter(_CONTINUED.sub(" ", text).splitlines())
    for line in lines:
        if match := _INSTRUCTION.match(line):
            words = match[2]
            if match[1].upper() == "RUN" and words.startswith("["):
                words = " ".join(re.findall(r'"((?:[^"\\]|\\.)*)"', words))
            for end in _HERE.findall(words):
                while (inner := next(lines, end)).strip() != end:
                    words = f"{words}; {inner}"
            yield match[1].upper(), words


def _runs(words: str, command: Sequence[str]) -> bool:
    """Return whether a RUN runs the service's build command, whatever else is in it."""
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
    """Return whether a source of COPY holds a path: it, or a directory above it."""
    pattern = posixpath.normpath(source.lstrip("/") or ".")
    parts = path.split("/")
    above = ["/".join(parts[: count + 1]) for count in range(len(parts))]
    return pattern == "." or any(
        each.count("/") == pattern.count("/") and fnmatchcase(each, pattern) for each in above
    )


def _ignored(repository: BuildTexts, dockerfile: str, path: str, context: str) -> str:
    """Return the .dockerignore that leaves a path of a build context out; "" if none does."""
    for name in (f"{dockerfile}.dockerignore", posixpath.join(context, ".dockerignore")):
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
    """Return whether a rule of a .dockerignore is about a path, or a directory above it."""
    expression = ""
    for part in re.split(r"(\*\*/|\*\*|\*|\?)", pattern):
        expression += {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}.get(part) or re.escape(part)
    return pattern == "." or re.fullmatch(f"{expression}(?:/.*)?", path) is not None
