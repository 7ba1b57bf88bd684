"""What every forge does, as fleetpgo relies on it: on doubles, or by ``make test-forge`` on a real one."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleetpgo.errors import ForgeError, RefusedError, RepositoryError, UndecidedError
from fleetpgo.proposal import automerge
from fleetpgo.proposal.automerge import AUTO_MERGE, Figures, merge_by_rule
from fleetpgo.proposal.checkout import clone
from fleetpgo.proposal.commits import commit, push
from fleetpgo.proposal.ensure import ensure_pull_request
from fleetpgo.proposal.etiquette import hands_off
from fleetpgo.proposal.forges import Intent
from fleetpgo.service.review import ReviewRules
from tests.proposal.forges.behaviours import behaviour, table, written
from tests.proposal.forges.doubles import Rule
from tests.proposal.forges.sides import BRANCH

INTENT = Intent("main", BRANCH, "profile")
PROTECTED = Rule("fleetpgo/*")
CHECKED = Rule("main", checks=("test",))


def pushed(forge, content=b"one"):
    """Push a profile to the branch as a run does, without its builds; return the full SHA."""
    with clone(forge.clone_url, "main", BRANCH, config=forge.git_config()) as checkout:
        head = commit(checkout, {"profile": content}, "Refresh", exact="profile")
        push(checkout, head)
        return head


@pytest.fixture
def forge(side):
    return side.forge


@pytest.fixture
def made(side, forge):
    """An open pull request."""
    side.propose(b"one")
    return forge.create(BRANCH, "main", "Title", "Body")


def rule(**keys):
    return ReviewRules.model_validate({"auto_merge": keys.get("auto_merge", keys)}).merge_rule


@behaviour("a pull request is opened, found by its branch, and read by its number")
def test_opened_and_found(side, forge, made):
    assert forge.find(BRANCH) == made == forge.get(made.number)
    assert ("open", BRANCH, "main", side.tip(BRANCH)) == (made.state, made.branch, made.base, made.head)


@behaviour("a second one of the same branch and base is refused")
def test_second_refused(forge, made):
    with pytest.raises(ForgeError, match="already"):
        forge.create(BRANCH, "main", "Title", "Body")


@behaviour("a server below a path of its host: clone, push and API", github="n/a", real=False)
def test_below_a_path(side):
    side.double.move_below("/git")
    forge = side.connect()
    forge.check("main")
    head = pushed(forge)
    made = forge.create(BRANCH, "main", "Title", "Body")
    forge.comment(made.number, "Text", "kind")

    assert (made, head) == (forge.find(BRANCH), side.tip(BRANCH))
    assert "Text" in forge.read_comment(made.number, "kind")


@behaviour("title, body and base are changed in place; the head follows a force-push")
def test_refreshed(side, forge, made):
    side.make_branch("trunk", "main")
    head = side.propose(b"two")

    changed = forge.update(made.number, "New", "Text", "trunk")

    assert ("New", "Text", "trunk") == (changed.title, changed.body, changed.base)
    assert head == forge.get(made.number).head


@behaviour("a draft is opened as one and stays one", gitlab="prefix `Draft:`", gitea="prefix `WIP:`")
def test_draft(side, forge):
    side.propose(b"one")
    made = forge.create(BRANCH, "main", "Title", "Body", draft=True)
    changed = forge.update(made.number, "New", "Body")

    assert (True, "Title", True, "New") == (made.draft, made.title, changed.draft, changed.title)


@behaviour("labels are added, made where there are none, and taken off")
def test_labels(side, forge, made):
    forge.label(made.number, add=("fleetpgo", "a/b"))
    forge.label(made.number, remove="a/b")

    assert ("fleetpgo",) == forge.get(made.number).labels


@behaviour("a label of the organisation is used, and not made again", github="n/a", gitlab="n/a", real=False)
def test_organisation_label(side, forge, made):
    side.double.organisation = {"fleetpgo": 901}

    forge.label(made.number, add=("fleetpgo",))

    assert (["fleetpgo"], {}) == (side.double.pull(made.number).labels, side.double.ids)


@behaviour(
    "somebody unknown is refused as a reviewer, in the forge's words",
    gitlab="no such user: said by us; no access: left out without a word",
)
def test_unknown_reviewer(forge, made):
    with pytest.raises(RefusedError):
        forge.ask(made.number, "nobody-of-that-name")


@behaviour(
    "somebody without access is refused as an assignee",
    github="left out without a word; said by us",
    gitlab="left out without a word; said by us",
    gitea="would be a 500: looked up first",
    real=False,
)
def test_assignee_without_access(forge, made):
    with pytest.raises(RefusedError, match=r"mallory|not possible"):
        forge.assign(made.number, "mallory")


@behaviour("one bad name holds up no other reviewer, no label and no comment", real=False)
def test_one_bad_name(side, forge, made):
    review = ReviewRules(reviewers=("ghost", "ada"), assignees=("grace",))
    ensure_pull_request(forge, BRANCH, "main", "Title", "Body", review, head=made.head, require_head=bool)

    there = side.double.pull(made.number)
    assert (["ada"], ["grace"], ["fleetpgo"]) == (there.reviewers, there.assignees, there.labels)
    assert len(there.comments) == 1


@behaviour("a milestone is set by its title; one that is not there is refused", real=False)
def test_milestone(side, forge, made):
    forge.set_milestone(made.number, "2026")
    with pytest.raises(RefusedError, match="has no open milestone 2027"):
        forge.set_milestone(made.number, "2027")

    assert side.double.pull(made.number).milestone == 7


@behaviour("a comment is written once, and replaced after that")
def test_comment(forge, made):
    for text in ("Saved 3 %", "Saved 4 %"):
        forge.comment(made.number, text, "measurement")

    assert ("Saved 4 %", "") == (
        forge.read_comment(made.number, "measurement"),
        forge.read_comment(made.number, "stuck"),
    )


@behaviour("a comment whose answer was lost is not written twice", real=False)
def test_lost_comment(side, forge, made):
    side.double.lost = ["POST"]
    with pytest.raises(ForgeError):
        forge.comment(made.number, "Saved 3 %", "measurement")
    forge.comment(made.number, "Saved 3 %", "measurement")

    assert len(side.double.pull(made.number).comments) == 1


@behaviour("a merge is read with its time and commit; `head` does not match: refused")
def test_merged(side, forge, made):
    def merges(head):
        try:
            forge.merge(made.number, "merge", head)
        except UndecidedError:
            return False
        return True

    with pytest.raises(RefusedError):
        side.eventually(lambda: merges("0" * 40), bool)
    side.eventually(lambda: merges(made.head), bool)

    found = side.eventually(lambda: forge.get(made.number), lambda found: found.state == "merged")
    assert ("merged", side.tip("main")) == (found.state, found.merge_commit)
    assert found.merged_at.tzinfo is not None


@behaviour("closed without a merge: closed, and the branch is not lost")
def test_closed(forge, made):
    forge.close(made.number)

    assert ("closed", False) == (forge.get(made.number).state, forge.lost_branch(made.number))


@behaviour("the deletion of its branch closes it, which is told from a person's close", gitlab="n/a")
def test_branch_deleted(side, forge, made):
    side.lose_branch(BRANCH)
    side.eventually(lambda: forge.get(made.number), lambda found: found.state == "closed")

    assert forge.lost_branch(made.number)


@behaviour("a closed one whose branch is deleted after that was closed by a person", gitlab="n/a", real=False)
def test_deleted_after_close(side, forge, made):
    forge.close(made.number)
    side.double.delete_branch(BRANCH)

    assert not forge.lost_branch(made.number)


@behaviour("a conflict with the base is seen")
def test_conflict(side, forge, made):
    side.commit("main", "profile", "a person's\n")

    standing = side.eventually(lambda: forge.standing(made.number), lambda found: found.conflict)
    assert standing.conflict
    assert side.tip("main") == standing.base_head


@behaviour(
    "a base that requires its newest commit is seen",
    gitlab="by its merge method",
    gitea="to administrators only",
)
def test_behind(side, forge, made):
    side.protect(Rule("main", checks=("test",), outdated=True))
    side.status(made.head, "test", "success")
    before = forge.standing(made.number).behind
    side.commit("main", "NEWS", "a person's\n")

    standing = side.eventually(lambda: side.admin.standing(made.number), lambda found: found.behind)
    assert (False, True) == (before, standing.behind)


@behaviour("a required check that is missing, fails, or succeeds is seen by its name", gitlab="the pipeline")
def test_checks(side, forge, made):
    side.protect(CHECKED)
    missing = forge.standing(made.number)
    side.status(made.head, "test", "failure")
    failed = side.eventually(lambda: forge.standing(made.number), lambda found: found.failed)
    side.status(made.head, "test", "success")
    passed = side.eventually(lambda: forge.standing(made.number), lambda found: not found.waiting)

    assert len(missing.checks) == len(failed.failed) == 1
    assert missing.waiting
    assert ((), ()) == (passed.waiting, passed.failed)


@behaviour("an approval is seen", real=False)
def test_approval(side, forge, made):
    side.protect(Rule("main", approvals=1))
    before = forge.standing(made.number)
    side.double.pull(made.number).approvals.append("ada")
    after = forge.standing(made.number)

    assert (False, 1, True, 0) == (before.approved, len(before.waiting), after.approved, len(after.waiting))


@behaviour(
    "an approval of before a push does not count where the base says so", gitea="never counts", real=False
)
def test_stale_approval(side, forge, made):
    side.protect(Rule("main", approvals=1))
    side.double.pull(made.number).approvals.append("ada")
    side.double.pull(made.number).stale = True

    standing = forge.standing(made.number)
    assert (False, 1) == (standing.approved, len(standing.waiting))


@behaviour("who asks for changes holds up the merge, whether the base requires a review or not", real=False)
@pytest.mark.parametrize("needed", [0, 1])
def test_changes_asked_for(side, forge, made, needed):
    side.protect(Rule("main", approvals=needed))
    side.double.pull(made.number).approvals.append("grace")
    side.double.pull(made.number).objections.append("ada")
    standing = forge.standing(made.number)

    assert (False, True) == (standing.approved, "changes that a reviewer asks for" in standing.waiting)


@behaviour("an objection of before a push still holds up the merge", github="n/a", gitlab="n/a", real=False)
def test_stale_objection(side, forge, made):
    side.double.pull(made.number).objections.append("ada")
    side.double.pull(made.number).stale = True

    assert forge.standing(made.number).waiting == ("changes that a reviewer asks for",)


@behaviour(
    "somebody's commit on the branch is not merged by rule, and what the forge was to merge is taken back"
)
def test_strangers_commit(side, forge, made):
    side.commit(BRANCH, "evil.go", "package main\n")
    _, said = merge_by_rule(forge, made, rule(auto_merge="squash"), Figures(), head=made.head)

    assert ("open", True) == (forge.get(made.number).state, "and not ours" in said)


@behaviour("while the forge works out whether it can be merged, nothing is merged", real=False)
def test_unsettled(side, forge, made, monkeypatch):
    monkeypatch.setattr(automerge, "_PAUSE_S", 0)
    side.double.unsettled = True
    final, said = merge_by_rule(forge, made, rule(auto_merge="squash"), Figures(), head=made.head)

    assert ("open", False) == (forge.get(made.number).state, final)
    assert "still working out" in said


@behaviour("`auto_merge: squash` merges at once where the base requires nothing")
def test_merges_at_once(side, forge, made):
    merge_by_rule(forge, made, rule(auto_merge="squash"), Figures(), head=made.head)

    assert side.eventually(lambda: forge.get(made.number), lambda found: found.state == "merged")


@behaviour(
    "with a required check the forge merges once it has passed, and the comment says what is waited for"
)
def test_merges_later(side, forge, made):
    side.protect(CHECKED)
    merge_by_rule(forge, made, rule(auto_merge="merge"), Figures(), head=made.head)
    said = forge.read_comment(made.number, AUTO_MERGE)
    waiting = forge.get(made.number).state
    side.status(made.head, "test", "success")
    side.succeed()

    assert side.eventually(lambda: forge.get(made.number), lambda found: found.state == "merged")
    assert "has the forge merge this (merge). It waits for" in said
    assert waiting == "open"


@behaviour("`checks: required` never merges where the base requires no check, and says so")
def test_never_without_checks(forge, made):
    merge_by_rule(forge, made, rule(method="squash"), Figures(0.95, 0.95), head=made.head)

    assert forge.get(made.number).state == "open"
    assert "the base requires no check" in forge.read_comment(made.number, AUTO_MERGE)


@behaviour("a rule whose figures no longer hold takes an auto-merge back")
def test_taken_back(side, forge, made):
    side.protect(CHECKED)
    when = {"overlap_above": 0.9, "source_match_above": 0.9}
    by_rule = rule(method="merge", when=when)
    merge_by_rule(forge, made, by_rule, Figures(0.95, 0.95), head=made.head)
    merge_by_rule(forge, made, by_rule, Figures(0.5, None), head=made.head)
    side.status(made.head, "test", "success")
    side.succeed()

    said = forge.read_comment(made.number, AUTO_MERGE)
    assert forge.get(made.number).state == "open"
    assert "its overlap is 0.500; the rule asks for 0.9" in said
    assert "its source match is not known" in said


@behaviour("a token that may do all that is needed meets no obstacle")
def test_no_obstacle(side, forge):
    assert () == forge.obstacles(INTENT)


@behaviour("a token that may not push is told before anything is built", real=False)
def test_no_push(side, forge):
    side.double.may_push = False

    (found,) = forge.obstacles(INTENT)
    assert (True, True) == (found.fatal, found.said.startswith("the token may not push: "))


@behaviour("a repository that takes no pull requests is told", real=False)
def test_no_pulls(side, forge):
    side.double.takes_pulls = False

    (found,) = forge.obstacles(INTENT)
    assert "takes no" in found.said


@behaviour(
    "a protection that covers our branch is told: the first push passes, and no refresh",
    github="a warning: who may bypass a ruleset is not told",
    gitea="of a new branch to administrators only",
)
def test_protected_branch(side, forge):
    side.protect(PROTECTED)

    (found,) = side.admin.obstacles(INTENT)
    assert BRANCH in found.said
    assert "force" in found.said


@behaviour(
    "required signatures are told where commits are not signed", gitlab="by push rules (Premium)", real=False
)
def test_signatures_told(side, forge):
    side.protect(Rule("fleetpgo/*", force_push=True, signed=True))
    said = [each.said for each in forge.obstacles(INTENT)]

    assert () == forge.obstacles(Intent("main", BRANCH, "profile", signed=True))
    assert side.kind == "gitlab" or "sign" in said[0]


@behaviour("a pattern of protected files that covers the profile is told", gitlab="n/a", real=False)
def test_protected_file(side, forge):
    side.protect(Rule("main", files="prof*", force_push=True))

    (found,) = forge.obstacles(INTENT)
    assert "prof*" in found.said


@behaviour(
    "where the token may not read protections, one of our branch shows after the first push",
    github="n/a",
    gitlab="n/a",
    real=False,
)
def test_protection_without_rights(side, forge):
    side.protect(PROTECTED)
    side.double.forbidden = ["protections"]
    before = forge.obstacles(INTENT)
    pushed(forge)

    (found,) = forge.obstacles(INTENT)
    assert ((), True) == (before, "is protected" in found.said)


@behaviour(
    "a scope that the token lacks is named", github="n/a", gitlab="`api`", gitea="`write:issue`", real=False
)
def test_scope(side, forge):
    side.double.scopes = ["write_repository"]
    side.double.forbidden = ["labels"]

    found = [each for each in forge.obstacles(INTENT) if "scope" in each.hint]
    assert [True] == [each.fatal for each in found]


@behaviour("the first push to a protected branch passes; the refresh is refused, and explained as that")
def test_protected_push(side, forge):
    side.protect(PROTECTED)
    first = pushed(forge)

    with pytest.raises(RepositoryError, match=r"protected|not allowed") as error:
        pushed(forge, b"two")
    assert "let no branch protection or ruleset cover fleetpgo/*" in error.value.hint
    assert first == side.tip(BRANCH)


@behaviour("a push that is refused for want of a signature is explained as that", real=False)
def test_unsigned_push(side, forge):
    side.protect(Rule("fleetpgo/*", signed=True))

    with pytest.raises(RepositoryError, match="unverified commit") as error:
        pushed(forge)
    assert error.value.hint.startswith("sign commits (commit.sign)")


@behaviour("a push that meets a 502 or a 403 is explained by that, not by branch protection", real=False)
@pytest.mark.parametrize(("status", "cause"), [(502, "stumbled"), (403, "write to the contents")])
def test_push_fault(side, forge, status, cause):
    with clone(forge.clone_url, "main", BRANCH, config=forge.git_config()) as checkout:
        head = commit(checkout, {"profile": b"one"}, "Refresh", exact="profile")
        side.double.git_status = status
        with pytest.raises(RepositoryError) as error:
            push(checkout, head)
    assert cause in error.value.hint
    assert "protection" not in error.value.hint


@behaviour("the forge's own words survive a server error that is tried again", real=False)
def test_words_of_a_500(side, forge, monkeypatch):
    monkeypatch.setattr("urllib3.util.retry.Retry.get_backoff_time", lambda _: 0)
    side.double.stumbles = [("GET", 500, {"x-words": "the disk is on fire"})] * 6

    with pytest.raises(ForgeError, match=r"500 .*the disk is on fire"):
        forge.get(1)


@behaviour("a revoked token is a 401, and told as one")
def test_revoked(side):
    with pytest.raises(ForgeError, match="401") as error:
        side.connect("wr0ng").check("main")
    assert "token is wrong or has expired" in error.value.hint


@behaviour("a certificate that is not trusted fails at once, with the sentence", real=False)
def test_untrusted(side, monkeypatch, caplog):
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")

    with pytest.raises(ForgeError, match=r"shows a certificate that is not trusted, .*certificate") as error:
        side.forge.check("main")
    assert "name the file with the authority's certificate: as ca" in error.value.hint
    assert "Retrying" not in caplog.text


@behaviour("a private authority is trusted by the API's client and by git alike", real=False)
@pytest.mark.parametrize("others", [None, "/dev/null"], ids=["alone", "beside another of the environment"])
def test_private_authority(side, monkeypatch, others):
    bundle = Path(side.bundle)
    for name in ("REQUESTS_CA_BUNDLE", "GIT_SSL_CAINFO"):
        monkeypatch.delenv(name)
        if others:
            monkeypatch.setenv(name, others)
    forge = side.connect(ca=bundle)

    head = pushed(forge)
    assert head == forge.create(BRANCH, "main", "Title", "Body").head


@behaviour("\"Update branch\" in a person's name is no person's change; a commit with more is", real=False)
def test_update_branch(side, forge, made):
    side.commit("main", "NEWS", "of the base\n")
    side.update_branch(BRANCH, "main")
    side.commit("main", "NEWS", "more of the base\n")
    side.update_branch(BRANCH, "main")
    updated = left_alone(forge)
    side.commit(BRANCH, "README", "by hand\n")

    assert ("", True) == (updated, "is by Ada" in left_alone(forge))


def left_alone(forge):
    with clone(forge.clone_url, "main", BRANCH, config=forge.git_config()) as checkout:
        return hands_off(forge, checkout, forge.find(BRANCH))


def test_the_manual_has_the_table_of_these():
    page = (Path(__file__).parents[3] / "docs/pullrequest.md").read_text()

    assert table() in page
    assert page == written(page)
