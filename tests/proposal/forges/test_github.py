import json
from base64 import b64encode
from datetime import UTC, datetime

import pytest
import requests
import responses

from fleetpgo.errors import ForgeError
from fleetpgo.proposal.forges import PullRequest
from fleetpgo.proposal.forges.github import GitHubForge

TOKEN = "ghp_planted"  # noqa: S105
ADDRESS = "https://api.github.com/repos/acme/tiny"
# PyGithub asks with the port written out.
API = "https://api.github.com:443/repos/acme/tiny"

ANSWER = {
    "url": f"{ADDRESS}/pulls/7",
    "number": 7,
    "html_url": "https://github.com/acme/tiny/pull/7",
    "title": "Title",
    "body": "Body",
    "state": "open",
    "head": {"ref": "fleetpgo/tiny", "sha": "a" * 40, "repo": {"full_name": "Acme/tiny"}},
    "base": {"ref": "main", "sha": "b" * 40},
    "labels": [],
    "draft": False,
    "merged_at": None,
    "merge_commit_sha": "c" * 40,
}
OPEN = PullRequest(
    7, "https://github.com/acme/tiny/pull/7", "Title", "Body", "open", "fleetpgo/tiny", "a" * 40, "main"
)


@pytest.fixture
def github():
    """GitHub's side of the wire: every request that a test did not expect is an error."""
    with responses.RequestsMock() as mock:
        yield mock


@pytest.fixture
def forge():
    return GitHubForge("https://github.com", "acme/tiny", TOKEN)


def sent(github, index=-1):
    """Method, address and JSON of a request that reached GitHub."""
    request = github.calls[index].request
    return request.method, request.url, json.loads(request.body) if request.body else None


def test_it_is_looked_for_by_its_head(github, forge):
    github.get(f"{API}/pulls", json=[ANSWER])

    assert forge.find("fleetpgo/tiny") == OPEN
    assert github.calls[0].request.params == {
        "state": "all",
        "head": "acme:fleetpgo/tiny",
        "per_page": "100",
    }


@pytest.mark.parametrize(
    "repository", [{"full_name": "acme/tiny-fork"}, None], ids=["a fork", "a fork that is gone"]
)
def test_one_from_a_fork_of_the_same_owner_is_not_ours(github, forge, repository):
    head = {**ANSWER["head"], "repo": repository}
    github.get(f"{API}/pulls", json=[{**ANSWER, "number": 8, "head": head}, ANSWER])

    assert forge.find("fleetpgo/tiny") == OPEN


def test_none_is_found_where_there_is_none(github, forge):
    github.get(f"{API}/pulls", json=[])

    assert forge.find("fleetpgo/tiny") is None


@pytest.mark.parametrize(
    ("answer", "state", "merged_at", "merge_commit"),
    [
        ({}, "open", None, None),
        ({"state": "closed"}, "closed", None, None),
        (
            {"state": "closed", "merged_at": "2026-01-05T06:00:00Z"},
            "merged",
            datetime(2026, 1, 5, 6, tzinfo=UTC),
            "c" * 40,
        ),
    ],
)
def test_a_state_is_read(github, forge, answer, state, merged_at, merge_commit):
    github.get(f"{API}/pulls/7", json={**ANSWER, **answer})

    read = forge.get(7)

    assert (state, merged_at, merge_commit) == (read.state, read.merged_at, read.merge_commit)


def test_a_body_that_was_emptied_is_empty_text(github, forge):
    github.get(f"{API}/pulls/7", json={**ANSWER, "body": None})

    assert not forge.get(7).body


def test_a_pull_request_is_opened(github, forge):
    github.post(f"{API}/pulls", json=ANSWER, status=201)

    assert forge.create("fleetpgo/tiny", "main", "Title", "Body") == OPEN
    assert sent(github) == (
        "POST",
        f"{API}/pulls",
        {"base": "main", "head": "fleetpgo/tiny", "title": "Title", "body": "Body", "draft": False},
    )


def test_title_and_body_are_replaced(github, forge):
    github.patch(f"{API}/pulls/7", json={**ANSWER, "title": "New", "body": "Text"})

    updated = forge.update(7, "New", "Text")

    assert (updated.title, updated.body) == ("New", "Text")
    assert sent(github) == ("PATCH", f"{API}/pulls/7", {"title": "New", "body": "Text"})


def test_the_first_comment_of_a_key_is_made(github, forge):
    quoted = {"id": 1, "url": f"{ADDRESS}/issues/comments/1", "body": "> <!-- fleetpgo:measurement -->\nwhy?"}
    github.get(f"{API}/issues/7/comments", json=[quoted])
    github.post(f"{API}/issues/7/comments", json={"id": 2}, status=201)

    forge.comment(7, "Saved 3 %", "measurement")

    text = "<!-- fleetpgo:measurement -->\nSaved 3 %"
    assert sent(github) == ("POST", f"{API}/issues/7/comments", {"body": text})


