"""docker-compose.yaml on podman without an init system: dependencies, health checks and replicas.

Podman runs health checks by systemd's timers. Where there is none, this module runs them itself. Of the
compose specification it knows what the file uses; an unknown key ends the test.
"""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML

from demo.airflow import PROJECT
from tests.containers.images import podman

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NETWORK, PREFIX = "fleetpgo-containers", "fleetpgo-containers-"

_KNOWN = {
    *("image", "build", "command", "entrypoint", "environment", "env_file", "volumes", "depends_on", "user"),
    *("restart", "logging", "healthcheck", "ports", "deploy", "profiles", "stop_grace_period"),
    *("working_dir", "group_add"),  # of services that this test leaves out
}
_VARIABLE = re.compile(r"\$\$|\$\{(\w+)(?::([-?])((?:[^{}]|\$\{[^}]*\})*))?\}")


class Stack:
    """The containers of a compose file.

    Args:
        env: variables of `.env`.
        profiles: profiles that are on.
        more: service → volumes besides those of the file.
    """

    def __init__(
        self, env: Mapping[str, str], profiles: Sequence[str], more: Mapping[str, Sequence[str]]
    ) -> None:
        document = YAML(typ="safe").load(PROJECT / "docker-compose.yaml")
        self._env, self._more = env, more
        self.services: dict[str, dict[str, Any]] = {
            name: self._interpolated(service)
            for name, service in document["services"].items()
            if not service.get("profiles") or set(service["profiles"]) & set(profiles)
        }
        for name, service in self.services.items():
            if unknown := set(service) - _KNOWN:
                raise SystemExit(f"{name}: this test does not know {', '.join(sorted(unknown))}")

    def _interpolated(self, node: Any) -> Any:  # what YAML holds
        if isinstance(node, dict):
            return {key: self._interpolated(value) for key, value in node.items()}
        if isinstance(node, list):
            return [self._interpolated(each) for each in node]
        return _VARIABLE.sub(self._value, node) if isinstance(node, str) else node

    def _value(self, found: re.Match[str]) -> str:
        name, kind, rest = found.groups()
        if name is None:
            return "$"
        value = self._env.get(name, "")
        if not value and kind == "?":
            raise SystemExit(f"{name}: {rest}")
        return value or (rest or "")

    def names(self, service: str) -> list[str]:
        """Return the names of a service's containers."""
        replicas = int(self.services[service].get("deploy", {}).get("replicas", 1))
        return [f"{PREFIX}{service}-{number}" for number in range(1, replicas + 1)]

    def up(self, wanted: Sequence[str] = ()) -> None:
        """Start services, by default all, each after what it needs; wait until all are healthy."""
        podman("network", "create", NETWORK, check=False)
        started: set[str] = set()
        for service in wanted or self.services:
            self._up(service, started)
        for service in started:
            self.wait_healthy(service)

    def _up(self, service: str, started: set[str]) -> None:
        if service in started:
            return
        for other, how in self.services[service].get("depends_on", {}).items():
            if other not in self.services:
                continue
            self._up(other, started)
            if how["condition"] == "service_healthy":
                self.wait_healthy(other)
            elif how["condition"] == "service_completed_successfully":
                self._wait_done(other)
        for name in self.names(service):
            self._create(service, name)
        started.add(service)

    def _create(self, service: str, name: str) -> None:
        rules = self.services[service]
        arguments: list[object] = ["--name", name, "--network", NETWORK, "--network-alias", service]
        for file in rules.get("env_file", ()):
            if Path(file["path"]).exists():
                arguments += ["--env-file", file["path"]]
        for key, value in rules.get("environment", {}).items():
            arguments += ["--env", f"{key}={str(value).strip()}"]
        for volume in [*rules.get("volumes", ()), *self._more.get(service, ())]:
            source, _, rest = volume.partition(":")
            place = (PROJECT / source) if source.startswith((".", "/")) else f"{PREFIX}{source}"
            arguments += ["--volume", f"{place}:{rest}"]
        if "user" in rules:
            arguments += ["--user", rules["user"]]
        restart = rules.get("restart", "no")
        arguments += ["--restart", "always" if restart == "unless-stopped" else "no"]
        entrypoint, command = rules.get("entrypoint"), list(rules.get("command", ()))
        if entrypoint:
            arguments += ["--entrypoint", entrypoint[0]]
            command = entrypoint[1:] + command
        image = rules["image"]
        podman("run", "--detach", "--replace", *arguments, _full(image), *command)

    def _wait_done(self, service: str) -> None:
        for name in self.names(service):
            code = podman("wait", name)
            if code != "0":
                raise SystemExit(f"{service} ended with {code}:\n{podman('logs', '--tail', 40, name)}")

    def wait_healthy(self, service: str, seconds: float = 300) -> None:
        """Wait until the health check of each container of a service has succeeded once."""
        test = self.services[service].get("healthcheck", {}).get("test")
        if not test or self.services[service].get("restart") != "unless-stopped":
            return
        command = test[1:] if test[0] == "CMD" else ["sh", "-c", test[1]]
        deadline = time.monotonic() + seconds
        for name in self.names(service):
            while True:
                if _works(name, command):
                    break
                if time.monotonic() > deadline:
                    raise SystemExit(
                        f"{name} is not healthy:\n{podman('logs', '--tail', 60, name, check=False)}"
                    )
                time.sleep(3)

    def down(self) -> None:
        """Remove all containers; volumes stay."""
        for service in reversed(self.services):
            podman("rm", "--force", "--time", 20, "--ignore", *self.names(service))

    def destroy(self) -> None:
        """Remove containers, volumes and the network."""
        self.down()
        found = podman("volume", "ls", "--quiet", check=False).splitlines()
        ours = [name for name in found if name.startswith(PREFIX)]
        if ours:
            podman("volume", "rm", "--force", *ours)
        podman("network", "rm", "--force", NETWORK, check=False)


def _works(name: str, command: Sequence[str]) -> bool:
    return (
        podman("exec", name, "sh", "-c", '"$@" >/dev/null 2>&1 && echo well', "sh", *command, check=False)
        == "well"
    )


def _full(image: str) -> str:
    """Return an image's whole name, as a registry's rules read it."""
    first = image.partition("/")[0]
    if image.startswith(("fleetpgo:", "wshim:", "loadgen:")):
        return f"localhost/{image}"
    if "/" not in image:
        return f"docker.io/library/{image}"
    return image if "." in first else f"docker.io/{image}"
