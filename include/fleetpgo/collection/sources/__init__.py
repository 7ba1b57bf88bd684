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
    """One HTTP request, without credentials: the session adds them."""

    url: URL
    method: str = "GET"
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    profiled: str = ""
    """The host that is profiled, if it is not the host of `url`: a proxy passes the request on."""

    @property
    def host(self) -> str:
        """The host to which ``collection.per_host`` applies."""
        return self.profiled or self.url.host or ""


@dataclass(frozen=True)
class Call:
    """One run of a program that prints a profile.

    Attributes:
        arguments: the program and its arguments.
        host: the host that it profiles.
    """

    arguments: tuple[str, ...]
    host: str


class ProfileSource(Protocol):
    """Builds the request for a CPU profile of a target, and reads the answer."""

    whole: ClassVar[bool]
    """Whether a profile always covers the whole requested time. A store may have only a part of it."""

    def question(self, target: Target, *, seconds: int) -> str:
        """Return the text that identifies the request, without its time: a URL, a query or a file pattern.

        Targets with the same text get the same profile.

        Raises:
            NeverError: as :meth:`request`.
        """

    def request(self, target: Target, *, seconds: int, until: float) -> Request | Call:
        """Return the request or the call that gets one profile of a target.

        Args:
            target: the instance to profile.
            seconds: length of the profile.
            until: end of the profile, in Unix seconds. Sources that profile the instance now ignore it.

        Raises:
            NeverError: the target's labels do not give a valid or allowed request.
        """

    def profile(self, body: bytes, *, seconds: int, limits: Limits) -> bytes:
        """Return the profile in an answer: pprof protobuf, gzipped or not.

        Args:
            body: body of an answer with HTTP 200, or the output of a program.
            seconds: the requested length.
            limits: largest allowed profile.

        Raises:
            UnusableError: the answer holds no profile.
            ProfileError: the profile exceeds `limits`.
        """
