"""Every key of docs/values.yaml is one that the chart's templates read: the chart ignores unknown ones."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]

COMPUTED = ("securityContexts", "containers")
"""A key whose name a template puts together; test_rendered.py sees that it is read."""


def given(values, above=()):
    """Paths of the values that are set."""
    if isinstance(values, dict) and values:
        return [path for key, below in values.items() for path in given(below, (*above, key))]
    return [above]


def is_read(path, keys):
    """Whether the templates read the value of that path, by its name or with all that stands beside it."""
    parents = {key.rpartition(".")[0] for key in keys}
    name = ".".join(path)
    if path[:2] == COMPUTED:
        return True
    above = [".".join(path[:length]) for length in range(1, len(path))]
    return name in keys or any(keys.get(key) == "*" or (key in keys and key not in parents) for key in above)


def deprecated(values, keys):
    """Key → what the chart's notes say to use instead, for each path of the values that has such a key."""
    every = {".".join(path[:length]) for path in given(values) for length in range(1, len(path) + 1)}
    return {key: keys[key] for key in every if keys.get(key, "").startswith("->")}


def test_every_key_is_one_that_the_charts_templates_read(values, chart_keys):
    assert [path for path in given(values) if not is_read(path, chart_keys)] == []


def test_no_key_is_one_that_the_chart_calls_deprecated(values, chart_keys):
    assert deprecated(values, chart_keys) == {}


def test_a_key_that_no_template_reads_is_found(chart_keys):
    assert not is_read(("createUserJob", "defaultUser", "enabled"), chart_keys)
    assert not is_read(("createUserJobs", "enabled"), chart_keys)
    assert is_read(("triggerer", "resources", "limits", "cpu"), chart_keys)
    assert is_read(("config", "core", "auth_manager"), chart_keys)


def test_a_deprecated_key_is_found_with_its_successor(chart_keys):
    values = {"workers": {"resources": {"limits": {"cpu": "4"}}}}
    assert deprecated(values, chart_keys) == {"workers.resources": "-> workers.celery.resources"}


def test_every_option_is_one_that_airflow_has(values):
    from airflow.configuration import conf  # noqa: PLC0415  # imports Airflow
    from airflow.providers_manager import ProvidersManager  # noqa: PLC0415

    ProvidersManager().initialize_providers_configuration()
    known = conf.configuration_description
    assert [
        (section, option)
        for section, options in values["config"].items()
        for option in options
        if option not in known.get(section, {"options": ()})["options"]
    ] == []


def test_the_versions_are_the_projects_and_the_manuals(values):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = dict(pin.split("==") for pin in project["optional-dependencies"]["airflow"] if "==" in pin)
    assert (values["airflowVersion"], values["defaultAirflowTag"]) == (
        pins["apache-airflow"],
        project["version"],
    )
    listed = re.search(r"Helm chart (\S+)", (ROOT / "tests/testdata/helm/keys.txt").read_text())[1]
    assert f"apache-airflow/airflow --version {listed} " in (ROOT / "docs/production.md").read_text()
