"""The keys of a service file about its commits and pull requests."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from fleetpgo.service.values import Part, Share, template_with

BOT_NAME = "fleetpgo"
BOT_EMAIL = "fleetpgo@localhost.invalid"
"""Author of the commits by default. The address can never exist (RFC 2606), so it belongs to no person."""

_TITLE = ("title", "service", "change")

TitleTemplate = Annotated[str, BeforeValidator(template_with(*_TITLE, lines=1))]
MessageTemplate = Annotated[str, BeforeValidator(template_with(*_TITLE, "path", "profile"))]


class WhenRules(Part):
    """What must hold for a pull request to be merged without a person; all of it must."""

    overlap_above: Share | None = Field(
        default=None,
        description="least overlap with the profile on the base; a person merges a first profile, which has "
        "none",
    )
    source_match_above: Share | None = Field(
        default=None, description="least share of the profile's weight that the source still has"
    )
    checks: Literal["required", "any"] = Field(
        default="required",
        description="required: only where the base requires a check, and it has passed. any: whatever the "
        "base requires; at once where it requires nothing",
    )


class AutoMergeRules(Part):
    """How and when a pull request is merged without a person."""

    method: Literal["merge", "squash", "rebase"] = Field(description="way of merging")
    when: WhenRules = Field(default=WhenRules(), description="what must hold; asked anew at each refresh")


class ReviewRules(Part):
    """Review of the pull requests, and when a rejected profile is proposed again."""

    reviewers: tuple[str, ...] = Field(
        default=(),
        description="users on the forge who are asked for a review; on github and gitea also teams: "
        "`acme/perf`. `CODEOWNERS`: whom that file of the base names for the profile's path",
    )
    assignees: tuple[str, ...] = Field(
        default=(), description="users on the forge to whom the pull request is assigned"
    )
    labels: tuple[str, ...] = Field(default=(), description="labels of the pull request, besides `fleetpgo`")
    draft: bool = Field(default=False, description="whether to open pull requests as drafts")
    milestone: str | None = Field(
        default=None, description="open milestone of the pull request; a local forge has none"
    )
    auto_merge: Literal["merge", "squash", "rebase"] | AutoMergeRules | None = Field(
        default=None,
        description="null: a person merges. `squash` (merge, rebase): once what the base requires is met, "
        "and at once where it requires nothing. `{method: squash, when: {…}}`: by rule",
    )
    propose_again_below: Share = Field(
        default=0.8,
        description="after a pull request was closed unmerged, a new profile is proposed only if its overlap "
        "with the rejected one is below this share of the overlap that chance alone gives",
    )
    revert: Literal["open", "draft", "off"] = Field(
        default="open",
        description="what a certain regression over the week leads to: a pull request that reverts the "
        "profile (open; a draft if no hold-back group shows it), always a draft (draft), or nothing (off)",
    )

    @property
    def merge_rule(self) -> AutoMergeRules | None:
        """How and when to merge; a plain word stands for "whatever the base requires"."""
        if isinstance(self.auto_merge, str):
            return AutoMergeRules(method=self.auto_merge, when=WhenRules(checks="any"))
        return self.auto_merge


class CommitRules(Part):
    """The commit, and the title of the pull request."""

    author: str | None = Field(
        default=None,
        pattern=r"^[^<>\x00-\x1f\x7f]+ <[^<>\s@\x00-\x1f\x7f]+@[^<>\s@\x00-\x1f\x7f]+>$",
        description="author and committer, as `Name <address>`; null: fleetpgo, with an address that belongs "
        "to nobody. Take an address that nobody else commits with: every commit by it on our branch counts "
        "as fleetpgo's own, and is overwritten",
    )
    sign: Literal["ssh", "gpg", "forge"] | None = Field(
        default=None,
        description="ssh, gpg: sign commits with the private key in the connection's extra `signing_key` (on "
        "the command line: the file $FLEETPGO_SIGNING_KEY), which has no passphrase. forge: GitHub makes and "
        "signs them, if the connection is that of an app; `author` is its bot then",
    )
    title: TitleTemplate = Field(
        default="$title",
        min_length=1,
        description="title of the pull request, and first line of the commit. $title: what fleetpgo would "
        "write; $service; $change: what changes, in a few words. `perf($service): $change` for conventional "
        "commits",
    )
    message: MessageTemplate = Field(
        default="$path (SHA-256 $profile…) is what $service spent its CPU time on, for `go build -pgo`.",
        description="the rest of the commit's message; also takes $path and $profile (the first 12 hex "
        "digits of its SHA-256)",
    )

    @model_validator(mode="after")
    def _names_the_bot(self) -> Self:
        if self.sign == "forge" and self.author is None:
            raise ValueError(
                "`sign: forge` needs `author`: NAME[bot] <ID+NAME[bot]@users.noreply.github.com>"
            )
        return self

    @property
    def identity(self) -> tuple[str, str]:
        """Name and address of the author."""
        name, _, address = (self.author or f"{BOT_NAME} <{BOT_EMAIL}>").rpartition(" <")
        return name, address.rstrip(">")
