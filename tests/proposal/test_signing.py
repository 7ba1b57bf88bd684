"""Commits in somebody's name, and signed, as git itself sees them."""

import shutil
import subprocess

import pytest

from fleetpgo.errors import RepositoryError
from fleetpgo.proposal.checkout import clone
from fleetpgo.proposal.commits import commit
from fleetpgo.proposal.git import git
from fleetpgo.proposal.signing import identity_of
from fleetpgo.service.review import CommitRules

BOT = "Perf Bot <bot@acme.example>"


def made(bare, rules, key=None):
    """Make a commit, and return what git prints of it."""
    with clone(bare.as_uri(), "main", "bot", config={}, identity=identity_of(rules, key, None)) as checkout:
        sha = commit(checkout, {"profile": b"one"}, "Refresh", exact="profile")
        git(checkout.path, "push", "--quiet", "origin", f"{sha}:refs/heads/bot")
    return sha


def test_author_committer_and_sign_off_are_those_of_the_service_file(bare):
    sha = made(bare, CommitRules(author=BOT))

    shown = git(bare, "show", "--no-patch", "--format=%an <%ae>%n%cn <%ce>%n%B", sha)
    assert shown == f"{BOT}\n{BOT}\nRefresh\n\nSigned-off-by: {BOT}"


@pytest.mark.parametrize("end", ["\n", "\r\n", r"\n", " "], ids=["lines", "CRLF", "escaped", "one line"])
def test_a_commit_is_signed_with_an_ssh_key_however_a_form_kept_its_lines(bare, tmp_path, end):
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    public = " ".join((tmp_path / "key.pub").read_text().split()[:2])
    (tmp_path / "allowed").write_text(f"bot@acme.example {public}\n")
    sha = made(bare, CommitRules(author=BOT, sign="ssh"), key.read_text().replace("\n", end))

    config = {"gpg.ssh.allowedSignersFile": str(tmp_path / "allowed")}
    git(bare, "verify-commit", sha, config=config)


@pytest.mark.parametrize("end", ["\n", " "], ids=["lines", "one line"])
def test_a_commit_is_signed_with_a_gpg_key(bare, tmp_path, end):
    gpg = ["gpg", "--homedir", str(tmp_path / "gpg"), "--batch", "--quiet"]
    (tmp_path / "gpg").mkdir(mode=0o700)
    try:
        subprocess.run([*gpg, "--passphrase", "", "--quick-gen-key", BOT, "ed25519"], check=True)
        export = subprocess.run(
            [*gpg, "--armor", "--export-secret-keys"], check=True, capture_output=True, text=True
        )
        sha = made(bare, CommitRules(author=BOT, sign="gpg"), export.stdout.replace("\n", end))
    finally:
        subprocess.run(["gpgconf", "--homedir", str(tmp_path / "gpg"), "--kill", "all"], check=False)
        shutil.rmtree(tmp_path / "gpg", ignore_errors=True)

    assert "gpgsig -----BEGIN PGP SIGNATURE-----" in git(bare, "cat-file", "commit", sha)


def test_without_a_key_it_is_said_where_to_put_one():
    with pytest.raises(RepositoryError, match=r"commit\.sign is ssh, and .* has no signing_key"):
        identity_of(CommitRules(sign="ssh"), None, None)
