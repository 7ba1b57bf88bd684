"""A program that prints the profile of an instance, such as ``kubectl get --raw …`` or one's own helper.

For fleets whose instances cannot be asked over HTTP from where fleetpgo runs.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fleetpgo.collection.sources import Call
from fleetpgo.collection.sources.labels import fill

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fleetpgo.pprof import Limits
    from fleetpgo.selection import Target


@dataclass(frozen=True)
class Command:
    """Calls a program for each instance.

    Args:
        command: the program, and templates of its arguments. Each is filled by itself: a label's value stays
            within its argument, and cannot begin an option.
    """

    command: Sequence[str]

    whole: ClassVar[bool] = True

    def question(self, target: Target, *, seconds: int) -> str:
        """Return the command line with the target's labels filled in."""
        return shlex.join(self.request(target, seconds=seconds).arguments)

    def request(self, target: Target, *, seconds: int, until: float = 0) -> Call:  # noqa: ARG002  # the protocol's
        """Return the program and its arguments, with the target's labels filled in."""
        arguments = tuple(fill(each, target, seconds=seconds) for each in self.command)
        return Call(arguments, fill("$host", target, seconds=seconds))

    def profile(self, body: bytes, *, seconds: int, limits: Limits) -> bytes:  # noqa: ARG002  # the protocol's
        """Return the output unchanged: it is the profile."""
        return body
