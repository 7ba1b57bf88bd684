"""What a forge's server, or whoever answers in its place, cannot do."""

import gzip
import json
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

from fleetpgo.errors import ForgeError
from fleetpgo.proposal.forges import comment_marker, connect, transport
from tests.proposal.forges.doubles import KINDS, PROJECT, TOKEN
from tests.proposal.forges.sides import BRANCH


class Scripted(ThreadingHTTPServer):
    """A server whose answers a test gives; keeps all that it is asked."""

    daemon_threads = True

    def __init__(self, host, context):
        super().__init__(("127.0.0.1", 0), Answering)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.address = f"https://{host}:{self.server_port}"
        self.asked = []
        self.status, self.headers, self.body = 200, {}, b"{}"
        self.ended = threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *arguments):
        """Be silent: clients hang up on purpose."""


class Answering(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        server.asked.append((self.path, str(self.headers)))
        self.send_response(server.status)
        for name, value in server.headers.items():
            self.send_header(name, value)
        if isinstance(server.body, bytes):
            self.send_header("Content-Length", str(len(server.body)))
            self.end_headers()
            self.wfile.write(server.body)
        else:
            self.end_headers()
            for part in server.body:
                if server.ended.is_set():
                    break
                self.wfile.write(part)
                self.wfile.flush()

    def log_message(self, *arguments):
        pass


@pytest.fixture
def start(authority, tmp_path, monkeypatch):
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    started = []

    def start(host):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(host).configure_cert(context)
        started.append(Scripted(host, context))
        return started[-1]

    yield start
    for server in started:
        server.ended.set()
        server.shutdown()
        server.server_close()


@pytest.fixture
def server(start):
    """What stands at the forge's address."""
    return start("localhost")


@pytest.fixture
def elsewhere(start):
    """Another host, which is not to get the token."""
    return start("127.0.0.1")


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def asking(kind, server):
    return connect(kind, PROJECT, address=server.address, token=TOKEN)


def test_a_login_page_is_named_by_its_first_words(asking, server):
    server.headers, server.body = (
        {"Content-Type": "text/html"},
        b"<html>\n <title>Please log\x1b[1m in</title>",
    )

    with pytest.raises(ForgeError, match=r"is not JSON; it begins with: <html> <title>Please log in</title>"):
        asking.get(1)


def test_an_answer_that_is_too_deep_is_none(asking, server):
    server.body = b"[" * 1_000_000

    with pytest.raises(ForgeError, match=r"is not JSON; it begins with: \[\[\["):
        asking.get(1)


def test_an_answer_that_unzips_to_too_much_is_refused(asking, server):
    server.headers, server.body = {"Content-Encoding": "gzip"}, gzip.compress(bytes(64 << 20))

    with pytest.raises(ForgeError, match="the answer has more than 32 MiB"):
        asking.get(1)


def test_an_answer_that_trickles_on_is_left(asking, server, monkeypatch):
    monkeypatch.setattr(transport, "CALL_SECONDS", 0.5)
    server.headers = {"Connection": "close"}
    server.body = (time.sleep(0.05) or b" " for _ in range(10_000))

    with pytest.raises(ForgeError, match=r"the answer was not there after 0\.5 s"):
        asking.get(1)


def test_a_list_without_an_end_is_left(asking, server, kind, monkeypatch):
    monkeypatch.setattr(transport, "MOST_REQUESTS", 7)
    here = f"{server.address}{'/api/v3' if kind == 'github' else '/api/v4'}/more"
    server.headers = {"Link": f'<{here}>; rel="next"'}
    foreign = {"head": {"label": "other", "repo": None}, "source_project_id": 1, "target_project_id": 2}
    server.body = json.dumps([foreign]).encode()

    with pytest.raises(ForgeError, match="the list goes on after 7 requests"):
        asking.find(BRANCH)
    assert len(server.asked) == 7


def test_a_limit_is_not_asked_again_and_again(asking, server, kind):
    server.status, server.headers = (403 if kind == "github" else 429), {"Retry-After": "1"}
    server.body = b'{"message": "You have exceeded a secondary rate limit"}'

    with pytest.raises(ForgeError):
        asking.get(1)
    assert len(server.asked) == 6


def test_waits_have_a_limit_in_all(asking, server, kind, monkeypatch):
    monkeypatch.setattr(transport, "CALL_SECONDS", 3)
    server.status, server.headers = (403 if kind == "github" else 429), {"Retry-After": "4"}

    with pytest.raises(ForgeError, match=r"turns requests away, .*: it still does after 3 s"):
        asking.get(1)
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_no_redirect_leads_the_token_elsewhere(asking, server, elsewhere, status):
    server.status, server.headers = status, {"Location": f"{elsewhere.address}/stolen"}

    with pytest.raises(ForgeError) as error:
        asking.get(1)
    assert elsewhere.asked == []
    assert TOKEN not in str(error.value)


def test_no_next_page_leads_the_token_elsewhere(asking, server, elsewhere, kind):
    server.headers = {"Link": f'<{elsewhere.address}/stolen>; rel="next"'}
    server.body = (
        b"[]"
        if kind == "gitea"
        else b'[{"head": {"repo": null}, "source_project_id": 1, "target_project_id": 2}]'
    )

    if kind == "gitea":
        # It counts the pages by itself.
        assert asking.find(BRANCH) is None
    else:
        with pytest.raises(ForgeError):
            asking.find(BRANCH)
    assert elsewhere.asked == []


def test_a_redirect_on_the_forge_itself_is_followed(server):
    asking = connect("gitlab", PROJECT, address=server.address, token=TOKEN)
    server.status, server.headers = 302, {"Location": f"{server.address}/moved"}

    with pytest.raises(ForgeError, match="Exceeded 30 redirects"):
        asking.get(1)
    assert {urlsplit(path).path for path, _ in server.asked[1:]} == {"/moved"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_comment_of_somebody_else_with_our_marker_is_not_ours(forge, there, opened):
    text = f"{comment_marker('measurement')}\nSaved 100 %"
    there.comment("1", text, "mallory")

    assert not forge.read_comment(1, "measurement")
    forge.comment(1, "Saved 3 %", "measurement")
    forge.comment(1, "Saved 4 %", "measurement")

    assert forge.read_comment(1, "measurement") == "Saved 4 %"
    assert [text, f"{comment_marker('measurement')}\nSaved 4 %"] == list(there.pull(1).comments.values())


def test_a_token_that_cannot_tell_whose_it_is_is_named(serve):
    double = serve("gitea")
    asking = connect("gitea", PROJECT, address=double.address, token=TOKEN)
    double.open("main", "main", "Title", "Body", draft=False)
    double.comment("1", comment_marker("measurement"), "mallory")
    double.forbidden.append("own_user")

    with pytest.raises(ForgeError, match="asking whose the token is failed: 403") as error:
        asking.comment(1, "Saved 3 %", "measurement")
    assert "read:user" in error.value.hint


def test_a_pull_request_from_a_fork_of_the_same_organisation_is_not_ours(serve):
    double = serve("github")
    asking = connect("github", PROJECT, address=double.address, token=TOKEN)
    double.open("main", "main", "Title", "Body", draft=False)
    double.forks[1] = "acme/tiny-fork"

    assert asking.find("main") is None
