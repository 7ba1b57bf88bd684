"""Selection of the instances to profile.

One instant query gives the size of each datacenter, another the CPU of the candidates; a strategy chooses:

- :mod:`.topk`: the busiest.
- :mod:`.stratified`: some of each datacenter, hardware generation, role …
- :mod:`.weighted`: at random, the busier the likelier.

Instances for later rounds are chosen together with those of the first. A later round runs only if the samples
so far are too few. :mod:`.weights` corrects the merge for unequal chances of selection. :mod:`.packing`
distributes the targets over tasks. :mod:`.windows` spreads a run over phases of the day. :mod:`.counters`
recognises a CPU counter that is used without rate().

Labels come from whoever can push a metric. What ends in a URL is checked here, and again before it is sent.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from fleetpgo.errors import QueryError, SelectionError
from fleetpgo.prometheus import LEFT_OUT
from fleetpgo.run.selected import Selection, Target
from fleetpgo.selection import counters, stratified, topk, weighted
from fleetpgo.selection.fleet import read_fleet
from fleetpgo.selection.packing import Pack, pack
from fleetpgo.selection.stored import read_selection
from fleetpgo.selection.weights import merge_weights
from fleetpgo.selection.windows import combined, find_window, opening

if TYPE_CHECKING:
    from collections.abc import Collection

    from fleetpgo.prometheus import Answer, Prometheus
    from fleetpgo.service.rules import SelectionRules

__all__ = [
    "Pack",
    "Selection",
    "Target",
    "combined",
    "find_window",
    "merge_weights",
    "opening",
    "pack",
    "query_of",
    "read_selection",
    "select",
]


def query_of(rules: SelectionRules) -> str:
    """Return the PromQL for the candidates; it gives one series per candidate."""
    # A comment reaches to the end of its line, and must not take our brackets with it.
    cpu = f"{rules.cpu}\n" if "#" in rules.cpu else rules.cpu
    if not rules.matchers:
        return cpu
    return f"({cpu}) and on ({rules.instance_label}) {rules.builds}{{{rules.matchers}}}"


def select(
    prometheus: Prometheus,
    rules: SelectionRules,
    *,
    seed: str,
    share: float = 1,
    taken: Collection[str] = frozenset(),
) -> Selection:
    """Choose the instances to profile.

    Args:
        prometheus: knows them.
        rules: how to choose, and how many.
        seed: the run's id: what is drawn at random is drawn alike by a retry of the same run.
        share: of the instances that `rules` name, the share to choose; of a smaller fleet that share of it.
        taken: instances that are not chosen: another window of the run has them.

    Raises:
        SelectionError: the query gives nothing that can be profiled, or a partial answer that is not allowed;
            or its values are no cores.
        PrometheusError: unreachable, or the query is refused.
    """
    counters.require_rate(rules.cpu)
    query = query_of(rules)
    sizes = _ask(prometheus, _sizes_of(query, rules), rules)
    datacenters = {
        each.labels.get(rules.datacenter_label, ""): int(each.value)
        for each in sizes.series
        if math.isfinite(each.value)  # a count is, unless something else than Prometheus answers
    }
    if share < 1:
        count = max(1, round(share * min(rules.instances, sum(datacenters.values()))))
        rules = rules.model_copy(update={"instances": count})
    if rules.strategy == "topk":
        query = f"topk({rules.instances * rules.max_rounds + len(taken)}, {query})"
    answer = _ask(prometheus, query, rules)
    fleet, left_out = read_fleet(answer, rules)
    warnings = (*dict.fromkeys(sizes.warnings + answer.warnings), *left_out)
    if not fleet:
        what = "the query gives nothing usable"
        if rules.matchers:
            what = f"none that uses CPU has a series {rules.builds}{{{rules.matchers}}}"
        raise SelectionError(
            f"no instance to profile: {what}\n" + "\n".join([f"query: {query}", *warnings]),
            hint="paste the query into Prometheus; check its matchers, and selection.instance_label",
        )
    counters.require_no_counter(prometheus, query_of(rules), fleet)
    match rules.strategy:
        case "topk":
            chosen = topk.choose(fleet, rules, taken=taken)
        case "stratified":
            chosen = stratified.choose(fleet, rules, seed=seed, taken=taken)
        case "weighted":
            chosen = weighted.choose(fleet, rules, seed=seed, taken=taken)
    if not chosen.targets:
        raise SelectionError(
            f"no instance is left: the run's other windows have taken all {sum(datacenters.values())}",
            hint="take fewer windows, or fewer instances in each (selection.windows)",
        )
    return replace(
        chosen,
        query=query,
        warnings=(*warnings, *chosen.warnings),
        datacenters=datacenters,
    )


def _sizes_of(query: str, rules: SelectionRules) -> str:
    """Return PromQL that counts each datacenter's candidates; an instance with several series counts once."""
    datacenter, instance = rules.datacenter_label, rules.instance_label
    return f"count by ({datacenter}) (group by ({datacenter}, {instance}) (({query}) > 0))"


def _ask(prometheus: Prometheus, query: str, rules: SelectionRules) -> Answer:
    """Return the answer; refuse a partial one unless the rules accept it."""
    try:
        answer = prometheus.instant(query, partial_response=rules.partial_response)
    except QueryError as error:
        try:
            # In its writer's own text, if that alone is what cannot be read.
            prometheus.instant(rules.cpu, partial_response=rules.partial_response)
        except QueryError as own:
            raise QueryError(own.message, hint="correct selection.cpu") from error
        raise QueryError(error.message, hint="correct selection.builds or selection.matchers") from error
    # PromQL's own remarks are no sign that something is missing, nor is a series without a number.
    partial = [warning for warning in answer.warnings if not warning.startswith(("PromQL ", LEFT_OUT))]
    if partial and not rules.partial_response:
        raise SelectionError(
            "the answer is partial: " + "; ".join(partial),
            hint="try again when all stores answer, or allow it: selection.partial_response",
        )
    return answer
