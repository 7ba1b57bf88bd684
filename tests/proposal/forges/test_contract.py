"""The four forges behind one protocol: three over HTTPS, each held against its published description."""

from __future__ import annotations

import dataclasses

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from fleetpgo.errors import ForgeError, RefusedError, RepositoryError
from fleetpgo.proposal import automerge
from fleetpgo.proposal.automerge import Figures
from fleetpgo.proposal.body import Provenance
from fleetpgo.proposal.checkout import clone
from fleetpgo.proposal.commits import commit, push
from fleetpgo.proposal.ensure import marker
from fleetpgo.proposal.etiquette import TAKE_OVER
from fleetpgo.proposal.forges import App, connect
from fleetpgo.proposal.git import git
from fleetpgo.proposal.signing import identity_of
from fleetpgo.service.review import AutoMergeRules, CommitRules, WhenRules
from fleetpgo.steps.propose import propose
from tests.proposal.forges.doubles import APP, BOT_COMMITS, INSTALLATION, KINDS, PROJECT, TOKEN
from tests.proposal.forges.sides import BRANCH, close, delete_branch, label
from tests.tiny import tiny

PROVENANCE = Provenance(run="run-1", query="up", selected=6, missing={}, samples=1_234)
NEXT = dataclasses.replace(PROVENANCE, run="run-2")
pytestmark = pytest.mark.usefixtures("built_once")


@pytest.fixture
def run(forge, go_profile, go_cache):
    def propose_it(provenance=PROVENANCE, **review):
        return propose(
            tiny(repository={"project": PROJECT}, review=review),
            forge,
            go_profile,
            provenance,
            dry_run=False,
            cache=go_cache,
        )

    return propose_it


def person_commits(bare, tmp_path):
    work = tmp_path / "work"
    git(tmp_path, "clone", "--quiet", "--branch", BRANCH, bare.as_uri(), str(work))
    (work / "README").write_text("by hand\n")
    git(work, "add", "README")
    ada = {"user.name": "Ada", "user.email": "ada@example.com"}
    git(work, "commit", "--quiet", "--message", "By hand", config=ada)
    git(work, "push", "--quiet", "origin", BRANCH)
    return git(work, "rev-parse", "HEAD")


def test_the_first_run_opens_one_and_hands_it_over(run, there):
    proposed = run(reviewers=["ada"], assignees=["grace"], labels=["performance"], draft=True)

    made = there.pull(1)
    assert (proposed.head, BRANCH, "main", "open") == (made.head, made.branch, made.base, made.state)
    assert git(there.bare, "rev-parse", BRANCH) == proposed.head
    assert ({"performance", "fleetpgo"}, ["ada"], ["grace"]) == (
        set(made.labels),
        list(made.reviewers),
        list(made.assignees),
    )
    assert str(made.number) in proposed.url


def test_a_draft_stays_a_draft_and_keeps_its_title(run, there, forge):
    run(draft=True)
    run(NEXT, draft=True)

    found = forge.get(1)
    assert (True, "Add the PGO profile of tiny") == (found.draft, found.title)


def test_the_second_run_brings_the_same_one_up_to_date(run, there):
    first, second = run(), run(NEXT)

    assert (first.pull_request, second.pull_request, 1) == (1, 1, len(there.pulls))
    assert marker(there.pull(1).body).run == "run-2"


def test_a_foreign_commit_stops_it_until_the_label_is_on(run, there, tmp_path):
    run()
    theirs = person_commits(there.bare, tmp_path)
    stopped = [run(NEXT), run(NEXT)]
    untouched = git(there.bare, "rev-parse", BRANCH)
    label(there, 1, TAKE_OVER)
    resumed = run(NEXT)

    assert ([True, True], theirs) == ([each.unchanged for each in stopped], untouched)
    (comment,) = there.pull(1).comments.values()
    assert TAKE_OVER in comment
    assert (resumed.head, ["fleetpgo"]) == (git(there.bare, "rev-parse", BRANCH), list(there.pull(1).labels))


def test_what_was_closed_unmerged_is_not_proposed_again(run, there):
    run()
    close(there, 1)
    delete_branch(there)
    proposed = run(NEXT)

    assert "of pull request 1, which was closed unmerged, is 1.000" in proposed.reason
    assert len(there.pulls) == 1


def test_a_comment_is_made_once_and_then_changed_in_place(forge, there, opened):
    forge.comment(1, "Saved 3 %", "measurement")
    forge.comment(1, "Something else", "foreign-commit")
    forge.comment(1, "Saved 4 %", "measurement")

    comments = [text.split("\n")[-1] for text in there.pull(1).comments.values()]
    assert comments == ["Saved 4 %", "Something else"]


