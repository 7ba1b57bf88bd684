"""A refresh, step by step: each step reads what the earlier ones left in the run's store, and adds its own.

The Airflow operators and the ``fleetpgo`` command call these functions and add nothing but their manners.
Each step may be repeated: it finds what it left before and brings it up to date.

==================  ========================================================================
artifact            made by
==================  ========================================================================
selection.json      :func:`select_instances`: the query, the targets, what was left out;
                    ``selection-<window>.json`` for each window of a run that has them
profiles/           :func:`collect_profiles`, :func:`top_up`: a profile and a record per instance
in_trouble/         the same: who answered with a server error
stop.json           the same: why nobody was asked any more
merged.pb.gz        :func:`merge_profiles`: everything that the instances sent, added up
profile.pprof       :func:`merge_profiles`: what will be committed
manifest.json       :func:`merge_profiles`: who gave what, who did not and why, and the figures
pull_request.json   :func:`propose_profile`
merge.json          :func:`look_for_merge`: when the pull request was merged, or why it never will be
rollout.json        :func:`look_for_rollout`: when the new build went out
measure_*           :func:`measure`: the saving, as .json, .md and .svg, for ``rollout`` and ``week``
revert.json         the same, after a regression over the week: the pull request that reverts it, or why not
==================  ========================================================================
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from fleetpgo import selection
from fleetpgo.errors import ProfileError
from fleetpgo.measurement.rollout import Rollout, find_rollout, ready_at
from fleetpgo.proposal.body import Datacenter, Provenance
from fleetpgo.proposal.ensure import marker
from fleetpgo.selection import Pack, Selection, Target
from fleetpgo.service.files import override

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from fleetpgo.collection import Access, Record
    from fleetpgo.measurement.comparison import Comparison
    from fleetpgo.prometheus import Prometheus
    from fleetpgo.proposal.forges import Forge
    from fleetpgo.run.store import RunStore
    from fleetpgo.service.rules import ServiceRules
    from fleetpgo.steps.merge import Manifest
    from fleetpgo.steps.propose import Proposed

    Watch = Callable[[str, str], None]

Period = Literal["rollout", "week"]


def unwatched(_instance: str, _state: str) -> None:
    """For those who do not want to see each instance's progress; it is in the log anyway."""


@dataclass(frozen=True)
class Outcome:
    """What a look at something that takes its time has shown, and the sentence that says so."""

    state: Literal["waiting", "done", "skipped", "failed"]
    message: str


def select_instances(
    service: ServiceRules,
    store: RunStore,
    prometheus: Prometheus,
    *,
    instances: int | None = None,
    seconds: int | None = None,
    matchers: str | None = None,
    window: str | None = None,
) -> tuple[Selection, list[Pack]]:
    """Choose the instances to profile, and pack those of the first round for the tasks that will fetch.

    Args:
        service: whose instances.
        store: takes ``selection.json``; a stop of an earlier attempt is forgotten.
        prometheus: knows them.
        instances: how many in a round; default: the service file's.
        seconds: length of each profile; default: the service file's.
        matchers: of the builds to profile; default: the service file's.
        window: name of the window whose share is chosen; default: all of it.
    """
    from fleetpgo.collection import forget_stop  # noqa: PLC0415  # aiohttp and numpy: not for the waiting steps

    rules = override(service.selection, instances=instances, matchers=matchers)
    if window is None:
        chosen = selection.select(prometheus, rules, seed=store.run)
    else:
        share = selection.find_window(service.selection, window).share
        taken = {
            target.instance
            for name, (other, _) in _selections(store).items()
            if name != window
            for target in other.of_round(1)
        }
        chosen = selection.select(prometheus, rules, seed=store.run, share=share, taken=taken)
    seconds = seconds or service.collection.seconds
    forget_stop(store)
    store.write_json(_selection_name(window), {**asdict(chosen), "seconds": seconds})
    packs = selection.pack(
        chosen.of_round(1),
        max_tasks=service.collection.max_tasks,
        limits=chosen.at_once(service.collection.max_share),
        per_host=service.collection.per_host,
    )
    return chosen, packs


