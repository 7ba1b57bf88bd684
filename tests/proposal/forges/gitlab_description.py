"""GitLab's REST API as its documentation has it, as far as fleetpgo uses it.

After https://docs.gitlab.com/api/projects/, …/branches/, …/merge_requests/, …/merge_request_approvals/,
…/protected_branches/, …/project_push_rules/, …/milestones/, …/personal_access_tokens/, …/notes/ and …/users/.
The paths are those below ``/api/v4``.
"""

from typing import Any

TEXT = {"type": "string"}
WHOLE = {"type": "integer"}
YES_NO = {"type": "boolean"}
MAYBE_TEXT = {"type": "string", "nullable": True}
MAYBE_TIME = {"type": "string", "format": "date-time", "nullable": True}
SHA = {"type": "string", "pattern": "^[0-9a-f]{40}$"}
MAYBE_SHA = {**SHA, "nullable": True}
IDS = {"type": "array", "items": WHOLE}

USER = {"type": "object", "required": ["id", "username"], "properties": {"id": WHOLE, "username": TEXT}}

MERGE_REQUEST = {
    "type": "object",
    "properties": {
        "id": WHOLE,
        "iid": WHOLE,
        "project_id": WHOLE,
        "title": TEXT,
        "description": MAYBE_TEXT,
        "state": {"type": "string", "enum": ["opened", "closed", "merged", "locked"]},
        "web_url": TEXT,
        "source_branch": TEXT,
        "target_branch": TEXT,
        "source_project_id": WHOLE,
        "target_project_id": WHOLE,
        "sha": MAYBE_SHA,
        "labels": {"type": "array", "items": TEXT},
        "draft": YES_NO,
        "reviewers": {"type": "array", "items": USER},
        "assignees": {"type": "array", "items": USER},
        "merged_at": MAYBE_TIME,
        "merge_commit_sha": MAYBE_SHA,
        "squash_commit_sha": MAYBE_SHA,
        "merge_when_pipeline_succeeds": YES_NO,
        "has_conflicts": YES_NO,
        "detailed_merge_status": TEXT,
        "head_pipeline": {
            "type": "object",
            "nullable": True,
            "properties": {"id": WHOLE, "status": TEXT},
        },
    },
}
MERGE_REQUEST["required"] = list(MERGE_REQUEST["properties"])

NOTE = {
    "type": "object",
    "required": ["id", "body", "system", "author"],
    "properties": {"id": WHOLE, "body": TEXT, "system": YES_NO, "author": USER},
}

ROLE = {
    "type": "object",
    "nullable": True,
    "properties": {"access_level": WHOLE, "notification_level": WHOLE},
}

PROJECT = {
    "type": "object",
    "required": ["id", "path_with_namespace", "default_branch", "archived"],
    "properties": {
        "id": WHOLE,
        "path_with_namespace": TEXT,
        "default_branch": TEXT,
        "archived": YES_NO,
        "permissions": {"type": "object", "properties": {"project_access": ROLE, "group_access": ROLE}},
        "merge_requests_access_level": {"type": "string", "enum": ["disabled", "private", "enabled"]},
        "only_allow_merge_if_pipeline_succeeds": YES_NO,
    },
}

APPROVALS = {
    "type": "object",
    "properties": {
        "id": WHOLE,
        "iid": WHOLE,
        "approvals_required": WHOLE,
        "approvals_left": WHOLE,
        "approved_by": {"type": "array", "items": {"type": "object", "properties": {"user": USER}}},
    },
}

PROTECTED_BRANCH = {
    "type": "object",
    "required": ["id", "name", "allow_force_push"],
    "properties": {"id": WHOLE, "name": TEXT, "allow_force_push": YES_NO},
}

PUSH_RULE = {"type": "object", "properties": {"reject_unsigned_commits": YES_NO}}

MILESTONE = {
    "type": "object",
    "required": ["id", "title"],
    "properties": {"id": WHOLE, "iid": WHOLE, "title": TEXT, "state": TEXT},
}

OWN_TOKEN = {
    "type": "object",
    "required": ["scopes"],
    "properties": {
        "id": WHOLE,
        "name": TEXT,
        "scopes": {"type": "array", "items": TEXT},
        "active": YES_NO,
        "revoked": YES_NO,
    },
}

BRANCH = {
    "type": "object",
    "required": ["name", "commit", "protected"],
    "properties": {
        "name": TEXT,
        "protected": YES_NO,
        "commit": {"type": "object", "properties": {"id": SHA}},
    },
}

ERROR = {"type": "object", "properties": {"message": {}, "error": TEXT}}
PAGES = ["page", "per_page"]


