"""The JSON answers of a Prometheus API, validated when they are read.

Format: https://prometheus.io/docs/prometheus/latest/querying/api/, and VictoriaMetrics' additions to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, NotRequired

from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from pydantic_core import from_json
from typing_extensions import TypedDict  # pydantic takes that of typing from Python 3.12 on only

from fleetpgo import foreign

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LEFT_OUT = "left out: "
"""Start of a warning about a series without a number; the rest of the answer is complete."""

_SAID = 500  # characters of a server's sentence that are worth repeating
_WARNINGS = 20  # most warnings that are passed on

_Point = tuple[float, float]
"""A point as the API gives it: the value is a string, so that NaN and ±Inf survive JSON."""


class _Sample(TypedDict):  # no model: there may be 100,000 of them
    metric: dict[str, str]
    value: NotRequired[_Point]  # none: a native histogram


class _Matrix(TypedDict):
    metric: dict[str, str]
    values: NotRequired[list[_Point]]
    histograms: NotRequired[list[object]]


class VectorData(BaseModel):
    """Result of an instant query: one sample per series."""

    resultType: Literal["vector"]  # noqa: N815  # the API's names, here and below
    result: list[_Sample]


class MatrixData(BaseModel):
    """Result of a range query: samples over time, per series."""

    resultType: Literal["matrix"]  # noqa: N815
    result: list[_Matrix]


class ScalarData(BaseModel):
    """One number without labels."""

    resultType: Literal["scalar"]  # noqa: N815
    result: _Point


class StringData(BaseModel):
    """A string; no caller uses it."""

    resultType: Literal["string"]  # noqa: N815


class Success(BaseModel):
    """A successful answer, complete or partial."""

    status: Literal["success"]
    data: Annotated[VectorData | MatrixData | ScalarData | StringData, Field(discriminator="resultType")]
    # Its `infos` are advice to whoever wrote the query; the data are whole.
    warnings: list[str] = []
    isPartial: bool = False  # noqa: N815  # VictoriaMetrics' word for what Thanos says in warnings


class Failure(BaseModel):
    """An error as the API reports it."""

    status: Literal["error"]
    errorType: str  # noqa: N815
    error: str


_REPLY: TypeAdapter[Success | Failure] = TypeAdapter(
    Annotated[Success | Failure, Field(discriminator="status")]
)


def read_reply(body: bytes | bytearray) -> Success | Failure:
    """Parse the JSON body of an answer.

    Raises:
        ValidationError: the JSON does not have the API's format.
        ValueError: the body is not JSON.
    """
    # In two steps: validate_json would keep a tree of its own beside all that it makes of it.
    return _REPLY.validate_python(from_json(body))


def warnings_of(reply: Success) -> tuple[str, ...]:
    """Return the warnings of an answer, limited in number and length."""
    warnings = [clean(warning) for warning in reply.warnings[:_WARNINGS]]
    if more := len(reply.warnings) - len(warnings):
        warnings.append(f"and {more:,} more warnings")
    if reply.isPartial:
        warnings.append("the answer is partial (isPartial)")
    return tuple(warnings)


def without_number(metrics: Iterable[Mapping[str, str]]) -> tuple[str, ...]:
    """Return a warning that names the series without a number; () if there are none."""
    found = list(metrics)
    if not found:
        return ()
    first, *others = found
    more = f" (and {len(others):,} more like it)" if others else ""
    return (clean(f"{LEFT_OUT}a native histogram is no number: {dict(first)}") + more,)


class _Store(BaseModel):
    """One of the stores that Thanos asks: `GET /api/v1/stores`, since Thanos 0.8."""

    name: str
    lastError: str | dict[str, Any] | None = None  # noqa: N815  # an object in old versions
    labelSets: list[dict[str, str]] | None = None  # noqa: N815


class _Stores(BaseModel):
    data: dict[str, list[_Store] | None]


def faults_of_stores(body: bytes | bytearray) -> tuple[str, ...]:
    """Return a sentence for each store that Thanos cannot reach; () if the body is no list of stores."""
    try:
        stores = _Stores.model_validate_json(body)
    except ValidationError:
        return ()
    lost = [
        clean(f"Thanos has lost the store {each.name}{_holds(each)}: {each.lastError}")
        for kind in stores.data.values()
        for each in kind or ()
        if each.lastError
    ]
    if more := len(lost) - _WARNINGS:
        lost = [*lost[:_WARNINGS], f"and {more:,} more stores"] if more > 0 else lost
    return tuple(lost)


def _holds(store: _Store) -> str:
    """Return the labels of what a store holds, which is missing in each answer."""
    sets = [
        "{" + ", ".join(f'{k}="{v}"' for k, v in sorted(each.items())) + "}" for each in store.labelSets or ()
    ]
    return f", which holds {' and '.join(sets)}" if sets else ""


def first_fault(error: ValueError) -> str:
    """Return where and how an answer deviates from the API's format, without the answer's own values."""
    if not isinstance(error, ValidationError):
        return clean(f"Invalid JSON: {error}")
    fault = error.errors(include_input=False, include_context=False, include_url=False)[0]
    place = ".".join(map(str, fault["loc"]))
    return clean(f"{place}: {fault['msg']}" if place else fault["msg"])


def clean(said: str) -> str:
    """Return a server's text as one line of at most 500 characters; see :func:`fleetpgo.foreign.line`."""
    return foreign.line(said, _SAID)
