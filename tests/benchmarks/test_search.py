"""Run the benchmark of the searches, with little work."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import search


def test_searches_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "GRID", {"alpha": [1e-4, 1.0]})
    monkeypatch.setattr(search, "FOLDS", 2)
    monkeypatch.setattr(search, "SETTINGS", {"max_iter": 2, "random_state": 0})
    assert search.main(["--rounds", "1", "--output", str(tmp_path)]) == 0
    found = json.loads((tmp_path / "search.json").read_text())["searches"]
    theirs, ours, single = found.values()
    assert theirs["times as fast"] == 1
    assert all(len(row["rounds"]) == 1 and len(row["scores"]) == 2 for row in found.values())
    assert ours["largest difference of scores"] < 0.01
    assert single["largest difference of scores"] < 0.01
