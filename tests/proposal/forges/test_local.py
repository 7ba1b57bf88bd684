import dataclasses
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC

import pytest

from fleetpgo.errors import ForgeError
from fleetpgo.proposal.checkout import clone
from fleetpgo.proposal.commits import commit, push
from fleetpgo.proposal.forges import PullRequest
from fleetpgo.proposal.forges.local import LocalForge
from fleetpgo.proposal.git import git
from tests.conftest import no_room


@pytest.fixture
def forge(origin):
    return LocalForge(str(origin), "tiny")


def push_branch(forge, content=b"one\n", branch="bot", name="profile"):
    with clone(forge.clone_url, "main", branch, config={}) as checkout:
        head = commit(checkout, {name: content}, "Refresh", exact=name)
        push(checkout, head)
    return head


def create(forge, branch="bot"):
    return forge.create(branch, "main", "Title", "Body\n")


def test_a_pull_request_is_made_from_a_branch(forge, origin):
    head = push_branch(forge)

    made = create(forge)

    url = (origin / "tiny.pulls" / "1.md").as_uri()
    assert PullRequest(1, url, "Title", "Body\n", "open", "bot", head, "main") == made
    assert made == LocalForge(str(origin), "tiny").get(1)
    assert head == git(origin / "tiny.git", "rev-parse", "refs/pull/1/head")


def test_the_open_one_of_a_branch_is_found(forge):
    push_branch(forge)
    made = create(forge)

    assert made == forge.find("bot")
    assert forge.find("other") is None


def test_a_second_one_for_the_same_branch_is_refused(forge):
    push_branch(forge)
    create(forge)

    with pytest.raises(ForgeError, match="pull request 1 is open for bot already"):
        create(forge)


def test_of_two_writers_at_once_one_makes_it(forge, origin):
    push_branch(forge)

    def attempt(_):
        try:
            return create(LocalForge(str(origin), "tiny")).number
        except ForgeError:
            return None

    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(attempt, range(8)))

    assert [number for number in numbers if number is not None] == [1]
    assert [each.number for each in forge.pull_requests()] == [1]


def test_a_branch_that_is_not_there_is_named(forge):
    with pytest.raises(ForgeError, match="there is no branch bot in"):
        create(forge)


def test_the_head_follows_the_branch_while_open(forge, origin):
    push_branch(forge)
    create(forge)
    head = push_branch(forge, b"two\n")

    assert head == forge.get(1).head
    assert head == git(origin / "tiny.git", "rev-parse", "refs/pull/1/head")


def test_title_and_body_are_replaced(forge):
    push_branch(forge)
    made = create(forge)

    updated = forge.update(1, "New title", "New body")

    assert dataclasses.replace(made, title="New title", body="New body") == updated
    assert updated == forge.get(1)


def test_a_comment_of_the_same_key_is_replaced(forge):
    push_branch(forge)
    create(forge)
    forge.comment(1, "first", "measurement")
    forge.comment(1, "other", "notice")
    forge.comment(1, "second", "measurement")

    assert forge.comments(1) == {"measurement": "second", "notice": "other"}


def test_a_person_can_read_the_page(forge, origin):
    head = push_branch(forge)
    create(forge)
    forge.comment(1, "Saved 3 %", "measurement")

    assert (origin / "tiny.pulls" / "1.md").read_text() == (
        f"# Title (#1, open)\n\n`bot` → `main`, head `{head}`\n\nBody\n\n\n---\n\nSaved 3 %\n"
    )


def test_a_merge_is_a_merge_commit_on_the_base(forge, origin):
    base = git(origin / "tiny.git", "rev-parse", "main")
    head = push_branch(forge)
    made = create(forge)

    merged = forge.merge(1)

    merge_commit = git(origin / "tiny.git", "rev-parse", "main")
    assert merged.merged_at.tzinfo is UTC
    assert (
        dataclasses.replace(made, state="merged", merge_commit=merge_commit, merged_at=merged.merged_at)
        == merged
    )
    assert merged == forge.get(1)
    assert f"{base} {head}" == git(origin / "tiny.git", "show", "-s", "--format=%P", "main")


def test_a_merge_that_was_cut_off_after_its_push_is_completed(forge, origin):
    push_branch(forge)
    create(forge)
    record = origin / "tiny.pulls" / "1.json"
    before = record.read_text()
    merged = forge.merge(1)
    record.write_text(before)
    push_branch(forge, branch="later", name="later")
    forge.create("later", "main", "Later", "")
    forge.merge(2)

    again = forge.merge(1)

    assert merged.merge_commit == again.merge_commit


