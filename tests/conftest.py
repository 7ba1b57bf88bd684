"""What several tests stand on: a tiny Go module, a real CPU profile, and a Go cache that outlives the run."""

import os
import subprocess
from pathlib import Path

import pytest

MAIN = """\
package main

import "fmt"

type shape interface{ area() int }

type square struct{ side int }

func (s square) area() int { return s.side * s.side }

func total(shapes []shape) (sum int) {
	for _, s := range shapes {
		sum += s.area()
	}
	return sum
}

func main() { fmt.Println(total([]shape{square{2}, square{3}})) }
"""


@pytest.fixture(scope="session")
def go_cache(pytestconfig) -> Path:
    """A cold cache costs half a minute for each set of flags, so it is kept with pytest's own."""
    return Path(pytestconfig.cache.mkdir("go"))


@pytest.fixture(scope="session")
def go_profile() -> bytes:
    """The profile that the Go compiler itself is built with."""
    goroot = subprocess.run(
        ["go", "env", "GOROOT"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "GOTOOLCHAIN": "local"},
    ).stdout.strip()
    return (Path(goroot) / "src/cmd/compile/default.pgo").read_bytes()


@pytest.fixture
def go_module(tmp_path) -> Path:
    module = tmp_path / "module"
    module.mkdir()
    (module / "go.mod").write_text("module example.com/tiny\n\ngo 1.24\n")
    (module / "main.go").write_text(MAIN)
    return module
