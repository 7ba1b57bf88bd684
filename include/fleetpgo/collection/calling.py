"""Calls a program that prints a profile, or says why there is none."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Self

from fleetpgo import foreign
from fleetpgo.collection.faults import NeverError, NotNowError
from fleetpgo.collection.fetching import BUSY
from fleetpgo.errors import ServiceFileError
from fleetpgo.golang import processes

if TYPE_CHECKING:
    from fleetpgo.collection.fetching import Limits
    from fleetpgo.collection.sources import Call
    from fleetpgo.collection.spool import Body
    from fleetpgo.service.profiling import CollectionRules

_SAID = 200  # characters of its last line that are worth repeating


class Caller:
    """Calls the program of the source ``command``; a context manager, which waits for those that run.

    Args:
        rules: name the program, its environment, and how many may run at once. Without a program there is
            nothing to call.
        limits: how long a call may take, and how much it may print.

    Raises:
        ServiceFileError: there is no such program.
    """

    def __init__(self, rules: CollectionRules, limits: Limits) -> None:
        self._limits = limits
        self._environment = {**processes.passed_on(os.environ, "HOME"), **rules.environment}
        self._threads = ThreadPoolExecutor(rules.concurrency)  # starts none before it is needed
        if rules.command and not shutil.which(rules.command[0], path=self._environment.get("PATH")):
            raise ServiceFileError(
                f"collection.command: there is no program {rules.command[0]} on PATH",
                hint="install it on every machine that fetches profiles, or write its path",
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(cancel_futures=True)

    async def call(self, request: Call, body: Body) -> None:
        """Run the program to its end, and put what it prints into the spool.

        Raises:
            NoProfileError: one of its kinds, with the reason.
        """
        program, limits = request.arguments[0], self._limits
        try:
            ended = await asyncio.get_running_loop().run_in_executor(self._threads, self._run, request)
        except OSError as error:
            raise NeverError(f"{program} cannot be started: {error.strerror}") from error
        if ended.stopped and len(ended.output) >= limits.packed_bytes:
            raise NeverError(f"larger than {limits.packed_bytes:,} bytes (collection.max_bytes)")
        if ended.stopped:
            raise NotNowError(f"{program} {ended.stopped}")
        if ended.status:
            raise NotNowError(_why(program, ended))
        body.write(ended.output)

    def _run(self, request: Call) -> processes.Ended:
        with tempfile.TemporaryDirectory(prefix="fleetpgo-", ignore_cleanup_errors=True) as directory:
            return processes.capture(
                request.arguments,
                Path(directory),
                self._environment,
                seconds=self._limits.seconds,
                most=self._limits.packed_bytes,
            )


def _why(program: str, ended: processes.Ended) -> str:
    """Return why a program failed, with the last line that it wrote to standard error."""
    said = ended.errors.encode()
    last = foreign.line(said.strip().rpartition(b"\n")[2], _SAID)
    how = f"signal {-ended.status}" if ended.status < 0 else f"exit status {ended.status}"
    busy = "busy: " if BUSY in said or BUSY in ended.output else ""
    return f"{busy}{program} ended with {how}" + (f": {last}" if last else "")
