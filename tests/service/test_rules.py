from __future__ import annotations

from pathlib import Path

import pytest

from fleetpgo.errors import BuildError, FleetPGOError, ServiceFileError
from fleetpgo.service import files as services
from fleetpgo.service import rules

MINIMAL = """\
prometheus: {connection: prometheus}
selection: {cpu: "cpu{tier='1'}"}
repository: {forge: github, connection: github, project: acme/api}
build: {binary: bin/api}
rollout: {fraction: 'count(build_info{pgo="$profile"}) / count(build_info)'}
measurement: {cpu: cpu}
"""


def write(directory: Path, text: str, name: str = "api.yaml") -> Path:
    file = directory / name
    file.write_text(text)
    return file


def test_a_service_is_named_by_its_file(tmp_path):
    assert services.load_service(write(tmp_path, MINIMAL)).name == "api"


def test_what_a_file_leaves_out_has_safe_defaults(tmp_path):
    service = services.load_service(write(tmp_path, MINIMAL))
    assert (service.schedule, service.collection.seconds, service.build.command, service.branch) == (
        "@weekly",
        30,
        ("make", "build"),
        "fleetpgo/api",
    )


def test_a_variants_flags_and_variables_are_laid_over_those_of_the_build(tmp_path):
    variant = "{environment: {GOAMD64: v3}, flags: [-trimpath, '-gcflags=all=-l -m']}"
    text = MINIMAL.replace("bin/api}", f"bin/api, variants: {{v3: {variant}}}}}")

    variant = services.load_service(write(tmp_path, text)).build.variants["v3"]

    assert variant.over({"GOFLAGS": "-tags=netgo", "LANG": "C"}) == {
        "GOFLAGS": "-tags=netgo '-trimpath' '-gcflags=all=-l -m'",
        "GOAMD64": "v3",
        "LANG": "C",
    }
    assert variant.sets == "GOAMD64=v3 -trimpath -gcflags=all=-l -m"


def test_a_number_in_the_builds_environment_is_its_digits(tmp_path):
    environment = "build: {binary: bin/api, environment: {CGO_ENABLED: 0, GOFLAGS: -tags=netgo}}"
    text = MINIMAL.replace("build: {binary: bin/api}", environment)

    assert services.load_service(write(tmp_path, text)).build.environment == {
        "CGO_ENABLED": "0",
        "GOFLAGS": "-tags=netgo",
    }


