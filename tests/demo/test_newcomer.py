"""The README's five commands on a newcomer's fleet, against what docs/first-hour.md shows of them."""

import re
from pathlib import Path

import pytest

from demo.newcomer import Shop
from demo.transcript import SERVICE, Shell, look_around
from tests.readme import commands

pytestmark = pytest.mark.timeout(900)  # three builds of net/http, if Go's cache is cold

PAGE = (Path(__file__).parents[2] / "docs" / "first-hour.md").read_text(encoding="utf-8")
SHOWN = {
    line: output
    for _, line, output in re.findall(r"(`{3,})console\n\$ ([^\n]*)\n(.*?)\n\1\n", PAGE, re.DOTALL)
}


def masked(text: str) -> list[str]:
    """Return the lines of an output without what differs from run to run: numbers, times, paths, widths."""
    text = re.sub(r"\$HOME|/\S*/newcomer\b|/\S*/forge\b", "DIR", text)
    text = re.sub(r"^fleetpgo-kernel: .*", "KERNEL", text, flags=re.MULTILINE)  # where there is Rust
    text = re.sub(r"\S*/bin/(?=go\b|git\b)", "BIN/", text)
    text = re.sub(r"\b(ams|lhr|sjc)\b", "DC", text)  # of several of one size any may be named
    text = re.sub(r"[─━]+|-{2,}", "-", text)
    text = re.sub(r"\b[0-9a-f]{7,64}\b", "HEX", text)
    text = re.sub(r"[+−-]?\d[\d.,:e+]*", "N", text)
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


@pytest.fixture(scope="module")
def steps(tmp_path_factory, go_cache):
    """Each command of a newcomer up to the dry run, without what does not begin with fleetpgo."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GOCACHE", str(go_cache / "go-build"))
        with Shop(tmp_path_factory.mktemp("shop"), requests_per_second=5) as shop:
            shop.wait_ready()
            return {step.command: step for step in look_around(Shell(shop, go_cache), seconds=5)}


def test_each_command_of_the_readme_is_among_them(steps):
    told = {line.replace("api", SERVICE) for line in commands() if line.startswith("fleetpgo ")}
    typed = {
        line.replace("$FLEETPGO_FORGE/shop.git", f"https://github.com/you/{SERVICE}").removesuffix(
            " --seconds 5"
        )
        for line in steps
    }
    assert told <= typed


def test_each_ends_well(steps):
    assert {line: step.output for line, step in steps.items() if step.status} == {}


@pytest.mark.parametrize("begin", ["fleetpgo discover", "fleetpgo init", "cat ", "fleetpgo doctor"])
def test_what_is_said_before_anything_is_profiled_is_what_the_page_shows(steps, begin):
    ((line, step),) = ((line, step) for line, step in steps.items() if line.startswith(begin))
    assert masked(step.output) == masked(SHOWN[line])


def test_the_dry_run_has_the_sections_that_the_page_shows(steps):
    (step,) = (step for line, step in steps.items() if line.startswith("fleetpgo run"))

    def sections(output):
        return [line for line in output.splitlines() if line.startswith(("# ", "### ", "diff --git"))]

    assert sections(step.output) == sections(SHOWN[f"fleetpgo run {SERVICE} --dry-run"])
