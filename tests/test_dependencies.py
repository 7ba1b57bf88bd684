"""What the package imports is what it declares: its command and a service's own CI need no Airflow."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions

from tests.conftest import ROOT


def names(requirements):
    return {re.match(r"[\w.-]+", each)[0].lower().replace("_", "-") for each in requirements}


def imported(package):
    """The modules that a package's files import from elsewhere, by their first names."""
    found = set()
    for file in (ROOT / "include" / package).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                found.update(each.name for each in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add(node.module)
    return {name.partition(".")[0] for name in found} - sys.stdlib_module_names - {package}


def test_the_domain_imports_only_what_it_declares():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared, of = names(project["dependencies"]), packages_distributions()
    assert [module for module in imported("fleetpgo") if not names(of[module]) & declared] == []
