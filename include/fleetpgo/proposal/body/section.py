"""A section of a pull request's body."""

from __future__ import annotations

from typing import NamedTuple


class Section(NamedTuple):
    """A heading and the Markdown below it."""

    title: str
    text: str
