import hashlib
import io
import logging
import os
import ssl
import subprocess
import sys
import threading
import zipfile
from base64 import b64encode
from datetime import timedelta
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme

from fleetpgo.errors import BuildError
from fleetpgo.golang.environment import (
    build_environment,
    clone_directory,
    download_modules,
    repository_cache,
)
from fleetpgo.golang.toolchain import build, run

GIB = 1 << 30
MINUTE = timedelta(minutes=1)
HEADER = f"Basic {b64encode(b'bot:s3cret').decode()}"


def lines_of(directory, command, environment):
    """What a command of the repository's prints."""
    lines = []
    run(directory, command, timeout=MINUTE, memory=4 * GIB, environment=environment, seen=lines.append)
    return lines


def test_a_build_sees_nothing_of_airflow_and_no_token(tmp_path):
    caller = {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "GOFLAGS": "-trimpath",
        "GOPROXY": "off",
        "GOTOOLCHAIN": "local",
        "HTTPS_PROXY": "http://proxy.example:3128",
        "HOME": "/home/caller",
        "GOENV": "/home/caller/env",
        "AIRFLOW_CONN_FORGE": "secret",
        "GITHUB_TOKEN": "secret",
    }
    cache = tmp_path / "cache"
    environment = build_environment(caller, cache, "acme/tiny")
    own = repository_cache(cache, "acme/tiny")

    built = build(
        tmp_path, ("sh", "-c", "env > seen"), "seen", timeout=MINUTE, memory=GIB, environment=environment
    )

    seen = dict(line.split("=", 1) for line in built.path.read_text().splitlines())
    assert {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "GOFLAGS": "-trimpath",
        "GOENV": "off",
        "GOPROXY": f"file://{cache}/modules/cache/download,off",
        "GOTOOLCHAIN": "local",
        "HTTPS_PROXY": "http://proxy.example:3128",
        "HOME": f"{own}/home",
        "GOCACHE": f"{own}/go-build",
        "GOPATH": f"{own}/gopath",
        "GOMODCACHE": f"{own}/gopath/pkg/mod",
    } == {name: value for name, value in seen.items() if name not in {"PWD", "OLDPWD", "SHLVL", "_"}}


def test_a_build_gets_no_proxy_with_a_password(tmp_path, caplog):
    proxies = {"https_proxy": "http://bot:s3cret@proxy.example:3128", "NO_PROXY": "localhost"}
    environment = build_environment(proxies, tmp_path, "acme/tiny")

    assert (environment["NO_PROXY"], "https_proxy" in environment) == ("localhost", False)
    assert caplog.messages == [
        "https_proxy holds a password, which a build must not see: it gets no such proxy"
    ]


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ("https://bot:s3cret@go.example", ""),
        ("https://bot:s3cret@go.example,https://modules.example|direct", ",https://modules.example|direct"),
        ("https://modules.example|https://s3cret@go.example", ",https://modules.example"),
    ],
)
def test_a_build_gets_no_module_proxy_with_a_password(tmp_path, caplog, given, left):
    environment = build_environment({"GOPROXY": given}, tmp_path, "acme/tiny")

    assert environment["GOPROXY"] == f"file://{tmp_path}/modules/cache/download{left}"
    warned = [message for message in caplog.messages if "GOPROXY holds a password" in message]
    assert (bool(warned), "s3cret" in caplog.text) == (True, False)


def test_a_build_gets_go_s_own_module_proxy_where_the_worker_names_none(tmp_path):
    environment = build_environment({"PATH": os.environ["PATH"]}, tmp_path, "acme/tiny")

    asked = {"PATH": os.environ["PATH"], "GOENV": "off", "HOME": str(tmp_path)}
    told = subprocess.run(["go", "env", "GOPROXY"], env=asked, capture_output=True, text=True, check=True)
    assert environment["GOPROXY"].endswith(f"/modules/cache/download,{told.stdout.strip()}")


