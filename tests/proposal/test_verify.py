import pytest

from fleetpgo.proposal.git import git
from fleetpgo.proposal.verify import _module, _modules


@pytest.mark.parametrize(
    ("package", "directory"),
    [
        ("example.com/root/cmd/a", "."),
        ("example.com/root/tools", "tools"),
        ("example.com/root/tools/b", "tools"),
        ("example.com/root/toolset", "."),
        ("command-line-arguments", "."),
    ],
)
def test_a_package_is_in_the_innermost_module_that_its_path_names(tmp_path, package, directory):
    (tmp_path / "tools").mkdir()
    (tmp_path / "go.mod").write_text("module example.com/root\n\ngo 1.24\n")
    (tmp_path / "tools" / "go.mod").write_text('// Tools.\nmodule "example.com/root/tools"\n')
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")

    found = _module(_modules(tmp_path), package) or tmp_path
    assert found == tmp_path / directory
