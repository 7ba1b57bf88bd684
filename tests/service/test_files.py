import os

import pytest

from fleetpgo.errors import ServiceFileError
from fleetpgo.service import files as service
from fleetpgo.service.files import clashes, load_named, load_service

MINIMAL = """\
prometheus: {{connection: prometheus}}
selection: {{cpu: cpu}}
repository: {{forge: github, connection: github, project: acme/{project}{profile}}}
build: {{binary: bin/{binary}}}
rollout: {{fraction: 'count(build_info{{pgo="$profile"}}) / count(build_info)'}}
measurement: {{cpu: cpu}}
"""


def files(directory, *services):
    """A service file for each project, profile and binary."""
    found = []
    for number, (project, profile, binary) in enumerate(services):
        key = f", profile: {profile}" if profile else ""
        found.append(directory / f"s{number}.yaml")
        found[-1].write_text(MINIMAL.format(project=project, profile=key, binary=binary))
    return found


def test_two_services_of_one_repository_do_not_write_one_file(tmp_path):
    first, second = files(tmp_path, ("shop", "pgo/a.pprof", "api"), ("shop", "./pgo/a.pprof", "worker"))

    (clash,) = clashes([first, second])

    assert clash.services == {"s0", "s1"}
    assert clash.said == (
        f"{second}:3: repository.profile: s0.yaml writes the same file, pgo/a.pprof, to acme/shop; give each "
        "service a profile of its own, or leave repository.profile out and let build.binary name its binary"
    )


def test_without_a_path_each_binary_has_a_profile_of_its_own(tmp_path):
    made = files(tmp_path, ("shop", "", "api"), ("shop", "", "worker"), ("shop", "", "./api"))

    (clash,) = clashes(made)

    assert clash.said.startswith(
        f"{made[2]}:3: repository.profile: s0.yaml writes the same file, default.pgo beside"
    )


def test_other_repositories_and_other_paths_are_no_matter(tmp_path):
    made = files(
        tmp_path, ("shop", "a.pprof", "api"), ("other", "a.pprof", "api"), ("shop", "b.pprof", "api")
    )

    assert clashes(made) == []


def test_a_file_that_has_not_changed_is_checked_once(tmp_path):
    (file,) = files(tmp_path, ("shop", "", "api"))

    assert load_service(file) is load_service(file)


def test_a_change_is_seen_whatever_the_files_size_and_time(tmp_path):
    (file,) = files(tmp_path, ("shop", "", "api"))
    before = file.stat()
    load_service(file)
    file.write_text(file.read_text().replace("bin/api", "bin/web"))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert load_service(file).build.binary == "bin/web"


def test_a_service_is_found_without_a_look_at_the_others(tmp_path, monkeypatch):
    files(tmp_path, ("shop", "", "api"), ("other", "", "api"))
    monkeypatch.setattr(service, "service_files", None)

    assert load_named("s1", tmp_path).name == "s1"


def test_a_link_to_nowhere_cannot_be_read(tmp_path):
    (tmp_path / "api.yaml").symlink_to(tmp_path / "gone")

    with pytest.raises(ServiceFileError, match=r"api\.yaml: cannot be read: "):
        load_named("api", tmp_path)


@pytest.mark.parametrize("name", ["../s0", "", "s0.yaml", "a" * 5_000, "s0\0"])
def test_what_is_no_service_is_answered_with_those_there_are(tmp_path, name):
    files(tmp_path, ("shop", "", "api"))

    with pytest.raises(ServiceFileError, match="no service") as raised:
        load_named(name, tmp_path)
    assert raised.value.hint == "known services: s0"
