"""What the README shows in Python runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from sklearn.model_selection import train_test_split

import gpunn

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:.*not enough to converge")
def test_every_example_runs(
    mnist: gpunn.datasets.Dataset,
    digits: gpunn.datasets.Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One after another, in one namespace; `mnist` is where the environment says."""
    monkeypatch.chdir(tmp_path)
    rows = digits.train.X.T / 255.0
    X, X_val, y, y_val = train_test_split(rows, digits.train.y, random_state=0)
    names: dict[str, Any] = {"X": X, "y": y, "X_val": X_val, "y_val": y_val}
    assert len(BLOCKS) >= 4
    for block in BLOCKS:
        exec(compile(block, "README.md", "exec"), names)
    assert names["history"][-1].validation_accuracy > 0.94
    assert names["est"].score(X_val, y_val) > 0.9
    assert (tmp_path / "model.safetensors").exists()
