"""A rollout is measured while the standing baseline is rotated: who joins or leaves it is left out."""

from __future__ import annotations

from datetime import timedelta

import pytest

from fleetpgo.measurement.measuring import measure
from tests.measurement.conftest import NOON, PROFILE, SAVING, STEP

START, END = (int((NOON + timedelta(hours=hours)).timestamp()) for hours in (-2, 2))
NOON_S = int(NOON.timestamp())
TURN = NOON_S + 1_800
"""When the other instance of each datacenter goes into the baseline, in the middle of the window."""

ROLES = {
    # role → spans in which it runs the new build
    "treated": [(NOON_S + 300, END)],
    "held-back": [],
    "first": [(TURN, END)],
    "second": [(NOON_S + 300, TURN)],
}


@pytest.fixture(scope="module")
def fleet(start_prometheus):
    times = range(START, END, STEP)
    data = []
    for number, datacenter in enumerate(("ams", "lhr", "sjc")):
        for role, spans in ROLES.items():
            labels = {"instance": f"{role}.{datacenter}:80", "datacenter": datacenter}

            def new(at, spans=spans):
                return any(start <= at < end for start, end in spans)

            def started(at, new=new):
                restarts = [
                    START,
                    NOON_S + 300,
                    *([TURN] if at >= TURN and new(TURN) != new(TURN - 1) else []),
                ]
                return max(each for each in restarts if each <= at)

            own = 0.002 * (number - 1)
            data += [
                ("cpu", labels, [(at, 1 - (SAVING + own if new(at) else 0)) for at in times]),
                ("requests", labels, [(at, 100) for at in times]),
                ("started", labels, [(at, started(at)) for at in times]),
                ("build_info", {**labels, "pgo": PROFILE}, [(at, 1) for at in times if new(at)]),
                # Before the first profile all run a build without one.
                ("build_info", {**labels, "pgo": "off"}, [(at, 1) for at in times if not new(at)]),
            ]
    return start_prometheus(data)


def compared(fleet, service, rollout, **rules):
    # Here a series lasts for five minutes after its last sample; one that is scraped ends at once.
    treated = f'last_over_time(build_info{{pgo="{PROFILE}"}}[31s])'
    keys = {"started": "started", "treated": treated, **rules}
    changed = service.model_copy(update={"rollout": service.rollout.model_copy(update=keys)})
    return measure(fleet, changed, rollout, period="rollout", window=timedelta(minutes=30)).comparison


BASELINE = 'last_over_time(build_info{pgo="off"}[31s])'


def test_who_was_rotated_is_in_neither_group(fleet, service, rollout):
    found = compared(fleet, service, rollout, baseline=BASELINE)
    assert {name: each.instances for name, each in found.groups.items()} == {"treated": 3, "control": 3}
    assert found.groups["treated"].saved_share == pytest.approx(SAVING)
    assert found.groups["control"].saved_share == pytest.approx(0, abs=1e-9)


def test_the_saving_is_that_of_the_instances_that_kept_the_new_build(fleet, service, rollout):
    found = compared(fleet, service, rollout, baseline=BASELINE)
    assert found.verdict.call == "saved"
    assert found.estimate.saving == pytest.approx(SAVING, abs=0.0005)
    assert found.queries["rotated into or out of the baseline"] in found.queries["held back"]


def test_without_the_key_a_rotation_is_another_deploy(fleet, service, rollout):
    found = compared(fleet, service, rollout)
    assert found.verdict.call == "invalid"
    assert any("50 % of the instances were started" in each for each in found.verdict.reasons)


def test_a_baseline_of_which_nobody_is_rotated_changes_nothing(fleet, service, rollout):
    standing = 'build_info{instance=~"held-back.*",pgo="off"}'
    found, plain = (compared(fleet, service, rollout, baseline=each) for each in (standing, None))
    assert (found.groups, found.queries) == (plain.groups, plain.queries)
