import os
import shutil
import subprocess
import threading
from base64 import b64encode
from contextlib import nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from fleetpgo.errors import RepositoryError
from fleetpgo.golang import processes
from fleetpgo.proposal import checkout as repository
from fleetpgo.proposal.blobs import read_at
from fleetpgo.proposal.checkout import Checkout, base_moved, clone, fetch_history, write
from fleetpgo.proposal.commits import commit, push, start_anew
from fleetpgo.proposal.forges.access import git_access
from fleetpgo.proposal.git import git

PROFILE = "pgo/profile.pprof"
FILES = {PROFILE: b"\x1f\x8b\r\n\0", "Makefile": b"build:\n\tgo build -pgo=pgo/profile.pprof .\n"}


def cloned(bare, base="main", **options):
    return clone(bare.as_uri(), base, "bot", config={}, **options)


def proposed(bare, files=FILES):
    """Push a commit with files to the branch, as a run does, and return its SHA."""
    with cloned(bare) as checkout:
        head = commit(checkout, files, "Refresh", exact=PROFILE)
        push(checkout, head)
    return head


def person_commits(bare, tmp_path, branch):
    """Push a commit of a person's to a branch."""
    work = tmp_path / f"person-{branch}"
    git(tmp_path, "clone", "--quiet", bare.as_uri(), str(work))
    git(work, "checkout", "--quiet", branch)
    (work / "README").write_text("by hand\n")
    git(work, "add", "README")
    git(work, "commit", "--quiet", "--message", "By hand", "--author", "Ada <ada@example.com>")
    git(work, "push", "--quiet", "origin", f"HEAD:{branch}")
    return git(work, "rev-parse", "HEAD")


def test_a_clone_is_the_newest_commit_of_the_base(bare):
    base_commit = git(bare, "rev-parse", "main")

    with cloned(bare) as checkout:
        assert Checkout(checkout.path, bare.as_uri(), "main", base_commit, "bot", None, "", {}) == checkout
        assert git(checkout.path, "rev-list", "--count", "HEAD") == "1"
        assert (checkout.path / "go.mod").is_file()


def test_a_clone_is_gone_after_its_block(bare):
    with cloned(bare) as checkout:
        pass

    assert not checkout.path.parent.exists()


def test_a_repository_that_is_not_there_is_named_in_git_s_own_words(tmp_path):
    with pytest.raises(RepositoryError) as error, cloned(tmp_path / "nowhere"):
        pass

    assert error.value.message == (
        f"file://{tmp_path}/nowhere cannot be cloned: `git clone` failed: "
        f"fatal: '{tmp_path}/nowhere' does not appear to be a git repository\n"
        "fatal: Could not read from remote repository.\n\n"
        "Please make sure you have the correct access rights\nand the repository exists."
    )


def test_a_base_that_is_not_there_is_named(bare):
    with (
        pytest.raises(RepositoryError, match="Remote branch trunk not found in upstream origin"),
        cloned(bare, "trunk"),
    ):
        pass


def commit_files(bare, tmp_path, files, *commands):
    """Push a commit with files to the base, after some git commands in its work tree."""
    work = tmp_path / "work"
    git(tmp_path, "clone", "--quiet", bare.as_uri(), str(work))
    for name, text in files.items():
        (work / name).write_text(text)
    for command in commands:
        git(work, *command, config={"protocol.file.allow": "always"})
    git(work, "add", "--all")
    git(work, "commit", "--quiet", "--message", "Edit")
    git(work, "push", "--quiet", "--tags", "origin", "main")


@pytest.fixture
def library(bare):
    """A repository beside the tiny module's, which has it as a submodule; both have the same credentials."""
    made = bare.parent / "library.git"
    work = bare.parents[1] / "library"
    git(work.parent, "init", "--quiet", "--initial-branch=main", str(work))
    (work / "a.go").write_text("package library\n")
    git(work, "add", ".")
    git(work, "commit", "--quiet", "--message", "Begin")
    git(work, "clone", "--quiet", "--bare", str(work), str(made))
    commit_files(bare, work.parent, {}, ("submodule", "--quiet", "add", "../library.git", "library"))
    return made


