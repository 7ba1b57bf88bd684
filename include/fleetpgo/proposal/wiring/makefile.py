"""Find the ``go build`` line of a Makefile that made a recorded call, and add the profile to it.

This module reads recipes, splits words as a shell does, and expands variables that are set once to plain
text. Anything else in a word is unknown and matches any text, so a line *may* have made a call. fleetpgo
edits a line only if no other line may have made the call, and if the line cannot make another program.
"""

from __future__ import annotations

import itertools
import re
import shlex
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from fleetpgo.proposal.wiring.recording import GoBuild

_LOGICAL_LINE = re.compile(r"(?:[^\n]*\\\r?\n)*[^\n]*\n|(?:[^\n]*\\\r?\n)*[^\n]+\Z")

# A recipe as the shell will see it: words, and what ends a command. Make's $(…) may nest.
_VARIABLE = r"""\$\$? \( (?: [^()] | \( (?: [^()] | \( [^()]* \) )* \) )* \) | \$\$? \{ [^}]* \}"""
_TOKEN = re.compile(
    rf"""
      (?P<comment> (?<![^\s;&|()]) \# .* )
    | (?P<word> (?:
          {_VARIABLE}
        | " (?: \\. | [^"\\] )* "
        | ' [^']* '
        | \\ [^\r\n]
        | [^\s\\;&|()"']
      )+ )
    | (?P<end> [;&|()] )
    """,
    re.VERBOSE,
)
_GO = re.compile(r"(?:.*/)?go|\$\(GO\)|\$\{GO\}")
"""The go command, also by its path."""

_UNKNOWN = re.compile(rf"{_VARIABLE} | \$\$? . | ` [^`]* ` | [*?]", re.VERBOSE)
"""What make or the shell replaces by text that is not in the file."""

_WHOLE_FLAG = re.compile(r"--?(?:\w+=.*|[avx]|race|msan|asan|trimpath|cover|modcacherw)")
"""A flag that takes no further word."""

_REFERENCE = re.compile(r"\$\((\w+)\)|\$\{(\w+)\}")
_ASSIGNMENT = re.compile(
    r"^ *(?:export +|override +)?(\w+)[ \t]*(:{0,3}|[?+!])=[ \t]*([^\n#]*)", re.MULTILINE
)
_VARIABLES = ("PGO", "FLEETPGO")
_PLAIN = re.compile(r"[\w./@+-]+", re.ASCII)
"""A path that make's functions and the shell leave as it is."""

_DEPTH = 8
_DEFINE = re.compile(r" *(?:export +|override +)*define\b")
_END = re.compile(r" *endef\b")


@dataclass(frozen=True)
class BuildLine:
    """A ``go build`` in a recipe.

    Attributes:
        at: where in the text another flag can be put in.
        words: what follows ``go build``, variables that are known replaced.
        before: the recipe up to it.
        text: the recipe, stripped.
        line: its number, from 1.
        program: the word that calls Go.
        canned: whether it is in a ``define``, which any recipe may run.
    """

    at: int
    words: tuple[str, ...]
    before: str
    text: str
    line: int
    program: str
    canned: bool = False

    def may_be(self, call: GoBuild) -> bool:
        """Return whether it may have made a call."""
        # Without white space: a variable may hold any number of words.
        text, made = "".join("".join(self.words).split()), "".join("".join(call.arguments).split())
        first, *others = [re.sub(r"[\"'\\]", "", piece) for piece in _UNKNOWN.split(text)]
        made = re.sub(r"[\"'\\]", "", made)
        if not others:
            return made == first
        last, at = others.pop(), len(first)
        for piece in others:
            found = made.find(piece, at)
            if found < 0:
                return False
            at = found + len(piece)
        return made.startswith(first) and made.endswith(last) and at + len(last) <= len(made)

    def doubt(self, call: GoBuild) -> str:
        """Say why the line may also make other programs; "" if it makes only this one."""
        plain = {piece.strip("\"'") for word in self.words for piece in word.split()}
        if len(call.packages) > 1 and not all(each.endswith(".go") for each in call.packages):
            return "it makes several programs"
        if any("..." in package for package in call.packages):
            return "it may make several programs"
        if any(package not in plain for package in call.packages):
            return "variables say which program it makes"
        if self.canned:
            return "it is in a `define`, which several recipes may run"
        if re.search(r"\bcd\b[^;&|]*\$", self.before) or any("$" in word for word in self._directory()):
            return "a variable says in which directory it runs"
        return ""

    def elsewhere(self, call: GoBuild, ran: str, beside: str) -> str:
        """Say why the line may run in other directories, where it makes other programs; "" if it may not.

        A Makefile that others include builds what is in the directory of each.

        Args:
            call: what the line made.
            ran: the directory that it ran in, relative to the repository.
            beside: the directory of its Makefile.
        """
        here = all(named in (".", "./") for named in call.packages)
        if not here or ran == (beside or ".") or self._directory() or re.search(r"\bcd\b", self.before):
            return ""
        return f"it ran in {ran}/, and may run in other directories"

    def _directory(self) -> Sequence[str]:
        """Return the words of ``-C``."""
        if not self.words or not re.fullmatch(r"--?C(=.*)?", self.words[0]):
            return ()
        return self.words[:1] if "=" in self.words[0] else self.words[:2]


