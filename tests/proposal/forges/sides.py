"""The forge's own side of a repository, and what people do there, alike for every kind of forge."""

from fleetpgo.proposal.forges.local import LocalForge
from tests.proposal.forges.doubles import PROJECT

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
    if isinstance(there, Local):
        there.forge.close(number)
    else:
        there.pull(number).state = "closed"


def label(there, number, name):
    """Put a label on, as a person does."""
    if isinstance(there, Local):
        there.forge.label(number, add=(name,))
    else:
        there.pull(number).labels.append(name)
        if hasattr(there, "ids") and name not in (there.organisation or {}):
            there.ids.setdefault(name, len(there.ids) + 1)
