"""Run the examples of the documentation: the README, the pages under docs and every docstring."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pydoc
import re
import shlex
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import typer
from sklearn.model_selection import train_test_split

import gpunn
from gpunn import cli
from gpunn.cli.commands import app
from gpunn.core.optimizers import OPTIMIZERS

ROOT = Path(__file__).parents[1]
CODE = re.compile(r"^```(python|pycon|console)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def with_examples(pattern: str, example: re.Pattern[str]) -> list[Path]:
    return [path for path in sorted(ROOT.glob(pattern)) if example.search(path.read_text(encoding="utf-8"))]


PAGES = with_examples("*.md", CODE) + with_examples("docs/**/*.md", CODE)
MODULES = [path.relative_to(ROOT) for path in with_examples("gpunn/**/*.py", re.compile(">>> "))]
SUBMODULES = ["callbacks", "datasets", "estimators", "export", "reference", "schedules", "tables"]


def import_or_skip(name: str) -> ModuleType:
    """Import a module, or skip the test if the module needs something that is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        pytest.skip(str(error))


def run_examples(test: doctest.DocTest) -> None:
    """Run a doctest, and keep the names that it defines."""
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    runner.run(test, clear_globs=False)
    assert not runner.failures


def run_page(page: Path, names: dict[str, Any], request: pytest.FixtureRequest) -> None:
    """Run a page's blocks in one namespace; check the answers (pycon) and the exit codes (console)."""
    for language, block in CODE.findall(page.read_text(encoding="utf-8")):
        if 'load("mnist")' in block:
            request.getfixturevalue("mnist")  # skips the rest of the page if there is no MNIST
        if language == "python":
            exec(compile(block, page.name, "exec"), names)
        elif language == "pycon":
            examples = doctest.DocTestParser().get_examples(block, page.name)
            run_examples(doctest.DocTest(examples, names, page.name, str(page), 0, None))
        else:
            for command in re.findall(r"^\$ gpunn (.*)$", block, re.MULTILINE):
                assert cli.main(shlex.split(command)) == 0, command


@pytest.mark.parametrize(
    "page", [pytest.param(p, id=p.stem, marks=[pytest.mark.long] * (p.stem == "README")) for p in PAGES]
)
@pytest.mark.filterwarnings("ignore:.*not enough to converge")
def test_every_page_runs(
    page: Path,
    digits: gpunn.datasets.Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = digits.train.X.T / 255.0
    X, X_val, y, y_val = train_test_split(rows, digits.train.y, random_state=0)
    names: dict[str, Any] = {"X": X, "y": y, "X_val": X_val, "y_val": y_val}
    run_page(page, names, request)
    if page.stem == "README":
        assert names["history"][-1].validation_accuracy > 0.97
        assert names["est"].score(X_val, y_val) > 0.9
        assert (tmp_path / "mnist.safetensors").exists()


@pytest.mark.parametrize("name", [".".join(path.with_suffix("").parts) for path in MODULES])
def test_every_docstring_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in an empty folder with `gpunn` and `np` defined. Skip modules whose extra is not installed."""
    module = import_or_skip(name)
    monkeypatch.chdir(tmp_path)
    for test in doctest.DocTestFinder().find(module, extraglobs={"gpunn": gpunn, "np": np}):
        run_examples(test)


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "docs")
    return importlib.import_module("function_tables")


def test_every_public_name_is_in_the_reference(tables: ModuleType) -> None:
    pytest.importorskip("onnx")  # which gpunn.export imports
    modules = "gpunn", *(f"gpunn.{name}" for name in SUBMODULES)
    members = [f"{module}.{name}" for module in modules for name in pydoc.locate(module).__all__]
    public = [name for name in members if not inspect.ismodule(pydoc.locate(name)) and "__" not in name]
    pages = "".join(
        tables.fill_in(page.read_text(encoding="utf-8")) for page in ROOT.glob("docs/reference/*.md")
    )
    directives = re.findall(r"^\.\. (?:auto\w+|py:data):: (\S+)$", pages, re.MULTILINE)
    documented = [pydoc.locate(name) for name in directives]
    assert len(public) > 40
    assert {f"gpunn.{make.__name__}" for make in OPTIMIZERS.values()} < set(directives)
    assert not [name for name in public if not any(pydoc.locate(name) is thing for thing in documented)]


def test_every_function_is_in_its_table(tables: ModuleType) -> None:
    page = tables.fill_in((ROOT / "docs/reference/functions.md").read_text(encoding="utf-8"))
    assert "{{" not in page
    for name in (*gpunn.ACTIVATIONS, *gpunn.COSTS, *gpunn.INITIALIZERS):
        assert f"\n| `{name.replace(' ', '-')}" in page


def test_every_command_is_in_the_list() -> None:
    page = (ROOT / "docs/command-line.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `gpunn (\w+)", page, re.MULTILINE)
    assert listed == list(typer.main.get_command(app).commands)


def test_the_table_of_the_readme_is_made_and_learnt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    (program,) = re.findall(r'^python -c "(.*?)"', page, re.MULTILINE | re.DOTALL)
    exec(program)
    (command,) = re.findall(r"^gpunn (train iris.csv .*?) *#", page, re.MULTILINE)
    assert cli.main(shlex.split(command)) == 0
