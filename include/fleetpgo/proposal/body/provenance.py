"""Where the profile comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleetpgo.markdown import cell, code, details, listed, promql, prose, table
from fleetpgo.proposal.body.section import Section
from fleetpgo.run.artifacts import FILES
from fleetpgo.run.selected import Selection

if TYPE_CHECKING:
    from fleetpgo.proposal.body.values import Proposal

_LONGEST_QUERY = 5_000
"""Characters of a query that is shown whole."""


def provenance(proposal: Proposal) -> Section:
    """Return the instances, the figures and the query."""
    where = proposal.provenance
    lines = [
        f"- Instances: {where.selected - len(where.missing):,} of {where.selected:,} selected",
        f"- Samples: {where.samples:,}",
        *(f"- {prose(name)}: {prose(value)}" for name, value in where.figures.items()),
    ]
    parts = ["\n".join(lines)]
    if where.datacenters:
        rows = [
            f"| {cell(each.name or 'without a name')} | {each.asked:,} | {each.used:,} | {each.samples:,} |"
            for each in where.datacenters
        ]
        parts.append(table("| datacenter | asked | used | samples |", "|---|---:|---:|---:|", rows))
    if where.missing:
        lost = [f"- {code(instance)}: {code(reason)}" for instance, reason in where.missing.items()]
        parts.append(details(f"Selected, but not in it: {len(where.missing):,}", listed(lost)))
    query = promql(where.query, _LONGEST_QUERY, whole=f"the run's {FILES[Selection].name}")
    parts.append(details("PromQL that selected the instances", query))
    return Section("Where the profile comes from", "\n\n".join(parts))
