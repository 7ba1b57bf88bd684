"""What makes the DAG file of a thousand services cheap to parse (docs/decisions/0612)."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fleetpgo.errors import ServiceFileError
from fleetpgo.service.files import load_service

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from fleetpgo.service.rules import ServiceRules


def read_all(files: Iterable[Path]) -> list[tuple[Path, ServiceRules | ServiceFileError]]:
    """Read service files; return what each says, or what is wrong with it."""
    return [(file, _read(file)) for file in files]


def _read(file: Path) -> ServiceRules | ServiceFileError:
    try:
        return load_service(file)
    except ServiceFileError as mistake:
        return mistake


@contextmanager
def without_collector() -> Iterator[None]:
    """Look for no garbage in circles meanwhile: DAGs are large circles, and none of them is garbage."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
