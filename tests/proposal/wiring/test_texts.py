import pytest

from fleetpgo.proposal.checkout import Checkout
from fleetpgo.proposal.git import git
from fleetpgo.proposal.wiring.texts import innermost, read_build_texts


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

    checkout = Checkout(tmp_path, "", "main", "0" * 40, "bot", None, "", {})
    found = innermost(read_build_texts(checkout).modules, package) or tmp_path
    assert found == tmp_path / directory


def test_a_link_that_leads_out_is_no_build_file(tmp_path):
    (tmp_path / "secret").write_text("go build -pgo=secret\n")
    tree = tmp_path / "tree"
    (tree / "x").mkdir(parents=True)
    (tree / "x" / "rules").write_text("go build ./x\n")
    for name, target in {
        "Makefile": tmp_path / "secret",
        "go.mod": "/dev/zero",
        "y.sh": "y.sh",
        "z.sh": "x/rules",
    }.items():
        (tree / name).symlink_to(target)
    git(tree, "init", "--quiet")
    git(tree, "add", ".")

    found = read_build_texts(Checkout(tree, "", "main", "0" * 40, "bot", None, "", {}))

    assert (found.texts, found.modules) == ({"x/rules": "go build ./x\n"}, {})
    assert found.links == {"z.sh": "x/rules"}