def test_what_was_merged_is_read_with_its_time_and_its_commit(forge, there, opened):
    there.merge(1)

    found = forge.find(BRANCH)
    assert (1, "merged", git(there.bare, "rev-parse", "main")) == (
        found.number,
        found.state,
        found.merge_commit,
    )
    assert found.merged_at.tzinfo is not None
    assert found == forge.get(1)


def test_the_open_one_is_found_before_a_newer_one_that_is_closed(forge, there, opened):
    git(there.bare, "branch", "release", "main")
    forge.create(BRANCH, "release", "Other", "Body")
    close(there, 2)

    assert forge.find(BRANCH).number == 1


def test_none_is_found_where_there_is_none(forge, there):
    assert forge.find(BRANCH) is None


def test_one_is_closed_unmerged(forge, opened):
    forge.close(opened.number)
    assert forge.get(opened.number).state == "closed"


def test_a_second_one_is_refused(forge, there, opened):
    with pytest.raises(ForgeError, match="already"):
        forge.create(BRANCH, "main", "Title", "Body")
    assert len(there.pulls) == 1


def test_another_base_is_given(forge, there, opened):
    git(there.bare, "branch", "trunk", "main")

    changed = forge.update(1, "New", "Text", "trunk")

    assert ("New", "Text", "trunk") == (changed.title, changed.body, changed.base)


def test_a_repository_that_is_as_expected_passes(forge, there):
    forge.check("main")


def test_a_base_that_was_renamed_is_named_with_the_default_branch(forge, there):
    with pytest.raises(ForgeError, match="there is no branch master") as error:
        forge.check("master")
    assert "the default branch is main" in error.value.hint


@pytest.fixture(params=KINDS)
def server(request, serve):
    """A forge that is a server, and our side of it."""
    double = serve(request.param)
    return double, connect(request.param, PROJECT, address=double.address, token=TOKEN)


def test_a_repository_that_has_moved_is_an_error_that_says_where(server):
    double, forge = server
    double.project = "acme/giant"

    with pytest.raises(ForgeError, match="acme/tiny has moved to acme/giant") as error:
        forge.check("main")
    assert "set repository.project in the service file to acme/giant" in error.value.hint


def test_an_archived_repository_is_an_error(server):
    double, forge = server
    double.archived = True

    with pytest.raises(ForgeError, match="is archived: nothing can be pushed to it"):
        forge.check("main")


@pytest.mark.parametrize("server", ["github"], indirect=True)
@pytest.mark.parametrize(
    "address", ["git@localhost:acme/library.git", "ssh://git@localhost/acme/library.git"]
)
def test_a_submodule_that_is_named_by_an_address_for_ssh_comes_over_https(server, tmp_path, address):
    double, forge = server
    work = tmp_path / "work"
    git(tmp_path, "clone", "--quiet", double.bare.as_uri(), str(work))
    git(double.bare.parent, "clone", "--quiet", "--bare", double.bare.as_uri(), "library.git")
    git(
        work,
        "submodule",
        "--quiet",
        "add",
        double.bare.as_uri(),
        "lib",
        config={"protocol.file.allow": "always"},
    )
    git(work, "config", "--file=.gitmodules", "submodule.lib.url", address)
    git(work, "commit", "--quiet", "--all", "--message", "Use a library")
    git(work, "push", "--quiet", "origin", "main")

    config = forge.git_config()
    with clone(forge.clone_url, "main", BRANCH, config=config, submodules="token") as checkout:
        assert (checkout.path / "lib" / "go.mod").is_file()


@pytest.mark.parametrize("status", [429, 503])
def test_a_limit_and_a_stumble_are_waited_for(server, status):
    double, forge = server
    double.stumbles = [("GET", status, {"Retry-After": "0"})]

    assert forge.find(BRANCH) is None
    assert double.stumbles == []


def test_what_a_limit_turned_away_is_made_once_it_allows_it(server, pushed):
    double, forge = server
    double.stumbles = [("POST", double.limited, {"Retry-After": "0"})]

    forge.create(BRANCH, "main", "Title", "Body")

    assert ([method for method, _ in double.requests], len(double.pulls)) == (["POST", "POST"], 1)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_limit_of_an_hour_is_told_and_not_waited_for(server, method):
    double, forge = server
    double.stumbles = [(method, 429, {"Retry-After": "3600"})]

    with pytest.raises(ForgeError, match=r"turns requests away, .*it asks to wait for 3600 s") as error:
        forge.find(BRANCH) if method == "GET" else forge.create(BRANCH, "main", "Title", "Body")
    assert "limits on requests" in error.value.hint
    assert [each for each, _ in double.requests] == [method]


