"""A real forge, as the suite of behaviours looks at it: a throw-away repository for each test.

``make test-forge FORGE=gitea FORGE_URL=https://… FORGE_TOKEN=… FORGE_ADMIN_TOKEN=…``. The admin's token makes
and deletes repositories, protects branches and sets the states of checks; the other one is a bot's, whose
account gets write access. Only Gitea and Forgejo are looked after by this much; on GitHub and GitLab the
admin's account needs a repository of its own, which FORGE_PROJECT names.
"""

from __future__ import annotations

import os
import secrets
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import requests

from fleetpgo.proposal.checkout import clone
from fleetpgo.proposal.forges import connect
from fleetpgo.proposal.git import git
from tests.proposal.forges.merging import ADA
from tests.proposal.forges.sides import BRANCH

_PATIENCE = 60.0
"""Seconds that a forge may take to do what it was asked to."""


class RealGitea:
    """A repository on a Gitea or Forgejo."""

    kind = "gitea"

    def __init__(self, project):
        self.address = os.environ["FORGE_URL"].rstrip("/")
        self.project = project
        self.ca = Path(os.environ["FORGE_CA"]) if os.environ.get("FORGE_CA") else None
        self.forge = self.connect()
        self.admin = self.connect(os.environ["FORGE_ADMIN_TOKEN"])

    def connect(self, token=None, ca=None):
        """Our side, with a token."""
        token = token or os.environ["FORGE_TOKEN"]
        return connect(self.kind, self.project, address=self.address, token=token, ca=ca or self.ca)

    def ask(self, method, path, sent=None, *, token="FORGE_ADMIN_TOKEN"):  # noqa: S107  # a variable's name
        """Ask the API as the admin."""
        answer = requests.request(
            method,
            f"{self.address}/api/v1{path}",
            json=sent,
            headers={"Authorization": f"token {os.environ[token]}"},
            verify=str(self.ca) if self.ca else True,
            timeout=60,
        )
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def repository(self, method, path, sent=None):
        """Ask about the repository."""
        return self.ask(method, f"/repos/{self.project}{path}", sent)

    def tip(self, branch):
        """The newest commit of a branch."""
        return self.repository("GET", f"/branches/{branch.replace('/', '%2F')}")["commit"]["id"]

    def make_branch(self, name, start):
        """Make a branch."""
        self.repository("POST", "/branches", {"new_branch_name": name, "old_ref_name": start})

    def propose(self, content):
        """Push a profile to our branch, as a run does; return the full SHA."""
        from fleetpgo.proposal.commits import commit, push  # noqa: PLC0415

        config = self.forge.git_config()
        with clone(self.forge.clone_url, "main", BRANCH, config=config) as checkout:
            head = commit(checkout, {"profile": content}, "Refresh", exact="profile")
            push(checkout, head)
            return head

    def commit(self, branch, name, text):
        """Commit a file, as a person does; return the full SHA."""
        config = {**self.admin.git_config(), **ADA}
        with tempfile.TemporaryDirectory() as directory:
            work = Path(directory) / "work"
            git(
                Path(directory),
                "clone",
                "--quiet",
                "--branch",
                branch,
                self.admin.clone_url,
                str(work),
                config=config,
            )
            (work / name).write_text(text)
            git(work, "add", "--force", name)
            git(work, "commit", "--quiet", "--message", f"Edit {name}", config=config)
            git(work, "push", "--quiet", "origin", f"HEAD:refs/heads/{branch}", config=config)
            return git(work, "rev-parse", "HEAD")

    def lose_branch(self, branch):
        """Delete a branch."""
        self.repository("DELETE", f"/branches/{branch.replace('/', '%2F')}")

    def protect(self, rule):
        """Protect branches."""
        self.repository(
            "POST",
            "/branch_protections",
            {
                "rule_name": rule.pattern,
                "enable_push": True,
                "enable_status_check": bool(rule.checks),
                "status_check_contexts": list(rule.checks),
                "required_approvals": rule.approvals,
                "block_on_outdated_branch": rule.outdated,
                "require_signed_commits": rule.signed,
                "protected_file_patterns": rule.files,
            },
        )

    def status(self, commit, check, state):
        """Have a check end."""
        self.repository("POST", f"/statuses/{commit}", {"context": check, "state": state})

    def succeed(self):
        """Do nothing: the forge acts by itself."""

    def eventually(self, look, holds):
        """Look until it holds."""
        until = time.monotonic() + _PATIENCE
        while not holds(found := look()) and time.monotonic() < until:
            time.sleep(1)
        assert holds(found), found
        return found


@contextmanager
def throw_away(kind):
    """Make a repository with one commit, to which the bot may push; delete it at the end."""
    assert kind == "gitea", "only Gitea and Forgejo can be filled with throw-away repositories"
    name = f"fleetpgo-test-{secrets.token_hex(4)}"
    there = RealGitea(f"x/{name}")
    owner = there.ask("GET", "/user")["login"]
    bot = there.ask("GET", "/user", token="FORGE_TOKEN")["login"]  # noqa: S106  # a variable's name
    there.ask(
        "POST", "/user/repos", {"name": name, "auto_init": True, "default_branch": "main", "private": True}
    )
    try:
        there = RealGitea(f"{owner}/{name}")
        if bot != owner:
            there.repository("PUT", f"/collaborators/{bot}", {"permission": "write"})
        yield there
    finally:
        with suppress(requests.RequestException):
            there.ask("DELETE", f"/repos/{owner}/{name}")
