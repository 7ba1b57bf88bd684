"""The first service file: what Prometheus and a clone tell of a service, each value with where it came from.

Where several answers fit, the caller is asked; where it does not answer, the best one is taken and the line
marked. Where none fits, :class:`~fleetpgo.errors.ServiceFileError` says what is missing.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fleetpgo import foreign
from fleetpgo.collection.probing import INDEX, probe
from fleetpgo.errors import ServiceFileError
from fleetpgo.network.addresses import INSTANCE
from fleetpgo.proposal.wiring.mains import main_directories
from fleetpgo.selection.discovery import WINDOW

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from fleetpgo.prometheus import Prometheus, Series

    Ask = Callable[[str, Sequence[str]], int | None]
    """Asks which of several answers is right; None: nobody is there to be asked."""

CHECK = "CHECK"
"""Begins the comment of a line that somebody should look at."""

DATACENTERS = (
    *("datacenter", "dc", "colo", "site", "region", "zone", "availability_zone"),
    *("topology_kubernetes_io_zone", "topology_kubernetes_io_region", "location", "cluster"),
)
"""Labels that are likely to hold a datacenter, the likeliest first."""

SERVICES = ("app_kubernetes_io_name", "app", "k8s_app", "service", "container")
"""Labels that are likely to tell the services of one job apart, the likeliest first."""

_SHOWN = 3
"""Values of a label that a comment names."""

_LONGEST = 300
"""Characters of a comment."""

_PLAIN = re.compile(r"(?!(?i:true|false|null|yes|no|on|off)$)[A-Za-z][\w./-]*")
"""Texts that YAML takes for nothing else."""

_ASIDE = {"example", "examples", "attic", "testdata"}

_REQUESTS = "(.+_)?(requests?_total|request_duration_seconds_count|server_handled_total)"
_OUR_OWN = "promhttp_metric_handler_requests_total"
_PROBED = 3
"""Instances that are asked until one lists its profiles."""

_LOOPBACK = ("127.", "localhost", "[::1]")


@dataclass(frozen=True)
class Line:
    """A value of the service file.

    Attributes:
        key: ``section.key``.
        value: as YAML writes it.
        origin: where it came from; begins with :data:`CHECK` if somebody should look at it.
    """

    key: str
    value: str
    origin: str


@dataclass(frozen=True)
class Repository:
    """The service's repository: its forge and place there, its base, and a clone."""

    forge: str
    project: str
    base: str
    clone: Path
    origin: str


def begin(name: str, job: str, prometheus: Prometheus, repository: Repository, ask: Ask) -> list[Line]:
    """Return the lines of a service file.

    Args:
        name: of the service.
        job: value of the label ``job`` of its instances.
        prometheus: that scrapes them.
        repository: the source of the service.
        ask: is asked where several answers fit.

    Raises:
        ServiceFileError: no metric tells its CPU, or the repository has no main package.
    """
    own, doubt = _matchers(prometheus, name, job)
    selection = list(_selection(prometheus, own, doubt))
    return [
        *selection,
        *_collection(prometheus, own),
        Line("repository.forge", repository.forge, repository.origin),
        Line("repository.project", _text(repository.project), "from the repository's address"),
        Line("repository.base", _text(repository.base), "the branch that a clone has"),
        *_build(name, repository.clone, ask),
        *_rollout(prometheus, own),
        *_measurement(prometheus, own, selection[-1].value, ask),
    ]


def render(name: str, lines: Sequence[Line]) -> str:
    """Return the lines as YAML."""
    text = [
        f"# The Go service {name}. `fleetpgo services schema` explains every key.",
        f"description: {_text(name)}",
    ]
    section = ""
    for line in lines:
        above, _, key = line.key.partition(".")
        if above != section:
            text += ["", f"{above}:"]
            section = above
        # Labels are in it, which anybody may have written: what is not on this line is no comment.
        text += [f"  # {foreign.line(line.origin, _LONGEST)}", f"  {key}: {line.value}"]
    return "\n".join([*text, ""])


def _quoted(text: str) -> str:
    """Return a text as YAML in single quotes, in which only these are special."""
    return "'" + text.replace("'", "''") + "'"


def _text(text: str) -> str:
    """Return a text as YAML, in quotes if it could be anything else without."""
    return text if _PLAIN.fullmatch(text) else _quoted(text)


def _series(prometheus: Prometheus, query: str) -> tuple[Series, ...]:
    return prometheus.instant(query, partial_response=True).series