def test_what_one_repository_s_build_sets_changes_no_other_s(tmp_path, go_module):
    traps = (
        "go env -w GOFLAGS=-toolexec=/tmp/trap GOPROXY=https://mallory.example; "
        "mkdir -p $HOME/.config $GOCACHE $GOMODCACHE; "
        "for place in $HOME $GOCACHE $GOMODCACHE $GOPATH; do echo trap > $place/trap; done"
    )
    mallory = build_environment(os.environ, tmp_path, "acme/mallory")
    # GOENV=off forbids the first; a build may well unset it.
    lines_of(go_module, ("sh", "-c", f"unset GOENV; {traps}"), mallory)

    for repository in ("acme/tiny", "acme/mallory"):
        environment = build_environment(os.environ, tmp_path, repository)
        flags, proxy = lines_of(go_module, ("go", "env", "GOFLAGS", "GOPROXY"), environment)
        assert (flags, "mallory" in proxy) == (os.environ.get("GOFLAGS", ""), False)
    places = [environment[name] for name in ("HOME", "GOCACHE", "GOMODCACHE", "GOPATH")]
    assert all(os.path.exists(f"{place}/trap") for place in places)  # noqa: PTH110
    other = build_environment(os.environ, tmp_path, "acme/tiny")
    assert not any(os.path.exists(f"{other[name]}/trap") for name in ("HOME", "GOCACHE", "GOMODCACHE"))  # noqa: PTH110


def test_services_of_one_repository_share_their_build_cache(tmp_path):
    first, second = (build_environment({}, tmp_path, "github/forge/acme/mono") for _ in range(2))

    assert first == second
    assert first["GOCACHE"] != build_environment({}, tmp_path, "github/forge/acme/other")["GOCACHE"]


@pytest.fixture
def proxy(tmp_path, monkeypatch):
    """A module proxy with one module, that asks for a password: its address with it."""
    versions = tmp_path / "proxy" / "corp.example" / "dep" / "@v"
    versions.mkdir(parents=True)
    (versions / "v1.0.0.info").write_text('{"Version":"v1.0.0"}')
    (versions / "v1.0.0.mod").write_text("module corp.example/dep\n")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("corp.example/dep@v1.0.0/go.mod", "module corp.example/dep\n")
        archive.writestr("corp.example/dep@v1.0.0/dep.go", "package dep\n\nconst Answer = 42\n")
    (versions / "v1.0.0.zip").write_bytes(packed.getvalue())

    class Guarded(SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=tmp_path / "proxy")

        def do_GET(self):
            if self.headers.get("Authorization") == HEADER:
                super().do_GET()
            else:
                self.send_error(401)

        def log_message(self, *arguments):
            pass

    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Guarded)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"https://bot:s3cret@localhost:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def depending(go_module, tmp_path, proxy, monkeypatch):
    """A module that needs one of the proxy's, with its sums; the worker's GOPROXY is that proxy."""
    monkeypatch.setenv("GONOSUMDB", "*")
    monkeypatch.setenv("GOPROXY", proxy)
    (go_module / "main.go").write_text(
        'package main\n\nimport "corp.example/dep"\n\nfunc main() { println(dep.Answer) }\n'
    )
    with (go_module / "go.mod").open("a") as file:
        file.write("\nrequire corp.example/dep v1.0.0\n")
    subprocess.run(
        ["go", "mod", "tidy"],
        cwd=go_module,
        check=True,
        capture_output=True,
        env={
            **os.environ,
            "GOPROXY": f"file://{tmp_path}/proxy",
            "GOMODCACHE": str(tmp_path / "tidy"),
            "GOFLAGS": "-modcacherw -mod=mod",
        },
    )
    return go_module


LIST = ("go", "list", "-f", "{{.Dir}}", "corp.example/dep")


def test_modules_behind_a_password_are_downloaded_before_the_build(depending, tmp_path):
    cache = tmp_path / "cache"
    before = {path: path.read_bytes() for path in depending.iterdir()}
    download_modules(depending, [depending], os.environ, cache, memory=4 * GIB)
    environment = build_environment(os.environ, cache, "acme/tiny")

    *_, there = lines_of(depending, LIST, environment)
    assert there == f"{environment['GOMODCACHE']}/corp.example/dep@v1.0.0"
    assert "s3cret" not in str(environment)
    assert before == {path: path.read_bytes() for path in depending.iterdir()}


