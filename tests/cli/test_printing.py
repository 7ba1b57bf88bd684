import logging
from pathlib import Path

import pytest

from fleetpgo import cli, foreign
from fleetpgo.cli.printing import clean_record, plain, say

MODULES = sorted(set(Path(cli.__file__).parent.glob("*.py")) - {Path(cli.__file__).with_name("printing.py")})
STEERS = "a\x1b[2J\u202eb\0\x07 s3cret-t0ken\n\tc"
CLEAN = "a�b�� •••\n\tc"


@pytest.fixture(autouse=True)
def _known(_no_secrets):
    foreign.remember("s3cret-t0ken")


def test_no_control_character_and_no_secret_reaches_a_terminal(capsys):
    say(STEERS)
    say(STEERS, err=True, nl=False)

    assert capsys.readouterr() == (f"{CLEAN}\n", CLEAN)


def test_a_table_shows_no_control_character_and_takes_no_text_for_markup():
    assert plain(f"[red]{STEERS}").plain == f"[red]{CLEAN}"


def test_a_log_line_in_a_terminal_has_none_either():
    record = logging.LogRecord("fleetpgo", logging.INFO, "", 0, "it said %s", (STEERS,), None)

    assert (clean_record(record), record.getMessage()) == (True, f"it said {CLEAN}")


@pytest.mark.parametrize("module", MODULES, ids=[module.stem for module in MODULES])
def test_no_command_prints_by_itself(module):
    assert [
        call for call in ("click.echo(", "click.secho(", "\n    print(") if call in module.read_text()
    ] == []
