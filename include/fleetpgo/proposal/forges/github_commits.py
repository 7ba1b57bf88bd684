"""A commit that GitHub makes and signs.

GitHub signs what the token of an app asks for without an author or a committer of its own:
https://docs.github.com/en/authentication/managing-commit-signature-verification/about-commit-signature-verification#signature-verification-for-bots
"""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any

from fleetpgo import foreign
from fleetpgo.errors import ForgeError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fleetpgo.proposal.signing import Entry

    Post = Callable[[str, Mapping[str, Any]], Any]
    """Path below the repository, and what is sent → the answer."""

_LONGEST = 200


def make_signed(post: Post, files: Sequence[Entry], base: str, base_tree: str, message: str) -> str:
    """Have a commit made, and return its full SHA. No branch points to it.

    Args:
        post: asks GitHub.
        files: those that differ from the base.
        base: full SHA of the parent.
        base_tree: full SHA of its tree.
        message: of the commit.

    Raises:
        ForgeError: GitHub has not signed it.
    """
    tree = [
        {
            "path": each.path,
            "mode": each.mode,
            "type": "blob",
            "sha": None if each.content is None else _blob(post, each.content),
        }
        for each in files
    ]
    made_tree = post("/git/trees", {"base_tree": base_tree, "tree": tree})["sha"]
    made = post("/git/commits", {"message": message, "tree": made_tree, "parents": [base]})
    said = made["verification"]
    if not said["verified"]:
        raise ForgeError(
            "commit.sign is forge, and GitHub does not sign what this token has it make: "
            f"{foreign.line(str(said['reason']), _LONGEST)}",
            hint="give the connection the key of an app (docs/pullrequest.md), or sign with ssh or gpg",
        )
    return str(made["sha"])


def _blob(post: Post, content: bytes) -> str:
    sent = {"content": b64encode(content).decode(), "encoding": "base64"}
    return str(post("/git/blobs", sent)["sha"])
