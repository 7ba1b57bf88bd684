"""Find and read service files. Every mistake is reported with its line; so is the line of any key."""

from __future__ import annotations

import os
import posixpath
import re
from contextlib import contextmanager
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError

from fleetpgo.errors import FleetPGOError, ServiceFileError
from fleetpgo.service.document import NO_VALUE, read
from fleetpgo.service.profiling import CollectionRules, SelectionRules
from fleetpgo.service.reference import mapping_of
from fleetpgo.service.rules import NAME, ServiceRules

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pydantic import BaseModel

Rules = TypeVar("Rules", SelectionRules, CollectionRules)

_SUFFIXES = (".yaml", ".yml")

# A key of a section as messages name it, `build.timeout`; not a part of a path, and not located already.
_KEY = re.compile(r"(?<![\w./-])([a-z]+)\.([a-z_]+)(?![\w/-]|\.\w| \()")


def services_directory() -> Path:
    """Return the directory of service files: ``$FLEETPGO_SERVICES``, else the checkout's, else ./services."""
    checkout = Path(__file__).parents[2] / "services"
    return Path(os.environ.get("FLEETPGO_SERVICES") or (checkout if checkout.is_dir() else "services"))


def service_files(directory: Path | None = None) -> list[Path]:
    """Return the service files of a directory, ``.yaml`` and ``.yml``, in the order of their names."""
    directory = directory or services_directory()
    return sorted(file for suffix in _SUFFIXES for file in directory.glob(f"*{suffix}"))


def load_service(file: Path) -> ServiceRules:
    """Read and check one service file.

    Raises:
        ServiceFileError: with path, line and key of every mistake.
    """
    twins = [twin.name for suffix in _SUFFIXES if (twin := file.with_suffix(suffix)).exists()]
    if len(twins) > 1:
        raise ServiceFileError(
            f"{file}: {' and '.join(twins)} both describe the service {file.stem}", hint="remove one of them"
        )
    if not NAME.fullmatch(file.stem):
        raise ServiceFileError(
            f"{file}: {file.stem!r} cannot be a service's name",
            hint="rename the file: use lower-case letters, digits, '-' and '_', and no -revert at the end; "
            "the name becomes part of DAG ids and branches",
        )
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ServiceFileError(f"{file}: cannot be read: {error}") from error
    return _checked(file, text)


@lru_cache(maxsize=4_096)
def _checked(file: Path, text: str) -> ServiceRules:
    """Check the text of a service file. Remembered: a triggerer reads each file thousands of times a day."""
    try:
        document = read(text)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ServiceFileError(f"{file}:{line}: not valid YAML: {error.problem}") from error
    except NO_VALUE as error:
        said = " ".join(str(error).split())
        raise ServiceFileError(f"{file}: not valid YAML: {said}") from error
    if not isinstance(document, dict):
        raise ServiceFileError(f"{file}:1: a service file must be a mapping (selection: …, repository: …)")
    if "name" in document:
        line = _line(YAML().load(text), ("name",))
        raise ServiceFileError(f"{file}:{line}: name: remove this key; the service is named after its file")
    try:
        return ServiceRules.model_validate({"name": file.stem, **document})
    except ValidationError as error:
        located = YAML().load(text)
        mistakes = [
            f"{file}:{_line(located, mistake['loc'])}: {'.'.join(map(str, mistake['loc']))}: {_say(mistake)}"
            for mistake in error.errors()
        ]
        raise ServiceFileError(
            "\n".join(mistakes), hint="`fleetpgo services schema` explains every key"
        ) from error


def load_named(name: str, directory: Path | None = None) -> ServiceRules:
    """Read the service file of the service with that name.

    Raises:
        ServiceFileError: if there is none, or it has a mistake.
    """
    directory = directory or services_directory()
    file = _file_of(name, directory)
    if file is None:
        names = [file.stem for file in service_files(directory)]
        raise ServiceFileError(
            f"no service {name!r} in {directory}{_did_you_mean(name, names)}",
            hint=f"known services: {', '.join(names) or 'none'}",
        )
    return load_service(file)


def _file_of(name: str, directory: Path) -> Path | None:
    """Return a service's file; None if there is none. No other file is looked at: there may be a thousand."""
    files = (directory / f"{name}{suffix}" for suffix in _SUFFIXES)
    # A link to nowhere is there, and cannot be read. Path.exists() raises for a name too long for a file.
    return next((file for file in files if file.stem == name and os.path.lexists(file)), None)


@contextmanager
def keys_located(name: str) -> Iterator[None]:
    """Add the line number to each service-file key in an error: ``collection.url (api.yaml:14)``."""
    try:
        yield
    except FleetPGOError as error:
        error.message, error.hint = (located(text, name) for text in (error.message, error.hint))
        raise


