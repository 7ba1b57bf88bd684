"""``fleetpgo verify``: check the profile in a repository, from the service's own CI."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fleetpgo.cli.options import json_option
from fleetpgo.cli.printing import say

if TYPE_CHECKING:
    from fleetpgo.errors import ToolchainError

_EXIT = {"profile": 1, "match": 3, "build": 4}
"""Exit code of the first check that failed. 2 is click's: a wrong command line."""

_UNCHECKED = 5
"""Exit code if nothing can be checked."""


@click.command()
@click.argument("source", default=".", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--package", default=".", show_default=True, help="Main package, as `go build` takes it.")
@click.option(
    "--profile",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The profile. Default: default.pgo beside the main package.",
)
@click.option(
    "--match",
    "least",
    type=click.FloatRange(0, 1),
    default=0.8,
    show_default=True,
    help="Share of the profile's weight that the source must still have.",
)
@click.option("--tags", default="", help="Build tags, comma-separated.")
@click.option("--race", is_flag=True, help="Build with -race, too.")
@click.option("--cover", is_flag=True, help="Build with -cover, too.")
@click.option("--no-build", is_flag=True, help="Build nothing: takes seconds.")
@json_option
@click.option("--github", is_flag=True, help="Print failures as annotations of GitHub Actions, too.")
def verify(
    source: Path,
    package: str,
    profile: Path | None,
    least: float,
    tags: str,
    *,
    race: bool,
    cover: bool,
    no_build: bool,
    as_json: bool,
    github: bool,
) -> None:
    """Check the profile that the Go module in SOURCE holds: still readable, matching, and building?

    Exit codes: 0, all is well; 1, the profile cannot be read; 3, it no longer matches the source; 4, the
    program does not build with it; 5, nothing can be checked: Go, the module or the package is missing.
    """
    from fleetpgo.errors import ToolchainError
    from fleetpgo.golang.committed import check_committed, default_profile

    # To Go "cmd/api" is a package of its own library.
    if (source / package).is_dir() and not package.startswith((".", "/")):
        package = f"./{package}"
    file = profile or source / package / "default.pgo"
    builds: list[list[str]] = (
        [] if no_build else [[], *([["-race"]] if race else []), *([["-cover"]] if cover else [])]
    )
    try:
        file = profile or default_profile(source, package, environment=os.environ, tags=tags)
        found = check_committed(
            source,
            package,
            file,
            least=least,
            builds=builds,
            environment=os.environ,
            tags=tags,
            seen=lambda line: say(line, err=True),
        )
    except ToolchainError as error:
        _say_unchecked(error, file, as_json=as_json, github=github)
        raise SystemExit(_UNCHECKED) from error
    failed = [each for each in found if each.failed]
    if as_json:
        say(json.dumps({"profile": str(file), "findings": [asdict(each) for each in found]}))
    else:
        for each in found:
            say(f"{'FAILED' if each.failed else 'ok':<6} {each.said}")
            if each.hint:
                say(f"       {each.hint}")
    if github:
        for each in failed:
            _annotate(file, each.said, err=as_json)
    if failed:
        raise SystemExit(_EXIT[failed[0].check])


def _say_unchecked(error: ToolchainError, file: Path, *, as_json: bool, github: bool) -> None:
    if as_json:
        say(json.dumps({"profile": str(file), "error": error.message, "hint": error.hint}))
    else:
        say(f"error: {error}", err=True)
    if github:
        _annotate(file, error.message, err=as_json)


def _annotate(file: Path, said: str, *, err: bool) -> None:
    """Print an annotation of GitHub Actions, whose runner reads both streams.

    Source: actions/toolkit, packages/core/src/command.ts.
    """
    said = said.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    place = str(file).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    place = place.replace(":", "%3A").replace(",", "%2C")
    say(f"::error file={place},title=PGO profile::{said}", err=err)
