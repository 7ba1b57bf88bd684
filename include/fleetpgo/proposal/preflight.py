"""Check within seconds, before the first build, for what would make a service's build fail or take long.

For ``make``, the check runs ``make -n``, which prints the commands. It runs no recipe, except lines that call
make or begin with ``+``, and commands that the Makefile runs while it is parsed (``$(shell …)``). A script,
and a ``go`` command line, are only read. All results are hints, because a line need not run.
"""

from __future__ import annotations

import logging
import posixpath
import re
import shlex
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fleetpgo.golang import processes
from fleetpgo.proposal.wiring.makefile import command_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fleetpgo.proposal.wiring.texts import BuildTexts
    from fleetpgo.service.rules import BuildRules

_log = logging.getLogger(__name__)

_SECONDS = 60.0
_MOST = 4 << 20
"""Bytes that ``make -n`` may print."""

_INSTALLER = re.compile(
    r"\bgo\s+install\s+(?:-\S+\s+)*\S+@\S+|\b(?:curl|wget)\b[^|]*\|\s*(?:sudo\s+)?(?:ba)?sh\b"
    r"|\b(?:apt|apt-get|apk|brew|dnf|yum)\s+(?:-\S+\s+)*(?:install|add)\b"
    r"|\b(?:npm|pnpm|yarn)\s+(?:ci|install|i)\b|\bpip3?\s+install\b"
)
_COPY = re.compile(r"(?:\w+=\S*\s+)*(?:sudo\s+)?(?:install|cp|mv|ln)\s+.*\s(\S+)\s*\Z")
_ELSEWHERE = re.compile(r"(?:~|\$\{?(?:HOME|GOPATH|GOBIN)\b|\$\(go env GO(?:PATH|BIN)\))")
_DIRECT = re.compile(
    r"(?:^|[;&|(])\s*(?:\w+=\S*\s+|(?:env|exec|nice|sudo|time)\s+)*(?:\S*/)?go\s+(?:-\S+\s+)*(?:build|install)\b"
)
"""A call of Go in the clone, not in a container or on another machine."""

_PLAIN = re.compile(r"[^;&|()<>`$\"'\\{}]*")
_PROGRAM = re.compile(r"[a-z][\w.+-]*")
_BUILT_IN = {
    *("alias", "bg", "break", "case", "cd", "command", "continue", "do", "done", "echo", "elif", "else"),
    *("esac", "eval", "exec", "exit", "export", "false", "fi", "for", "function", "if", "in", "local"),
    *("printf", "pwd", "read", "return", "set", "shift", "source", "test", "then", "time", "trap", "true"),
    *("type", "ulimit", "umask", "unset", "until", "wait", "while"),
}


_SHELLS = {"bash", "make", "python", "python3", "sh"}


@dataclass(frozen=True)
class Objection:
    """Something in the way of a build.

    Attributes:
        said: what was found, in a sentence.
        hint: what to change.
        fatal: whether the build cannot succeed with it.
    """

    said: str
    hint: str
    fatal: bool = False


def look_ahead(repository: BuildTexts, rules: BuildRules, environment: Mapping[str, str]) -> list[Objection]:
    """Return what is in the way of a build; what makes it fail comes first.

    Args:
        repository: its build files; its commands may run in its work tree.
        rules: the build.
        environment: of the build.
    """
    shown = shlex.join(rules.command)
    lines = list(_lines(repository, rules.command, environment))
    found = [
        *_no_makefile(repository, rules),
        *_missing(lines, repository, shown, environment),
        *_elsewhere(lines, repository, rules, environment),
        *_rebuilds(lines, shown),
        *_installers(lines, shown),
    ]
    return sorted(found, key=lambda each: not each.fatal)


def _lines(repository: BuildTexts, command: Sequence[str], environment: Mapping[str, str]) -> Iterator[str]:
    """Yield the command lines that a build is likely to run."""
    program = posixpath.basename(command[0])
    if program in ("make", "gmake"):
        if not shutil.which(command[0], path=environment.get("PATH")):
            return
        # As a shell sets it: a Makefile may name its outputs by $(PWD).
        told = processes.capture(
            (command[0], "-n", *command[1:]),
            repository.root,
            {**environment, "PWD": str(repository.root)},
            seconds=_SECONDS,
            most=_MOST,
        )
        if told.failed:
            _log.info(
                "`make -n` does not tell what the build runs: %s", told.stopped or told.errors.strip()[-500:]
            )
        text = told.output.decode(errors="surrogateescape").replace("\\\n", " ")
        yield from (line.strip() for line in text.splitlines())
    elif program == "go":
        yield shlex.join(command)
    else:
        scripts = {posixpath.normpath(word) for word in command} & repository.texts.keys()
        for name in sorted(scripts):
            for line in repository.texts[name].replace("\\\n", " ").splitlines():
                if not line.lstrip().startswith("#"):
                    yield line.strip()