def located(text: str, name: str) -> str:
    """Add the line number to each key in a text that a service's file holds."""
    file = _file_of(name, services_directory())
    return text if file is None else locate_keys(text, file)


def locate_keys(text: str, file: Path) -> str:
    """Add the line number to each service-file key in a text."""
    if not _KEY.search(text):
        return text
    try:
        document = YAML().load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, *NO_VALUE):
        return text  # reading the service file says so itself

    def located(match: re.Match[str]) -> str:
        section, key = match.groups()
        rules = _mapping((section,))
        if rules is None or key not in rules.model_fields:
            return match[0]
        mapping = document.get(section) if isinstance(document, dict) else None
        there = isinstance(mapping, dict) and key in mapping
        where = f"{file.name}:{_line(document, (section, key))}" if there else f"not set in {file.name}"
        return f"{match[0]} ({where})"

    return _KEY.sub(located, text)


class Clash(NamedTuple):
    """Two services that do not go together: their names, and a sentence that begins with file and line."""

    services: frozenset[str]
    said: str


def clashes(files: Iterable[Path]) -> list[Clash]:
    """Find services that would write the same profile, or share a group and no base. Reads only their files.

    Args:
        files: service files without a mistake of their own.

    Returns:
        one for each file that does not go together with an earlier one.
    """
    writers: dict[tuple[str, ...], Path] = {}
    groups: dict[tuple[str, str], tuple[Path, str]] = {}
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
            sentence = (
                f"{file}:{line}: repository.profile: {first.name} writes the same file, {place}, to "
                f"{repository.project}; give each service a profile of its own, or leave repository.profile "
                "out and let build.binary name its binary"
            )
            said.append(Clash(frozenset({first.stem, file.stem}), sentence))
        if repository.group:
            other, base = groups.setdefault((repository.identity, repository.group), (file, repository.base))
            if base != repository.base:
                line = _line(YAML().load(file.read_text(encoding="utf-8")), ("repository", "group"))
                sentence = (
                    f"{file}:{line}: repository.group: {other.name} is of the group {repository.group}, too, "
                    f"and its base is {base}, not {repository.base}; give the group's services one base, or "
                    "this one another group"
                )
                said.append(Clash(frozenset({other.stem, file.stem}), sentence))
    return said


def _line(document: CommentedMap, location: Sequence[int | str]) -> int:
    """Return the 1-based line of a key, or of the nearest mapping above it that the file does hold."""
    node: Any = document
    line: int = document.lc.line
    for key in location:
        if isinstance(node, CommentedMap) and key in node:
            line = node.lc.key(key)[0]
        elif isinstance(node, CommentedSeq) and isinstance(key, int):
            line = node.lc.item(key)[0]
        else:
            break
        node = node[key]
    return line + 1


def _mapping(location: Sequence[int | str]) -> type[BaseModel] | None:
    """Return the class of the mapping at that place of a service file; None: the place holds no mapping."""
    found: type[BaseModel] | None = ServiceRules
    for key in location:
        if isinstance(key, int):  # an element of a list of mappings
            continue
        field = found.model_fields.get(key) if found else None
        found = mapping_of(field) if field else None
    return found


def override(rules: Rules, **values: object) -> Rules:
    """Return the rules with some values replaced for one run; None keeps the service file's value.

    Raises:
        ServiceFileError: a value is not allowed.
    """
    given = {key: value for key, value in values.items() if value is not None}
    try:
        return type(rules).model_validate({**rules.model_dump(), **given})
    except ValidationError as error:
        mistakes = [
            ": ".join(filter(None, (".".join(map(str, mistake["loc"])), _say(mistake))))
            for mistake in error.errors()
        ]
        section = "selection" if isinstance(rules, SelectionRules) else "collection"
        raise ServiceFileError(f"{section}: " + "; ".join(mistakes)) from error


def _say(mistake: Any) -> str:  # noqa: ANN401  # pydantic's ErrorDetails
    """Put a mistake in a user's words rather than in the validator's."""
    match mistake["type"]:
        case "extra_forbidden":
            *above, key = mistake["loc"]
            rules = _mapping(above)
            return f"unknown key{_did_you_mean(str(key), rules.model_fields if rules else ())}"
        case "missing":
            return "this key is required"
        case _:
            said = mistake["msg"].removeprefix("Value error, ")
            # A whole section says nothing that its line does not show.
            return said if isinstance(mistake["input"], dict) else f"{said} (found: {mistake['input']!r})"


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a question that names the closest known word; "": none is close."""
    close = get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""
