import json

import pytest
from click.testing import CliRunner

from fleetpgo.cli.pr import pr
from fleetpgo.errors import ForgeError
from fleetpgo.proposal.checkout import clone
from fleetpgo.proposal.commits import commit, push
from fleetpgo.proposal.forges.local import LocalForge

SERVICE = """\
prometheus: {connection: prometheus}
selection: {cpu: up}
repository: {forge: FORGE, connection: forge, project: tiny}
build: {binary: bin/tiny}
rollout: {fraction: up}
measurement: {cpu: up}
"""


@pytest.fixture
def forge(origin):
    """A local forge with one open pull request."""
    forge = LocalForge(str(origin), "tiny")
    add(forge, "fleetpgo/tiny")
    return forge


def add(forge, branch):
    with clone(forge.clone_url, "main", branch, config={}) as checkout:
        push(checkout, commit(checkout, {branch: b"one\n"}, "Refresh", exact=branch))
    forge.create(branch, "main", "Title [bold]x[/]", "# Body\n")


@pytest.fixture
def run(origin, tmp_path):
    """Run `fleetpgo pr …` and return what it prints.

    The services tiny and large share a repository on the local forge; distant is on GitHub.
    """
    for name in ("tiny", "large"):
        (tmp_path / f"{name}.yaml").write_text(SERVICE.replace("FORGE", "local"))
    (tmp_path / "distant.yaml").write_text(SERVICE.replace("FORGE", "github"))
    environment = {"FLEETPGO_SERVICES": str(tmp_path), "FLEETPGO_FORGE": str(origin), "COLUMNS": "200"}

    def run_it(*arguments):
        return CliRunner().invoke(pr, arguments, env=environment, catch_exceptions=False).stdout

    return run_it


def test_the_list_shows_each_with_its_state(run, forge):
    head = forge.get(1).head[:12]

    assert run("list", "tiny").split() == [
        *("number", "state", "branch", "base", "head", "title"),
        *("1", "open", "fleetpgo/tiny", "main", head, "Title", "[bold]x[/]"),
    ]


def test_the_list_is_json_for_programs(run, forge):
    assert [(1, "open", forge.get(1).head)] == [
        (each["number"], each["state"], each["head"]) for each in json.loads(run("list", "tiny", "--json"))
    ]


def test_one_is_shown_with_its_body_and_comments(run, forge):
    forge.comment(1, "Saved 3 %", "measurement")

    shown = run("show", "tiny")

    assert "#1 Title [bold]x[/] (open)" in shown
    assert "Body" in shown
    assert "Saved 3 %" in shown


def test_merge_without_a_number_takes_the_only_open_one(run, forge):
    printed = run("merge", "tiny")

    assert printed == f"pull request 1 is merged as {forge.get(1).merge_commit}\n"


def test_merge_is_told_as_json(run, forge):
    merged = json.loads(run("merge", "tiny", "1", "--json"))

    assert ("merged", forge.get(1).merge_commit) == (merged["state"], merged["merge_commit"])


def test_close_leaves_the_base_as_it_is(run, forge):
    assert run("close", "tiny", "1") == "pull request 1 is closed\n"
    assert forge.get(1).state == "closed"


def test_labels_are_put_on_and_taken_off(run, forge):
    printed = run("label", "tiny", "--add", "fleetpgo/take-over", "--add", "later")

    assert printed == "pull request 1 has the labels fleetpgo/take-over, later\n"
    assert run("label", "tiny", "1", "--remove", "later").endswith("labels fleetpgo/take-over\n")
    assert forge.get(1).labels == ("fleetpgo/take-over",)


def test_of_several_open_ones_a_number_must_be_named(run, forge):
    add(forge, "fleetpgo/tiny-revert")

    with pytest.raises(ForgeError, match="exactly one pull request of tiny must be open; open: 1, 2"):
        run("merge", "tiny")


def test_with_none_open_there_is_nothing_to_take(run, forge):
    forge.close(1)

    with pytest.raises(ForgeError, match="exactly one pull request of tiny must be open; open: none"):
        run("merge", "tiny")


@pytest.fixture
def shared(forge):
    """A repository that two services share: tiny has pull requests 1 and 4, large 2; 3 is a person's."""
    for branch in ("fleetpgo/large", "feature", "fleetpgo/tiny-revert"):
        add(forge, branch)
    return forge


@pytest.mark.parametrize(("service", "numbers"), [("tiny", [1, 4]), ("large", [2])])
def test_the_list_has_the_two_branches_of_the_service_alone(run, shared, service, numbers):
    assert numbers == [each["number"] for each in json.loads(run("list", service, "--json"))]


def test_of_two_services_in_a_repository_each_merges_its_own(run, shared):
    assert json.loads(run("merge", "large", "--json"))["number"] == 2
    assert ["open", "merged", "open", "open"] == [each.state for each in shared.pull_requests()]


@pytest.mark.parametrize("number", [1, 3, 4])
@pytest.mark.parametrize("command", [("show",), ("merge",), ("close",), ("label", "--add", "later")])
def test_the_number_of_another_s_is_refused(run, shared, command, number):
    before = shared.pull_requests()

    with pytest.raises(
        ForgeError, match=f"pull request {number} is not one of large: its branch is"
    ) as error:
        run(command[0], "large", str(number), *command[1:])
    assert "`fleetpgo pr list large` shows all of large" in error.value.hint
    assert before == shared.pull_requests()


def test_a_service_on_another_forge_is_reviewed_there(run):
    with pytest.raises(ForgeError, match="the repository of distant is on github, not on a local forge"):
        run("list", "distant")


def test_the_help_teaches_the_commands(run):
    shown = run("--help")

    assert "fleetpgo pr merge wshim" in shown
    assert "NUMBER" in shown
