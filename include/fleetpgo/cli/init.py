"""``fleetpgo init``: the first service file of a service, from Prometheus and its repository."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from fleetpgo.cli.options import ca_option, open_prometheus, prometheus_option, trusted_ca
from fleetpgo.cli.printing import say
from fleetpgo.errors import FleetPGOError, ServiceFileError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fleetpgo.prometheus import Prometheus
    from fleetpgo.steps.begin import Ask, Repository

NOTHING_FITS = 2
"""Exit code where a value cannot be found: no file is written."""

_KNOWN = {"github.com": "github", "gitlab.com": "gitlab", "codeberg.org": "gitea"}
_KINDS = ("github", "gitlab", "gitea")


@click.command()
@click.argument("service", metavar="SERVICE")
@ca_option
@prometheus_option(required=True)
@click.option(
    "--repository",
    metavar="URL",
    required=True,
    help="Where the service is cloned from: https://… (with the token in $FLEETPGO_TOKEN), or a directory.",
)
@click.option("--job", help="The value of the label `job` of its instances. Default: SERVICE.")
@click.option("--yes", is_flag=True, help="Ask nothing: take the best answer, and mark its line # CHECK.")
def init(service: str, prometheus_address: str, repository: str, job: str | None, *, yes: bool) -> None:
    """Write the service file of a service, from what Prometheus and its repository tell.

    Each line says where it came from. Where several answers fit, a terminal is asked; elsewhere, or with
    --yes, the best is taken and its line marked # CHECK. The file goes where the other service files are
    ($FLEETPGO_SERVICES); a file that is there is never overwritten. The exit code is 2, and no file is
    written, if there is no answer.
    """
    from fleetpgo.service.files import load_service, services_directory
    from fleetpgo.service.rules import NAME
    from fleetpgo.steps.begin import CHECK, begin, render

    if not NAME.fullmatch(service):
        raise click.BadParameter("use lower-case letters, digits, '-' and '_', and no -revert at the end")
    file = services_directory() / f"{service}.yaml"
    for there in (file, file.with_suffix(".yml")):
        if there.exists():
            raise ServiceFileError(f"{there} exists already", hint="remove it first, or edit it")
    ask: Ask = _nobody if yes or not sys.stdin.isatty() else _terminal
    prometheus = open_prometheus(prometheus_address)
    _require_writable(file.parent)
    try:
        own = _job(prometheus, service, job, ask)
        with _cloned(repository, ask) as cloned:
            lines = begin(service, own, prometheus, cloned, ask)
    except ServiceFileError as error:
        say(f"fleetpgo: {error}", err=True)
        raise SystemExit(NOTHING_FITS) from error
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(render(service, lines), encoding="utf-8")
    try:
        load_service(file)
    except ServiceFileError:
        file.unlink()
        raise
    say(file)
    unsure = [line for line in lines if line.origin.startswith(CHECK)]
    for line in unsure:
        say(f"{line.key}: {line.origin}", err=True)
    say(f"next: fleetpgo doctor {service} --prometheus {prometheus_address}", err=True)


def _require_writable(directory: Path) -> None:
    """Check that a file can be made in a directory, before anybody is asked anything.

    Raises:
        ServiceFileError: it cannot.
    """
    there = next(each for each in (directory, *directory.absolute().parents) if each.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise ServiceFileError(
            f"no service file can be written to {directory}",
            hint="set FLEETPGO_SERVICES to a directory that you may write to",
        )


def _terminal(question: str, answers: Sequence[str]) -> int | None:
    say(question, err=True)
    for number, answer in enumerate(answers, start=1):
        say(f"  {number}  {answer}", err=True)
    chosen: int = click.prompt("number", type=click.IntRange(1, len(answers)), default=1, err=True)
    return chosen - 1


def _nobody(_question: str, _answers: Sequence[str]) -> int | None:
    return None


def _job(prometheus: Prometheus, service: str, job: str | None, ask: Ask) -> str:
    """Return the job of the service: the one that was named, has its name, or is chosen."""
    from fleetpgo.selection.discovery import discover

    jobs = [each.job for each in discover(prometheus).services]
    wanted = job or service
    if wanted in jobs:
        return wanted
    like = [each for each in jobs if each and (service in each or each in service)] if job is None else []
    if like and (chosen := ask(f"Which job is {service}?", like)) is not None:
        return like[chosen]
    raise ServiceFileError(
        f"Prometheus has no Go service with the job {wanted!r}; it has {', '.join(jobs)}",
        hint=f"name it with --job{f', perhaps {like[0]}' if like else ''}",
    )


_SSH = re.compile(r"(?:ssh://(?:[\w.-]+@)?|[\w.-]+@)(?P<host>[\w.-]+)(?::\d+/|[:/])(?P<path>.+)")
"""Addresses for SSH as git writes them: ``git@host:owner/name.git``, ``ssh://git@host:22/owner/name``."""


