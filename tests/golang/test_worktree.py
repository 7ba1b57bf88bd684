import os

import pytest

from fleetpgo.errors import RepositoryError
from fleetpgo.golang import worktree
from tests.conftest import no_room


@pytest.fixture
def tree(tmp_path):
    made = tmp_path / "tree"
    (made / "pgo").mkdir(parents=True)
    (made / "pgo" / "profile.pprof").write_bytes(b"profile")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_bytes(b"secret")
    return made


def test_a_file_is_read(tree):
    assert worktree.read(tree, "pgo/profile.pprof") == b"profile"


@pytest.mark.parametrize("name", ["absent", "absent/profile.pprof", "pgo/profile.pprof/below"])
def test_a_file_that_is_not_there_is_none(tree, name):
    assert worktree.read(tree, name) is None


def test_a_link_inside_the_tree_is_followed(tree):
    (tree / "link").symlink_to("pgo/profile.pprof")
    worktree.write(tree, "link", b"new")

    assert (worktree.read(tree, "link"), (tree / "pgo" / "profile.pprof").read_bytes()) == (b"new", b"new")
    assert worktree.resolve(tree, "link") == tree / "pgo" / "profile.pprof"


def test_a_link_to_what_is_not_there_yet_is_written_where_it_leads(tree):
    (tree / "link").symlink_to("pgo/next.pprof")
    worktree.write(tree, "link", b"new")

    assert (tree / "pgo" / "next.pprof").read_bytes() == b"new"


# What a repository or a build may put where fleetpgo reads and writes.
LEAVING = {
    "a link to a file": lambda tree: (tree / "there").symlink_to("../outside/secret"),
    "a link from the root": lambda tree: (tree / "there").symlink_to("/etc/passwd"),
    "a link to nothing yet": lambda tree: (tree / "there").symlink_to("../outside/new"),
    "a link to a link": lambda tree: (
        (tree / "middle").symlink_to("../outside"),
        (tree / "there").symlink_to("middle/secret"),
    ),
    "git's own": lambda tree: (tree / "there").symlink_to(".git/config"),
    "a device": lambda tree: (tree / "there").symlink_to("/dev/zero"),
    "themselves": lambda tree: (tree / "there").symlink_to("there"),
    "a directory": lambda tree: (tree / "there").mkdir(),
    "a pipe": lambda tree: os.mkfifo(tree / "there"),
}


@pytest.mark.parametrize("make", LEAVING.values(), ids=LEAVING.keys())
@pytest.mark.parametrize("use", [worktree.read, lambda tree, name: worktree.write(tree, name, b"new")])
def test_nothing_but_a_plain_file_of_the_tree_is_read_or_written(tree, make, use):
    make(tree)

    with pytest.raises(RepositoryError, match="there "):
        use(tree, "there")

    outside = {path.name: path.read_bytes() for path in (tree.parent / "outside").iterdir()}
    assert outside == {"secret": b"secret"}


def test_a_directory_that_leads_out_is_not_written_into(tree):
    (tree / "linked").symlink_to("../outside")

    with pytest.raises(RepositoryError, match=r"linked/new leads out of the repository, to .*/outside/new"):
        worktree.write(tree, "linked/new", b"new")


def test_dots_do_not_lead_out(tree):
    with pytest.raises(RepositoryError, match="leads out of the repository"):
        worktree.read(tree, "pgo/../../outside/secret")


def test_a_file_with_a_second_name_outside_keeps_its_content_there(tree):
    os.link(tree.parent / "outside" / "secret", tree / "there")
    worktree.write(tree, "there", b"new")

    assert ((tree / "there").read_bytes(), (tree.parent / "outside" / "secret").read_bytes()) == (
        b"new",
        b"secret",
    )


def test_a_full_disk_is_named_and_leaves_what_was_there(tree):
    with (
        no_room(),
        pytest.raises(RepositoryError, match=r"(?s)pprof cannot be written.*free space in"),
    ):
        worktree.write(tree, "pgo/profile.pprof", b"much more than before")

    assert [file.read_bytes() for file in (tree / "pgo").iterdir()] == [b"profile"]


def test_a_huge_file_is_refused(tree):
    with (tree / "huge").open("wb") as file:
        file.truncate(1 << 40)

    with pytest.raises(RepositoryError, match="huge is larger than 64 MiB"):
        worktree.read(tree, "huge")


def test_a_file_in_place_of_a_directory_is_named(tree):
    with pytest.raises(RepositoryError, match=r"pgo/profile\.pprof/new cannot be written"):
        worktree.write(tree, "pgo/profile.pprof/new", b"new")


def test_a_program_stays_one_and_a_new_file_is_none(tree):
    (tree / "run").write_text("")
    (tree / "run").chmod(0o755)
    worktree.write(tree, "run", b"new")
    worktree.write(tree, "new", b"new")

    assert [oct((tree / name).stat().st_mode & 0o777) for name in ("run", "new")] == ["0o755", "0o644"]


def test_what_a_build_has_added_is_removed(tmp_path):
    root = tmp_path / "tree"
    for name in ("a/kept", ".git/HEAD", "b"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("kept")
    before = worktree.listing(root)
    (root / "a/new").write_text("new")
    (root / "b").write_text("changed")
    (root / ".git/hook").write_text("git's")
    (root / "gone/only/readable").mkdir(parents=True)
    (root / "gone/only").chmod(0o500)
    (tmp_path / "elsewhere").write_text("kept")
    (root / "link").symlink_to(tmp_path)

    worktree.remove_others(root, before)

    assert worktree.listing(root) == before == {"a", "a/kept", "b"}
    assert (root / "b").read_text() == "changed"
    assert (root / ".git/hook").exists()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["elsewhere", "tree"]
