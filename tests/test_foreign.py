import json
from base64 import b64encode
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetpgo import foreign
from fleetpgo.errors import StoreError

SECRET = "p1anted/s3cret+word"  # noqa: S105
KEY = "-----BEGIN KEY-----\nMIIEowIBAAKCAQEAsecretsecret\nshort\n-----END KEY-----"


@pytest.fixture
def known(monkeypatch):
    monkeypatch.setattr(foreign, "listeners", [])  # Airflow's masking takes long for a thousand secrets
    foreign.remember(SECRET)


@pytest.mark.parametrize("form", [SECRET, quote(SECRET, safe=""), json.dumps(SECRET)[1:-1]])
def test_a_secret_goes_however_it_is_written(known, form):
    assert foreign.blotted(f"it said <{form}>!") == "it said <•••>!"


def test_each_line_of_a_key_goes():
    foreign.remember(KEY)

    assert foreign.blotted("MIIEowIBAAKCAQEAsecretsecret and short") == "••• and short"


def test_a_header_goes_with_its_token_and_what_is_no_secret_stays():
    foreign.remember_headers(
        {"Authorization": "Bearer s3cret-t0ken", "X-Scope-OrgID": "fleet", "User-Agent": b"fleetpgo"}
    )

    assert foreign.blotted("Bearer s3cret-t0ken, s3cret-t0ken, Bearer, fleet, fleetpgo") == (
        "•••, •••, Bearer, fleet, fleetpgo"
    )


def test_a_login_goes_in_its_header_too():
    foreign.remember_login("bot", "s3cret-t0ken")

    assert foreign.blotted(f"Basic {b64encode(b'bot:s3cret-t0ken').decode()}") == "Basic •••"


def test_the_password_that_requests_takes_from_netrc_goes(tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("machine prom.example login bot password from-netrc\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    foreign.remember_netrc("https://prom.example/")

    assert foreign.blotted("it said from-netrc") == "it said •••"


@pytest.mark.parametrize("name", ["GOPROXY", "https_proxy"])
def test_the_passwords_of_proxies_go(name):
    foreign.remember_proxies({name: "https://modules.example,https://bot:p%40ss-w0rd@go.example|direct"})

    assert foreign.blotted("p%40ss-w0rd p@ss-w0rd") == "••• •••"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://bot:s3cret@example.com/a.git", "https://example.com/a.git"),
        ("fatal: 'https://s3cret@example.com/a' failed", "fatal: 'https://example.com/a' failed"),
        ("http://bot:p@ss@example.com", "http://example.com"),
        ("socks5://bot:s3cret@example.com", "socks5://example.com"),
        ("write s3://CONNECTION@bucket/prefix", "write s3://CONNECTION@bucket/prefix"),
        ("ssh://git@example.com/a.git", "ssh://git@example.com/a.git"),
        ("ask me@example.com", "ask me@example.com"),
    ],
)
def test_logins_in_urls_go(text, shown):
    assert foreign.blotted(text) == shown


@pytest.mark.parametrize("place", range(len(SECRET) + 1))
def test_a_cut_leaves_no_part_of_a_secret(known, place):
    said = "x" * (40 - place) + SECRET + "y" * 40

    assert_no_part(foreign.line(said, 40))
    assert_no_part(foreign.line(said.encode(), 40))
    assert_no_part(foreign.end_of(said[::-1].replace(SECRET[::-1], SECRET), 40))
    # A stream ends, or begins, somewhere.
    assert_no_part(foreign.beginning("x" * 40 + SECRET[:place], 80, whole=False))
    assert_no_part(foreign.end_of(SECRET[place:] + "x" * 40, 80, whole=False))


def assert_no_part(text):
    assert [part for part in (SECRET[:3], SECRET[-3:]) if part in text] == []


def test_what_a_control_character_hides_is_found(known):
    assert foreign.line(f"{SECRET[:5]}\x1b[0m{SECRET[5:]}", 100) == "•••"


@given(st.text(max_size=300), st.integers(1, 50))
def test_a_line_is_bounded_and_holds_no_control_characters(text, longest):
    shown = foreign.line(text, longest)

    assert (shown.isprintable(), len(shown) <= longest + len(foreign.CUT)) == (True, True)


@pytest.mark.parametrize("character", "\0\x07\x1b\x7f\x9b\u200e\u202e\u2066\u2069\ud800")
def test_characters_that_steer_are_taken_out_of_lines_and_texts(character):
    for shown in (foreign.line(f"a{character}b", 9), foreign.safe(f"a\n{character}\tb")):
        assert character not in shown
    assert foreign.safe("a\n\tb") == "a\n\tb"


def test_an_error_holds_neither_secrets_nor_control_characters(known):
    error = StoreError(f"it said {SECRET}\x1b[2J", hint=f"ask https://bot:pw@example.com \u202e{SECRET}")

    assert str(error) == "it said •••\n→ ask https://example.com �•••"


def test_the_latest_secrets_are_remembered(known):
    foreign.remember(*(f"token-{number}" for number in range(1000)))

    assert foreign.blotted(f"{SECRET} token-999 token-0") == f"{SECRET} ••• •••"


def test_a_listener_is_told_each_form(monkeypatch):
    told = []
    monkeypatch.setattr(foreign, "listeners", [told.append])
    foreign.remember("se/cret", "tiny")

    assert told == ["se/cret", "se%2Fcret"]
