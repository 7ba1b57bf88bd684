"""What a pull request says, and that there is only one.

Title and body are pure functions of plain values. Everything in them that comes from outside (instance and
function names, reasons, PromQL) is written so that Markdown, HTML or an ``@mention`` in it stays plain text.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True)
class Provenance:
    """Where a profile comes from, as the run that made it knows.

    Attributes:
        run: id of the run.
        query: PromQL that selected the instances.
        selected: how many instances were selected.
        missing: the selected instances whose profile is not in it, each with the reason.
        samples: CPU samples in the profile.
        run_url: where a person looks at the run, if anywhere.
        figures: further named figures of the profile, such as ``{"edges": "1,204"}``.
        notes: sentences that the reviewer must read.
    """

    run: str
    query: str
    selected: int
    missing: Mapping[str, str]
    samples: int
    run_url: str | None = None
    figures: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()
