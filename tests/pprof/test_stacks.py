from __future__ import annotations

import subprocess

from fleetpgo.pprof import decode, stack_difference
from tests.pprof.messages import message, packed, unpacked

LEAF, OTHER, CALLER = ([(name, 10, 12)] for name in ("main.leaf", "main.other", "main.caller"))


def stacks(data: bytes) -> dict[tuple[str, ...], int]:
    """Function names, leaf first → value."""
    profile = unpacked(data)
    names = {each.id: profile.string_table[each.name].decode() for each in profile.function}
    of = {each.id: names[each.line[0].function_id] for each in profile.location}
    return {tuple(of[i] for i in sample.location_id): sample.value[0] for sample in profile.sample}


def test_what_grew_and_what_shrank_are_shares_of_all_cpu():
    old = packed(message([([LEAF, CALLER], 6), ([OTHER, CALLER], 4)]))
    new = packed(message([([LEAF, CALLER], 20), ([OTHER, CALLER], 60), ([CALLER], 20)]))
    grown, shrunk = map(stacks, stack_difference(decode(old), decode(new)))
    assert grown == {("main.other", "main.caller"): 200_000, ("main.caller",): 200_000}
    assert shrunk == {("main.leaf", "main.caller"): 400_000}


def test_profiles_of_equal_shares_have_no_difference():
    old = packed(message([([LEAF, CALLER], 1), ([CALLER], 3)]))
    new = packed(message([([LEAF, CALLER], 10), ([CALLER], 30)]))
    assert list(map(stacks, stack_difference(decode(old), decode(new)))) == [{}, {}]


def test_go_reads_the_difference(real, default_pgo, tmp_path):
    grown, _ = stack_difference(decode(real), decode(default_pgo))
    (tmp_path / "grown.pb.gz").write_bytes(grown)
    command = ["go", "tool", "pprof", "-top", "-symbolize=none", "grown.pb.gz"]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True, text=True).stdout
    assert "Type: share" in said
    assert "cmd/compile/internal" in said
