"""The demo's service as the study builds and drives it, and a variant of it with a hot function in C."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path

from demo.processes import HOST, DemoError, free_port, run
from studies.beyond_pgo.serving import CONNECTIONS, LoadError, Running, Server, launch

HERE = Path(__file__).parent
DEMO = HERE.parents[1] / "demo"
BUILT = {"bin", ".local"}
"""Folders of the service's that builds write into."""

CALL = (
    (
        "	buffer.Reset(io.LimitReader(decompressor, maxBatch))\n",
        """\
	batch, err := io.ReadAll(io.LimitReader(decompressor, maxBatch))
	if err != nil {
		return 0, err
	}
	s.fingerprint.Store(fingerprint.Of(batch))
	buffer.Reset(bytes.NewReader(batch))
""",
    ),
    (
        "	samples  atomic.Uint64\n",
        """\
	samples  atomic.Uint64
	fingerprint atomic.Uint32 // of the last batch
""",
    ),
    (
        '	"bufio"\n',
        """\
	"bufio"
	"bytes"
""",
    ),
    (
        '	"example.com/wshim/internal/process"\n',
        """\
	"example.com/wshim/internal/fingerprint"
	"example.com/wshim/internal/process"
""",
    ),
)
"""What of server.go is replaced by what, so that each batch goes through C."""


@dataclass(frozen=True)
class Wshim(Server):
    """The demo's service. It gains on purpose (docs/decisions/0507)."""

    in_c: bool = False

    def source(self, cache: Path) -> Path:
        """Return a copy of the service's source; with C in it, if that is what is measured."""
        copy = cache / f"wshim-{self.version}"
        if not copy.exists():
            partial = copy.with_suffix(".partial")
            shutil.rmtree(partial, ignore_errors=True)
            shutil.copytree(DEMO / "wshim", partial, ignore=shutil.ignore_patterns(*BUILT))
            if self.in_c:
                shutil.copytree(HERE / "c", partial / "internal" / "fingerprint")
                server = partial / "server.go"
                server.write_text(with_c(server.read_text()))
            partial.rename(copy)
        return copy

    def written_in(self) -> list[Path]:
        """Return the files that say how the server is started and driven: the load generator's too."""
        loadgen = DEMO / "loadgen"
        return [*super().written_in(), loadgen / "go.mod", *sorted(loadgen.glob("*.go"))]

    def start(self, binary: Path, directory: Path) -> Running:
        """Start a process."""
        address = f"{HOST}:{free_port()}"
        return launch(
            [binary, "-listen", address],
            directory,
            address=address,
            ready=f"http://{address}/healthz",
            pprof=f"http://{address}/debug/pprof/profile",
        )

    def drive(self, running: Running, requests: int, seed: int) -> None:
        """Push so many batches; each must be accepted."""
        options = [f"-requests={requests}", f"-connections={CONNECTIONS}", f"-seed={seed}"]
        program = loadgen()
        try:
            run([program, *options, f"http://{running.address}/push"], DEMO)
        except DemoError as error:
            raise LoadError(str(error)) from error


def with_c(server: str) -> str:
    """Return server.go with a call into C for each batch."""
    for old, new in CALL:
        if server.count(old) != 1:
            raise SystemExit(
                f"demo/wshim/server.go has changed: it should have this line once: {old.strip()}"
            )
        server = server.replace(old, new)
    return server


@cache
def loadgen() -> Path:
    """Build the demo's load generator, once in a process."""
    program = Path(".local/beyond_pgo/loadgen").absolute()
    run(["go", "build", "-trimpath", "-o", program, "."], DEMO / "loadgen")
    return program


def _version(*folders: Path) -> str:
    """A digest of all files below some folders."""
    whole = sha256()
    for folder in folders:
        for file in sorted(file for file in folder.rglob("*") if file.is_file()):
            if not BUILT & {*file.relative_to(folder).parts}:
                whole.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return whole.hexdigest()[:12]


_LOAD = "batches of telemetry, gzipped: parsing through interfaces"

WSHIM = Wshim("wshim", "", _version(DEMO / "wshim"), "example.com/wshim", _LOAD)
WSHIM_C = Wshim(
    "wshim with C",
    "",
    _version(DEMO / "wshim", HERE / "c"),
    "example.com/wshim",
    "the same, and a loop over each byte in C",
    in_c=True,
)
