"""Selection of the instances to profile.

One instant query gives the size of each datacenter, another the CPU of the candidates; a strategy chooses:

- :mod:`.topk`: the busiest.
- :mod:`.stratified`: some of each datacenter, hardware generation, role …
- :mod:`.weighted`: at random, the busier the likelier.

Instances for later rounds are chosen together with those of the first. A later round runs only if the samples
so far are too few. :mod:`.weights` corrects the merge for unequal probabilities of selection. :mod:`.packing`
distributes the targets over tasks. :mod:`.windows` spreads a run over phases of the day. :mod:`.absence`
tells which datacenters an answer lacks. :mod:`.counters` detects a CPU counter that is used without rate().

Labels are not trusted: anyone who can push a metric controls them. A value that becomes part of a URL is
checked here, and again before the request is sent.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from fleetpgo.errors import QueryError, SelectionError
from fleetpgo.prometheus import LEFT_OUT
from fleetpgo.run.selected import Selection, Target
from fleetpgo.selection import absence, counters, stratified, topk, weighted
from fleetpgo.selection.fleet import read_fleet
from fleetpgo.selection.packing import Pack, pack
from fleetpgo.selection.stored import read_selection
from fleetpgo.selection.weights import merge_weights
from fleetpgo.selection.windows import combined, find_window, opening, past_end

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from fleetpgo.prometheus import Answer, Prometheus
    from fleetpgo.service.profiling import SelectionRules

__all__ = [
    "Pack",
    "Selection",
    "Target",
    "combined",
    "find_window",
    "merge_weights",
    "opening",
    "pack",
    "past_end",
    "query_of",
    "read_selection",
    "select",
    "select_seen",
]


def query_of(rules: SelectionRules) -> str:
    """Return the PromQL for the candidates: it returns the CPU of each, as one series."""
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
    at: datetime | None = None,
) -> Selection:
    """Choose the instances to profile.

    Args:
        prometheus: the Prometheus to query.
        rules: how to choose, and how many.
        seed: seed of random choices: the run's id, so a retry of a run chooses the same instances.
        share: share of ``rules.instances`` to choose, 0 … 1; if the fleet is smaller, the share of the fleet.
        taken: instances that another window of the run has chosen; they are not chosen again.
        at: evaluation time of the queries; default: now.

    Raises:
        SelectionError: the query returns no instance that can be profiled, its answer is partial and that is
            not allowed, or its values are not cores.
        PrometheusError: Prometheus is unreachable, or refuses the query.
    """
    counters.require_rate(rules.cpu)
    query = query_of(rules)
    sizes = _ask(prometheus, _sizes_of(query, rules), rules, at)
    datacenters = {
        each.labels.get(rules.datacenter_label, ""): int(each.value)
        for each in sizes.series
        if math.isfinite(each.value)  # a count is, unless something else than Prometheus answers
    }
    absence.require_expected(datacenters, rules)
    rules = _shared(rules, share, datacenters)
    if rules.strategy == "topk":
        query = f"topk({rules.instances * rules.max_rounds + len(taken)}, {query})"
    answer = _ask(prometheus, query, rules, at)
    fleet, left_out = read_fleet(answer, rules)
    lost = prometheus.lost_stores()
    if lost and not rules.partial_response:
        raise _partial(lost)
    warnings = (*dict.fromkeys(sizes.warnings + answer.warnings), *lost, *left_out)
    if not fleet:
        what = "the query returns no usable series"
        if rules.matchers:
            what = f"none that uses CPU has a series {rules.builds}{{{rules.matchers}}}"
        raise SelectionError(
            f"no instance to profile: {what}\n" + "\n".join([f"query: {query}", *warnings]),
            hint="paste the query into Prometheus; check its matchers, and selection.instance_label",
        )
    counters.require_no_counter(prometheus, query_of(rules), fleet)
    chosen = _choose(fleet, rules, seed, taken, datacenters)
    return replace(chosen, query=query, candidates=query_of(rules), warnings=(*warnings, *chosen.warnings))


def select_seen(
    answer: Answer,
    rules: SelectionRules,
    *,
    seed: str,
    share: float = 1,
    taken: Collection[str] = frozenset(),
) -> Selection:
    """Choose among the instances in a profile store, without Prometheus.

    Args:
        answer: the CPU of each instance in the store, in cores: one series per instance.
        rules: how to choose, and how many.
        seed: as in :func:`select`.
        share: as in :func:`select`.
        taken: as in :func:`select`.

    Raises:
        SelectionError: the store has no instance that can be profiled.
    """
    fleet, left_out = read_fleet(answer, rules)
    if not fleet:
        raise SelectionError(
            "no instance to profile: the profile store has none\n"
            + "\n".join([f"query: {answer.query}", *left_out]),
            hint=f"check selection.cpu; selection.instance_label is {rules.instance_label}: do the profiles "
            "have that label?",
        )
    datacenters = dict(Counter(target.datacenter for target in fleet))
    absence.require_expected(datacenters, rules)
    chosen = _choose(fleet, _shared(rules, share, datacenters), seed, taken, datacenters)
    return replace(
        chosen, query=answer.query, candidates=answer.query, warnings=(*left_out, *chosen.warnings)
    )


def _shared(rules: SelectionRules, share: float, datacenters: Mapping[str, int]) -> SelectionRules:
    """Return rules with a share of the instances; if the fleet is smaller, with that share of the fleet."""
    if share == 1:
        return rules
    count = max(1, round(share * min(rules.instances, sum(datacenters.values()))))
    return rules.model_copy(update={"instances": count})


def _choose(
    fleet: Sequence[Target],
    rules: SelectionRules,
    seed: str,
    taken: Collection[str],
    datacenters: Mapping[str, int],
) -> Selection:
    """Choose instances with the strategy of the rules."""
    match rules.strategy:
        case "topk":
            chosen = topk.choose(fleet, rules, taken=taken)
        case "stratified":
            chosen = stratified.choose(fleet, rules, seed=seed, taken=taken)
        case "weighted":
            chosen = weighted.choose(fleet, rules, seed=seed, taken=taken)
    if not chosen.targets:
        raise SelectionError(
            f"no instance is left: the run's other windows have chosen all {sum(datacenters.values())}",
            hint="reduce selection.instances, or the number of selection.windows",
        )
    return replace(chosen, datacenters=datacenters)


def _sizes_of(query: str, rules: SelectionRules) -> str:
    """Return PromQL that counts candidates by datacenter. An instance with several series counts once."""
    datacenter, instance = rules.datacenter_label, rules.instance_label
    return f"count by ({datacenter}) (group by ({datacenter}, {instance}) (({query}) > 0))"


def _ask(prometheus: Prometheus, query: str, rules: SelectionRules, at: datetime | None) -> Answer:
    """Return the answer to a query. Raise SelectionError if it is partial and that is not allowed."""
    when = {} if at is None else {"at": at}
    try:
        answer = prometheus.instant(query, partial_response=rules.partial_response, **when)
    except QueryError as error:
        try:
            # In its writer's own text, if that alone is what cannot be read.
            prometheus.instant(rules.cpu, partial_response=rules.partial_response)
        except QueryError as own:
            raise QueryError(own.message, hint="correct selection.cpu") from error
        keys = "builds or selection.matchers" if rules.matchers else "datacenter_label or instance_label"
        raise QueryError(error.message, hint=f"correct selection.{keys}") from error
    # PromQL's own remarks are no sign that something is missing, nor is a series without a number.
    partial = [warning for warning in answer.warnings if not warning.startswith(("PromQL ", LEFT_OUT))]
    if partial and not rules.partial_response:
        raise _partial(partial)
    return answer


def _partial(why: Sequence[str]) -> SelectionError:
    return SelectionError(
        "the answer is partial: " + "; ".join(why),
        hint="retry when all stores answer, or accept partial answers: selection.partial_response: true",
    )