def window_opens(service: ServiceRules, window: str, now: datetime) -> datetime:
    """When that window of the service opens next; if it is open, when it did."""
    return selection.opening(selection.find_window(service.selection, window), now)


def read_selection(store: RunStore, *, windows: Iterable[str] = ()) -> tuple[Selection, int]:
    """What :func:`select_instances` chose, in all windows so far; and the profiles' length in seconds.

    Args:
        store: of the run.
        windows: names of those that should have been; what is missing is among the warnings.
    """
    found = {} if store.exists(_selection_name(None)) else _selections(store)
    if not found:
        return _read_selection(store, None)
    missing = [window for window in windows if window not in found]
    chosen = selection.combined({name: chosen for name, (chosen, _) in found.items()})
    warnings = (*chosen.warnings, *(f"nothing was profiled in the window {name}" for name in missing))
    return replace(chosen, warnings=warnings), max(seconds for _, seconds in found.values())


def _selections(store: RunStore) -> dict[str, tuple[Selection, int]]:
    """Window → what was chosen in it, and the length of the profiles; only those that have been."""
    prefix, suffix = _selection_name("*").split("*")
    files = [name for name in store.names("", suffix) if name.startswith(prefix)]
    names = [file.removeprefix(prefix).removesuffix(suffix) for file in files]
    return {name: _read_selection(store, name) for name in names}


def _read_selection(store: RunStore, window: str | None) -> tuple[Selection, int]:
    record = store.read_json(_selection_name(window))
    seconds = record.pop("seconds")
    targets = tuple(Target(**target) for target in record["targets"])
    return Selection(**{**record, "targets": targets, "warnings": tuple(record["warnings"])}), seconds


def _selection_name(window: str | None) -> str:
    return f"selection-{window}.json" if window else "selection.json"


async def collect_profiles(
    service: ServiceRules,
    store: RunStore,
    targets: Sequence[Target],
    *,
    access: Access | None = None,
    watch: Watch = unwatched,
) -> list[Record]:
    """Fetch the targets' profiles into the store; one record each, failed ones included."""
    from fleetpgo import collection  # noqa: PLC0415  # likewise

    chosen, seconds = read_selection(store)
    return await collection.collect(
        targets,
        service.collection,
        store,
        seconds=seconds,
        limits=chosen.at_once(service.collection.max_share),
        fleet=[each for each in chosen.targets if each.round <= targets[0].round],
        access=access or collection.Access(),
        watch=watch,
    )


async def top_up(
    service: ServiceRules, store: RunStore, *, access: Access | None = None, watch: Watch = unwatched
) -> list[str]:
    """Take further rounds from instances not yet profiled, while what there is does not suffice.

    Returns:
        one sentence for each look: what there was, and whether that was enough.
    """
    from fleetpgo.collection import why_stopped  # noqa: PLC0415  # likewise
    from fleetpgo.steps.enough import judge  # noqa: PLC0415  # likewise

    chosen, seconds = read_selection(store)
    said = []
    for number in range(2, service.selection.max_rounds + 2):
        verdict = await asyncio.to_thread(judge, service, store, chosen)
        targets = chosen.of_round(number)
        said.append(
            verdict.message
            if verdict.enough or targets
            else f"{verdict.message}; {_remedy(service, seconds)}"
        )
        if verdict.enough or not targets:
            break
        if stopped := await asyncio.to_thread(why_stopped, store):
            said[-1] += f"; nobody else is asked: {stopped}"
            break
        await collect_profiles(service, store, targets, access=access, watch=watch)
    return said


def _remedy(service: ServiceRules, seconds: int) -> str:
    """What gives more samples once every instance that was chosen has been asked."""
    return (
        "every chosen instance has been tried: for more, profile for longer (collection.seconds is "
        f"{seconds}) or in more rounds (selection.max_rounds is {service.selection.max_rounds})"
    )


def merge_profiles(service: ServiceRules, store: RunStore, *, go: str | None = "go") -> Manifest:
    """Merge what arrived; see :func:`fleetpgo.steps.merge.merge_run`."""
    from fleetpgo.steps.merge import merge_run  # noqa: PLC0415  # protobuf and numpy: not for the waiting steps

    windows = [window.name for window in service.selection.windows]
    chosen, seconds = read_selection(store, windows=windows)
    return merge_run(service, store, chosen, seconds=seconds, go=go)


