"""The behaviours that the contract suite shows of every forge, and the table of them in the manual.

A test names the behaviour that it shows. What differs on a forge is written here, where the test is: the
table in docs/pullrequest.md is made of it (``python -m tests.proposal.forges.behaviours``).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

FORGES = {"github": "GitHub", "gitlab": "GitLab", "gitea": "Gitea, Forgejo"}
KNOWN: dict[str, dict[str, str]] = {}
"""Behaviour → forge → how it differs there; not there: it is the same."""

BEGIN, END = "<!-- behaviours -->", "<!-- end of behaviours -->"


def behaviour(said: str, *, real: bool = True, **differs: str) -> Callable[[Callable], Callable]:
    """Name the behaviour that a test shows; ``github="…"``: how it differs there; "n/a": it has none.

    ``real``: whether a real forge can be brought there by its API alone.
    """

    def mark(test: Callable) -> Callable:
        KNOWN[said] = differs
        kinds = [kind for kind in FORGES if differs.get(kind) != "n/a"]
        made = pytest.mark.parametrize("side", kinds, indirect=True)(test)
        return pytest.mark.real(made) if real else made

    return mark


def table() -> str:
    """Return the table for the manual."""
    from tests.proposal.forges import test_behaviours  # noqa: PLC0415  # which fills KNOWN

    assert test_behaviours
    rows = [
        f"| {said} | {' | '.join(differs.get(kind, 'same') for kind in FORGES)} |"
        for said, differs in KNOWN.items()
    ]
    return "\n".join([f"| behaviour | {' | '.join(FORGES.values())} |", "|---|---|---|---|", *rows])


def written(page: str) -> str:
    """Return the page with the table of today."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"


if __name__ == "__main__":
    # The suite fills the module's own table, and this is another one.
    from tests.proposal.forges.behaviours import written

    page = Path(__file__).parents[3] / "docs/pullrequest.md"
    page.write_text(written(page.read_text()))
