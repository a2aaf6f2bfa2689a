"""`--help`, `--version` and `gpunn info`, and how little they import."""

from __future__ import annotations

import ctypes
import json
import platform
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from command_line import ROOT, write_idx_folder
from reporting import RunCommand

import gpunn
from gpunn import backends
from gpunn.backends.host.compiled import compiler
from gpunn.backends.host.compiled.compiler import Built, Compiler
from gpunn.tables.options import TableOptions
from gpunn.training.option import option_name
from gpunn.training.settings import Settings


def test_info(gpunn_: RunCommand, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(backends, "explain_cuda", lambda index=0: "the driver is asleep")
    monkeypatch.setattr(backends, "cuda_devices", lambda: [])
    monkeypatch.setenv("GPUNN_DATA", str(tmp_path))
    code, out, err = gpunn_("info")
    assert (code, err) == (0, "")
    for word in (
        "NumPy",
        "SciPy",
        "scikit-learn",
        "BLAS",
        "used by gpunn",
        "the driver is asleep",
        str(tmp_path),
    ):
        assert word in out
    found = json.loads(gpunn_("info", "--json")[1])
    assert found["versions"]["NumPy"] == np.__version__
    assert sum(blas["used"] for blas in found["blas"]) <= 1
    monkeypatch.setattr(backends, "cuda_devices", lambda: ["cuda:0 (Tesla)"])
    assert "cuda:0 (Tesla)" in gpunn_("info")[1]


@pytest.mark.parametrize("failures", [(), ("CXX=x is not found",)])
def test_info_names_the_compiler(
    gpunn_: RunCommand, monkeypatch: pytest.MonkeyPatch, failures: tuple[str, ...]
) -> None:
    found = Built(
        Path("x.so"), ctypes.CDLL(None), Compiler("clang++", (sys.executable,), sys.executable), failures
    )
    monkeypatch.setattr(compiler, "build", lambda source: found)
    described = json.loads(gpunn_("info", "--json")[1])
    words = "; ".join([f"compiled by clang++: Python {platform.python_version()}", *failures])
    assert (described["kernels"], described["no_kernels"]) == (words, None)
    assert f"CPU kernels    {words}\n" in gpunn_("info")[1]


def test_info_says_why_nothing_is_compiled(gpunn_: RunCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPUNN_COMPILED", "0")
    assert "CPU kernels    none: GPUNN_COMPILED is 0\n" in gpunn_("info")[1]
    monkeypatch.setenv("GPUNN_COMPILED", "yes")
    assert gpunn_("info") == (2, "", "gpunn: error: GPUNN_COMPILED must be 0 or 1, not 'yes'\n")


def test_info_finds_mnist(gpunn_: RunCommand, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write_idx_folder(tmp_path / "mnist")
    monkeypatch.setenv("GPUNN_DATA", str(tmp_path))
    assert json.loads(gpunn_("info", "--json")[1])["mnist"] == str(tmp_path / "mnist")


def test_version(gpunn_: RunCommand) -> None:
    assert gpunn_("--version") == (0, f"gpunn {gpunn.__version__}\n", "")


def test_help_at_every_level(gpunn_: RunCommand) -> None:
    assert gpunn_() == gpunn_("--help")
    for command in ([], ["train"], ["evaluate"], ["predict"], ["report"], ["export"], ["demo"], ["info"]):
        code, out, err = gpunn_(*command, "--help")
        assert (code, err) == (0, "")
        assert "Usage: gpunn" in out
        assert "Examples" in out or command == ["info"]
        assert max(map(len, out.splitlines())) <= 80


def test_help_shows_no_names_of_types(gpunn_: RunCommand) -> None:
    for command in ([], ["train"], ["evaluate"], ["predict"], ["report"], ["export"], ["demo"], ["info"]):
        assert not re.search(r"[<>{}]|list\[", re.sub(r"\[\d+<=x.*?\]", "", gpunn_(*command, "--help")[1]))


def imported_by(*arguments: str) -> set[str]:
    """Return the modules that a command imports, besides those of `import gpunn`."""
    code = (
        "import sys, gpunn; before = set(sys.modules); from gpunn import cli; cli.main(sys.argv[1:]);"
        "print(*sorted(set(sys.modules) - before))"
    )
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("command", [[], ["evaluate"], ["report"], ["predict"], ["demo"], ["info"]])
def test_help_imports_no_numerical_library(command: list[str]) -> None:
    imported = imported_by(*command, "--help")
    assert not imported & {"numpy", "scipy", "sklearn", "gpunn.training.settings", "gpunn.tables.options"}


def test_help_of_train_imports_no_large_library() -> None:
    """The options of `train` need NumPy and SciPy, but nothing that trains networks or reads tables."""
    imported = imported_by("train", "--help")
    assert "gpunn.training.settings" in imported
    assert not imported & {"gpunn.network", "gpunn.backends", "gpunn.tables.loading"}
    assert not imported & {"sklearn", "matplotlib", "cupy", "PIL", "pooch", "jinja2", "pyarrow"}


def test_public_names_are_imported_on_demand() -> None:
    code = (
        "import sys, gpunn; before = {'numpy', 'scipy', 'typer'} & set(sys.modules)\n"
        "found = [getattr(gpunn, name) for name in [*gpunn.__all__, '__version__', 'optimizers']]\n"
        "from gpunn import *; print(before, set(gpunn.__all__) <= set(dir(gpunn)), hasattr(gpunn, 'nothing'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == "set() True False\n"


def test_the_documentation_shows_every_option() -> None:
    """The page is generated from the commands, where `train` has its options only when it is run."""
    command = [sys.executable, "-m", "typer", "gpunn_command.py", "utils", "docs", "--name", "gpunn"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT / "docs", check=True)
    page = done.stdout
    for field in (*fields(Settings), *fields(TableOptions)):
        assert f"* `{option_name(field.name)}" in page