def _of(job: str) -> str:
    """Return the matcher of a job, as PromQL writes it."""
    escaped = job.replace("\\", "\\\\").replace('"', '\\"')
    return f'job="{escaped}"'


def _matchers(prometheus: Prometheus, name: str, job: str) -> tuple[str, str]:
    """Return the matchers of the service's instances; and what is doubtful about them, "" if nothing is.

    A job of all pods holds many services, which another label tells apart.
    """
    own = _of(job)
    found = _series(prometheus, f"go_info{{{own}}}")
    for label in SERVICES:
        values = {each.labels[label] for each in found if label in each.labels}
        if name in values and len(values) > 1:
            return f'{own}, {label}="{name}"', ""
    for label in SERVICES:
        values = {each.labels[label] for each in found if label in each.labels}
        if len(values) > 1:
            shown = ", ".join(sorted(values)[:_SHOWN])
            return (
                own,
                f"{CHECK}: the label {label} has {len(values)} values ({shown}): are all this service? ",
            )
    return own, ""


def _selection(prometheus: Prometheus, own: str, doubt: str) -> Iterator[Line]:
    cpu = f"rate(process_cpu_seconds_total{{{own}}}[{WINDOW}])"
    if found := _series(prometheus, cpu):
        origin = f"process_cpu_seconds_total, which {len(found):,} instances export"
    else:
        pods = 'container!="", container!="POD"'
        cpu = (
            f'max without (version) (go_info{{{own}, pod!=""}}) * on (namespace, pod) group_left () '
            f"sum by (namespace, pod) (rate(container_cpu_usage_seconds_total{{{pods}}}[{WINDOW}]))"
        )
        if not (found := _series(prometheus, cpu)):
            raise ServiceFileError(
                f"no metric tells the CPU of {own}: neither process_cpu_seconds_total nor cAdvisor's "
                "container_cpu_usage_seconds_total, by the labels namespace and pod",
                hint="write the service file by hand (docs/service-file.md), with your own selection.cpu",
            )
        origin = f"cAdvisor's container_cpu_usage_seconds_total of {len(found):,} instances' pods"
    yield Line("selection.cpu", _quoted(cpu), doubt + origin)
    values = {name: {each.labels[name] for each in found if name in each.labels} for name in DATACENTERS}
    there = sorted((name for name in DATACENTERS if values[name]), key=lambda name: len(values[name]) < 2)  # noqa: PLR2004  # one value tells nothing apart
    if not there:
        yield Line(
            "selection.datacenter_label",
            "datacenter",
            f"{CHECK}: no label looks like a datacenter's; all instances count as one",
        )
    else:
        shown = ", ".join(sorted(values[there[0]])[:_SHOWN])
        mark = f"{CHECK}: " if len(there) > 1 else ""
        others = f"; also there: {', '.join(there[1:])}" if len(there) > 1 else ""
        yield Line("selection.datacenter_label", there[0], f"{mark}a label with the values {shown}{others}")


def _collection(prometheus: Prometheus, own: str) -> Iterator[Line]:
    instances = [each.labels.get("instance", "") for each in _series(prometheus, f"go_info{{{own}}}")]
    addresses = [found for each in instances if (found := INSTANCE.fullmatch(each)) and found["port"]]
    ports = sorted({int(found["port"]) for found in addresses})
    path = "debug/pprof/profile?seconds=$seconds"
    asked, said = "the scraped address", "no: no instance is host:port"
    for found in addresses[:_PROBED]:
        asked, said = found.string, probe(found.string)
        if said == "yes":
            break
    serves = said == "yes"
    if serves and len(ports) == 1:
        yield Line(
            "collection.url",
            _quoted(f"http://$host:{ports[0]}/{path}"),
            f"{asked} lists its profiles at {INDEX}, where Prometheus scrapes it",
        )
    elif serves:
        yield Line(
            "collection.url",
            _quoted(f"http://$instance/{path}"),
            f"{asked} lists its profiles at {INDEX}, where Prometheus scrapes it",
        )
        yield Line(
            "collection.ports",
            f"[{ports[0]}, {ports[-1]}]",
            f"{CHECK}: the lowest and the highest port that Prometheus scrapes",
        )
    else:
        yield Line(
            "collection.url",
            _quoted(f"http://$host:6060/{path}"),
            f"{CHECK}: at {asked} there is no "
            f"{INDEX} ({said}); name the port and path where the service serves net/http/pprof",
        )
    if addresses and all(found["host"].startswith(_LOOPBACK) for found in addresses):
        six = ", '::1/128'" if any(found["host"].startswith("[") for found in addresses) else ""
        yield Line("collection.allow", f"[127.0.0.0/8{six}]", "the instances are on this machine")