def _remote(checkout: Path) -> str:
    """Return the address that a checkout was cloned from; one for SSH as one for HTTPS.

    Raises:
        ServiceFileError: it has none.
    """
    from fleetpgo.proposal.git import git

    try:
        address = git(checkout, "remote", "get-url", "origin")
    except FleetPGOError as error:
        raise ServiceFileError(
            f"{checkout} is a checkout without a remote origin, so its forge is not known",
            hint="give --repository the URL that it is cloned from, or a bare repository",
        ) from error
    found = _SSH.fullmatch(address)
    if found:
        return f"https://{found['host']}/{found['path']}"
    return re.sub(r"^https://[^/@]*@", "https://", address).removeprefix("file://")  # a login may be a token


@contextmanager
def _cloned(url: str, ask: Ask) -> Iterator[Repository]:
    """Clone a repository's newest commit; its forge is told by the address.

    Raises:
        ServiceFileError: the address is none of a forge, or its kind is not known and nobody says it.
    """
    from fleetpgo.proposal import forges
    from fleetpgo.proposal.git import git
    from fleetpgo.steps.begin import Repository

    config: dict[str, str] = {}
    token = os.environ.get("FLEETPGO_TOKEN")
    if (Path(url) / ".git").exists():
        url = _remote(Path(url))
    if (local := Path(url)).is_dir():
        kind, project, source = "local", local.resolve().name.removesuffix(".git"), local.resolve().as_uri()
        origin = "a directory of this machine"
    else:
        parts = urlsplit(url)
        project = parts.path.strip("/").removesuffix(".git")
        if parts.scheme != "https" or not parts.hostname or not project or "@" in parts.netloc:
            raise ServiceFileError(
                "--repository is neither https://host/owner/name nor a directory", hint="correct --repository"
            )
        kind = _kind(parts.hostname, ask)
        origin = f"the host {parts.hostname}"
        source = url
        if ca := trusted_ca():
            config = {"http.sslCAInfo": str(ca)}
        if token:
            forge = forges.connect(
                kind,  # type: ignore[arg-type]  # one of _KINDS
                project,
                address=f"https://{parts.netloc}",
                token=token,
                ca=trusted_ca(),
            )
            source, config = forge.clone_url, dict(forge.git_config())
    with tempfile.TemporaryDirectory(prefix="fleetpgo-", ignore_cleanup_errors=True) as place:
        clone = Path(place) / "clone"
        try:
            git(Path(place), "clone", "--quiet", "--depth=1", source, str(clone), config=config)
            base = git(clone, "symbolic-ref", "--short", "HEAD")
        except FleetPGOError as error:
            raise ServiceFileError(
                f"the repository cannot be cloned: {error.message}",
                hint="check --repository; for a private one set FLEETPGO_TOKEN",
            ) from error
        yield Repository(kind, project, base, clone, origin)


def _kind(host: str, ask: Ask) -> str:
    """Return the kind of a host's forge."""
    likely = _KNOWN.get(host) or next((kind for kind in _KINDS if kind in host), None)
    if likely is None and "forgejo" in host:
        likely = "gitea"
    if likely is None and (chosen := ask(f"What kind of forge is {host}?", _KINDS)) is not None:
        likely = _KINDS[chosen]
    if likely is None:
        raise ServiceFileError(
            f"the kind of the forge {host} is not known",
            hint="run the command in a terminal and without --yes: it asks",
        )
    return likely