def propose_profile(
    service: ServiceRules,
    store: RunStore,
    forge: Forge,
    *,
    dry_run: bool,
    cache: Path,
    run_url: str | None = None,
) -> Proposed:
    """Build with and without the run's profile, and open or update the pull request.

    Args:
        service: whose repository.
        store: holds the profile and its manifest; takes ``pull_request.json``.
        forge: where the repository is.
        dry_run: everything but the push and the pull request.
        cache: directory for Go's caches, kept between runs.
        run_url: where a person looks at the run.

    Raises:
        ProfileError: the merge refused its profile (``profile.fail_below``).
    """
    from fleetpgo.measurement.history import latest_savings  # noqa: PLC0415  # pandas: likewise
    from fleetpgo.pprof import GUARDS  # noqa: PLC0415  # likewise
    from fleetpgo.steps.propose import propose  # noqa: PLC0415  # it compares profiles: likewise

    manifest = store.read_json("manifest.json")
    # A manifest of an earlier version does not say it.
    if refused := manifest.get("refused"):
        raise ProfileError(
            f"the profile of run {store.run} was refused when it was merged, so it is not proposed: "
            f"{refused}",
            reason="insufficient",
            hint="collect anew, from more instances or for longer, or lower profile.fail_below and merge "
            "again; an earlier run's profile can be named with --run",
        )
    reasons = {each.function: each.issue for each in GUARDS}
    reasons |= {each.function: each.issue for each in service.profile.guards}
    provenance = Provenance(
        run=store.run,
        query=manifest["query"],
        selected=manifest["selected"],
        missing={
            each["instance"]: each["reason"] for each in manifest["instances"] if each["state"] != "used"
        },
        samples=manifest["samples"],
        run_url=run_url,
        datacenters=_datacenters(manifest["instances"]),
        figures=manifest["figures"],
        notes=manifest["warnings"],
        guarded={name: reasons.get(name, "") for name in manifest["renamed"]},
        savings=latest_savings(store.root, store.service),
    )
    proposed = propose(service, forge, store.read("profile.pprof"), provenance, dry_run=dry_run, cache=cache)
    store.write_json("pull_request.json", asdict(proposed))
    return proposed


def _datacenters(instances: Iterable[Mapping[str, Any]]) -> list[Datacenter]:
    """What the instances of each datacenter gave, those with the most samples first."""
    of: dict[str, list[Mapping[str, Any]]] = {}
    for each in instances:
        of.setdefault(each["datacenter"], []).append(each)
    found = [
        Datacenter(
            name,
            asked=len(own),
            used=sum(each["state"] == "used" for each in own),
            samples=sum(each["samples"] for each in own if each["state"] == "used"),
        )
        for name, own in of.items()
    ]
    return sorted(found, key=lambda each: (-each.samples, each.name))


def look_for_merge(store: RunStore, forge: Forge) -> Outcome:
    """Whether the run's pull request has been merged, closed, or taken over by a newer run."""
    proposed = store.read_json("pull_request.json")
    if proposed["unchanged"]:
        return _skip(store, f"nothing was proposed: {proposed['reason']}")
    if proposed["dry_run"]:
        return _skip(store, "dry run: no pull request was opened")
    pull_request = forge.get(proposed["pull_request"])
    name = f"pull request #{pull_request.number} ({pull_request.url})"
    about = marker(pull_request.body)
    if about is not None and about.profile != proposed["profile"]:
        return _skip(store, f"superseded by run {about.run}, which took over {name}")
    match pull_request.state:
        case "open":
            return Outcome("waiting", f"{name} is open")
        case "closed":
            return _skip(store, f"{name} was closed without a merge")
        case "merged":
            merged_at = pull_request.merged_at or datetime.now(UTC)
            commit = pull_request.merge_commit
            store.write_json("merge.json", {"state": "merged", "merged_at": merged_at, "commit": commit})
            return Outcome("done", f"{name} was merged at {merged_at:%Y-%m-%d %H:%M:%S %Z}")


def _skip(store: RunStore, reason: str) -> Outcome:
    """The run ends here, and not in failure; the store remembers why."""
    store.write_json("merge.json", {"state": "skipped", "reason": reason})
    return Outcome("skipped", reason)


