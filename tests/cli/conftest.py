"""Fixtures for tests of the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import QUICK
from reporting import RunCommand

from gpunn import cli


@pytest.fixture(autouse=True)
def in_an_empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def refused(gpunn_: RunCommand) -> Callable[..., None]:
    """Check that a command fails with this exit code and with one line on stderr that holds these words."""

    def check(arguments: list[object], *words: object, code: int = 2) -> None:
        got, out, err = gpunn_(*arguments)
        assert got == code
        assert out == "" or code == 1
        assert err.startswith("gpunn: error: "), err
        assert err.count("\n") == 1, err
        for word in words:
            assert str(word) in err, err

    return check


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run with a network trained on the digits."""
    folder = tmp_path_factory.mktemp("cli") / "run"
    assert cli.main(["train", "digits", *QUICK, "--json", "--output", str(folder)]) == 0
    return folder
