"""The manual says only what is so: commands, keys, errors, queries and links."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import click
import pytest
from ruamel.yaml import YAML

from fleetpgo import errors
from fleetpgo.cli.main import cli
from fleetpgo.service.reference import page

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]


def without_outputs(text):
    """The page without what programs printed, which may hold code blocks of its own."""
    return re.sub(r"^(`{3,})console\n.*?\n\1$", "", text, flags=re.DOTALL | re.MULTILINE)


def blocks(text, language):
    """The fenced blocks of a language, without the indentation that a list gives them."""
    text = without_outputs(text)
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```", text, flags=re.DOTALL | re.MULTILINE)
    return [re.sub(rf"^{indent}", "", body, flags=re.MULTILINE) for indent, body in found]


def commands(text, program):
    """What the page tells to run of a program: lines of shell blocks, and code in sentences."""
    lines = [line for block in blocks(text, "sh") for line in block.replace("\\\n", " ").splitlines()]
    found = [*lines, *re.findall(r"`([^`\n]+)`", without_outputs(text))]
    return [each for each in found if re.match(rf"{program} [a-z-]", each)]


def pages_with(find):
    """The pages on which a function finds something of `fleetpgo`; the others hold nothing to check."""
    return [file for file in PAGES if find(file.read_text(), "fleetpgo")]


def unknown(line):
    """The word of a `fleetpgo` command line that is no command or option; None: there is none."""
    command = cli
    for word in shlex.split(line.replace("…", ""))[1:]:
        if isinstance(command, click.Group) and (found := command.get_command(click.Context(command), word)):
            command = found
        elif word.startswith("-"):
            options = {name for parameter in command.params for name in parameter.opts}
            if word.partition("=")[0] not in {*options, "--help", "-h"}:
                return word
        elif isinstance(command, click.Group):
            return word
    return None


def test_each_attack_has_tests_that_exist():
    rows = re.findall(r"^\|.*\|.*\| (`[^|]*`) \|$", (DOCS / "security.md").read_text(), re.MULTILINE)
    named = [test for row in rows for test in re.findall(r"`([^`]+)`", row)]
    missing = [
        test
        for test in named
        for file, _, name in [test.partition("::")]
        if not (ROOT / "tests" / file).is_file() or f"def {name}(" not in (ROOT / "tests" / file).read_text()
    ]
    assert (len(rows) > 50, missing) == (True, [])


@pytest.mark.parametrize("file", pages_with(commands), ids=lambda file: file.name)
def test_every_command_of_ours_exists(file):
    lines = commands(file.read_text(), "fleetpgo")
    assert lines
    assert [(line, word) for line in lines if (word := unknown(line))] == []


def lines_to_run(text, program):
    """The lines of shell blocks that run a program, those after `--` of another's included."""
    lines = [line for block in blocks(text, "sh") for line in block.replace("\\\n", " ").splitlines()]
    found = (re.search(rf"(?:^|-- +)((?:[A-Z_]+=\S+ )*{program} .*)", line) for line in lines)
    return [each[1] for each in found if each]


def accepts(line):
    """Raise a click exception unless `fleetpgo` takes the line: commands, options, values, none missing."""
    command, context = cli, cli.make_context("fleetpgo", shlex.split(line, comments=True)[1:])
    while isinstance(command, click.Group):
        words = [*context._protected_args, *context.args]
        name, command, rest = command.resolve_command(context, words)
        context = command.make_context(name, rest, parent=context)


@pytest.mark.parametrize("file", pages_with(lines_to_run), ids=lambda file: file.name)
def test_every_line_of_ours_to_run_is_complete(file, monkeypatch):
    for name in ("STORE", "FORGE"):  # as the pages tell to export them
        monkeypatch.setenv(f"FLEETPGO_{name}", "somewhere")
    monkeypatch.setenv("FLEETPGO_PROMETHEUS", "http://localhost:9090")
    lines = lines_to_run(file.read_text(), "fleetpgo")
    assert lines
    for line in lines:
        with contextlib.suppress(click.exceptions.Exit):  # --version
            accepts(line)


