"""The keys of a service file's section ``repository``: where the source is, and what may be done to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from fleetpgo.service.values import Part, RepositoryPath

if TYPE_CHECKING:
    from collections.abc import Iterable


class LimitRules(Part):
    """Limits of the whole repository: of several files that name it, the smallest counts. Default: none."""

    open: int | None = Field(
        default=None,
        ge=1,
        description="most open pull requests that propose a profile; one that is open is always kept up to "
        "date, and a revert never waits",
    )
    builds_per_hour: int | None = Field(
        default=None,
        ge=1,
        description="most runs that begin to build within an hour; a branch that is made anew between two "
        "runs counts, too",
    )


class RepositoryRules(Part):
    """The service's repository, and the files that the pull request changes."""

    forge: Literal["local", "github", "gitlab", "gitea"] = Field(
        description="kind of forge: github (also Enterprise), gitlab, gitea (also Forgejo), or local: a "
        "directory of bare repositories",
    )
    connection: str = Field(
        default="fleetpgo_forge",
        description="id of the Airflow connection (type Forge, or generic) with the forge's address and "
        "token",
    )
    project: str = Field(
        pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*$",
        description="the repository on the forge: owner/name",
    )
    base: str = Field(default="main", description="branch that pull requests go to")
    limits: LimitRules = Field(
        default=LimitRules(), description="limits of all services of the repository together"
    )
    group: str | None = Field(
        default=None,
        pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$",
        description="services of one repository and base that name the same group share one branch and one "
        "pull request, with a commit and a section each; a person merges it (no `review.auto_merge`). null: "
        "each has its own",
    )
    profile: RepositoryPath | None = Field(
        default=None,
        description="path of the committed profile; null: where the build takes one already, else "
        "default.pgo beside the main package, where Go looks by itself",
    )
    makefile: RepositoryPath | None = Field(
        default="Makefile",
        description="Makefile whose `go build` that makes the binary is made to pass -pgo, where `profile` "
        "names a path that Go does not look at by itself; null: edit none",
    )
    submodules: Literal["public", "token"] = Field(
        default="public",
        description="how submodules are cloned. public: without credentials. token: with the connection's "
        "token, so that whoever may change this repository can have any repository cloned into its build "
        "that the token can read on this forge",
    )

    @property
    def identity(self) -> str:
        """Key of the repository: equal for two service files if they name the same one."""
        return f"{self.forge}/{self.connection}/{self.project}"


def smallest(limits: Iterable[LimitRules]) -> LimitRules:
    """Return the limits that hold for a repository, from those of all files that name it."""
    given = list(limits)
    return LimitRules(
        open=min((each.open for each in given if each.open is not None), default=None),
        builds_per_hour=min(
            (each.builds_per_hour for each in given if each.builds_per_hour is not None), default=None
        ),
    )
