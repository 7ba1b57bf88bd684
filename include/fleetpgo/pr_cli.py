"""``fleetpgo pr``: the reviewer's side of the local forge, which has no web page to review on."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click
import rich
from rich.markdown import Markdown
from rich.table import Table
from rich.text import Text

from fleetpgo.errors import ForgeError
from fleetpgo.forges.local import LocalForge
from fleetpgo.options import json_option
from fleetpgo.services import load_named

if TYPE_CHECKING:
    from fleetpgo.forges import PullRequest

_service = click.argument("service", metavar="SERVICE")
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
    """Review the pull requests of a local forge: list, show, label, merge, close.

    Without NUMBER a command takes the only open pull request of the service.

    \b
      export FLEETPGO_FORGE=.local/demo/forge
      fleetpgo pr list wshim
      fleetpgo pr show wshim
      fleetpgo pr merge wshim

    Pull requests on GitHub are reviewed on GitHub.
    """  # noqa: D301  # \b is click's mark for "do not wrap", not an escape gone wrong


@pr.command("list")
@_service
@_forge
@json_option
def list_pull_requests(service: str, directory: str, *, as_json: bool) -> None:
    """List all pull requests of a service, merged and closed ones too; the oldest first."""
    pull_requests = _connect(service, directory).pull_requests()
    if as_json:
        click.echo(_dump([asdict(each) for each in pull_requests]))
        return
    table = Table("number", "state", "branch", "base", "head", "title", box=None)
    for each in pull_requests:
        texts = (str(each.number), each.state, each.branch, each.base, each.head[:12], each.title)
        # Text: a title is data, not rich's markup.
        table.add_row(*(Text(text) for text in texts))
    rich.print(table)


@pr.command()
@_service
@_number
@_forge
@json_option
def show(service: str, number: int | None, directory: str, *, as_json: bool) -> None:
    """Show a pull request with its body and comments."""
    forge = _connect(service, directory)
    pull_request = forge.get(_choose(forge, number))
    comments = forge.comments(pull_request.number)
    if as_json:
        click.echo(_dump({**asdict(pull_request), "comments": comments}))
        return
    heading = f"#{pull_request.number} {pull_request.title} ({pull_request.state})"
    rich.print(Text(heading, style="bold"))
    for text in (pull_request.body, *comments.values()):
        rich.print(Markdown(text))


@pr.command()
@_service
@_number
@_forge
@json_option
def merge(service: str, number: int | None, directory: str, *, as_json: bool) -> None:
    """Merge an open pull request into its base with a merge commit."""
    forge = _connect(service, directory)
    _report(forge.merge(_choose(forge, number)), as_json=as_json)


@pr.command()
@_service
@_number
@_forge
@json_option
def close(service: str, number: int | None, directory: str, *, as_json: bool) -> None:
    """Close an open pull request without merging it; the run that waits for it ends as skipped."""
    forge = _connect(service, directory)
    _report(forge.close(_choose(forge, number)), as_json=as_json)


@pr.command()
@_service
@_number
@_forge
@click.option("--add", multiple=True, metavar="LABEL", help="A label to put on it; may be given again.")
@click.option("--remove", metavar="LABEL", help="A label to take off.")
def label(service: str, number: int | None, directory: str, add: tuple[str, ...], remove: str | None) -> None:
    """Label a pull request: `fleetpgo/do-not-update` stops its updates, `fleetpgo/take-over` resumes them."""
    forge = _connect(service, directory)
    number = _choose(forge, number)
    forge.label(number, add=add, remove=remove)
    click.echo(f"pull request {number} has the labels {', '.join(forge.get(number).labels) or '–'}")


def _connect(service: str, directory: str) -> LocalForge:
    repository = load_named(service).repository
    if repository.forge != "local":
        raise ForgeError(
            f"the repository of {service} is on {repository.forge}, not on a local forge",
            hint="review its pull requests there",
        )
    return LocalForge(directory, repository.project)


def _choose(forge: LocalForge, number: int | None) -> int:
    """The number given, else that of the only open pull request."""
    if number is not None:
        return number
    numbers = [each.number for each in forge.pull_requests() if each.state == "open"]
    if len(numbers) != 1:
        shown = ", ".join(map(str, numbers)) or "none"
        raise ForgeError(
            f"not exactly one pull request is open: {shown}",
            hint="name its NUMBER; `fleetpgo pr list` shows all",
        )
    return numbers[0]


def _report(pull_request: PullRequest, *, as_json: bool) -> None:
    if as_json:
        click.echo(_dump(asdict(pull_request)))
    else:
        commit = f" as {pull_request.merge_commit}" if pull_request.merge_commit else ""
        click.echo(f"pull request {pull_request.number} is {pull_request.state}{commit}")


def _dump(value: Any) -> str:  # noqa: ANN401  # whatever JSON can hold
    """JSON with times as ISO 8601."""
    return json.dumps(value, indent=2, default=str)