def test_what_may_have_been_made_is_not_made_again_unseen(server, pushed):
    double, forge = server
    double.stumbles = [("POST", 502, {})]

    with pytest.raises(ForgeError):
        forge.create(BRANCH, "main", "Title", "Body")
    assert [method for method, _ in double.requests] == ["POST"]


def test_a_wrong_token_is_an_error_that_does_not_show_it(server):
    double, _ = server
    kind = next(name for name, (made, _) in KINDS.items() if isinstance(double, made))
    forge = connect(kind, PROJECT, address=double.address, token="wr0ng")  # noqa: S106

    with pytest.raises(ForgeError, match="401") as error:
        forge.check("main")
    assert "token is wrong or has expired" in error.value.hint
    assert "wr0ng" not in f"{error.value} {error.value.__cause__}"


@pytest.fixture
def pushed(server):
    """A branch from which a pull request can be opened, without a build."""
    _, forge = server
    with clone(forge.clone_url, "main", BRANCH, config=forge.git_config()) as checkout:
        push(checkout, commit(checkout, {"profile": b"one"}, "Refresh", exact="profile"))


@pytest.mark.parametrize("server", ["github"], indirect=True)
def test_auto_merge_that_github_does_not_allow_is_told_in_its_own_words(server, pushed):
    double, forge = server
    double.allows_auto_merge = False
    head = forge.create(BRANCH, "main", "Title", "Body").head

    with pytest.raises(ForgeError) as error:
        forge.merge_once_ready(1, "squash", head)
    assert error.value.message.endswith(
        "switching auto-merge on for pull request 1 failed: "
        "400 Pull request Auto merge is not allowed for this repository"
    )
    assert "let the repository allow auto-merge" in error.value.hint


@pytest.mark.parametrize("server", ["gitea"], indirect=True)
@pytest.mark.parametrize("version", ["1.26.0", "9.0.0+gitea-1.22.0"], ids=["gitea", "forgejo"])
@pytest.mark.parametrize("first", ["deleted", "closed"])
def test_whether_a_deletion_has_closed_it_is_told_on_gitea_and_on_forgejo(server, pushed, version, first):
    double, forge = server
    double.version = version
    number = forge.create(BRANCH, "main", "Title", "Body").number
    if first == "closed":
        forge.close(number)
    double.delete_branch(BRANCH)

    assert forge.lost_branch(number) == (first == "deleted")


@pytest.mark.parametrize("server", ["gitea"], indirect=True)
def test_gitea_that_cannot_say_yet_is_asked_again(server, pushed, monkeypatch):
    double, forge = server
    monkeypatch.setattr(automerge, "_PAUSE_S", 0)
    made = forge.create(BRANCH, "main", "Title", "Body")
    double.stumbles.append(("POST", 405, {"x-words": "Please try again later"}))
    final, _ = automerge.merge_by_rule(
        forge, made, AutoMergeRules(method="merge", when=WhenRules(checks="any")), Figures(), head=made.head
    )

    assert (True, "merged") == (final, forge.get(made.number).state)


BOT = "{} <{}>".format(*BOT_COMMITS)


def made_by_github(forge, seen=b"one", author=BOT):
    """Have a profile committed by GitHub, and push it."""
    identity = identity_of(CommitRules(author=author, sign="forge"), None, forge.make_commit)
    config = forge.git_config()
    with clone(forge.clone_url, "main", BRANCH, config=config, identity=identity) as checkout:
        head = commit(checkout, {"profile": seen, "go.mod": None}, "Refresh", exact="profile")
        push(checkout, head)
        return checkout, head


@pytest.mark.parametrize("server", ["github"], indirect=True)
def test_github_makes_the_commit_and_signs_it(server):
    double, forge = server
    before = git(double.bare, "ls-tree", "--name-only", "main").split()
    _, head = made_by_github(forge)

    assert (double.tip(BRANCH), git(double.bare, "show", f"{BRANCH}:profile")) == (head, "one")
    shown = git(double.bare, "show", "--no-patch", "--format=%an <%ae> by %cn%n%B", head)
    assert shown == f"{BOT} by GitHub\nRefresh\n\nSigned-off-by: {BOT}"
    after = git(double.bare, "ls-tree", "--name-only", head).split()
    assert sorted(after) == sorted({*before, "profile"} - {"go.mod"})


@pytest.mark.parametrize("server", ["github"], indirect=True)
def test_a_commit_of_githubs_is_known_as_ours_at_the_next_run(server):
    _, forge = server
    made_by_github(forge)
    checkout, head = made_by_github(forge, b"two")

    assert (checkout.foreign, checkout.seen == head) == ("", False)