def build_lines(text: str, overridden: Collection[str] = ()) -> list[BuildLine]:
    """Return every ``go build`` and ``go install`` in the recipes of a Makefile.

    Args:
        text: the Makefile, line ends as they are.
        overridden: names of variables that the caller of make sets.
    """
    known = _constants(text, overridden)
    found, at = [], 0
    canned = False
    for number, line in _numbered(text):
        canned = _DEFINE.match(line) is not None or (canned and not _END.match(line))
        if line.startswith("\t"):
            shown = " ".join(line.split())
            found += [
                BuildLine(at + end, words, line[:end], shown, number, program, canned)
                for end, program, words in _go_builds(line, known)
            ]
        at += len(line)
    return found


def script_lines(text: str) -> list[BuildLine]:
    """Return every ``go build`` and ``go install`` in any other file."""
    return [
        replace(build, line=number)
        for number, line in enumerate(text.splitlines(), 1)
        for build in command_lines(line)
    ]


def command_lines(line: str) -> list[BuildLine]:
    """Return the ``go build`` commands in one line of any other file."""
    return [
        BuildLine(end, words, line[:end], line.strip(), 0, program)
        for end, program, words in _go_builds(line, {})
    ]


def free_variable(makefiles: Iterable[str], overridden: Collection[str] = ()) -> str:
    """Return the name of a variable whose value an edited line may take; "" if all are in use.

    Args:
        makefiles: texts of the repository's Makefiles. Lines that were edited before do not count.
        overridden: names of variables that the caller of make sets.
    """
    texts = list(makefiles)
    for name in _VARIABLES:
        ours, used = f"-pgo=$(or $({name}),", re.compile(rf"\b{name}\b")
        if name not in overridden and not any(used.search(text.replace(ours, "")) for text in texts):
            return name
    return ""


def add_profile(text: str, line: BuildLine, profile: str, variable: str = "") -> str:
    """Make one line pass the profile; nothing else is changed.

    Args:
        text: the Makefile that the line is from.
        line: the line.
        profile: path of the profile from where the line runs.
        variable: of make, to pass its value instead where it has one: ``make PGO=off`` builds without the
            profile. A path with unusual characters is passed as it is.
    """
    if variable and _PLAIN.fullmatch(profile):
        value = f"$(or $({variable}),{profile})"
    else:
        value = shlex.quote(profile).replace("$", "$$")
    return f"{text[: line.at]} -pgo={value}{text[line.at :]}"


def _numbered(text: str) -> Iterator[tuple[int, str]]:
    number = 1
    for line in _LOGICAL_LINE.findall(text):
        yield number, line
        number += line.count("\n")


def _go_builds(recipe: str, known: Mapping[str, str]) -> Iterator[tuple[int, str, tuple[str, ...]]]:
    """Find each ``go build`` in a recipe line: where a flag can be put in, what calls Go, what follows.

    A variable may hold several words: ``$(GOBUILD)``.
    """
    command: list[tuple[str, int]] = []
    for token in (*_TOKEN.finditer(recipe), None):
        if token and token.lastgroup == "word":
            value = _expand(token[0], known)
            inner = [*_TOKEN.finditer(value)] if value != token[0] else []
            plain = inner and all(each.lastgroup == "word" for each in inner)
            command += [(word, token.end()) for word in ([each[0] for each in inner] if plain else [value])]
            continue
        words = [word.strip("\"'") for word, _ in command]
        if words:
            words[0] = words[0].lstrip("@+-")
        if words[:1] not in (["echo"], ["printf"]):
            for index, pair in enumerate(itertools.pairwise(words)):
                if _GO.fullmatch(pair[0]) and pair[1] in ("build", "install"):
                    rest = tuple(word for word, _ in command[index + 2 :])
                    # -C must stay the first flag.
                    at = index + 1 + _length_of_c(rest)
                    _, end = command[at]
                    # A variable may hold more than that; a flag after the packages would be one of them.
                    held = [word for word, ends in command[at + 1 :] if ends == end]
                    if all(_WHOLE_FLAG.fullmatch(word) for word in held):
                        yield end, pair[0], rest
        command = []


def _length_of_c(words: Sequence[str]) -> int:
    """How many words ``-C`` and its value take, where it is the first flag."""
    if not words or not re.fullmatch(r"--?C(=.*)?", words[0], re.DOTALL):
        return 0
    return 1 if "=" in words[0] else min(2, len(words))


def _constants(text: str, overridden: Collection[str]) -> dict[str, str]:
    """Return the variables that a Makefile sets exactly once, unconditionally, to plain text."""
    values: dict[str, list[str]] = {}
    for name, operator, value in _ASSIGNMENT.findall(text):
        values.setdefault(name, []).append(value.strip())
        if operator in ("?", "+", "!"):  # then it may have another value as well
            values[name].append("")
    # Where a target sets it for itself, or another file does, more than one value is possible.
    return {
        name: each[0]
        for name, each in values.items()
        if len(each) == 1
        and name not in overridden
        and not re.search(rf"^[^\t\n#=]*:[^=\n]*\b{name}[ \t]*[:?+!]?=|^define +{name}\b", text, re.MULTILINE)
    }


def _expand(word: str, known: Mapping[str, str]) -> str:
    """Replace the variables that are known in a word."""
    for _ in range(_DEPTH):
        replaced = _REFERENCE.sub(lambda found: known.get(found[1] or found[2], found[0]), word)
        if replaced == word or len(replaced) > 1 << 16:
            break
        word = replaced
    return word