def test_a_module_that_another_build_has_changed_in_the_shared_cache_is_refused(depending, tmp_path):
    cache = tmp_path / "cache"
    download_modules(depending, [depending], os.environ, cache, memory=4 * GIB)
    (packed,) = (cache / "modules" / "cache" / "download").rglob("v1.0.0.zip")
    packed.chmod(0o600)
    with zipfile.ZipFile(packed, "a") as archive:
        archive.writestr("corp.example/dep@v1.0.0/trap.go", "package dep\n\nfunc init() { panic(1) }\n")
    # What the cache says of itself counts for nothing.
    packed.with_suffix(".ziphash").write_text(f"h1:{b64encode(hashlib.sha256(b'').digest()).decode()}")

    environment = build_environment(os.environ, cache, "acme/tiny")
    with pytest.raises(BuildError, match="checksum mismatch"):
        lines_of(depending, ("go", "mod", "download"), environment)


def test_what_cannot_be_downloaded_is_left_to_the_build_and_no_password_is_logged(
    depending, tmp_path, caplog
):
    caplog.set_level(logging.INFO)
    (tmp_path / "proxy" / "corp.example" / "dep" / "@v" / "v1.0.0.zip").unlink()

    download_modules(depending, [depending], os.environ, tmp_path / "cache", memory=4 * GIB)

    (message,) = caplog.messages
    assert message.startswith("the modules of module are not downloaded before the build: ")
    assert "404" in message
    assert "s3cret" not in caplog.text


@pytest.mark.parametrize("target", ["/dev/zero", "/etc/passwd"])
def test_a_go_mod_that_leads_elsewhere_is_not_read(go_module, tmp_path, caplog, target):
    caplog.set_level(logging.INFO)
    (go_module / "go.mod").unlink()
    (go_module / "go.mod").symlink_to(target)

    download_modules(go_module, [go_module], os.environ, tmp_path / "cache", memory=GIB)

    (message,) = caplog.messages
    assert message.endswith(f"before the build: go.mod leads out of the repository, to {target}")


def test_a_repository_is_cloned_into_the_same_directory_in_each_run(tmp_path):
    with clone_directory(tmp_path, "acme/tiny") as first:
        (first / "checkout").mkdir()
    with clone_directory(tmp_path, "acme/tiny") as second:
        assert (second, list(second.iterdir())) == (first, [])
    with clone_directory(tmp_path, "acme/other") as other:
        assert other != first

    assert not first.exists()


def test_two_runs_at_once_have_a_directory_each(tmp_path):
    with clone_directory(tmp_path, "acme/tiny") as first, clone_directory(tmp_path, "acme/tiny") as second:
        assert first != second
        assert first.is_dir()


def test_what_a_killed_run_left_behind_is_removed(tmp_path):
    program = (
        "import os, sys, time; from pathlib import Path\n"
        "from fleetpgo.golang.environment import clone_directory\n"
        "with clone_directory(Path(sys.argv[1]), 'acme/tiny') as place:\n"
        "    (place / 'left').mkdir(); (place / 'left' / 'file').touch(); (place / 'left').chmod(0o500)\n"
        "    print(place, flush=True); os.kill(os.getpid(), 9)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    left = Path(subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip())
    assert (left / "left" / "file").exists()

    with clone_directory(tmp_path, "acme/tiny") as place:
        assert (place, list(place.iterdir())) == (left, [])


def test_a_link_in_the_place_of_a_clone_is_not_followed(tmp_path):
    with clone_directory(tmp_path / "cache", "acme/tiny") as place:
        place.rmdir()
        (tmp_path / "precious").mkdir()
        place.symlink_to(tmp_path / "precious")

    assert not place.is_symlink()
    assert (tmp_path / "precious").is_dir()