@pytest.mark.parametrize("server", ["github"], indirect=True)
def test_a_dry_run_has_no_commit_made(server, go_profile, go_cache):
    double, forge = server
    service = tiny(
        repository={"project": PROJECT, "forge": "github"}, commit={"author": BOT, "sign": "forge"}
    )
    propose(service, forge, go_profile, PROVENANCE, dry_run=True, cache=go_cache)

    assert [request for request in double.requests if request[0] != "GET"] == []


@pytest.mark.parametrize("server", ["github"], indirect=True)
def test_what_github_does_not_sign_is_not_pushed(server):
    double, forge = server
    double.signs_commits = False

    with pytest.raises(
        ForgeError, match=r"GitHub does not sign what this token has it make: unsigned"
    ) as error:
        made_by_github(forge)
    assert "the key of an app" in error.value.hint
    assert not double.tip(BRANCH)


@pytest.mark.parametrize("server", ["github"], indirect=True)
def test_a_commit_in_the_name_of_another_bot_is_not_pushed(server):
    double, forge = server

    with pytest.raises(RepositoryError, match=r"made the commit in the name of fleet\[bot\] <41\+fleet"):
        made_by_github(forge, author="other[bot] <42+other[bot]@users.noreply.github.com>")
    assert not double.tip(BRANCH)


@pytest.fixture(scope="module")
def key():
    return rsa.generate_private_key(public_exponent=65_537, key_size=2_048)


def pem(key):
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    ).decode()


@pytest.mark.parametrize("line_end", ["\n", " ", r"\n"], ids=["as it is", "pasted", "in JSON"])
def test_an_app_of_github_s_proposes_with_tokens_that_run_out(serve, key, go_profile, go_cache, line_end):
    double = serve("github")
    double.app_key = key.public_key()
    app = App(APP, int(INSTALLATION))
    token = pem(key).replace("\n", line_end)
    forge = connect("github", PROJECT, address=double.address, token=token, app=app)

    proposed = propose(
        tiny(repository={"project": PROJECT}), forge, go_profile, PROVENANCE, dry_run=False, cache=go_cache
    )

    assert (1, proposed.head) == (proposed.pull_request, git(double.bare, "rev-parse", BRANCH))
    assert double.tokens != [TOKEN]


@pytest.mark.parametrize(
    "token", ["ghp_t0ken", "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----"]
)
def test_an_app_without_its_key_is_an_error_that_does_not_show_it(token):
    with pytest.raises(ForgeError, match="password is not a private key of the app 1234") as error:
        connect("github", PROJECT, address="https://github.com", token=token, app=App(APP, int(INSTALLATION)))
    assert "t0ken" not in f"{error.value} {error.value.__cause__}"


def test_only_github_knows_apps():
    with pytest.raises(ForgeError, match="names an app of GitHub's, but the forge is gitlab"):
        connect("gitlab", PROJECT, address="https://gitlab.com", token=TOKEN, app=App(APP, int(INSTALLATION)))


def test_a_user_whom_gitlab_does_not_know_is_named(serve):
    double = serve("gitlab")
    forge = connect("gitlab", PROJECT, address=double.address, token=TOKEN)

    with clone(forge.clone_url, "main", BRANCH, config=forge.git_config()) as checkout:
        push(checkout, commit(checkout, {"profile": b"one"}, "Refresh", exact="profile"))
    forge.create(BRANCH, "main", "Title", "Body")

    with pytest.raises(RefusedError, match="there is no user nobody on https://localhost"):
        forge.ask(1, "nobody")


def test_gitea_looks_on_every_page(serve):
    double = serve("gitea")
    double.page = 1
    forge = connect("gitea", PROJECT, address=double.address, token=TOKEN)
    for branch in (BRANCH, "other"):
        with clone(forge.clone_url, "main", branch, config=forge.git_config()) as checkout:
            push(checkout, commit(checkout, {"profile": branch.encode()}, "Refresh", exact="profile"))
        forge.create(branch, "main", "Title", "Body")

    assert forge.find(BRANCH).number == 1


def test_a_label_that_is_not_on_is_off(forge, there, opened):
    forge.label(1, remove=TAKE_OVER)

    assert [] == list(there.pull(1).labels)


def test_a_comment_is_read_back(forge, opened):
    assert not forge.read_comment(1, "measurement")
    forge.comment(1, "Saved 3 %\n\nmore", "measurement")
    forge.comment(1, "Something else", "foreign-commit")

    assert forge.read_comment(1, "measurement") == "Saved 3 %\n\nmore"
