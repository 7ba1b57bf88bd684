"""The content of a pull request, as plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fleetpgo.proposal.verify import Verified


@dataclass(frozen=True)
class Datacenter:
    """Counts of one datacenter's instances and profiles.

    Attributes:
        name: of the datacenter; "" where instances have none.
        asked: instances that were asked for a profile.
        used: those whose profile is in the merge.
        samples: CPU samples in those.
    """

    name: str
    asked: int
    used: int
    samples: int


@dataclass(frozen=True)
class Provenance:
    """The origin of a profile, from the run that made it.

    Attributes:
        run: id of the run.
        query: PromQL that selected the instances.
        selected: how many instances were selected.
        missing: selected instance whose profile is not in the merge → the reason.
        samples: CPU samples in the profile.
        run_url: URL of the run's page; None if it has none.
        datacenters: what the instances of each datacenter contributed.
        figures: further named figures of the profile, such as ``{"edges": "1,204"}``.
        notes: sentences that the reviewer must read.
        guarded: functions that are kept from inlining, each with the link that says why.
        savings: what the latest refreshes saved, the oldest first, each in a few words.
        power: how small a saving a fleet of this size can show, in a sentence without its first capital; "":
            the size is not known.
        expected: what a further one is expected to save, with its interval; "" if that is not known.
        release: the release whose instances were profiled; "": of any.
        release_share: share of all instances that ran it, 0 … 1.
        later_release: a release that has come since; "": none.
    """

    run: str
    query: str
    selected: int
    missing: Mapping[str, str]
    samples: int
    run_url: str | None = None
    datacenters: Sequence[Datacenter] = ()
    figures: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()
    guarded: Mapping[str, str] = field(default_factory=dict)
    savings: Sequence[str] = ()
    power: str = ""
    expected: str = ""
    release: str = ""
    release_share: float = 0.0
    later_release: str = ""


@dataclass(frozen=True)
class FunctionShare:
    """Share of a profile's edge weight on calls of one function, now and before.

    Attributes:
        function: linker symbol.
        share: in the proposed profile, 0 … 1.
        before: in the current profile; None if there is none.
    """

    function: str
    share: float
    before: float | None


@dataclass(frozen=True)
class Change:
    """The difference of a profile from the current one.

    Attributes:
        overlap: 0 … 1, see :class:`fleetpgo.pprof.Comparison`.
        gained: hot edges that the current profile has not.
        lost: hot edges of the current profile that it has not.
    """

    overlap: float
    gained: int
    lost: int


@dataclass(frozen=True)
class Proposal:
    """The content of a pull request.

    Attributes:
        service: name of the service.
        branch: head branch of the pull request.
        path: path of the profile in the repository.
        profile: first 12 hex digits of the SHA-256 of the profile.
        size: size of the profile in bytes.
        current: the same digits of the profile on the base branch; None if there is none.
        current_size: size of that profile in bytes.
        change: difference from that profile to this one; None if there is none, or it cannot be read.
        command: the service's build command.
        binary: path of the binary that the command makes.
        wired: other files that the pull request edits, so that the build uses the profile.
        unaware: files that build something without the profile, and are not edited.
        since: difference from the profile that the open pull request proposed before; None: it is new.
        title: template of the title and of the commit's first line (:class:`CommitRules`).
        message: template of the rest of the commit's message.
        images: a sentence for each container image whose build does not get the profile.
        verified: results of the builds and checks in the clone.
        match_below: source match below which the reviewer is warned.
        functions: the functions with the most weight, and how that changed.
        provenance: where the profile comes from.
    """

    service: str
    branch: str
    path: str
    profile: str
    size: int
    current: str | None
    current_size: int | None
    change: Change | None
    command: str
    binary: str
    wired: Sequence[str]
    unaware: Sequence[str]
    verified: Verified
    match_below: float
    functions: Sequence[FunctionShare]
    provenance: Provenance
    images: Sequence[str] = ()
    since: Change | None = None
    title: str = "$title"
    message: str = "$path (SHA-256 $profile…)"
