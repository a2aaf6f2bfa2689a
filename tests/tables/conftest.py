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
    """What training says in JSON."""

    def train(*arguments):
        code, out, err = gpunn_("train", *arguments, "--json")
        assert (code, err) == (0, "")
        return json.loads(out)

    return train


@pytest.fixture
def refused(gpunn_, tmp_path):
    """The exit code is 2, stderr one line that holds these words, and nothing is left behind."""

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
    """The folder of a run on fruits.csv, which lies beside it."""
    folder = tmp_path_factory.mktemp("tables")
    (folder / "fruits.csv").write_text(fruits())
    arguments = [folder / "fruits.csv", "--target", "kind", "--output", folder / "run", "--device", "cpu"]
    assert cli.main(["train", *map(str, arguments), "--json"]) == 0
    return folder / "run"
