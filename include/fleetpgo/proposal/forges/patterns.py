"""The patterns by which forges name branches and files that a rule covers."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase


def covers(pattern: str, name: str) -> bool:
    """Return whether a pattern of Gitea's covers a branch or a file.

    As its library gobwas/glob: ``*`` and ``?`` do not match a ``/``, ``**`` does; ``{a,b}`` is either.
    """
    return re.fullmatch("".join(map(_regex, re.findall(r"\*\*|\\.|.", pattern, re.DOTALL))), name) is not None


def _regex(token: str) -> str:
    known = {"**": ".*", "*": "[^/]*", "?": "[^/]", "{": "(?:", "}": ")", ",": "|"}
    return known.get(token) or re.escape(token.removeprefix("\\"))


def covers_anything(pattern: str, name: str) -> bool:
    """Return whether a pattern of GitLab's or GitHub's covers a name; ``*`` matches a ``/``, too."""
    return fnmatchcase(name, pattern)
