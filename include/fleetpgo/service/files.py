"""Service files: where they are, and reading one with the line of every mistake."""

from __future__ import annotations

import os
import posixpath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import MarkedYAMLError

from fleetpgo.errors import ServiceFileError
from fleetpgo.service.rules import NAME, SelectionRules, ServiceRules

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def services_directory() -> Path:
    """Where service files are: ``$FLEETPGO_SERVICES``, else ``services/`` beside the package."""
    return Path(os.environ.get("FLEETPGO_SERVICES") or Path(__file__).parents[2] / "services")


def service_files(directory: Path | None = None) -> list[Path]:
    """The service files of a directory, in the order of their names."""
    return sorted((directory or services_directory()).glob("*.yaml"))


def load_service(file: Path) -> ServiceRules:
    """Read and check one service file.

    Raises:
        ServiceFileError: with path, line and key of every mistake.
    """
    if not NAME.fullmatch(file.stem):
        raise ServiceFileError(
            f"{file}: {file.stem!r} cannot be a service's name",
            hint="use lower-case letters, digits, '-' and '_', and no -revert at the end: "
            "the name becomes part of DAG ids and branches",
        )
    try:
        text = file.read_text(encoding="utf-8")
        document = _read(text)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ServiceFileError(f"{file}:{line}: not valid YAML: {error.problem}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ServiceFileError(f"{file}: cannot be read: {error}") from error
    if not isinstance(document, dict):
        raise ServiceFileError(f"{file}:1: a service file is a mapping (selection: …, repository: …)")
    if "name" in document:
        line = _line(YAML().load(text), ("name",))
        raise ServiceFileError(
            f"{file}:{line}: name: the file's own name is the service's name; remove the key"
        )
    try:
        return ServiceRules.model_validate({"name": file.stem, **document})
    except ValidationError as error:
        located = YAML().load(text)
        mistakes = [
            f"{file}:{_line(located, mistake['loc'])}: {'.'.join(map(str, mistake['loc']))}: {_say(mistake)}"
            for mistake in error.errors()
        ]
        raise ServiceFileError(
            "\n".join(mistakes), hint="`fleetpgo services schema` lists every key"
        ) from error


def load_named(name: str, directory: Path | None = None) -> ServiceRules:
    """Read the service file of the service with that name.

    Raises:
        ServiceFileError: if there is none, or it has a mistake.
    """
    directory = directory or services_directory()
    known = [file.stem for file in service_files(directory)]
    if name not in known:
        raise ServiceFileError(
            f"no service {name!r} in {directory}", hint=f"known services: {', '.join(known) or 'none'}"
        )
    return load_service(directory / f"{name}.yaml")


def clashes(files: Iterable[Path]) -> list[str]:
    """Say which services of one repository would write the same profile, from their files alone.

    Args:
        files: service files without a mistake of their own.

    Returns:
        a sentence for each file that would write what an earlier one writes.
    """
    writers: dict[tuple[str, ...], Path] = {}
    said = []
    for file in files:
        service = load_service(file)
        repository = service.repository
        # Without a path, the profile belongs beside the main package that makes the binary.
        path = repository.profile and posixpath.normpath(repository.profile)
        place = path or f"default.pgo beside what makes {service.build.binary}"
        key = (repository.forge, repository.connection, repository.project, repository.base, place)
        first = writers.setdefault(key, file)
        if first != file:
            line = _line(YAML().load(file.read_text(encoding="utf-8")), ("repository", "profile"))
            said.append(
                f"{file}:{line}: repository.profile: {first.name} writes the same file, {place}, to "
                f"{repository.project}; give each service a profile of its own, or leave repository.profile "
                "out and let build.binary name its binary"
            )
    return said


def _read(text: str) -> Any:  # noqa: ANN401  # whatever the file holds
    """A document without its positions: many times as fast, and every parse of the DAGs reads all files."""
    try:
        return YAML(typ="safe").load(text)
    except MarkedYAMLError:
        # libyaml refuses some of what YAML 1.2 allows, such as [::1].
        return YAML().load(text)


def _line(document: CommentedMap, location: Sequence[int | str]) -> int:
    """The 1-based line of a key, or of the nearest mapping above it that the file does hold."""
    node: Any = document
    line: int = document.lc.line
    for key in location:
        if not isinstance(node, CommentedMap) or key not in node:
            break
        line = node.lc.key(key)[0]
        node = node[key]
    return line + 1


def override(rules: SelectionRules, **values: object) -> SelectionRules:
    """Selection rules with some values given for one run only; None: keep the service file's.

    Raises:
        ServiceFileError: a value is not allowed.
    """
    given = {key: value for key, value in values.items() if value is not None}
    try:
        return SelectionRules.model_validate({**rules.model_dump(), **given})
    except ValidationError as error:
        mistakes = [f"{'.'.join(map(str, mistake['loc']))}: {_say(mistake)}" for mistake in error.errors()]
        raise ServiceFileError("selection: " + "; ".join(mistakes)) from error


def _say(mistake: Any) -> str:  # noqa: ANN401  # pydantic's ErrorDetails
    """A mistake in a user's words rather than in the validator's."""
    match mistake["type"]:
        case "extra_forbidden":
            return "unknown key"
        case "missing":
            return "this key is required"
        case _:
            return f"{mistake['msg'].removeprefix('Value error, ')} (found: {mistake['input']!r})"