def test_the_next_comment_of_a_key_replaces_it_on_whatever_page_it_is(github, forge):
    found = {"id": 2, "url": f"{ADDRESS}/issues/comments/2", "body": "<!-- fleetpgo:measurement -->\nold"}
    found["user"] = {"id": 41}
    foreign = {**found, "id": 3, "url": f"{ADDRESS}/issues/comments/3", "user": {"id": 66}}
    other = {"id": 1, "url": f"{ADDRESS}/issues/comments/1", "body": "thanks"}
    next_page = {"Link": f'<{ADDRESS}/issues/7/comments?page=2>; rel="next"'}
    github.get(f"{API}/issues/7/comments", json=[other, foreign], headers=next_page)
    github.get(f"{API}/issues/7/comments?page=2", json=[found])
    github.post("https://api.github.com:443/graphql", json={"data": {"viewer": {"databaseId": 41}}})
    github.patch(f"{API}/issues/comments/2", json={**found, "body": "new"})

    forge.comment(7, "new", "measurement")

    text = "<!-- fleetpgo:measurement -->\nnew"
    assert sent(github) == ("PATCH", f"{API}/issues/comments/2", {"body": text})


@pytest.mark.parametrize(
    ("status", "answer", "message", "hint"),
    [
        (401, {"message": "Bad credentials"}, "401 Bad credentials", "token is wrong or has expired"),
        (403, {"message": "Resource not accessible"}, "403 Resource not accessible", "read and write"),
        (404, {"message": "Not Found"}, "404 Not Found", "repository.project"),
        (
            422,
            {"message": "Validation Failed", "errors": [{"message": "A pull request already exists"}]},
            "422 Validation Failed; A pull request already exists",
            "run the step again",
        ),
        (502, {"message": "Server Error"}, "502 Server Error", "run the step again"),
    ],
)
def test_a_refusal_is_told_with_what_to_do_and_without_the_token(
    github, forge, status, answer, message, hint
):
    github.post(f"{API}/pulls", json=answer, status=status)

    with pytest.raises(ForgeError) as error:
        forge.create("fleetpgo/tiny", "main", "Title", "Body")

    assert error.value.message == (
        f"https://github.com/acme/tiny: opening a pull request from fleetpgo/tiny to main failed: {message}"
    )
    assert hint in error.value.hint
    assert TOKEN not in f"{error.value} {error.value.__cause__}"


def test_a_server_that_cannot_be_reached_is_named(github, forge):
    github.get(f"{API}/pulls/7", body=requests.ConnectionError("no route to host"))

    with pytest.raises(ForgeError, match=r"cannot be reached, reading pull request 7: no route to host"):
        forge.get(7)


def test_a_limit_on_requests_is_waited_for(github, forge):
    github.get(
        f"{API}/pulls/7",
        status=403,
        headers={"Retry-After": "0"},
        json={"message": "You have exceeded a secondary rate limit"},
    )
    github.get(f"{API}/pulls/7", json=ANSWER)

    assert forge.get(7) == OPEN


def test_a_server_s_stumble_is_not_answered_with_a_second_comment(github, forge):
    github.get(f"{API}/issues/7/comments", json=[])
    github.post(f"{API}/issues/7/comments", status=502, json={"message": "Server Error"})

    with pytest.raises(ForgeError, match="502 Server Error"):
        forge.comment(7, "Saved 3 %", "measurement")

    assert [call.request.method for call in github.calls] == ["GET", "POST"]


def test_the_token_goes_to_its_own_server_alone(forge):
    credentials = b64encode(f"x-access-token:{TOKEN}".encode()).decode()

    assert forge.git_config() == {
        "http.https://github.com/.extraHeader": f"Authorization: Basic {credentials}",
        "url.https://github.com/.insteadOf": "git@github.com:",
        "url.https://github.com.insteadOf": "ssh://git@github.com",
    }
    assert forge.clone_url == "https://github.com/acme/tiny.git"


def test_an_enterprise_server_has_its_api_below_its_own_address(github):
    forge = GitHubForge("https://git.acme.example:8443/", "acme/tiny", TOKEN)
    github.get("https://git.acme.example:8443/api/v3/repos/acme/tiny/pulls/7", json=ANSWER)

    assert forge.get(7) == OPEN
    assert forge.clone_url == "https://git.acme.example:8443/acme/tiny.git"


def test_the_token_is_sent_as_a_header(github, forge):
    github.get(f"{API}/pulls/7", json=ANSWER)

    forge.get(7)

    assert github.calls[0].request.headers["Authorization"] == f"token {TOKEN}"
