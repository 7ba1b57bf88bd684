"""Makes a service's Makefile pass the profile to ``go build``, and touches nothing else in it.

It knows recipes and what a shell makes of their words, no more: what a Make variable comes to, and whether
the profile really arrives, only the built binary tells (:func:`fleetpgo.golang.toolchain.build_settings`).
"""

from __future__ import annotations

import itertools
import posixpath
import re
import shlex
from typing import TYPE_CHECKING

from fleetpgo.errors import RepositoryError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_LOGICAL_LINE = re.compile(r"(?:[^\n]*\\\r?\n)*[^\n]*\n|(?:[^\n]*\\\r?\n)*[^\n]+\Z")

# A recipe as the shell will see it: words, and what ends a command. Make's $(…) may nest.
_TOKEN = re.compile(
    r"""
      (?P<comment> (?<![^\s;&|()]) \# .* )
    | (?P<word> (?:
          \$ \( (?: [^()] | \( (?: [^()] | \( [^()]* \) )* \) )* \)
        | \$ \{ [^}]* \}
        | " (?: \\. | [^"\\] )* "
        | ' [^']* '
        | \\ [^\r\n]
        | [^\s\\;&|()"']
      )+ )
    | (?P<end> [;&|()] )
    """,
    re.VERBOSE,
)
_GO = {"go", "$(GO)", "${GO}"}
_PGO = re.compile(r"--?pgo(?:=(?P<value>.*))?", re.DOTALL)


def wire_makefile(text: str, profile: str) -> str | None:
    """Make every ``go build`` in a Makefile's recipes pass the profile on; nothing else is changed.

    A ``go build`` that passes ``-pgo`` already is left alone, and so is one whose ``-pgo`` holds a Make
    variable: what that comes to, only the binary shows.

    Args:
        text: the Makefile, line ends as they are.
        profile: path of the profile as ``go build`` must be told it.

    Returns:
        the Makefile; None if no recipe of it has a ``go build``.

    Raises:
        RepositoryError: if a ``go build`` passes another profile.
    """
    flag = "-pgo=" + shlex.quote(profile).replace("$", "$$")
    wired = []
    found = False
    for line in _LOGICAL_LINE.findall(text):
        changed = line
        # From the right, so that the places still to be changed stay where they are.
        for end, passed in reversed(list(_go_builds(line)) if line.startswith("\t") else []):
            found = True
            if passed is None:
                changed = f"{changed[:end]} {flag}{changed[end:]}"
            else:
                _check_passed(passed, profile, line.strip())
        wired.append(changed)
    return "".join(wired) if found else None


def _go_builds(recipe: str) -> Iterator[tuple[int, str | None]]:
    """Where in a recipe line each ``go build`` ends, and the value of its ``-pgo`` if it passes one."""
    command: list[re.Match[str]] = []
    for token in (*_TOKEN.finditer(recipe), None):
        if token and token.lastgroup == "word":
            command.append(token)
            continue
        words = [word[0].strip("\"'") for word in command]
        if words:
            words[0] = words[0].lstrip("@+-")
        if words[:1] not in (["echo"], ["printf"]):
            for index, pair in enumerate(itertools.pairwise(words)):
                if pair[0] in _GO and pair[1] == "build":
                    yield command[index + 1].end(), _passed(words[index + 2 :])
        command = []


def _passed(arguments: Sequence[str]) -> str | None:
    """The value of the last ``-pgo`` among arguments: that is the one Go follows."""
    value = None
    for argument, following in itertools.pairwise([*arguments, ""]):
        if match := _PGO.fullmatch(argument):
            value = following if match["value"] is None else match["value"].strip("\"'")
    return value


def _check_passed(passed: str, profile: str, line: str) -> None:
    """Refuse a ``-pgo`` that contradicts the service file."""
    if "$" not in passed and posixpath.normpath(passed) != posixpath.normpath(profile):
        raise RepositoryError(
            f"the Makefile passes -pgo={passed}, but the profile is to be {profile}: {line}",
            hint="make repository.profile in the service file and the Makefile name the same file",
        )
