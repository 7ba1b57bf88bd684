"""The call edges of the fetched profiles, kept beside them.

They are derived where a profile arrives, as it is decoded there anyway. Those of some dozens are one
artifact, a pack. A pack is a cache: where one is lost, damaged or of another version, or cannot be written,
the edges are derived from the profiles once more. Why so: docs/decisions/0103-edges-are-kept.md.
"""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING

from fleetpgo import pprof
from fleetpgo.errors import ArtifactError, ProfileError, StoreError
from fleetpgo.run.artifacts import EdgePack, FetchedProfile

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fleetpgo.pprof import EdgeTable, Limits, OwnEdges
    from fleetpgo.run.store import RunStore

log = logging.getLogger(__name__)

PACK = 64
"""Profiles in a pack. More of them take more memory until they are written, and share few more names."""


def write_pack(store: RunStore, profiles: Sequence[tuple[str, OwnEdges]]) -> bytes:
    """Return the edges of some profiles, each with its digest, as a pack, kept if the store can. Blocks."""
    data = pprof.pack(profiles)
    try:
        store.write(EdgePack(data), hashlib.sha256(data).hexdigest())
    except StoreError as error:
        log.warning("Call edges are not kept: %s. Whoever needs them derives them again", error)
    return data


class Packer:
    """Takes the call edges of profiles as these arrive, and writes them as packs. For one thread at a time.

    Args:
        store: the run's artifacts.
    """

    def __init__(self, store: RunStore) -> None:
        self._store = store
        self._waiting: dict[str, OwnEdges] = {}

    def add(self, digest: str, edges: OwnEdges) -> None:
        """Take the edges of a profile; those of some dozens are written at once. Blocks."""
        # What numbers the names is another object once too many names were known.
        others = any(each.names is not edges.names for each in self._waiting.values())
        if others or len(self._waiting) == PACK:
            self.write()
        self._waiting[digest] = edges

    def write(self) -> None:
        """Write what waits. Blocks."""
        if self._waiting:
            write_pack(self._store, list(self._waiting.items()))
            self._waiting.clear()


def read_edges(store: RunStore, digests: Sequence[str], *, limits: Limits) -> EdgeTable:
    """Return the call edges of profiles by their digests. Those that no pack has are derived, and kept.

    Args:
        store: the run's artifacts.
        digests: of the profiles, each once.
        limits: what each may be.

    Raises:
        ProfileError: a profile of which nothing was kept cannot be read; it has its place in ``digests``.
    """
    table, wanted = pprof.EdgeTable(), set(digests)
    for key in store.keys(EdgePack):
        if len(wanted) == table.profiles:
            break
        data, path = store.find(EdgePack, key), store.path(EdgePack, key)
        if data is None:  # removed since it was listed
            continue
        if hashlib.sha256(data).hexdigest() != key:
            log.warning("%s is damaged: its SHA-256 is not its name. Its call edges are derived again", path)
            try:
                store.remove(EdgePack, key)
            except StoreError as error:
                log.warning("It stays there: %s", error)
            continue
        try:
            table.add(data, wanted)
        except ArtifactError as error:  # of another version of fleetpgo, which may need it
            log.info("%s: %s. Its call edges are derived again", path, error.message)
    left = [place for place, each in enumerate(digests) if each not in table]
    for first in range(0, len(left), PACK):
        derived = _derived(store, digests, left[first : first + PACK], limits)
        table.add(write_pack(store, list(derived)))
    return table


def _derived(
    store: RunStore, digests: Sequence[str], places: Sequence[int], limits: Limits
) -> Iterator[tuple[str, OwnEdges]]:
    """Yield digests and edges of some profiles, read from their bytes."""
    wanted = [digests[place] for place in places]
    try:
        every = pprof.edges_of_each((store.read(FetchedProfile, each) for each in wanted), limits=limits)
        yield from zip(wanted, every, strict=True)
    except ProfileError as error:
        if error.profile is None:
            raise
        place = places[error.profile]
        message = f"Profile {place}: {error.message.removeprefix(f'Profile {error.profile}: ')}"
        raise ProfileError(message, reason=error.reason, hint=error.hint, profile=place) from error