def test_every_line_for_compose_names_services_and_profiles_that_there_are():
    compose = YAML(typ="safe").load(ROOT / "docker-compose.yaml")["services"]
    profiles = {profile for service in compose.values() for profile in service.get("profiles", ())}
    variables = set(re.findall(r"\$\{(\w+):-", (ROOT / "docker-compose.yaml").read_text()))
    lines = lines_to_run((DOCS / "production.md").read_text(), "docker compose")
    assert len(lines) >= 5
    for line in lines:
        set_before, _, words = line.partition("docker compose ")
        assert {each.partition("=")[0] for each in set_before.split()} <= variables, line
        assert set(re.findall(r"--profile (\S+)", words)) <= profiles, line
        verb, *rest = re.sub(r"--profile \S+ ", "", words).split()
        assert verb in {"build", "up"}, line
        assert {word for word in rest if not word.startswith("--")} <= set(compose), line


def test_every_line_for_airflow_is_one_that_it_takes():
    from airflow.cli.cli_parser import get_parser  # noqa: PLC0415  # imports Airflow

    lines = lines_to_run((DOCS / "production.md").read_text(), "airflow")
    assert [line for line in lines if not get_parser().parse_args(shlex.split(line)[1:])] == []
    assert lines


def test_every_script_to_run_is_in_the_tree():
    told = {
        each for file in PAGES for each in re.findall(r"^(tools/[\w-]+)$", file.read_text(), re.MULTILINE)
    }
    assert told
    assert [each for each in told if not os.access(ROOT / each, os.X_OK)] == []


def test_every_make_target_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    asked = {line.split()[1] for file in PAGES for line in commands(file.read_text(), "make")}
    assert asked
    assert asked <= targets | {"build"}  # a service's own


def test_the_service_files_page_is_what_the_command_prints():
    assert (DOCS / "service-file.md").read_text() == page()


def test_every_key_says_what_it_is():
    rows = re.findall(r"^\| `(\w+)` \| .* \| (.*) \|$", page(), flags=re.MULTILINE)
    assert rows
    assert [key for key, said in rows if not said] == []


def test_every_error_stands_in_the_operations_page():
    text = (DOCS / "operations.md").read_text()
    known = {each.__name__ for each in errors.FleetPGOError.__subclasses__()}
    assert {name for name in known if f"| `{name}` |" not in text} == set()


def test_every_reason_stands_in_the_operations_page():
    code = "".join(file.read_text() for file in (ROOT / "include/fleetpgo").rglob("*.py"))
    reasons = set(re.findall(r'\breason="([a-z-]+)"', code))
    listed = (DOCS / "operations.md").read_text().partition("## Reasons")[2].partition("\n## ")[0]
    assert reasons
    assert {reason for reason in reasons if f"`{reason}`" not in listed} == set()


def test_every_query_of_the_manual_is_promql(tmp_path):
    queries = blocks((DOCS / "promql.md").read_text(), "promql")
    rules = [
        {"record": f"query:{n}", "expr": query.replace("$profile", "x")} for n, query in enumerate(queries)
    ]
    file = tmp_path / "rules.yml"
    YAML(typ="safe").dump({"groups": [{"name": "manual", "rules": rules}]}, file)
    done = subprocess.run(["promtool", "check", "rules", file], capture_output=True, text=True, check=False)
    assert (done.returncode, len(queries) > 0) == (0, True), done.stderr


def test_the_charts_values_name_the_secrets_that_the_page_tells_to_make():
    values = (DOCS / "values.yaml").read_text()
    told = set(re.findall(r"create secret generic (\S+)", (DOCS / "production.md").read_text()))
    assert set(re.findall(r"\bfleetpgo-[a-z]+\b", values)) == told


def test_the_charts_values_name_our_versions():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    values = YAML(typ="safe").load(DOCS / "values.yaml")
    assert f"apache-airflow=={values['airflowVersion']}" in project["optional-dependencies"]["airflow"]
    assert values["defaultAirflowTag"] == project["version"]


def test_the_manual_builds_and_every_link_leads_somewhere(tmp_path):
    done = subprocess.run(
        ["mkdocs", "build", "--strict", "--site-dir", tmp_path],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