def test_a_file_may_hold_what_only_the_slower_reader_takes(tmp_path):
    collection = "collection: {url: https://api.example.com/profile, allow: [::1]}\n"
    assert services.load_service(write(tmp_path, MINIMAL + collection)).collection.allow == ("::1",)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (
            "selection: {",
            "selection: {cpus: x, ",
            "api.yaml:2: selection.cpus: unknown key; did you mean cpu?",
        ),
        ("build: {binary: bin/api}\n", "", "api.yaml:1: build: this key is required"),
        (
            "build: {binary: bin/api}",
            "build: {binary: bin/api}\ncommit: {sign: forge}",
            "api.yaml:5: commit: `sign: forge` needs `author`: NAME[bot] <ID+NAME[bot]@users.noreply",
        ),
        (
            "forge: github, connection: github, project: acme/api}",
            "forge: gitea, connection: gitea, project: acme/api}\ncommit: {sign: forge, author: 'a <a@b.c>'}",
            "`commit.sign: forge` needs `repository.forge: github`; elsewhere: ssh or gpg",
        ),
        ("{binary: bin/api}", "{}", "api.yaml:4: build.binary: this key is required"),
        ("binary: bin/api", "binary: ../api", "api.yaml:4: build.binary: the path must be relative"),
        (
            "binary: bin/api",
            "binary: bin/api, command: CGO_ENABLED=0 make build",
            "api.yaml:4: build.command: no shell runs the command, so CGO_ENABLED=0 would be taken for a",
        ),
        (
            "binary: bin/api",
            "binary: bin/api, environment: {NPM_TOKEN: x}",
            "api.yaml:4: build.environment: NPM_TOKEN looks like a secret",
        ),
        (
            "binary: bin/api",
            "binary: bin/api, environment: {GOCACHE: x}",
            "api.yaml:4: build.environment: fleetpgo itself sets GOCACHE",
        ),
        (
            "binary: bin/api",
            "binary: bin/api, environment: {a-b: x}",
            "api.yaml:4: build.environment: a-b is not a variable name",
        ),
        (
            "binary: bin/api",
            "binary: bin/api, variants: {v3: {environment: {GOOS: plan9}}}",
            "api.yaml:4: build.variants.v3.environment: a variant may not set GOOS, but only how Go compiles",
        ),
        (
            "binary: bin/api",
            "binary: bin/api, variants: {v3: {environment: {GOFLAGS: -race}}}",
            "api.yaml:4: build.variants.v3.environment: give GOFLAGS as `flags`",
        ),
        (
            "binary: bin/api",
            "binary: bin/api, variants: {v3: {flags: -pgo=off}}",
            "api.yaml:4: build.variants.v3.flags: the profile is the same in all builds",
        ),
        (
            "binary: bin/api",
            "binary: bin/api, variants: {v3: {flags: '-gcflags=all=-pgoprofile=/tmp/other'}}",
            "api.yaml:4: build.variants.v3.flags: the profile is the same in all builds",
        ),
        (
            "binary: bin/api",
            "binary: bin/api, variants: {v3: {flags: -gcflags}}",
            "api.yaml:4: build.variants.v3.flags: -gcflags has no value; write it after =: -gcflags=all=-N",
        ),
        (
            "binary: bin/api",
            "binary: bin/api, variants: {v3: {flags: -gcflags=-N -l}}",
            "each with its value after =. Write a list: a flag with blanks stands in it: ['-gcflags=-N -l']",
        ),
        (
            "binary: bin/api",
            "binary: bin/api, variants: {v3: {flags: -toolexec=/bin/sh}}",
            "api.yaml:4: build.variants.v3.flags: a variant may not pass -toolexec=/bin/sh",
        ),
        (
            "binary: bin/api",
            "binary: bin/api, variants: {v3: {}}",
            "api.yaml:4: build.variants.v3: a variant needs `environment` or `flags`",
        ),
        (
            "binary: bin/api",
            "binary: bin/api, variants: {'a b': {flags: -trimpath}}",
            "api.yaml:4: build.variants.a b",
        ),
        ("$profile", "$digest", "api.yaml:5: rollout.fraction: unknown placeholder $digest"),
        ('"$profile"', '~".*$"', "api.yaml:5: rollout.fraction: a lone $ is not a placeholder"),
        (
            "{cpu: cpu}",
            "{cpu: cpu, week: 7 days}",
            "api.yaml:6: measurement.week: write a duration as Prometheus does",
        ),
        (
            "forge: github",
            "forge: svn",
            "api.yaml:3: repository.forge: Input should be 'local', 'github', 'gitlab' or 'gitea'",
        ),
        ("acme/api", "../etc", "api.yaml:3: repository.project: String should match pattern"),
        (
            "selection: {",
            "selection: {matchers: 'a=1', ",
            "api.yaml:2: selection.matchers: write matchers as in PromQL",
        ),
        (
            "selection: {",
            """selection: {matchers: 'a="1"', """,
            "api.yaml:2: selection: `matchers` needs `builds`",
        ),
        (
            "build:",
            "collection: {url: 'http://$instance/p'}\nbuild:",
            "api.yaml:4: collection: `url` takes the port from a label",
        ),
        ("build:", "collection: {url: 'ftp://a/'}\nbuild:", "api.yaml:4: collection.url: a URL starts with"),
        (
            "build:",
            "collection: {url: 'http://u:p@a/'}\nbuild:",
            "collection.url: a URL must hold no credentials",
        ),
        ("build:", "collection: {connection: c}\nbuild:", "collection: `connection` sends credentials"),
        (
            "build:",
            "collection: {connection: c, allow: [a]}\nbuild:",
            "collection: `connection` sends credentials: write https://",
        ),
        ("build:", "collection: {allow: ['a/24']}\nbuild:", "collection.allow: 'a/24' is neither a network"),
        (
            "selection: {",
            "selection: {windows: [{name: day, at: '25:00', share: 1}], ",
            "selection.windows.0.at: String should match pattern",
        ),
        (
            "selection: {",
            "selection: {windows: [{name: day, at: '14:00', timezone: Mars/Base, share: 1}], ",
            "selection.windows.0.timezone: write the IANA name of a time zone",
        ),
        (
            "selection: {",
            "selection: {windows: [{name: day, at: '14:00', share: 0.7}], ",
            "selection: the shares of `windows` must add up to 1",
        ),
        (
            "selection: {",
            "selection: {windows: [{name: a, at: '14:00', share: 0.5}, {name: a, at: '02:00', share: 0.5}], ",
            "selection: two of `windows` have the same name",
        ),
        (
            "selection: {",
            "selection: {source: store, ",
            "selection: with `source: store`, write in `cpu` a profile type with matchers",
        ),
        (
            """selection: {cpu: "cpu{tier='1'}"}""",
            """selection: {source: store, cpu: 'a:b:c:d:e{job="api"}'}""",
            "`selection.source: store` needs `collection.source`: pyroscope or parca",
        ),
        (
            "build:",
            "collection: {window: 1h}\nbuild:",
            "collection: `window` is for stored profiles; the source pprof_http takes `seconds`",
        ),
        (
            "build:",
            "collection: {source: parca, window: 8d}\nbuild:",
            "collection.window: a window is 1s to 7d long",
        ),
        (
            "build:",
            "collection: {source: parca}\nbuild:",
            "collection: the sources pyroscope and parca need `query`",
        ),
        (
            "build:",
            "collection: {query: 'a:b:c:d:e{pod=\"$pod\"}'}\nbuild:",
            "collection: the sources pyroscope and parca need `query`",
        ),
        (
            "build:",
            "collection: {source: parca, query: 'a:b:c:d:e{pod=\"$pod\"}'}\nbuild:",
            "collection: the `url` of pyroscope and parca is the server's address",
        ),
        (
            "build:",
            "collection: {query: '{pod=\"$pod\"}'}\nbuild:",
            "collection.query: write a profile type with matchers",
        ),
        (
            "build:",
            "collection: {query: 'a:b:c:d:e{pod=\"x\"}'}\nbuild:",
            "collection.query: without a placeholder such as $instance every instance gets",
        ),
        (MINIMAL, "prometheus: {connection", "not valid YAML"),
        (MINIMAL, 'owner: "a\x07b"', "api.yaml: not valid YAML: unacceptable character"),
        (MINIMAL, "owner: 2026-13-45", "api.yaml: not valid YAML: month must be in 1..12"),
        (MINIMAL, "owner: !!bool perhaps", "api.yaml: not valid YAML: 'perhaps'"),
        *[
            (MINIMAL, deep, "api.yaml: not valid YAML: more than 50 lists and mappings in one another")
            for deep in ("[" * 2_000, "[" * 50_000 + "]" * 50_000, "- " * 50_000, "? " * 50_000)
        ],
        (MINIMAL, "- a list\n", "api.yaml:1: a service file must be a mapping"),
        ("prometheus:", "name: api\nprometheus:", "api.yaml:1: name: remove this key"),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path, before, after, message):
    file = write(tmp_path, MINIMAL.replace(before, after, 1))
    with pytest.raises(ServiceFileError) as raised:
        services.load_service(file)
    assert message in str(raised.value)


