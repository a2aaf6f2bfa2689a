"""The table of a sweep: as text, in pandas, in files."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import pytest
from sweeping import sweep

import gpunn


@pytest.fixture(scope="module")
def result() -> gpunn.SweepResult:
    grid = {"hidden": [(4,), (5, 3)], "l2": [0, 1e-4], "stop": [gpunn.EarlyStopping("loss", 3), None]}
    return sweep(grid=grid, seeds=2, folds=2)


def test_it_lines_up_in_print(result: gpunn.SweepResult) -> None:
    head, *lines = str(result.table).splitlines()
    assert head.split()[:6] == ["network", "hidden", "l2", "stop", "seed", "fold"]
    assert len(lines) == 32
    end = head.index("loss") + 4
    assert all(line[end] == " " and line[end - 1].isdigit() for line in lines)


def test_many_rows_are_shortened() -> None:
    lines = str(sweep(seeds=30, epochs=1).table).splitlines()
    assert len(lines) == 42
    assert set(lines[21].split()) == {"…"}
    assert lines[-1].split()[0] == "59"


def test_what_was_not_measured_has_no_column() -> None:
    columns = sweep().table.columns
    assert columns == (
        "network",
        "learning_rate",
        "seed",
        "epochs_trained",
        "loss",
        "accuracy",
        "best_loss",
        "best_accuracy",
        "seconds",
        "status",
    )


def test_pandas_has_the_same_values(result: gpunn.SweepResult) -> None:
    pytest.importorskip("pandas")
    frame = result.table.to_pandas()
    assert list(frame.columns) == list(result.table.columns)
    assert frame["validation_loss"].dtype == float
    assert frame["hidden"].tolist() == result.table.column("hidden")
    assert frame.groupby("hidden")["validation_loss"].mean().notna().all()


def test_csv_has_the_same_values(result: gpunn.SweepResult, tmp_path: Path) -> None:
    result.table.to_csv(tmp_path / "t.csv")
    with open(tmp_path / "t.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 32
    assert [float(row["validation_loss"]) for row in rows] == result.table.column("validation_loss")
    assert rows[0]["hidden"] == "4" and rows[0]["stop"].startswith("EarlyStopping(metric=loss, patience=3")


def test_parquet_has_the_same_values(result: gpunn.SweepResult, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    result.table.to_parquet(tmp_path / "t.parquet")
    assert parquet.read_table(tmp_path / "t.parquet").to_pylist() == list(result.table)


@pytest.mark.parametrize(("module", "method"), [("pandas", "to_pandas"), ("pyarrow", "to_parquet")])
def test_a_library_that_is_not_installed_is_one_line(
    result: gpunn.SweepResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, method: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=f"need(s)? {module}: pip install"):
        getattr(result.table, method)(*([tmp_path / "t"] if method == "to_parquet" else []))
