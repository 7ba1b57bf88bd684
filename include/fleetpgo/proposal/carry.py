"""Put a service's commit on top of another commit, file by file.

A commit of fleetpgo holds one profile, and the Makefile that passes it on if that had to be edited; nothing
else is ever carried over. A profile is taken whole. A Makefile that has changed meanwhile is merged by its
lines. Git's own merge is not used: it follows renames, and the repository's .gitattributes may tell it how to
merge.
"""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from fleetpgo import foreign
from fleetpgo.errors import RepositoryError
from fleetpgo.proposal.blobs import unpacked
from fleetpgo.proposal.git import git
from fleetpgo.proposal.wiring.edits import is_makefile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fleetpgo.proposal.checkout import Checkout
    from fleetpgo.service.rules import ServiceRules

_PROFILE = re.compile(r"(?:.*/)?(?:default\.pgo|[^/]+\.(?:pgo|pprof|prof|profile|pb|pb\.gz))")
"""Names of a profile whose service file does not name it, or not any more."""

_LONGEST_PATH, _NAMED = 200, 10


class Entry(NamedTuple):
    """What a path holds: git's mode and the SHA of its content."""

    mode: str
    sha: str

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return self.mode in ("100644", "100755")

    @property
    def is_nothing(self) -> bool:
        """Whether the path holds nothing."""
        return not self.mode.strip("0")


_NOTHING = Entry("000000", "")


@dataclass(frozen=True)
class Edit:
    """A file that a commit changes."""

    path: str
    old: Entry
    new: Entry


def edits_of(checkout: Checkout, before: str, after: str) -> tuple[Edit, ...]:
    """Return what differs between two commits."""
    return edits_in(checkout.path, before, after, checkout.config)


def edits_in(
    repository: Path, before: str, after: str, config: Mapping[str, str] | None = None
) -> tuple[Edit, ...]:
    """Return what differs between two commits of a repository; the configuration fetches what it lacks."""
    told = git(repository, "diff-tree", "-r", "-z", "--no-renames", before, after, config=config).split("\0")
    found = []
    for about, path in zip(told[::2], told[1::2], strict=False):
        old_mode, new_mode, old, new = about.lstrip(":").split()[:4]
        found.append(Edit(path, _entry(old_mode, old), _entry(new_mode, new)))
    return tuple(found)


def _entry(mode: str, sha: str) -> Entry:
    entry = Entry(mode, sha)
    return _NOTHING if entry.is_nothing else entry


def held_by(edits: tuple[Edit, ...], rules: ServiceRules | None) -> tuple[str, str]:
    """Return path and content's SHA of the profile that a service's commit holds.

    Of the Makefile, if the commit only makes the build use a profile that was there.

    Args:
        edits: of the commit.
        rules: of the service; None if its file is gone or has a mistake.
    """
    profiles = [each for each in edits if not _wires(each.path, rules)]
    return next(((each.path, each.new.sha) for each in (*profiles, *edits)), ("", ""))


def _wires(path: str, rules: ServiceRules | None) -> bool:
    if rules and path == rules.repository.profile:
        return False
    return is_makefile(path) or (rules is not None and path == rules.repository.makefile)


def profile_of(edits: tuple[Edit, ...], service: str, rules: ServiceRules | None) -> tuple[str, str]:
    """Return what :func:`held_by` does, of a commit that may be carried over.

    Raises:
        RepositoryError: the commit changes something else than a profile and one Makefile.
    """
    named = rules.repository.profile if rules else None
    profiles = [each for each in edits if not _wires(each.path, rules)]
    good = (
        len(edits) in (1, 1 + 1)
        and len(edits) - len(profiles) in (0, 1)
        and len(profiles) in (0, 1)
        and all(each.new.is_file and foreign.UNPRINTABLE not in each.path for each in edits)
        and all(each.path == named or _PROFILE.fullmatch(each.path) for each in profiles)
    )
    if not good:
        paths = ", ".join(foreign.line(each.path, _LONGEST_PATH) for each in edits[:_NAMED]) or "nothing"
        raise RepositoryError(
            f"the commit of {service} changes {paths}, and not one profile and at most one Makefile: it is "
            "carried nowhere",
            hint=f"take it off the branch; or, if it is right, name the profile in {service}'s file "
            "(repository.profile)",
        )
    return held_by(edits, rules)


def apply(checkout: Checkout, edits: tuple[Edit, ...], tip: str) -> str | None:
    """Return the tree of a commit with these edits; None if they do not apply.

    Args:
        checkout: the repository of :func:`fleetpgo.proposal.commits.start_anew`; its index is overwritten.
        edits: what a commit changed, which is there, too.
        tip: full SHA of the commit to put them on.

    Raises:
        RepositoryError: git fails.
    """
    path = checkout.path
    changed: list[tuple[str, Entry]] = []
    for each in edits:
        for above in list(PurePosixPath(each.path).parents)[:-1]:
            there = _at(checkout, tip, str(above))
            if there is not None and there.mode != "040000":
                return None
        now = _at(checkout, tip, each.path) or _NOTHING
        if now == each.new:
            continue
        made = each.new if now == each.old else _merged(checkout, each, now)
        if made is None:
            return None
        changed.append((each.path, made))
    git(path, "read-tree", tip, config=checkout.config)
    for name, entry in changed:
        git(path, "update-index", "--add", "--cacheinfo", f"{entry.mode},{entry.sha},{name}")
    return git(path, "write-tree", "--missing-ok")


def _at(checkout: Checkout, commit: str, path: str) -> Entry | None:
    found = git(checkout.path, "ls-tree", commit, "--", path, config=checkout.config)
    if not found:
        return None
    mode, _, sha = found.partition("\t")[0].split()
    return Entry(mode, sha)


def _merged(checkout: Checkout, edit: Edit, now: Entry) -> Entry | None:
    """Merge a Makefile's lines three-way; None if both have changed the same, or it is no Makefile."""
    if not is_makefile(edit.path) or not (edit.old.is_file and edit.new.is_file and now.is_file):
        return None
    if edit.old.mode != edit.new.mode:
        return None
    with tempfile.TemporaryDirectory(prefix="fleetpgo-") as directory:
        place = Path(directory)
        for name, entry in (("now", now), ("old", edit.old), ("new", edit.new)):
            (place / name).write_bytes(unpacked(checkout, entry.sha, edit.path))
        try:
            git(place, "merge-file", "--quiet", "now", "old", "new")
        except RepositoryError:
            return None
        blob = git(checkout.path, "hash-object", "-w", "--no-filters", "--", str(place / "now"))
    return Entry(now.mode, blob)