def test_submodules_come_with_a_clone_for_a_build(bare, library):
    with cloned(bare, submodules="public") as checkout:
        assert (checkout.path / "library" / "a.go").read_text() == "package library\n"


def test_submodules_stay_out_of_a_clone_that_nothing_is_built_in(bare, library):
    with cloned(bare) as checkout:
        assert list((checkout.path / "library").iterdir()) == []


def test_a_private_submodule_is_not_cloned_with_the_token(http_origin, library):
    url, config = http_origin

    with (
        pytest.raises(RepositoryError, match=r"(?s)a submodule of .*tiny\.git cannot be cloned") as error,
        clone(url, "main", "bot", config=config, submodules="public"),
    ):
        pass

    assert "set repository.submodules: token in the service file" in error.value.hint


def test_a_private_submodule_is_cloned_with_the_token_if_the_service_file_says_so(http_origin, library):
    url, config = http_origin

    with clone(url, "main", "bot", config=config, submodules="token") as checkout:
        assert (checkout.path / "library" / "a.go").is_file()


def test_without_the_token_git_still_finds_the_way_to_an_address_for_ssh():
    access = git_access("https://forge.example", "bot", "s3cret", None)

    assert repository._public(access) == {
        "url.https://forge.example/.insteadOf": "git@forge.example:",
        "url.https://forge.example.insteadOf": "ssh://git@forge.example",
    }


def test_a_repository_from_elsewhere_cannot_reach_a_directory_of_this_machine(http_origin, bare, tmp_path):
    commit_files(bare, tmp_path, {}, ("submodule", "--quiet", "add", bare.as_uri(), "stolen"))
    url, config = http_origin

    with (
        pytest.raises(RepositoryError, match="transport 'file' not allowed"),
        clone(url, "main", "bot", config=config, submodules="token"),
    ):
        pass


LFS = {".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n"}


def test_a_repository_with_lfs_files_asks_for_git_lfs(bare, tmp_path, monkeypatch):
    commit_files(bare, tmp_path, {**LFS, "a.bin": "version https://git-lfs.github.com/spec/v1\n"})
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "git").symlink_to(shutil.which("git"))
    monkeypatch.setenv("PATH", str(programs))

    with (
        pytest.raises(RepositoryError, match=r"tiny\.git keeps files in Git LFS, and there is no git-lfs"),
        cloned(bare, submodules="public"),
    ):
        pass


def test_lfs_files_come_with_a_clone(bare, tmp_path):
    commit_files(
        bare, tmp_path, {**LFS, "a.bin": "large"}, ("lfs", "install", "--local", "--skip-repo"), ("add", ".")
    )
    git(tmp_path / "work", "lfs", "push", "--all", "origin", "main")

    with cloned(bare, submodules="public") as checkout:
        assert (checkout.path / "a.bin").read_text() == "large"