def operation(
    answer: dict[str, Any],
    *,
    status: int = 200,
    many: bool = False,
    query: dict[str, Any] | None = None,
    sent: dict[str, Any] | None = None,
    required: tuple[str, ...] = (),
) -> dict[str, Any]:
    """One operation: what is asked, what may be sent, and what comes back."""
    content = {"type": "array", "items": answer} if many else answer
    described: dict[str, Any] = {
        "parameters": [
            *({"name": name, "in": "query", "schema": schema} for name, schema in (query or {}).items()),
            *({"name": name, "in": "query", "schema": WHOLE} for name in (PAGES if many else ())),
        ],
        "responses": {
            str(status): {"description": "", "content": {"application/json": {"schema": content}}},
            "default": {"description": "", "content": {"application/json": {"schema": ERROR}}},
        },
    }
    if sent is not None:
        schema: dict[str, Any] = {"type": "object", "properties": sent}
        if required:
            schema["required"] = list(required)
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return described


def path(*names: str) -> list[dict[str, Any]]:
    """The parameters of a path."""
    return [{"name": name, "in": "path", "required": True, "schema": TEXT} for name in names]


CHANGES = {
    "title": TEXT,
    "description": TEXT,
    "target_branch": TEXT,
    "add_labels": TEXT,
    "remove_labels": TEXT,
    "reviewer_ids": IDS,
    "assignee_ids": IDS,
    "milestone_id": WHOLE,
    "state_event": {"type": "string", "enum": ["close", "reopen"]},
}

GITLAB: dict[str, Any] = {
    "openapi": "3.0.3",
    "info": {"title": "GitLab's REST API, in part", "version": "v4"},
    "servers": [{"url": "https://gitlab.example"}],
    "paths": {
        "/user": {"get": operation(USER)},
        "/users": {"get": operation(USER, many=True, query={"username": TEXT})},
        "/projects/{id}": {"parameters": path("id"), "get": operation(PROJECT)},
        "/projects/{id}/repository/branches/{branch}": {
            "parameters": path("id", "branch"),
            "get": operation(BRANCH),
        },
        "/projects/{id}/merge_requests": {
            "parameters": path("id"),
            "get": operation(
                MERGE_REQUEST,
                many=True,
                query={
                    "state": {"type": "string", "enum": ["opened", "closed", "locked", "merged", "all"]},
                    "source_branch": TEXT,
                },
            ),
            "post": operation(
                MERGE_REQUEST,
                status=201,
                sent={"source_branch": TEXT, **CHANGES},
                required=("source_branch", "target_branch", "title"),
            ),
        },
        "/projects/{id}/merge_requests/{iid}": {
            "parameters": path("id", "iid"),
            "get": operation(MERGE_REQUEST),
            "put": operation(MERGE_REQUEST, sent={"state_event": TEXT, **CHANGES}),
        },
        "/projects/{id}/merge_requests/{iid}/merge": {
            "parameters": path("id", "iid"),
            "put": operation(
                MERGE_REQUEST,
                query={"squash": YES_NO},
                sent={"merge_when_pipeline_succeeds": YES_NO, "sha": TEXT, "squash": YES_NO},
            ),
        },
        "/projects/{id}/merge_requests/{iid}/cancel_merge_when_pipeline_succeeds": {
            "parameters": path("id", "iid"),
            "post": operation(MERGE_REQUEST, status=201, sent={}),
        },
        "/projects/{id}/merge_requests/{iid}/approvals": {
            "parameters": path("id", "iid"),
            "get": operation(APPROVALS),
        },
        "/projects/{id}/protected_branches": {
            "parameters": path("id"),
            "get": operation(PROTECTED_BRANCH, many=True),
        },
        "/projects/{id}/push_rule": {"parameters": path("id"), "get": operation(PUSH_RULE)},
        "/projects/{id}/milestones": {
            "parameters": path("id"),
            "get": operation(MILESTONE, many=True, query={"title": TEXT, "state": TEXT}),
        },
        "/personal_access_tokens/self": {"get": operation(OWN_TOKEN)},
        "/projects/{id}/merge_requests/{iid}/notes": {
            "parameters": path("id", "iid"),
            "get": operation(NOTE, many=True),
            "post": operation(NOTE, status=201, sent={"body": TEXT}, required=("body",)),
        },
        "/projects/{id}/merge_requests/{iid}/notes/{note}": {
            "parameters": path("id", "iid", "note"),
            "put": operation(NOTE, sent={"body": TEXT}, required=("body",)),
        },
    },
}
