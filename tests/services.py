"""A service whose instances are servers on this machine."""

from __future__ import annotations

from fleetpgo.service.files import load_named

NAME = "api"
TEXT = """\
prometheus: {connection: prometheus}
selection: {cpu: cpu, target_samples: 100, instances: 1, builds: api_build_info}
collection:
  url: http://$instance/debug/pprof/profile?seconds=$seconds
  ports: [1024, 65535]
  allow: [127.0.0.1]
  plain_http: true
  per_host: 100
  max_share: 1
  attempts: 1
  seconds: 1
"""
REST = """\
repository: {forge: local, connection: forge, project: api}
build: {binary: bin/api}
rollout: {fraction: vector(1)}
measurement: {cpu: cpu}
"""


def load(directory, monkeypatch, **collection):
    """The service, from a file in a directory where Airflow and the command will look for it."""
    changes = "".join(f"  {key}: {value}\n" for key, value in collection.items())
    (directory / f"{NAME}.yaml").write_text(TEXT + changes + REST)
    monkeypatch.setenv("FLEETPGO_SERVICES", str(directory))
    return load_named(NAME)
