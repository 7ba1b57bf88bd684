"""Sources of profiles: the request to send, and the profile in the answer.

A source knows one API and nothing of time limits, retries, addresses or credentials. It builds the
:class:`Request` for a target, or the :class:`Call` of a program, and takes the profile out of the answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from yarl import URL

    from fleetpgo.pprof import Limits
    from fleetpgo.selection import Target


@dataclass(frozen=True)
class Request:
    """One HTTP request: no credentials, these are the session's."""

    url: URL
    method: str = "GET"
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    profiled: str = ""
    """The host that takes the profile, if it is another one than is asked: a proxy passes the request on."""

    @property
    def host(self) -> str:
        """The host of which so many profiles may be taken at once."""
        return self.profiled or self.url.host or ""


@dataclass(frozen=True)
class Call:
    """One call of a program that prints a profile: its arguments, the program first, and whom it profiles."""

    arguments: tuple[str, ...]
    host: str


class ProfileSource(Protocol):
    """Builds the request for a CPU profile of a target, and reads the answer."""

    whole: ClassVar[bool]
    """Whether an answer covers all of the time that was asked for; a store may have seen a part of it."""

    def question(self, target: Target, *, seconds: int) -> str:
        """Return the request without its time. Targets with equal questions get the same profile.

        Raises:
            NeverError: as :meth:`request`.
        """

    def request(self, target: Target, *, seconds: int, until: float) -> Request | Call:
        """Return what gets a profile of that length.

        Args:
            target: whose.
            seconds: its length.
            until: where it ends, in Unix seconds; of an instance that is profiled now, without effect.

        Raises:
            NeverError: the target's labels do not make a request that may be sent.
        """

    def profile(self, body: bytes, *, seconds: int, limits: Limits) -> bytes:
        """The profile in the body of an answer with HTTP 200, or in what a program printed.

        It is protobuf, gzipped or not.

        Args:
            body: what was answered, or printed.
            seconds: the length that was asked for.
            limits: what the profile may be.

        Raises:
            UnusableError: there is none in it.
            ProfileError: there is one that is beyond `limits`.
        """