def test_lfsconfig_leads_the_token_to_no_other_repository(http_origin, bare, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(GitOverHTTP, "asked", asked)
    url, config = http_origin
    private = f"{url.rpartition('/')[0]}/private.git/info/lfs"
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 5\n"
    configured = f'[lfs]\n\turl = {private}\n[remote "origin"]\n\tlfsurl = {private}\n'
    commit_files(bare, tmp_path, {**LFS, ".lfsconfig": configured, "a.bin": pointer})

    # This server keeps no such files.
    with (
        pytest.raises(RepositoryError, match="`git lfs` failed"),
        clone(url, "main", "bot", config=config, submodules="public"),
    ):
        pass

    of_lfs = {path for path in asked if "/info/lfs" in path}
    assert of_lfs == {"/tiny.git/info/lfs/objects/batch"}


def test_a_local_forge_may_belong_to_another_user(bare, monkeypatch):
    # Git's own way to make its tests see another owner; it is passed on here only.
    passed = (*processes.PASSED_ON, "GIT_TEST_ASSUME_DIFFERENT_OWNER")
    monkeypatch.setattr(processes, "PASSED_ON", passed)
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")

    assert proposed(bare) == git(bare, "rev-parse", "bot")


def test_after_its_history_is_fetched_a_clone_can_be_described(bare, tmp_path):
    commit_files(bare, tmp_path, {"NEWS": "1\n"}, ("tag", "--annotate", "--message=One", "v1.0.0"))

    with cloned(bare) as checkout:
        fetch_history(checkout)

        assert git(checkout.path, "describe") == f"v1.0.0-1-g{checkout.base_commit[:7]}"


def test_a_repository_of_one_commit_has_its_history_already(bare):
    git(bare, "tag", "--annotate", "--message=One", "v1.0.0", "main")

    with cloned(bare) as checkout:
        fetch_history(checkout)

        assert git(checkout.path, "describe") == "v1.0.0"


def test_history_comes_without_its_files_where_the_server_can_leave_them_out(bare, tmp_path):
    commit_files(bare, tmp_path, {"go.mod": "module example.com/other\n"})
    git(bare, "config", "uploadpack.allowFilter", "true")

    with cloned(bare) as checkout:
        fetch_history(checkout)
        missing = git(checkout.path, "rev-list", "--objects", "--missing=print", "HEAD^")

    assert "\n?" in missing


def test_a_clone_with_its_history_can_still_be_pushed_from(bare, tmp_path):
    commit_files(bare, tmp_path, {"NEWS": "1\n"})
    git(bare, "config", "uploadpack.allowFilter", "true")

    with cloned(bare) as checkout:
        fetch_history(checkout)
        head = commit(checkout, FILES, "Refresh", exact=PROFILE)
        push(checkout, head)

    assert head == git(bare, "rev-parse", "bot")


def test_a_commit_holds_the_files_and_nothing_else(bare):
    with cloned(bare) as checkout:
        write(checkout, "stray.txt", b"left by the build")
        write(checkout, "staged.txt", b"left in the index by the build")
        git(checkout.path, "add", "staged.txt")
        head = commit(checkout, FILES, "Refresh", exact=PROFILE)
        push(checkout, head)

    assert head == git(bare, "rev-parse", "bot")
    assert git(bare, "diff", "--name-only", "main", "bot") == "Makefile\npgo/profile.pprof"
    assert git(bare, "log", "-1", "--format=%an <%ae>|%s|%b|%P", "bot") == (
        "fleetpgo <fleetpgo@localhost.invalid>|Refresh"
        "|Signed-off-by: fleetpgo <fleetpgo@localhost.invalid>"
        f"\n|{git(bare, 'rev-parse', 'main')}"
    )


def test_a_commit_takes_a_file_away(bare):
    with cloned(bare) as checkout:
        push(checkout, commit(checkout, {"main.go": None}, "Remove"))

    assert git(bare, "diff", "--name-status", "main", "bot") == "D\tmain.go"


def test_a_program_stays_a_program(bare, tmp_path):
    # What the index says goes, not the file's own mode.
    executable = (("config", "core.fileMode", "false"), ("update-index", "--chmod=+x", "Makefile"))
    commit_files(bare, tmp_path, {"Makefile": "all:\n"}, *executable)

    proposed(bare)

    assert git(bare, "ls-tree", "bot", "Makefile").startswith("100755 ")


def test_what_is_as_on_the_base_is_not_committed(bare):
    with (
        cloned(bare) as checkout,
        pytest.raises(RepositoryError, match=r"main\.go would be the same as on main"),
    ):
        commit(checkout, {"main.go": (checkout.path / "main.go").read_bytes()}, "Nothing")


def test_a_link_is_not_replaced_by_a_file(bare, tmp_path):
    work = tmp_path / "linking"
    git(tmp_path, "clone", "--quiet", bare.as_uri(), str(work))
    (work / "pgo").mkdir()
    (work / PROFILE).symlink_to("../main.go")
    git(work, "add", "--force", PROFILE)
    git(work, "commit", "--quiet", "--message", "Link")
    git(work, "push", "--quiet", "origin", "main")

    with pytest.raises(RepositoryError, match=f"{PROFILE} is not a file on main, but a link"):
        proposed(bare)


def test_a_repository_made_anew_commits_on_the_base_that_was_built(bare, tmp_path):
    with cloned(bare) as checkout:
        shutil.rmtree(checkout.path / ".git")  # nothing of the clone is needed
        person_commits(bare, tmp_path, "main")
        with start_anew(checkout) as untouched:
            head = commit(untouched, FILES, "Refresh", exact=PROFILE)
            push(untouched, head)

    assert (head, checkout.base_commit) == (git(bare, "rev-parse", "bot"), git(bare, "rev-parse", "bot^"))
    assert git(bare, "diff", "--name-only", "bot^", "bot") == "Makefile\npgo/profile.pprof"


def test_a_repository_made_anew_is_gone_after_its_block(bare):
    with cloned(bare) as checkout, start_anew(checkout) as untouched:
        assert [entry.name for entry in untouched.path.iterdir()] == [".git"]

    assert not untouched.path.exists()


def test_a_repository_made_anew_takes_no_files_from_a_server_that_can_leave_them_out(bare):
    git(bare, "config", "uploadpack.allowFilter", "true")

    with cloned(bare) as checkout, start_anew(checkout) as untouched:
        head = commit(untouched, FILES, "Refresh", exact=PROFILE)
        push(untouched, head)
        missing = git(untouched.path, "rev-list", "--objects", "--missing=print", checkout.base_commit)

    assert head == git(bare, "rev-parse", "bot")
    assert "\n?" in missing


def test_a_repository_made_anew_knows_the_same_change(bare):
    first = proposed(bare)

    with cloned(bare) as checkout, start_anew(checkout) as untouched:
        assert first == commit(untouched, FILES, "Refresh", exact=PROFILE)


def test_a_repository_made_anew_keeps_to_the_line_ends_of_its_base(bare, tmp_path):
    # Its .gitattributes are left out of the fetch, too, and come when they are needed.
    git(bare, "config", "uploadpack.allowFilter", "true")
    commit_files(bare, tmp_path, {".gitattributes": "Makefile text eol=crlf\n"})

    with cloned(bare) as checkout, start_anew(checkout) as untouched:
        files = {**FILES, "Makefile": b"build:\r\n\tgo build .\r\n"}
        push(untouched, commit(untouched, files, "Refresh", exact=PROFILE))

    assert git(bare, "cat-file", "blob", "bot:Makefile") == "build:\n\tgo build ."


@pytest.mark.parametrize("anew", [start_anew, nullcontext])
def test_a_profile_that_git_lfs_would_keep_is_refused(bare, tmp_path, anew):
    commit_files(bare, tmp_path, {".gitattributes": "*.pprof filter=lfs diff=lfs merge=lfs -text\n"})

    with cloned(bare) as checkout, anew(checkout) as there, pytest.raises(RepositoryError) as error:
        commit(there, FILES, "Refresh", exact=PROFILE)

    assert error.value.message == "git would commit pgo/profile.pprof with other bytes than it has"


def test_hooks_are_not_run(bare, tmp_path):
    ran = tmp_path / "ran"
    with cloned(bare) as checkout:
        hook = checkout.path / ".git" / "hooks" / "pre-push"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\ntouch {ran}\n")
        hook.chmod(0o755)
        push(checkout, commit(checkout, FILES, "Refresh", exact=PROFILE))

    assert not ran.exists()


@pytest.mark.parametrize("url", ["ext::touch {}", "git://127.0.0.1/a.git"])
def test_only_the_protocols_of_forges_are_spoken(tmp_path, url):
    with pytest.raises(RepositoryError, match=r"transport '(ext|git)' not allowed"):
        git(tmp_path, "ls-remote", url.format(tmp_path / "ran"))

    assert not (tmp_path / "ran").exists()


def test_a_repository_above_the_directory_is_not_taken_for_its_own(tmp_path):
    git(tmp_path, "init", "--quiet")
    (tmp_path / "below").mkdir()

    with pytest.raises(RepositoryError, match="not a git repository"):
        git(tmp_path / "below", "rev-parse", "--git-dir")


def test_the_committed_bytes_are_the_very_bytes(bare):
    proposed(bare)

    blob = subprocess.run(
        ["git", "cat-file", "blob", "bot:pgo/profile.pprof"], cwd=bare, capture_output=True, check=True
    ).stdout
    assert FILES["pgo/profile.pprof"] == blob


def test_a_repository_that_would_convert_the_bytes_is_told_how_not_to(bare):
    attributes = {".gitattributes": b"* text eol=lf\n"}

    with cloned(bare) as checkout, pytest.raises(RepositoryError) as error:
        commit(checkout, {**attributes, **FILES}, "Refresh", exact=PROFILE)

    assert error.value.message == "git would commit pgo/profile.pprof with other bytes than it has"
    assert "`pgo/profile.pprof -text -filter`" in error.value.hint


def test_line_ends_of_the_makefile_are_the_repository_s_business(bare):
    files = {
        ".gitattributes": b"Makefile text eol=crlf\n",
        **FILES,
        "Makefile": b"build:\r\n\tgo build .\r\n",
    }

    proposed(bare, files)

    assert git(bare, "cat-file", "blob", "bot:Makefile") == "build:\n\tgo build ."


def test_credentials_are_not_shown_with_a_checkout(bare):
    config = {"http.https://example.com/.extraHeader": "Authorization: s3cret"}

    with clone(bare.as_uri(), "main", "bot", config=config) as checkout:
        assert "s3cret" not in repr(checkout)


def test_the_same_change_again_is_the_same_commit(bare):
    first = proposed(bare)

    assert first == proposed(bare)


def test_another_change_takes_the_branch_over(bare):
    proposed(bare)
    second = proposed(bare, {**FILES, "pgo/profile.pprof": b"other"})

    assert second == git(bare, "rev-parse", "bot")
    assert git(bare, "rev-list", "--count", "main..bot") == "1"


def test_a_base_that_moved_is_the_new_parent(bare, tmp_path):
    proposed(bare)
    moved = person_commits(bare, tmp_path, "main")
    proposed(bare)

    assert moved == git(bare, "rev-parse", "bot^")


def test_a_branch_that_moved_meanwhile_is_not_overwritten(bare):
    with cloned(bare) as checkout:
        other = proposed(bare, {**FILES, "pgo/profile.pprof": b"other"})
        head = commit(checkout, FILES, "Refresh", exact=PROFILE)
        with pytest.raises(RepositoryError, match=r"(?s)the push to bot was refused: .*stale info") as error:
            push(checkout, head)

    assert "most likely another run, moved the branch" in error.value.hint

    assert other == git(bare, "rev-parse", "bot")


def test_a_branch_that_holds_a_person_s_commit_is_seen_with_their_name(bare, tmp_path):
    proposed(bare)
    sha = person_commits(bare, tmp_path, "bot")

    with cloned(bare) as checkout:
        assert (sha, "Ada") == (checkout.seen, checkout.foreign)


def test_our_commit_is_foreign_once_a_person_has_amended_it(bare, tmp_path):
    proposed(bare)
    work = tmp_path / "work"
    git(tmp_path, "clone", "--quiet", "--branch", "bot", bare.as_uri(), str(work))
    ada = {"user.name": "Ada", "user.email": "ada@example.com"}
    git(work, "commit", "--quiet", "--amend", "--message", "Mine", config=ada)
    git(work, "push", "--quiet", "--force", "origin", "HEAD:bot")

    with cloned(bare) as checkout:
        assert checkout.foreign == "Ada"


def test_our_own_commit_is_not_foreign(bare):
    head = proposed(bare)

    with cloned(bare) as checkout:
        assert (head, "") == (checkout.seen, checkout.foreign)


def test_a_base_that_got_a_commit_has_moved(bare, tmp_path):
    with cloned(bare) as checkout:
        before = base_moved(checkout)
        person_commits(bare, tmp_path, "main")

        assert (before, base_moved(checkout)) == (False, True)


def test_a_branch_that_is_called_like_a_reference_is_not_taken_for_the_base(bare, tmp_path):
    git(bare, "branch", "trunk", "main")
    with cloned(bare, "trunk") as checkout:
        # Git lists it before the base.
        git(bare, "update-ref", "refs/heads/refs/heads/trunk", person_commits(bare, tmp_path, "main"))

        assert not base_moved(checkout)


def test_a_branch_that_is_called_like_a_reference_is_not_taken_for_ours(bare):
    git(bare, "update-ref", "refs/heads/refs/heads/bot", "main")

    with cloned(bare) as checkout:
        assert checkout.seen is None


@pytest.mark.parametrize("other", ["fleetpgo", "fleetpgo/tiny/more"])
def test_a_branch_in_the_way_of_ours_is_named(bare, other):
    git(bare, "branch", other, "main")

    with (
        pytest.raises(RepositoryError, match=f"the branch {other} is in the way of fleetpgo/tiny") as error,
        clone(bare.as_uri(), "main", "fleetpgo/tiny", config={}),
    ):
        pass

    assert error.value.hint == f"delete or rename the branch {other}"


def test_a_file_is_read_from_a_commit_that_no_branch_holds(bare):
    head = proposed(bare)
    git(bare, "update-ref", "refs/pull/1/head", head)
    git(bare, "branch", "-D", "bot")

    with cloned(bare) as checkout:
        assert read_at(checkout, head, PROFILE) == FILES[PROFILE]
        assert read_at(checkout, head, "absent") is None
        assert git(checkout.path, "status", "--porcelain") == ""


def test_a_commit_that_the_origin_does_not_hold_is_an_error(bare):
    with cloned(bare) as checkout, pytest.raises(RepositoryError, match="`git fetch` failed"):
        read_at(checkout, "1" * 40, PROFILE)


def test_a_refused_push_quotes_the_server(bare):
    hook = bare / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho 'branch is protected' >&2\nexit 1\n")
    hook.chmod(0o755)

    with pytest.raises(
        RepositoryError, match=r"(?s)the push to bot was refused: .*branch is protected"
    ) as error:
        proposed(bare)

    assert "let no branch protection or ruleset cover bot/*" in error.value.hint


class GitOverHTTP(BaseHTTPRequestHandler):
    """git's own HTTP server, behind a password."""

    root: Path
    expected: str
    asked: ClassVar[list[str]] = []

    def do_GET(self):
        self._serve(b"")

    def do_POST(self):
        self._serve(self.rfile.read(int(self.headers["Content-Length"])))

    def _serve(self, body):
        self.asked.append(self.path)
        if self.headers.get("Authorization") != self.expected:
            self.send_response(401)
            self.send_header("WWW-Authenticate", "Basic realm=git")
            self.end_headers()
            return
        path, _, query = self.path.partition("?")
        answer = subprocess.run(
            ["git", "http-backend"],
            input=body,
            capture_output=True,
            check=True,
            env={
                "PATH": os.environ["PATH"],
                "GIT_PROJECT_ROOT": str(self.root),
                "GIT_HTTP_EXPORT_ALL": "1",
                "REQUEST_METHOD": self.command,
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "REMOTE_USER": "bot",
            },
        ).stdout
        head, _, content = answer.partition(b"\r\n\r\n")
        self.send_response(200)
        for line in head.decode().splitlines():
            self.send_header(*line.split(": ", 1))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def http_origin(origin):
    """The origin over HTTP, and the git configuration that opens it."""
    header = f"Basic {b64encode(b'x-access-token:s3cret').decode()}"
    handler = type("Handler", (GitOverHTTP,), {"root": origin, "expected": header})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    yield f"{address}/tiny.git", {f"http.{address}/.extraHeader": f"Authorization: {header}"}
    server.shutdown()
    server.server_close()


def test_credentials_reach_the_server_and_stay_in_no_file(http_origin, bare):
    url, config = http_origin

    with clone(url, "main", "bot", config=config) as checkout:
        head = commit(checkout, FILES, "Refresh", exact=PROFILE)
        push(checkout, head)
        written = b"".join(file.read_bytes() for file in checkout.path.rglob("*") if file.is_file())

    assert head == git(bare, "rev-parse", "bot")
    assert b"s3cret" not in written
    assert b64encode(b"x-access-token:s3cret") not in written


def test_wrong_credentials_end_the_clone_without_a_question_and_without_the_secret(http_origin):
    url, config = http_origin
    wrong = dict.fromkeys(config, "Authorization: Basic d3Jvbmc6czNjcmV0")

    with pytest.raises(RepositoryError) as error, clone(url, "main", "bot", config=wrong):
        pass

    assert "cannot be cloned" in error.value.message
    assert "d3Jvbmc6czNjcmV0" not in f"{error.value} {error.value.__cause__}"
