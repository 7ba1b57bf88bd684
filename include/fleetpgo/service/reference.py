"""Every key of a service file as a page of Markdown, from the same declarations that check the file."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel, TypeAdapter

from fleetpgo.service.rules import ServiceRules
from fleetpgo.service.values import written

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.fields import FieldInfo

HEAD = """\
# The service file, key by key

`fleetpgo services schema --markdown` writes this page; `make docs` keeps it current. The file's own name is
the service's. A duration is written as Prometheus writes it: `90s`, `15m`, `1h30m`, `7d`.
`fleetpgo services check` names every mistake with its line, and `fleetpgo services schema` prints a JSON
Schema for editors.
"""


def page() -> str:
    """Return the whole page."""
    return "\n".join([HEAD, *_section(ServiceRules, "")]).rstrip() + "\n"


def _section(model: type[BaseModel], path: str) -> Iterator[str]:
    """Yield one mapping's keys as a table, then those of the mappings in it."""
    if path:
        yield f"## `{path}`\n"
        yield f"{(model.__doc__ or '').strip()}\n"
    yield "| key | default | what it says |"
    yield "|---|---|---|"
    inner = []
    for name, field in model.model_fields.items():
        if field.exclude:
            continue
        part = mapping_of(field)
        if part:
            inner.append((part, f"{path}.{name}" if path else name))
        said = field.description or (part and (part.__doc__ or "").strip()) or ""
        yield f"| `{name}` | {_default(field)} | {said.replace('|', chr(92) + '|')} |"
    yield ""
    for part, below in inner:
        yield from _section(part, below)


def mapping_of(field: FieldInfo) -> type[BaseModel] | None:
    """Return the class of the mapping (or list of mappings) that a key holds; None: it holds plain values."""
    kinds = (field.annotation, *get_args(field.annotation))
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


def _default(field: FieldInfo) -> str:
    """Return the value that holds if the key is left out."""
    if field.is_required():
        return "**required**"
    default: Any = field.default
    if isinstance(default, BaseModel):
        default = default.model_dump(exclude_unset=True)
    if isinstance(default, timedelta):
        return f"`{written(default)}`"
    if not default and isinstance(default, dict | tuple | str):
        return "–"
    return f"`{json.dumps(TypeAdapter(Any).dump_python(default, mode='json'), ensure_ascii=False)}`"
