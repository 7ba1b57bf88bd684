"""Release-driven refreshes need to know which release the instances run."""

from __future__ import annotations

import pytest

from fleetpgo.errors import ServiceFileError
from fleetpgo.service.files import load_service

FILE = """\
selection: {{{selection}}}
repository: {{forge: local, connection: forge, project: api}}
build: {{binary: bin/api}}
rollout: {{fraction: vector(1){rollout}}}
{more}
release: {release}
"""
CPU = "process_cpu:cpu:nanoseconds:cpu:nanoseconds"
BUILDS = "cpu: cpu, builds: api_build_info"
REVISION = ", revision: count by (revision) (api_build_info)"


def load(directory, *, selection=BUILDS, rollout=REVISION, more="", release="{}"):
    file = directory / "api.yaml"
    file.write_text(FILE.format(selection=selection, rollout=rollout, more=more, release=release))
    return load_service(file)


def test_release_takes_its_defaults_from_an_empty_mapping(tmp_path):
    release = load(tmp_path).release
    assert (release.share, release.refresh_below, release.profile) == (0.5, 0.9, "any")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rollout": ""}, "`release` needs `rollout.revision`"),
        ({"selection": "cpu: cpu"}, "`release` needs `selection.builds`"),
        (
            {
                "selection": f"""source: store, cpu: '{CPU}{{a="b"}}'""",
                "more": f"""collection: {{source: parca, url: http://p, query: '{CPU}{{a="$host"}}'}}""",
            },
            "`release` needs `selection.source: prometheus`",
        ),
        ({"more": "schedule: '@once'"}, "`release` needs a `schedule` that comes again"),
        ({"release": "{settle: 13h}"}, "api.yaml:6: release.settle: write a time from 1s to 12h"),
        ({"release": "{settle: 0s}"}, "api.yaml:6: release.settle: write a time from 1s to 12h"),
        ({"release": "{share: 0}"}, "api.yaml:6: release.share"),
        ({"release": "{shares: 0.5}"}, "did you mean share?"),
    ],
)
def test_what_release_needs_is_named(tmp_path, change, message):
    with pytest.raises(ServiceFileError) as error:
        load(tmp_path, **change)
    assert message in str(error.value)
