import os

import pytest

from fleetpgo.golang.environment import build_environment
from fleetpgo.golang.packages import packages
from fleetpgo.golang.source import parse


@pytest.fixture
def environment(go_cache):
    return build_environment(os.environ, go_cache, "tiny")


def listed(module, environment):
    """The packages of the checkout's build that are not the standard library's: path → the package."""
    found = packages(module, "./...", environment=environment, checkout=module)
    return {each.path: each for each in found if "." in each.path.partition("/")[0]}


def test_packages_of_the_checkout_are_read(go_module, environment):
    package = listed(go_module, environment)["example.com/tiny"]

    assert (package.name, package.directory, package.files) == ("main", str(go_module), ("main.go",))
    assert {"square.area", "total", "main"} == set(parse([package]).functions)


def test_the_standard_library_is_read(go_module, environment):
    found = packages(go_module, ".", environment=environment, checkout=go_module)

    (runtime,) = (each for each in found if each.path == "runtime")
    assert runtime.read("proc.go").startswith(b"// Copyright")


def test_a_file_that_leads_elsewhere_in_the_repository_is_read(go_module, environment):
    (go_module / "shared.go.in").write_text("package main\n\nfunc shared() {}\n")
    (go_module / "shared.go").symlink_to("shared.go.in")

    assert "shared" in parse([listed(go_module, environment)["example.com/tiny"]]).functions


@pytest.mark.parametrize("size", [0, 1 << 40], ids=["small", "huge"])
def test_a_file_that_leads_out_of_the_repository_is_not_read(go_module, environment, caplog, size):
    outside = go_module.parent / "outside.go"
    outside.write_text("package main\n\nfunc secret() {}\n")
    (go_module / "linked.go").symlink_to(outside)
    package = listed(go_module, environment)["example.com/tiny"]
    if size:
        # As if it had been a plain file when Go looked.
        (go_module / "linked.go").unlink()
        with (go_module / "linked.go").open("wb") as file:
            file.truncate(size)

    assert "linked.go" in package.files
    assert {"square.area", "total", "main"} == set(parse([package]).functions)
    (message,) = caplog.messages
    assert message.startswith("a file of example.com/tiny is not compared with the profile: linked.go ")


def test_source_that_go_mod_takes_from_elsewhere_is_not_at_hand(go_module, environment):
    outside = go_module.parent / "outside"
    outside.mkdir()
    (outside / "go.mod").write_text("module example.com/outside\n")
    (outside / "a.go").write_text("package outside\n\nfunc Secret() {}\n")
    (go_module / "go.mod").write_text(
        "module example.com/tiny\n\ngo 1.24\n\nrequire example.com/outside v1.0.0\n\n"
        "replace example.com/outside => ../outside\n"
    )
    (go_module / "use.go").write_text('package main\n\nimport _ "example.com/outside"\n')

    package = listed(go_module, environment)["example.com/outside"]

    assert (package.directory, package.files, package.assembly) == ("", (), ())
