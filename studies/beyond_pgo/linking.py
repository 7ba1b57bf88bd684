"""Hot functions placed together, by Go's own linker with one more step.

The linker lays functions out in the order of ``ctxt.Textp``, and can use any: its flag ``-randlayout``
shuffles them. No flag takes an order. The least invasive way is a linker that is built from the toolchain's
own source, with one block more (``go build -overlay``), and put into the build by ``-toolexec``. Nothing of
the toolchain is changed, and all packages come from the build cache.

Names are compared as the profile has them. Those of generic functions with long type arguments are others in
the linker, so these functions stay where they are.
"""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from fleetpgo import pprof
from fleetpgo.errors import ToolchainError
from studies.beyond_pgo.measuring import not_the_machine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fleetpgo.pprof import Profile

ORDER = "FLEETPGO_TEXT_ORDER"
"""Names the file with the functions to be placed first, one in a line; the patched linker reads it."""

SOURCE = "cmd/link/internal/ld/data.go"
ANCHOR = "\t// Sort the text symbols by type, so that FIPS symbols are\n"
STEP = f"""\
	if name := os.Getenv("{ORDER}"); name != "" {{
		listed, err := os.ReadFile(name)
		if err != nil {{
			Exitf("%v", err)
		}}
		rank := make(map[string]int)
		for i, function := range strings.Split(string(listed), "\\n") {{
			rank[function] = i - len(listed) - 1
		}}
		// As -randlayout does: the build ID and what comes from C stay where they are.
		textp := ctxt.Textp
		for len(textp) > 0 && (ldr.SymName(textp[0]) == "go:buildid" ||
			ldr.SubSym(textp[0]) != 0 || ldr.AttrSubSymbol(textp[0])) {{
			textp = textp[1:]
		}}
		sort.SliceStable(textp, func(i, j int) bool {{
			return rank[ldr.SymName(textp[i])] < rank[ldr.SymName(textp[j])]
		}})
	}}

"""


class CannotPatchError(Exception):
    """This toolchain's linker is another one; the variant is left out, with the reason."""


def patched(source: str) -> str:
    """Return the linker's source with the step before the one that sorts by type.

    Raises:
        CannotPatchError: the place was not found.
    """
    if source.count(ANCHOR) != 1:
        raise CannotPatchError(f"{SOURCE} no longer has the line that the step goes before")
    return source.replace(ANCHOR, STEP + ANCHOR)


def order(profile: Profile) -> list[str]:
    """Return the functions that the profile saw on top of a stack, that with most samples first."""
    return [rank.function for rank in pprof.top(profile, 1 << 30) if rank.flat > 0]


def linker(into: Path) -> Path:
    """Build the patched linker, and return the program for ``-toolexec``; kept for each version of Go.

    Raises:
        CannotPatchError: the source is another one, or does not build with the step.
        ToolchainError: Go's command failed for another reason.
    """
    root, version = _go("env", "GOROOT", "GOVERSION").split("\n")[:2]
    place = into / f"linker-{version}"
    wrapper = place / "toolexec"
    if wrapper.exists():
        return wrapper
    place.mkdir(parents=True, exist_ok=True)
    original, changed = Path(root, "src", SOURCE), place / "data.go"
    if not original.exists():
        raise CannotPatchError(f"this Go comes without the linker's source: there is no {original}")
    changed.write_text(patched(original.read_text()))
    overlay, program = place / "overlay.json", place / "link"
    overlay.write_text(json.dumps({"Replace": {str(original): str(changed)}}))
    _go("build", f"-overlay={overlay}", "-o", str(program), "cmd/link")
    wrapper.write_text(
        "#!/bin/sh\n# For go build -toolexec: the patched linker, and every other tool as it is.\n"
        f'case $1 in */link) shift; exec {shlex.quote(str(program))} "$@" ;; esac\nexec "$@"\n'
    )
    wrapper.chmod(0o755)
    return wrapper


def _go(*arguments: str) -> str:
    done = subprocess.run(["go", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        failed = f"`go {shlex.join(arguments)}` failed: {done.stderr.strip()}"
        if tool_said(done.stderr.splitlines()):
            raise CannotPatchError(failed)
        raise ToolchainError(failed)
    return done.stdout


def tool_said(lines: Sequence[str]) -> bool:
    """Whether the lines of a failed ``go build`` are the compiler's or the linker's, and of the source.

    Go's command puts a line with ``#`` and the package above what they say; not above what it says itself, of
    modules that cannot be fetched for one.

    Raises:
        MachineError: they speak of the machine.
    """
    not_the_machine("\n".join(lines))
    return any(line.startswith("# ") for line in lines)