def test_all_mistakes_are_named_at_once(tmp_path):
    file = write(tmp_path, MINIMAL.replace("cpu: cpu}", "cpus: cpu}").replace("binary", "binaries"))
    with pytest.raises(ServiceFileError) as raised:
        services.load_service(file)
    assert sorted(line.split(":")[1] for line in raised.value.message.splitlines()) == ["4", "4", "6"]


@pytest.mark.parametrize("name", ["My API.yaml", "api-revert.yaml"])
def test_a_name_that_cannot_be_a_dag_id_or_is_another_s_branch_is_refused(tmp_path, name):
    with pytest.raises(ServiceFileError, match="cannot be a service's name"):
        services.load_service(write(tmp_path, MINIMAL, name))


def test_an_unknown_service_is_answered_with_the_known_ones(tmp_path):
    write(tmp_path, MINIMAL)
    with pytest.raises(ServiceFileError, match="known services: api"):
        services.load_named("web", tmp_path)


@pytest.mark.parametrize("file", services.service_files(), ids=lambda file: file.stem)
def test_the_projects_own_service_files_are_valid(file):
    assert services.load_service(file).name == file.stem


def test_the_schema_explains_every_key():
    definitions = rules.ServiceRules.model_json_schema()["$defs"]
    unexplained = [
        f"{part}.{key}"
        for part, definition in definitions.items()
        for key, about in definition["properties"].items()
        if "description" not in about
    ]
    assert unexplained == []


