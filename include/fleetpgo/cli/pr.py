"""``fleetpgo pr``: review on the local forge, which has no web pages."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from fleetpgo import foreign
from fleetpgo.cli.options import json_option, service_argument
from fleetpgo.cli.printing import plain, say, show_table
from fleetpgo.errors import ForgeError

if TYPE_CHECKING:
    from fleetpgo.proposal.forges import PullRequest

_number = click.argument("number", metavar="[NUMBER]", type=int, required=False)
_forge = click.option(
    "--forge",
    "directory",
    metavar="DIR",
    envvar="FLEETPGO_FORGE",
    show_envvar=True,
    required=True,
    help="Directory of the local forge.",
)


@click.group()
def pr() -> None:
    """Review pull requests on a local forge.

    A service has two branches, `fleetpgo/SERVICE` (or its group's) and `fleetpgo/SERVICE-revert`. The
    commands act only on pull requests from these branches, even if services share a repository. Without
    NUMBER a command takes the only open pull request. Of a group's pull request (`repository.group`), `show`
    and `close` act on the service's own section and commit.

    \b
      export FLEETPGO_FORGE=.local/demo/forge
      fleetpgo pr list wshim
      fleetpgo pr show wshim
      fleetpgo pr merge wshim

    Pull requests on GitHub are reviewed on GitHub.
    """  # noqa: D301  # \b is click's mark for "do not wrap", not an escape gone wrong


@pr.command("list")
@service_argument
@_forge
@json_option
def list_pull_requests(service: str, directory: str, *, as_json: bool) -> None:
    """List all pull requests of a service, merged and closed ones too; the oldest first."""
    from rich.table import Table

    pull_requests = _Reviewed(service, directory).pull_requests()
    if as_json:
        say(_dump([asdict(each) for each in pull_requests]))
        return
    table = Table("number", "state", "branch", "base", "head", "title", box=None)
    for each in pull_requests:
        texts = (str(each.number), each.state, each.branch, each.base, each.head[:12], each.title)
        table.add_row(*map(plain, texts))
    show_table(table)


@pr.command()
@service_argument
@_number
@_forge
@json_option
def show(service: str, number: int | None, directory: str, *, as_json: bool) -> None:
    """Show a pull request with its body and comments."""
    import rich
    from rich.markdown import Markdown

    reviewed = _Reviewed(service, directory)
    pull_request = reviewed.choose(number)
    comments = reviewed.forge.comments(pull_request.number)
    commit, section = reviewed.of_group(pull_request)
    if as_json:
        own = {} if section is None else {"commit": commit, "section": section}
        say(_dump({**asdict(pull_request), **own, "comments": comments}))
        return
    heading = f"#{pull_request.number} {pull_request.title} ({pull_request.state})"
    rich.print(plain(heading, style="bold"))
    if section is not None:
        rich.print(plain(f"commit of {service}: {commit or 'none'}"))
    for text in (pull_request.body if section is None else section, *comments.values()):
        rich.print(Markdown(foreign.safe(text)))


@pr.command()
@service_argument
@_number
@_forge
@json_option
def merge(service: str, number: int | None, directory: str, *, as_json: bool) -> None:
    """Merge an open pull request into its base with a merge commit; a group's with all of its services."""
    reviewed = _Reviewed(service, directory)
    _report(reviewed.forge.merge(reviewed.choose(number).number), as_json=as_json)


@pr.command()
@service_argument
@_number
@_forge
@json_option
def close(service: str, number: int | None, directory: str, *, as_json: bool) -> None:
    """Close an open pull request without merging it; the run that waits for it is skipped.

    Of a group's pull request only the service's commit and section are taken out, while others are left.
    """
    reviewed = _Reviewed(service, directory)
    if left := reviewed.take_out(reviewed.choose(number)):
        if as_json:
            say(_dump(asdict(left)))
        else:
            say(f"{service} is taken out of pull request {left.number}, which stays open for the others")
        return
    _report(reviewed.forge.close(reviewed.choose(number).number), as_json=as_json)


@pr.command()
@service_argument
@_number
@_forge
@click.option("--add", multiple=True, metavar="LABEL", help="Label to add; may be repeated.")
@click.option("--remove", metavar="LABEL", help="Label to remove.")
def label(service: str, number: int | None, directory: str, add: tuple[str, ...], remove: str | None) -> None:
    """Label a pull request: `fleetpgo/do-not-update` stops its updates, `fleetpgo/take-over` resumes them."""
    reviewed = _Reviewed(service, directory)
    number = reviewed.choose(number).number
    reviewed.forge.label(number, add=add, remove=remove)
    say(f"pull request {number} has the labels {', '.join(reviewed.choose(number).labels) or '–'}")


class _Reviewed:
    """The pull requests of one service, on the local forge that holds its repository.

    Args:
        service: the service's name.
        directory: the local forge.

    Raises:
        ForgeError: if the repository is on another kind of forge, or not in that directory.
    """

    def __init__(self, service: str, directory: str) -> None:
        from fleetpgo.proposal.forges.local import LocalForge
        from fleetpgo.service.files import load_named

        self._service = load_named(service)
        repository = self._service.repository
        if repository.forge != "local":
            raise ForgeError(
                f"the repository of {service} is on {repository.forge}, not on a local forge",
                hint="review its pull requests there",
            )
        own = self._service
        self._branches = tuple(dict.fromkeys((own.branch, own.own_branch, own.revert_branch)))
        self.forge = LocalForge(directory, repository.project)

    def pull_requests(self) -> list[PullRequest]:
        """Return all of the service's, the oldest first."""
        return [each for each in self.forge.pull_requests() if each.branch in self._branches]

    def of_group(self, pull_request: PullRequest) -> tuple[str | None, str | None]:
        """Return the service's commit and section in a group's pull request; None, None: it is no group's."""
        from fleetpgo.proposal.checkout import clone
        from fleetpgo.proposal.members import own_commit
        from fleetpgo.proposal.sections import sections

        section = sections(pull_request.body).get(self._service.name)
        if section is None:
            return None, None
        base = self._service.repository.base
        with clone(self.forge.clone_url, base, pull_request.branch, config={}) as checkout:
            return own_commit(checkout, self._service, pull_request), section

    def take_out(self, pull_request: PullRequest) -> PullRequest | None:
        """Take the service out of a group's pull request, and return that; None: close it, nobody is left.

        Raises:
            ForgeError: somebody has committed to the branch, or it is not open.
        """
        from fleetpgo.proposal.builds import identity_in_group
        from fleetpgo.proposal.checkout import clone
        from fleetpgo.proposal.commits import start_anew
        from fleetpgo.proposal.members import look, members_of
        from fleetpgo.proposal.membership import withdraw
        from fleetpgo.proposal.sections import sections
        from fleetpgo.service.rules import GROUP_BRANCH

        name, branch = self._service.name, pull_request.branch
        of_group = branch == self._service.branch and branch.startswith(GROUP_BRANCH)
        if pull_request.state != "open" or not of_group:
            return None
        with clone(
            self.forge.clone_url,
            pull_request.base,
            pull_request.branch,
            config={},
            identity=identity_in_group(self._service, self.forge),
        ) as checkout:
            with start_anew(checkout) as apart:
                found = members_of(apart, checkout.seen, self._service, judged=True) if checkout.seen else []
            there = {each.service for each in found}
            if not there - {name}:
                return None
            if name not in there | sections(pull_request.body).keys():
                raise ForgeError(
                    f"{name} is not in pull request {pull_request.number}, but {', '.join(sorted(there))}",
                    hint="nothing needs to be done",
                )
            if checkout.foreign:
                raise ForgeError(
                    f"the newest commit of {checkout.branch} is by {checkout.foreign}: nothing is taken out",
                    hint=f"take the commit of {name} off the branch by hand",
                )
            looked = look(checkout, self._service)
            why = "a person has taken it out"
            with start_anew(looked) as untouched:
                if not withdraw(untouched, self.forge, self._service, why, how="rejected"):
                    return None
        return self.forge.get(pull_request.number)

    def choose(self, number: int | None) -> PullRequest:
        """Return the one of that number; without a number the only open one.

        Raises:
            ForgeError: if that number is another service's, or not exactly one is open.
        """
        name = self._service.name
        hint = f"give its NUMBER; `fleetpgo pr list {name}` shows all of {name}"
        if number is not None:
            found = self.forge.get(number)
            if found.branch not in self._branches:
                raise ForgeError(
                    f"pull request {number} is not one of {name}: its branch is {found.branch}, not "
                    f"{' or '.join(self._branches)}",
                    hint=hint,
                )
            return found
        found_open = [each for each in self.pull_requests() if each.state == "open"]
        if len(found_open) != 1:
            shown = ", ".join(str(each.number) for each in found_open) or "none"
            raise ForgeError(
                f"without a NUMBER exactly one pull request of {name} must be open; open: {shown}", hint=hint
            )
        return found_open[0]


def _report(pull_request: PullRequest, *, as_json: bool) -> None:
    if as_json:
        say(_dump(asdict(pull_request)))
    else:
        commit = f" as {pull_request.merge_commit}" if pull_request.merge_commit else ""
        say(f"pull request {pull_request.number} is {pull_request.state}{commit}")


def _dump(value: Any) -> str:  # noqa: ANN401  # whatever JSON can hold
    """Return JSON with times as ISO 8601."""
    return json.dumps(value, indent=2, default=str)