def _no_makefile(repository: BuildTexts, rules: BuildRules) -> Iterator[Objection]:
    """A make without a Makefile, where none is named."""
    program, *words = rules.command
    if posixpath.basename(program) not in ("make", "gmake") or any(
        word[:2] in ("-f", "-C") for word in words
    ):
        return
    if not any((repository.root / name).exists() for name in ("GNUmakefile", "makefile", "Makefile")):
        yield Objection(
            f"build.command is `{shlex.join(rules.command)}`, and the repository has no Makefile",
            hint=f"name in build.command what builds it, such as `go build -o {rules.binary} PACKAGE`",
            fatal=True,
        )


def _missing(
    lines: Sequence[str], repository: BuildTexts, shown: str, environment: Mapping[str, str]
) -> Iterator[Objection]:
    """Programs that a recipe calls without any condition, and that are not there."""
    recipes = [line for text in repository.texts.values() for line in text.splitlines() if line[:1] == "\t"]
    # After a "-", make goes on whatever fails.
    named = {_first(line.lstrip("\t @+")) for line in recipes}
    for line in lines:
        program = _first(line)
        # What a Makefile prints while it is read looks like a command, too; a recipe must begin so.
        if program not in named or not _PLAIN.fullmatch(line) or not _PROGRAM.fullmatch(program):
            continue
        if program not in _BUILT_IN and not shutil.which(program, path=environment.get("PATH")):
            named.remove(program)
            yield Objection(
                f"`{shown}` runs `{line}`, and there is no {program} on the PATH",
                hint=f"install {program} where the task runs, or name in build.command a target that only "
                "builds the binary",
                fatal=True,
            )


def _first(line: str) -> str:
    """Return the program that a line calls, after the variables that it sets."""
    return next((word for word in line.split() if not re.match(r"\w+=", word)), "")


def _elsewhere(
    lines: Sequence[str], repository: BuildTexts, rules: BuildRules, environment: Mapping[str, str]
) -> Iterator[Objection]:
    """Lines that write outside of the clone; fatal where no other line can write the binary."""
    outside = []
    for line in lines:
        builds = command_lines(line)
        for build in builds if _DIRECT.search(line) else ():
            words = [word.strip("\"'") for word in build.words]
            output = next((words[at + 1] for at, word in enumerate(words[:-1]) if word == "-o"), "")
            output = output or next((word[3:] for word in words if word.startswith("-o=")), "")
            installs = re.search(r"\bgo\s+install\b", line) and not any("@" in word for word in words)
            inside = any("GOBIN" in text for text in (line, *repository.texts.values(), *environment))
            if (output and _leaves(output, repository)) or (installs and not inside):
                outside.append(line)
        copied = None if builds else _COPY.fullmatch(line)
        if copied and _leaves(copied[1], repository):
            outside.append(line)
    shown, binary = shlex.join(rules.command), rules.binary
    directory = posixpath.dirname(binary) or "."
    places = "|".join(map(re.escape, (binary, directory, f"{directory}/")))
    root = re.escape(f"{repository.root}/")
    writes = re.compile(rf"(?:^|[\s\"'=])(?:\./|{root})?(?:{places})(?=$|[\s\"';&|)])")
    # A script may do anything.
    named = any(writes.search(line) or "/" in _first(line) or _first(line) in _SHELLS for line in lines)
    for line in dict.fromkeys(outside):
        yield Objection(
            f"`{shown}` runs `{line}`, which writes outside of the clone"
            + ("" if named else f", and nothing in it says that it writes {binary}"),
            hint=f"name in build.command what only builds, such as `go build -o {binary} PACKAGE`",
            fatal=not named,
        )


def _leaves(path: str, repository: BuildTexts) -> bool:
    """Return whether a path, as a shell reads it, is outside of the repository."""
    if _ELSEWHERE.match(path):
        return True
    inside = posixpath.normpath(path)
    return (
        posixpath.isabs(path) and not inside.startswith((f"{repository.root}/", "/tmp/", "/dev/"))  # noqa: S108 -- of the build's own
    )


def _rebuilds(lines: Sequence[str], shown: str) -> Iterator[Objection]:
    """Builds that use no cache."""
    for line in lines:
        if any("-a" in build.words for build in command_lines(line)):
            yield Objection(
                f"`{shown}` runs `{line}`: -a compiles everything anew, in each of the builds",
                hint="leave -a out: Go's build cache knows what has changed",
            )


def _installers(lines: Sequence[str], shown: str) -> Iterator[Objection]:
    """Lines that install tools."""
    for line in lines:
        if _INSTALLER.search(line):
            yield Objection(
                f"`{shown}` installs a tool: `{line}`",
                hint="name in build.command a target that only builds the binary, or install the tool where "
                "the task runs",
            )