def test_a_conflict_is_said_in_git_s_words_and_changes_nothing(forge, origin):
    push_branch(forge, b"one\n")
    push_branch(forge, b"two\n", branch="other")
    create(forge)
    create(forge, "other")
    forge.merge(1)
    base = git(origin / "tiny.git", "rev-parse", "main")

    with pytest.raises(ForgeError, match=r"(?s)pull request 2 cannot be merged into main: .*CONFLICT"):
        forge.merge(2)

    assert ("open", base) == (forge.get(2).state, git(origin / "tiny.git", "rev-parse", "main"))


def test_a_merged_one_stays_merged_and_the_next_has_a_new_number(forge):
    head = push_branch(forge)
    create(forge)
    merged = forge.merge(1)
    next_head = push_branch(forge, b"two\n")

    made = create(forge)

    assert (2, next_head) == (made.number, made.head)
    assert merged == forge.get(1)
    assert head == forge.get(1).head


def test_a_closed_one_is_not_merged(forge):
    push_branch(forge)
    made = create(forge)

    assert dataclasses.replace(made, state="closed") == forge.close(1)
    with pytest.raises(ForgeError, match="pull request 1 is closed already"):
        forge.merge(1)


def test_where_none_is_open_the_newest_is_found(forge):
    push_branch(forge)
    for _ in range(2):
        create(forge)
        last = forge.close(forge.find("bot").number)

    assert (2, last) == (last.number, forge.find("bot"))


def test_another_base_is_given(forge, origin):
    git(origin / "tiny.git", "branch", "trunk", "main")
    push_branch(forge)
    create(forge)

    assert forge.update(1, "Title", "Body", "trunk").base == "trunk"


def test_labels_are_added_once_and_taken_off(forge):
    push_branch(forge)
    create(forge)
    forge.label(1, add=("one", "two"))
    forge.label(1, add=("two", "three"))
    forge.label(1, remove="one")

    assert forge.get(1).labels == ("two", "three")


def test_people_are_written_down_once(forge):
    push_branch(forge)
    create(forge)
    for name in ("ada", "acme/perf", "ada"):
        forge.ask(1, name)
        forge.assign(1, name)

    assert (("ada", "acme/perf"), ("ada", "acme/perf")) == forge.people(1)


def test_a_draft_is_kept_as_one(forge):
    push_branch(forge)
    forge.create("bot", "main", "Title", "Body\n", draft=True)

    assert forge.get(1).draft


def test_nothing_is_merged_by_itself_without_checks_to_wait_for(forge):
    push_branch(forge)
    create(forge)

    with pytest.raises(ForgeError, match="a local forge runs no checks"):
        forge.merge_once_ready(1, "merge", "a" * 40)


def test_a_base_that_is_gone_is_named_with_the_default_branch(forge):
    forge.check("main")

    with pytest.raises(ForgeError, match="there is no branch trunk in") as error:
        forge.check("trunk")
    assert error.value.hint.endswith("the default branch is main")


def test_a_full_disk_is_named_and_leaves_no_part_of_a_pull_request(forge, origin):
    push_branch(forge)
    made = create(forge)
    before = {file.name: file.read_bytes() for file in (origin / "tiny.pulls").iterdir()}
    with no_room(), pytest.raises(ForgeError, match="nothing can be written to"):
        forge.update(made.number, "Title", "Another body")

    assert {file.name: file.read_bytes() for file in (origin / "tiny.pulls").iterdir()} == before


def test_one_that_is_not_there_is_named(forge):
    with pytest.raises(ForgeError, match="there is no pull request 7 in"):
        forge.get(7)


def test_a_repository_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ForgeError, match=r"there is no bare repository .*nowhere\.git"):
        LocalForge(str(tmp_path), "nowhere")


def test_the_record_is_plain_json(forge, origin):
    head = push_branch(forge)
    create(forge)
    forge.ask(1, "ada")
    forge.assign(1, "grace")
    forge.label(1, add=("fleetpgo",))

    assert json.loads((origin / "tiny.pulls" / "1.json").read_text()) == {
        "number": 1,
        "url": (origin / "tiny.pulls" / "1.md").as_uri(),
        "title": "Title",
        "body": "Body\n",
        "state": "open",
        "branch": "bot",
        "head": head,
        "base": "main",
        "labels": ["fleetpgo"],
        "draft": False,
        "merged_at": None,
        "merge_commit": None,
        "comments": {},
        "reviewers": ["ada"],
        "assignees": ["grace"],
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b'{"pull', "Unterminated"),
        (b"[]", "cannot be interpreted"),
        (b"{}", "it has no 'comments'"),
        (b'{"comments": {}, "merged_at": null}', "missing"),
        (b"\xff", "decode"),
    ],
)
def test_a_damaged_file_is_named(forge, origin, text, said):
    (origin / "tiny.pulls").mkdir()
    (origin / "tiny.pulls" / "1.json").write_bytes(text)
    (origin / "tiny.pulls" / "1 (copy).json").write_bytes(text)

    with pytest.raises(ForgeError, match=rf"tiny\.pulls/1\.json cannot be read: .*{said}"):
        forge.pull_requests()