def _build(name: str, clone: Path, ask: Ask) -> Iterator[Line]:
    mains = main_directories(clone)
    if not mains:
        raise ServiceFileError(
            "the repository has no package main",
            hint="is --repository the one that the service is built from?",
        )
    # Those that are called as the service come first, examples last.
    mains.sort(key=lambda directory: (posixpath.basename(directory) != name, _is_aside(directory)))
    place = 0
    sure = len(mains) == 1 or [posixpath.basename(each) for each in mains].count(name) == 1
    if not sure:
        answer = ask("Which main package is the service?", [each or "." for each in mains])
        place, sure = (0, False) if answer is None else (answer, True)
    package = mains[place]
    module = package
    while module and not (clone / module / "go.mod").exists():
        module = posixpath.dirname(module)
    binary = f"bin/{name}"
    output = posixpath.relpath(binary, module or ".")
    where = f"./{posixpath.relpath(package or '.', module or '.')}".removesuffix("/.")
    command = f"go build {f'-C {module} ' if module else ''}-o {output} {where}"
    mark = "" if sure else f"{CHECK}: one of {len(mains)} main packages; "
    yield Line(
        "build.command",
        _quoted(command),
        f"{mark}the package main in {package or '.'}; if production builds with other flags or tags, write "
        "its own command",
    )
    yield Line("build.binary", binary, "what the command writes")


def _is_aside(directory: str) -> bool:
    """Return whether a directory is one of examples, or one that ``./...`` leaves out."""
    return any(part.startswith(("_", ".")) or part in _ASIDE for part in directory.split("/"))


def _rollout(prometheus: Prometheus, own: str) -> Iterator[Line]:
    builds = _series(prometheus, f'count by (__name__) ({{__name__=~".+_build_info", {own}, pgo!=""}})')
    if builds:
        metric = f"{builds[0].labels['__name__']}{{{own}"
        new = f'{metric}, pgo="$profile"}}'
        yield Line(
            "rollout.fraction",
            _quoted(f"(count({new}) or vector(0)) / count({metric}}})"),
            f"{builds[0].labels['__name__']} has the label pgo",
        )
        yield Line("rollout.treated", _quoted(new), "likewise")
    started = f"process_start_time_seconds{{{own}}}"
    if _series(prometheus, started):
        why = (
            "it reveals restarts"
            if builds
            else "no metric names the profile of a build, so a restart after the merge counts as the "
            "rollout; docs/measurement.md says how to name it, and how to hold instances back without"
        )
        yield Line("rollout.started", _quoted(started), why)
    elif not builds:
        raise ServiceFileError(
            f"no metric shows a rollout of {own}: neither process_start_time_seconds nor a …_build_info with "
            "the label pgo",
            hint="write the service file by hand (docs/service-file.md): rollout.fraction",
        )
    revisions = _series(
        prometheus, f'count by (__name__) ({{__name__=~".+_build_info", {own}, revision!=""}})'
    )
    if revisions:
        metric = revisions[0].labels["__name__"]
        query = f"count by (revision) ({metric}{{{own}}})"
        yield Line("rollout.revision", _quoted(query), f"{metric} has the label revision")


def _measurement(prometheus: Prometheus, own: str, datacenter: str, ask: Ask) -> Iterator[Line]:
    matchers = f'__name__=~"{_REQUESTS}", __name__!="{_OUR_OWN}", {own}'
    found = sorted(
        each.labels["__name__"] for each in _series(prometheus, f"count by (__name__) ({{{matchers}}})")
    )
    if not found:
        return
    rates = {
        name: sum(each.value for each in _series(prometheus, f"sum(rate({name}{{{own}}}[{WINDOW}]))"))
        for name in found
    }
    found.sort(key=lambda name: -rates[name])
    place, sure = 0, len(found) == 1 and rates[found[0]] > 0
    if len(found) > 1:
        answer = ask("Which metric counts the requests?", [f"{each}: {rates[each]:.3g}/s" for each in found])
        place, sure = (0, False) if answer is None else (answer, True)
    others = ", ".join(each for each in found if each != found[place])
    doubt = f"the busiest; also there: {others}" if others else "it counts nothing now"
    yield Line(
        "measurement.requests",
        _quoted(f"sum by (instance, {datacenter}) (rate({found[place]}{{{own}}}[{WINDOW}]))"),
        f"{rates[found[place]]:.3g} requests a second" if sure else f"{CHECK}: {doubt}",
    )