def test_values_for_one_run_are_checked_like_the_files(tmp_path):
    rules = services.load_service(write(tmp_path, MINIMAL)).selection
    assert services.override(rules, instances=3, matchers=None).instances == 3
    with pytest.raises(ServiceFileError, match="instances: Input should be greater"):
        services.override(rules, instances=0)


def test_an_unknown_key_in_a_list_is_named_with_its_own_line(tmp_path):
    windows = "selection:\n  cpu: cpu\n  windows:\n    - {name: a, at: '14:00', share: 1, timezon: UTC}\n"
    file = write(tmp_path, MINIMAL.replace("selection: {cpu: \"cpu{tier='1'}\"}\n", windows))
    with pytest.raises(
        ServiceFileError, match=r"api\.yaml:5: .*\.timezon: unknown key; did you mean timezone\?"
    ):
        services.load_service(file)


def test_a_file_may_end_in_yml(tmp_path):
    write(tmp_path, MINIMAL, "api.yml")
    assert services.load_named("api", tmp_path).name == "api"


def test_two_files_of_one_service_are_refused(tmp_path):
    write(tmp_path, MINIMAL, "api.yml")
    with pytest.raises(ServiceFileError, match=r"api\.yaml and api\.yml both describe the service api"):
        services.load_service(write(tmp_path, MINIMAL))


def test_a_mistyped_service_is_answered_with_the_closest(tmp_path):
    write(tmp_path, MINIMAL, "gateway.yaml")
    with pytest.raises(ServiceFileError, match=r"did you mean gateway\?"):
        services.load_named("gatway", tmp_path)


@pytest.mark.parametrize(
    ("said", "located"),
    [
        ("correct build.binary", "correct build.binary (api.yaml:4)"),
        ("raise build.timeout.", "raise build.timeout (not set in api.yaml)."),
        ("lower profile.fail_below", "lower profile.fail_below (not set in api.yaml)"),
        ("see `build.binary`", "see `build.binary (api.yaml:4)`"),
        ("build.binary (api.yaml:4)", "build.binary (api.yaml:4)"),
        ("profile.pprof, bin/build.binary, acme.build.binary", None),
        ("build.nothing, review, example.com", None),
    ],
)
def test_the_keys_that_a_text_names_get_their_lines(tmp_path, said, located):
    assert (located or said) == services.locate_keys(said, write(tmp_path, MINIMAL))


@pytest.mark.parametrize("text", ["build: {", "[]", "build: 7", ""])
def test_a_file_that_cannot_be_read_locates_nothing_wrongly(tmp_path, text):
    said = services.locate_keys("correct build.binary", write(tmp_path, text))
    assert said in {"correct build.binary", "correct build.binary (not set in api.yaml)"}


def test_an_error_gets_the_lines_of_its_keys(tmp_path, monkeypatch):
    write(tmp_path, MINIMAL)
    monkeypatch.setenv("FLEETPGO_SERVICES", str(tmp_path))
    with pytest.raises(FleetPGOError) as raised, services.keys_located("api"):
        raise BuildError("no binary", hint="correct build.binary")
    assert str(raised.value) == "no binary\n→ correct build.binary (api.yaml:4)"


@pytest.mark.parametrize("schedule", ["0 4 * * 1", "@weekly", "*/5 0-6,22 L jan mon-fri", "@once"])
def test_a_schedule_is_one_that_airflow_knows(tmp_path, schedule):
    file = write(tmp_path, f"{MINIMAL}schedule: '{schedule}'\n")
    assert services.load_service(file).schedule == schedule


@pytest.mark.parametrize("schedule", ["every monday", "at four on every monday", "@continuous"])
def test_a_schedule_that_airflow_does_not_know_is_refused_with_what_to_write(tmp_path, schedule):
    with pytest.raises(ServiceFileError, match=r"api.yaml:7: schedule: .*0 4 \* \* 1, @weekly"):
        services.load_service(write(tmp_path, f"{MINIMAL}schedule: '{schedule}'\n"))


def test_a_label_of_kubernetes_is_written_as_prometheus_has_it(tmp_path):
    selection = "selection: {cpu: cpu, datacenter_label: topology.kubernetes.io/zone}"
    text = MINIMAL.replace("selection: {cpu: \"cpu{tier='1'}\"}", selection)
    with pytest.raises(ServiceFileError, match="would call it topology_kubernetes_io_zone"):
        services.load_service(write(tmp_path, text))
