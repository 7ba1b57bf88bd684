"""What a build for a pull request costs: `propose`, twice on one base commit, at first with no build cache.

The service is Caddy, from Go's module proxy: one main package, hundreds of packages below it. It is built,
run and asked for pages, which it renders and compresses, while two CPU profiles are taken. The first run
proposes one, the second the other. A dry run does all but the push. CPU is that of this process and of all
that it started. Modules are downloaded before the clock starts.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import threading
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

from bench.machine import described
from fleetpgo.proposal.body import Provenance
from fleetpgo.proposal.forges.local import LocalForge
from fleetpgo.proposal.git import git
from fleetpgo.service.rules import ServiceRules
from fleetpgo.steps.propose import propose

FOLDER = Path(".local/bench/build")
MODULE = "github.com/caddyserver/caddy/v2@v2.11.9"
MAKEFILE = "build:\n\tgo build -o bin/caddy ./cmd/caddy\n"
PAGE = "{{range $i := until 400}}<p>{{$i}} {{now | date `15:04`}} {{randAlpha 20}}</p>\n{{end}}"
SECONDS = 20
CLIENTS = 8


def repository() -> LocalForge:
    """The module as a repository on a local forge."""
    forge, work = FOLDER / "forge", FOLDER / "work"
    if not (forge / "caddy.git").exists():
        told = subprocess.run(
            ["go", "mod", "download", "-json", MODULE], env=environment(), capture_output=True, check=True
        )
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(json.loads(told.stdout)["Dir"], work, copy_function=shutil.copy)
        subprocess.run(["chmod", "-R", "u+w", str(work)], check=True)
        (work / "Makefile").write_text(MAKEFILE)
        (work / ".gitignore").write_text("/bin/\n")
        git(work, "init", "--quiet", "--initial-branch=main")
        git(work, "add", ".")
        git(work, "commit", "--quiet", "--message", "Begin")
        forge.mkdir(exist_ok=True)
        git(FOLDER, "clone", "--quiet", "--bare", "work", "forge/caddy.git")
    return LocalForge(str(forge.absolute()), "caddy")


def environment() -> dict[str, str]:
    """That of this process, with Go's directories below ours."""
    own = {"GOPATH": FOLDER / "gopath", "GOCACHE": FOLDER / "go-build"}
    return (
        os.environ | {name: str(path.absolute()) for name, path in own.items()} | {"GOFLAGS": "-modcacherw"}
    )


def profiles() -> list[bytes]:
    """Two CPU profiles of the service at work; kept, so that other code can be measured with them, too."""
    files = [FOLDER / "a.pprof", FOLDER / "b.pprof"]
    if not all(file.exists() for file in files):
        subprocess.run(["make", "build"], cwd=FOLDER / "work", env=environment(), check=True)
        take(files)
    return [file.read_bytes() for file in files]


def take(files: list[Path]) -> None:
    """Run the service under load and take a profile into each file."""
    site = FOLDER / "site"
    site.mkdir(exist_ok=True)
    (site / "index.html").write_text(PAGE)
    admin, port = free_port(), free_port()
    handlers = [
        {"handler": "encode", "encodings": {"gzip": {}, "zstd": {}}, "prefer": ["zstd", "gzip"]},
        {"handler": "templates", "file_root": str(site.absolute())},
        {"handler": "file_server", "root": str(site.absolute())},
    ]
    server = {"listen": [f"127.0.0.1:{port}"], "routes": [{"handle": handlers}]}
    config = FOLDER / "config.json"
    config.write_text(
        json.dumps(
            {"admin": {"listen": f"127.0.0.1:{admin}"}, "apps": {"http": {"servers": {"bench": server}}}}
        )
    )
    caddy = subprocess.Popen(
        [str((FOLDER / "work/bin/caddy").absolute()), "run", "--config", str(config)],
        stderr=subprocess.DEVNULL,
        env={**environment(), "HOME": str(FOLDER.absolute())},
    )
    done = threading.Event()

    def ask() -> None:
        request = urllib.request.Request(f"http://127.0.0.1:{port}/")
        request.add_header("Accept-Encoding", "gzip, zstd")
        while not done.is_set():
            with suppress(OSError), urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
                answer.read()

    clients = [threading.Thread(target=ask) for _ in range(CLIENTS)]
    try:
        for client in clients:
            client.start()
        time.sleep(3)
        for file in files:
            address = f"http://127.0.0.1:{admin}/debug/pprof/profile?seconds={SECONDS}"
            with urllib.request.urlopen(address, timeout=SECONDS + 60) as answer:
                file.write_bytes(answer.read())
    finally:
        done.set()
        for client in clients:
            client.join()
        caddy.kill()
        caddy.wait()


def free_port() -> int:
    """A loopback port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    os.environ.pop("GOCACHE", None)
    forge, cache = repository(), FOLDER / "cache"
    service = ServiceRules.model_validate(
        {
            "name": "caddy",
            "prometheus": {"connection": "prometheus"},
            "selection": {"cpu": "up"},
            "repository": {"forge": "local", "connection": "forge", "project": "caddy"},
            "build": {"binary": "bin/caddy"},
            "rollout": {"fraction": "up"},
            "measurement": {"cpu": "up"},
        }
    )
    provenance = Provenance(run="bench", query="up", selected=1, missing={}, samples=1)
    first, second = profiles()
    subprocess.run(
        ["go", "mod", "download"],
        cwd=FOLDER / "work",
        env=environment() | {"GOMODCACHE": str((cache / "modules").absolute())},
        check=True,
    )
    if (cache / "repositories").exists():
        subprocess.run(["chmod", "-R", "u+w", str(cache / "repositories")], check=True)
        shutil.rmtree(cache / "repositories")
    print(described(), end="\n\n")
    print("| run | CPU s | wall s |\n|---|---:|---:|", flush=True)
    for name, profile in (("first", first), ("second, same base", second)):
        before, began = os.times(), time.monotonic()
        propose(service, forge, profile, provenance, dry_run=True, cache=cache)
        after, wall = os.times(), time.monotonic() - began
        cpu = sum(after[:4]) - sum(before[:4])
        print(f"| {name} | {cpu:.0f} | {wall:.0f} |", flush=True)


if __name__ == "__main__":
    main()
