"""Read only the part of each stack that the compiler reads: its two leaf-most locations.

Most bytes of a profile are the locations of its stacks, but the compiler reads only two locations of each
stack. Locations that only deeper frames use are left out, too, and so are labels. What is left out is not
checked, so a wrong reference in it is not detected.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from fleetpgo.pprof.codec.arrays import ranges, starts_of
from fleetpgo.pprof.codec.columns import require_few_lines, require_short_names
from fleetpgo.pprof.codec.decoding import decoded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fleetpgo.pprof.codec.columns import Columns
    from fleetpgo.pprof.codec.reading import Limits

COMPILER_DEPTH = 2
"""Locations of a stack that the compiler reads, from the leaf."""

MOST_LINES = 0.4
"""Lines next to the leaves of all stacks for each record that a profile may have: each may become an edge,
and Python takes some ten microseconds for an edge."""


def parse_leaves(messages: Sequence[bytes], limits: Limits) -> Columns:
    """Read the messages of one or more profiles, with the two leaf-most locations of each stack.

    Arguments and errors are those of :func:`fleetpgo.pprof.codec.decoding.parse`, but for what is left out.
    """
    return _bounded(decoded(messages, limits, leaves=True), limits)


def shortened(profiles: Columns, limits: Limits) -> Columns:
    """Return the profiles with the two leaf-most locations of each stack.

    Raises:
        ProfileError: these hold too many lines, or too long names (``too-large``).
    """
    starts, depths = starts_of(profiles.depths)[:-1], np.minimum(profiles.depths, COMPILER_DEPTH)
    stacks = profiles.stacks.take(ranges(starts, depths))
    return _bounded(replace(profiles, depths=depths, stacks=stacks), limits)


def _bounded(profiles: Columns, limits: Limits) -> Columns:
    require_few_lines(profiles, int(MOST_LINES * limits.records))
    require_short_names(profiles, limits.message_bytes)
    return profiles
