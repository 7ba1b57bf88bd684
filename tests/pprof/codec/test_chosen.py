"""Which of the two has the inner loops: the package in Rust if it is there, else the module in Python."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from fleetpgo.errors import FleetPGOError
from fleetpgo.pprof.codec import kernel, plain


def test_without_the_package_it_is_python(monkeypatch):
    monkeypatch.setitem(sys.modules, kernel.PACKAGE, None)
    assert kernel._chosen() is plain


@pytest.mark.parametrize("form", [kernel.FORM + 1, None])
def test_a_package_of_another_form_is_refused(monkeypatch, form):
    package = ModuleType(kernel.PACKAGE)
    if form is not None:
        package.FORM = form
    monkeypatch.setitem(sys.modules, kernel.PACKAGE, package)
    with pytest.raises(FleetPGOError, match=f"is of form {form}; this version needs {kernel.FORM}"):
        kernel._chosen()


def test_a_package_that_cannot_be_loaded_is_named(monkeypatch, tmp_path):
    (tmp_path / f"{kernel.PACKAGE}.py").write_text("raise ImportError('GLIBC_9.9 not found')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, kernel.PACKAGE, raising=False)
    with pytest.raises(FleetPGOError, match=r"fleetpgo-kernel cannot be loaded: GLIBC_9\.9 not found"):
        kernel._chosen()
