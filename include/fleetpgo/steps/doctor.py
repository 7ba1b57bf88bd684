"""Stage 0: check a service before production is touched, and say what will be possible.

Each check has a name, an outcome and a sentence that names what to change. A failure is what would fail the
run, or what nobody may be asked with; all else that is wrong is a warning. Nothing is profiled or pushed. The
command ``fleetpgo doctor`` prints the checks; the DAG's first task, ``preflight``, fails with the failures.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fleetpgo.errors import FleetPGOError
from fleetpgo.golang import processes, toolchain
from fleetpgo.pprof import is_native
from fleetpgo.proposal.sharing import of_repository
from fleetpgo.proposal.signing import identity_of
from fleetpgo.run import storage
from fleetpgo.service.files import clashes, load_service, service_files
from fleetpgo.steps.checks import Check, failure
from fleetpgo.steps.fleet_checks import fleet_checks
from fleetpgo.steps.rights import intent_of
from fleetpgo.steps.turns import limits_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from upath import UPath

    from fleetpgo.collection import Access
    from fleetpgo.prometheus import Prometheus
    from fleetpgo.proposal.forges import Forge
    from fleetpgo.service.rules import ServiceRules


@dataclass(frozen=True)
class Parties:
    """Whom the service needs. Each is made when it is checked; one that cannot be made is a failed check.

    ``forge`` and ``store`` may be None: they are not checked then.
    """

    prometheus: Callable[[], Prometheus]
    access: Callable[[], Access]
    forge: Callable[[], Forge] | None
    store: Callable[[], Path | UPath] | None


def examine(service: ServiceRules, parties: Parties) -> list[Check]:
    """Return all checks of a service, in the order of the service file."""
    checks = list(_clashes(service))
    try:
        prometheus = parties.prometheus()
    except FleetPGOError as error:
        checks.append(failure("prometheus.connection", error))
    else:
        checks += fleet_checks(service, prometheus, parties.access)
    checks += _forge(service, parties)
    checks += _limits(service)
    checks += _store(parties)
    return [*checks, *_worker(service)]


def _clashes(service: ServiceRules) -> Iterator[Check]:
    """Yield a failure if another service writes the same profile."""
    sound = []
    for file in service_files():
        try:
            load_service(file)
        except FleetPGOError:
            continue  # its own doctor says so
        sound.append(file)
    for clash in clashes(sound):
        if service.name in clash.services:
            yield Check("repository.profile", "failure", clash.said)


def _forge(service: ServiceRules, parties: Parties) -> Iterator[Check]:
    """Check the repository, its base and the token, as far as the forge tells."""
    repository = service.repository
    if parties.forge is None:
        yield Check("repository.connection", "warning", "the forge is not checked", "give --forge")
        return
    try:
        forge = parties.forge()
        forge.check(repository.base)
        found = forge.obstacles(intent_of(service))
        identity_of(service.commit, forge.signing_key, forge.make_commit)
    except FleetPGOError as error:
        yield failure("repository.connection", error)
        return
    for each in found:
        yield Check("repository.rights", "failure" if each.fatal else "warning", each.said, each.hint)
    if any(each.fatal for each in found):
        return
    yield Check(
        "repository.connection",
        "ok",
        f"{repository.project} on the forge ({repository.forge}) has the branch {repository.base} and can be "
        "pushed to",
    )


def _limits(service: ServiceRules) -> Iterator[Check]:
    """Say what limits the runs of the service's repository."""
    others = of_repository(service)
    limits = limits_of(service, others)
    said = [
        *([f"{limits.open} open pull request(s)"] if limits.open is not None else []),
        *([f"{limits.builds_per_hour} build(s) an hour"] if limits.builds_per_hour is not None else []),
    ]
    if said:
        yield Check(
            "repository.limits",
            "ok",
            f"at most {' and '.join(said)}, for the {1 + len(others)} service(s) of "
            f"{service.repository.project}: a run beyond that waits",
        )


def _store(parties: Parties) -> Iterator[Check]:
    """Write, read and remove a file in the store."""
    if parties.store is None:
        yield Check("store", "warning", "the store is not checked", "give --store, or set FLEETPGO_STORE")
        return
    try:
        root = parties.store()
        place, token = root / f"doctor-{secrets.token_hex(4)}", secrets.token_bytes(8)
        storage.write(place, token)
        read = storage.read(place)
        storage.remove(place)
    except FleetPGOError as error:
        yield failure("store", error)
        return
    if read != token:
        yield Check("store", "failure", f"{root} gives other bytes back than it was given", "check the store")
        return
    yield Check("store", "ok", f"{root} can be written to and read from")


def _worker(service: ServiceRules) -> Iterator[Check]:
    """Check what reads profiles on this machine, and the programs that the build needs."""
    if is_native():
        yield Check("fleetpgo-kernel", "ok", "profiles are read by native code")
    else:
        yield Check(
            "fleetpgo-kernel",
            "warning",
            "it is not installed: profiles are read by Python, which takes 25 times the CPU",
            "install Rust and run `make setup` in a checkout, or `pip install ./kernel`",
        )
    environment = processes.passed_on(os.environ) | {"HOME": tempfile.gettempdir()}
    try:
        yield Check("Go", "ok", toolchain.version(environment=environment))
    except FleetPGOError as error:
        yield failure("Go", error)
    for program in ("git", service.build.command[0]):
        if "/" in program:  # the repository's own
            continue
        if found := shutil.which(program, path=environment.get("PATH")):
            yield Check(program, "ok", found)
        else:
            yield Check(
                program,
                "failure",
                f"there is no {program} on the PATH",
                f"install {program} where the task runs"
                + (", or correct build.command" if program != "git" else ""),
            )
