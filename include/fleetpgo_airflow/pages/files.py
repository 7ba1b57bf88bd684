"""The files that the pages are made of: ours, and two libraries as npm installs them.

``package.json`` and its lock name the libraries; ``make setup``, or the build of the image, puts them into
``node_modules/`` of the project's folder. An API server lists them once, when it starts.
"""

from __future__ import annotations

from pathlib import Path

STATIC = Path(__file__).parent / "static"
INSTALLED = Path(__file__).parents[3] / "node_modules"

LIBRARIES = {"speedscope": "speedscope/dist/release", "uplot": "uplot/dist"}
"""The first folder of a library's addresses, and where its package keeps the files for browsers."""


def find_files(installed: Path = INSTALLED) -> dict[str, Path]:
    """Return each file by its name in an address, such as ``page.js`` or ``uplot/uPlot.esm.js``.

    A library that is not installed has no files.
    """
    folders = {"": STATIC, **{f"{name}/": installed / folder for name, folder in LIBRARIES.items()}}
    return {
        f"{prefix}{file.relative_to(folder).as_posix()}": file
        for prefix, folder in folders.items()
        for file in folder.rglob("*.*")
    }


def explain_absence(name: str, installed: Path = INSTALLED) -> str:
    """Return a sentence for people: why a file is missing, and how to install it."""
    library = name.partition("/")[0]
    if library not in LIBRARIES or (installed / library).exists():
        return f"there is no {name}"
    return (
        f"{library}, which draws this, is not in {installed}: run `make setup`, or build the image anew; "
        "then restart the API server."
    )
