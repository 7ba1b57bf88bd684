import pytest

from fleetpgo.errors import ForgeError, RefusedError
from fleetpgo.proposal.forges import connect
from fleetpgo.proposal.forges.access import refusal
from fleetpgo.proposal.forges.github import GitHubForge
from fleetpgo.proposal.forges.local import LocalForge


def test_a_directory_is_a_local_forge(origin):
    assert isinstance(connect("local", "tiny", address=str(origin), token=None), LocalForge)


def test_github_is_reached_with_a_token():
    forge = connect("github", "acme/tiny", address="https://github.com", token="s3cret")  # noqa: S106

    assert isinstance(forge, GitHubForge)


@pytest.mark.parametrize(
    ("address", "project", "token", "message"),
    [
        ("http://github.com", "acme/tiny", "s3cret", "the forge's address is no https:// URL"),
        ("github.com", "acme/tiny", "s3cret", "the forge's address is no https:// URL"),
        ("https://bot:s3cret@github.com", "acme/tiny", "s3cret", "the forge's address is no https:// URL"),
        ("https://github.com", "tiny", "s3cret", "'tiny' is not a repository on GitHub"),
        ("https://github.com", "acme/tiny", None, "the forge's connection holds no token"),
    ],
)
def test_what_cannot_be_right_is_named_without_the_token(address, project, token, message):
    with pytest.raises(ForgeError, match=message) as error:
        connect("github", project, address=address, token=token)

    assert "s3cret" not in str(error.value)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, RefusedError),
        (401, ForgeError),
        (403, RefusedError),
        (404, RefusedError),
        (408, ForgeError),
        (422, RefusedError),
        (429, ForgeError),
        (500, ForgeError),
        (0, ForgeError),
    ],
)
def test_a_forge_that_is_not_to_be_asked_now_refuses_nothing(status, kind):
    assert refusal(status) is kind