def look_for_rollout(
    service: ServiceRules, store: RunStore, prometheus: Prometheus, now: datetime
) -> Outcome:
    """Whether the fleet runs the new build, and has done so for long enough to be measured."""
    if not store.exists("rollout.json"):
        profile = store.read_json("pull_request.json")["profile"]
        merged_at = datetime.fromisoformat(store.read_json("merge.json")["merged_at"])
        fraction, rollout = find_rollout(
            prometheus, service.rollout, profile=profile, since=merged_at, now=now
        )
        if rollout is None:
            late = now - merged_at > service.rollout.deadline
            return Outcome(
                "failed" if late else "waiting",
                f"{fraction:.0%} of the instances run the build with profile {profile}; "
                f"the rollout is complete at {service.rollout.complete:.0%}"
                + (f" and was not within {service.rollout.deadline} of the merge" if late else ""),
            )
        store.write_json("rollout.json", asdict(rollout))
    rollout = _read_rollout(store)
    moment = measurable_at(service, store, "rollout")
    return Outcome(
        "done" if now >= moment else "waiting",
        f"rolled out from {rollout.start} to {rollout.end}, to {rollout.fraction:.0%} of the instances; "
        f"measurable at {moment}",
    )


def look_for_week(service: ServiceRules, store: RunStore, now: datetime) -> Outcome:
    """Whether the long period after the rollout has passed."""
    moment = measurable_at(service, store, "week")
    return Outcome("done" if now >= moment else "waiting", f"measurable at {moment}")


def measurable_at(service: ServiceRules, store: RunStore, period: Period) -> datetime:
    """When that period after the rollout will have passed."""
    return ready_at(service, _read_rollout(store), _window(service, period))


def measure(
    service: ServiceRules, store: RunStore, prometheus: Prometheus, forge: Forge, *, period: Period
) -> Comparison:
    """Measure the saving over a period, draw it, and say it in the pull request's one comment on it.

    After a regression that :func:`reverts` trusts, a pull request that reverts the profile is opened or
    brought up to date, as the service file says.
    """
    from fleetpgo.measurement import measuring  # noqa: PLC0415  # scipy and matplotlib: not for waiting steps
    from fleetpgo.proposal.merge_alone import what_else  # noqa: PLC0415  # likewise

    commit = store.read_json("merge.json")["commit"]
    measured = measuring.measure(
        prometheus,
        service,
        _read_rollout(store),
        period=period,
        window=_window(service, period),
        what_else=partial(what_else, service, forge, commit),
    )
    for extension, content in measured.files().items():
        store.write(f"measure_{period}.{extension}", content)
    proposed = store.read_json("pull_request.json")
    reports = [f"measure_{each}.md" for each in ("rollout", "week")]
    text = "\n".join(store.read(report).decode() for report in reports if store.exists(report))
    forge.comment(proposed["pull_request"], text, "measurement")
    if reverts(measured.comparison, period):
        from fleetpgo.proposal.revert import propose_revert  # noqa: PLC0415  # it compares profiles: likewise

        reverted = propose_revert(
            service,
            forge,
            profile=proposed["profile"],
            head=proposed["head"],
            commit=commit,
            brought_by=proposed["url"],
            pull_request=proposed["pull_request"],
            measured=measured.comparison,
            report=text,
        )
        store.write_json("revert.json", asdict(reverted))
    return measured.comparison


def reverts(comparison: Comparison, period: Period) -> bool:
    """Whether a regression is sure enough for a pull request that reverts the profile.

    Only the week's verdict by estimator A is (docs/measurement.md, "What a regression does").
    """
    estimate = comparison.estimate
    by_a = estimate is not None and estimate.method == "A"
    return period == "week" and by_a and comparison.verdict.call == "regression"


def _read_rollout(store: RunStore) -> Rollout:
    record = store.read_json("rollout.json")
    times = {key: datetime.fromisoformat(record[key]) for key in ("start", "end")}
    return Rollout(**{**record, **times})


def _window(service: ServiceRules, period: Period) -> timedelta:
    return service.measurement.window if period == "rollout" else service.measurement.week
