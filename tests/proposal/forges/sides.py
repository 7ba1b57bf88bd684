"""The forge's own side of a repository, and what people do there, alike for every kind of forge."""

import os
import subprocess

from fleetpgo.proposal.forges import connect
from fleetpgo.proposal.forges.local import LocalForge
from fleetpgo.proposal.git import git
from tests.proposal.forges.doubles import PROJECT, TOKEN
from tests.proposal.forges.merging import merge, push_files

BRANCH = "fleetpgo/tiny"


class Local:
    """The local forge, looked at as the doubles are."""

    def __init__(self, origin):
        self.forge = LocalForge(str(origin), PROJECT)
        self.bare = origin / f"{PROJECT}.git"
        self.merge = self.forge.merge

    def pull(self, number):
        found = self.forge.get(number)
        reviewers, assignees = self.forge.people(number)
        comments = self.forge.comments(number)
        return type(
            "Pull", (), {**vars(found), "reviewers": reviewers, "assignees": assignees, "comments": comments}
        )

    @property
    def pulls(self):
        return self.forge.pull_requests()


def close(there, number):
    """Close without a merge, as a person does."""
    (there.forge if isinstance(there, Local) else there).close(number)


def delete_branch(there, branch=BRANCH):
    """Delete a branch by the button on its pull request, as a person does."""
    if isinstance(there, Local):
        git(there.bare, "update-ref", "-d", f"refs/heads/{branch}")
    else:
        there.delete_branch(branch)


def label(there, number, name):
    """Put a label on, as a person does."""
    if isinstance(there, Local):
        there.forge.label(number, add=(name,))
    else:
        there.pull(number).labels.append(name)
        if hasattr(there, "ids") and name not in (there.organisation or {}):
            there.ids.setdefault(name, len(there.ids) + 1)


def made_in_bare(bare, blob, index):
    """Make the branch anew from main with one more file, without a clone."""
    environment = {"PATH": os.environ["PATH"], **index}

    def run(*arguments):
        done = subprocess.run(
            ["git", *arguments], cwd=bare, env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    run("read-tree", "main")
    run("update-index", "--add", "--cacheinfo", f"100644,{blob},profile")
    made = git(bare, "commit-tree", "-p", "main", "-m", "Refresh", run("write-tree"))
    git(bare, "update-ref", f"refs/heads/{BRANCH}", made)
    return made


class Doubled:
    """A double of a forge, as the suite of behaviours looks at it; a real one is :mod:`.real`."""

    def __init__(self, kind, double, bundle):
        self.kind, self.double, self.bundle = kind, double, bundle
        self.forge = self.admin = self.connect()

    def connect(self, token=TOKEN, ca=None):
        """Our side, with a token."""
        return connect(self.kind, PROJECT, address=self.double.address, token=token, ca=ca)

    def tip(self, branch):
        """The newest commit of a branch."""
        return self.double.tip(branch)

    def propose(self, content):
        """Push a profile to our branch, as a run does; return the full SHA."""
        bare = self.double.bare
        file = bare.parent / "proposed"
        file.write_bytes(content)
        blob = git(bare, "hash-object", "-w", str(file))
        index = {"GIT_INDEX_FILE": str(bare / "proposed-index")}
        return made_in_bare(bare, blob, index)

    def make_branch(self, name, start):
        """Make a branch."""
        git(self.double.bare, "branch", name, start)

    def commit(self, branch, name, text):
        """Commit a file, as a person does."""
        return push_files(self.double.bare, branch, {name: text})

    def update_branch(self, branch, base):
        """Merge the base into a branch, as the forge's button does."""
        merge(self.double.bare, branch, base, "merge")

    def lose_branch(self, branch):
        """Delete a branch, other than by the button on its pull request."""
        for each in self.double.pulls:
            if self.kind != "gitlab":
                each.events.append("head_ref_deleted")
        git(self.double.bare, "update-ref", "-d", f"refs/heads/{branch}")

    def protect(self, rule):
        """Protect branches."""
        self.double.protect(rule)

    def status(self, commit, check, state):
        """Have a check end."""
        del commit
        self.double.statuses[check] = state

    def succeed(self):
        """Have the forge do what it was asked to do once the checks have passed."""
        self.double.react()

    def eventually(self, look, holds):
        """Look; a double does all at once."""
        found = look()
        assert holds(found), found
        return found
