"""Fixtures of the tests of tables."""

from __future__ import annotations

import json
import os

import pytest
from tabular import fruits

from gpunn import cli


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def trained(gpunn_):
    """Train a single network by command line, which is quick, and return the JSON that it prints."""

    def train(*arguments):
        code, out, err = gpunn_("train", *arguments, "--ensemble", 1, "--json")
        assert (code, err) == (0, "")
        return json.loads(out)

    return train


@pytest.fixture
def refused(gpunn_, tmp_path):
    """Check that a command exits with 2, prints one line with these words, and leaves no file behind."""

    def check(arguments, *words):
        before = sorted(os.listdir(tmp_path))
        code, out, err = gpunn_(*arguments)
        assert (code, out) == (2, ""), err
        assert err.startswith("gpunn: error: ") and err.count("\n") == 1, err
        for word in words:
            assert str(word) in err, err
        assert sorted(os.listdir(tmp_path)) == before

    return check


@pytest.fixture(scope="session")
def run_of_fruits(tmp_path_factory):
    """Train on fruits.csv and return the folder of the run; the table is beside it."""
    folder = tmp_path_factory.mktemp("tables")
    (folder / "fruits.csv").write_text(fruits())
    options = "--output", folder / "run", "--device", "cpu", "--ensemble", 1
    arguments = [folder / "fruits.csv", "--target", "kind", *options]
    assert cli.main(["train", *map(str, arguments), "--json"]) == 0
    return folder / "run"
