"""Arrays of examples in .npy files: their layouts, and which files are refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import idx_files
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpunn.datasets.columns import read_columns

FUZZ = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def refused(action: Callable[[], Any], *words: object) -> None:
    idx_files.refused(ValueError, action, *words)


@pytest.mark.parametrize(
    ("shape", "columns"),
    [((6,), 1), ((6, 4), 4), ((4, 6), 4), ((4, 2, 3), 4), ((6, 6), 6), ((6, 1), 1), ((1, 6), 1)],
)
@pytest.mark.parametrize("order", ["C", "F"])
def test_columns_are_read(tmp_path: Path, shape: tuple[int, ...], columns: int, order: Any) -> None:
    array = np.arange(np.prod(shape), dtype=">f4").reshape(shape)
    np.save(tmp_path / "x.npy", np.asarray(array, order=order))
    X = read_columns(tmp_path / "x.npy", 6)
    assert X.shape == (6, columns) and X.flags.f_contiguous and X.dtype == np.float32 and X.dtype.isnative
    expected = array.reshape(6, -1) if shape[0] == 6 else array.reshape(columns, 6).T
    np.testing.assert_array_equal(X, expected)


@pytest.mark.parametrize("shape", [(5,), (5, 7), (2, 2, 2), (6, 2, 3, 1), (), (6, 0), (0, 6)])
def test_another_number_of_features_is_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    np.save(tmp_path / "x.npy", np.zeros(shape))
    refused(lambda: read_columns(tmp_path / "x.npy", 6), "x.npy", shape)


@pytest.mark.parametrize("array", [np.array([{}] * 6), np.array(["a"] * 6), np.zeros(6, complex)])
def test_only_real_numbers_are_read(tmp_path: Path, array: np.ndarray) -> None:
    np.save(tmp_path / "x.npy", array, allow_pickle=True)
    refused(lambda: read_columns(tmp_path / "x.npy", 6), "x.npy")


def test_files_that_are_not_npy_files_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", np.zeros(6))
    (tmp_path / "pickle.npy").write_bytes(b"\x80\x04K\x01.")
    (tmp_path / "empty.npy").write_bytes(b"")
    np.save(tmp_path / "short.npy", np.zeros((6, 100)))
    os.truncate(tmp_path / "short.npy", 300)
    for name in ("x.npz", "pickle.npy", "empty.npy", "short.npy", "none.npy", "."):
        refused(lambda name=name: read_columns(tmp_path / name, 6), tmp_path / name)


@FUZZ
@given(part=st.floats(0, 1), value=st.integers(0, 255))
def test_a_damaged_npy_file_is_read_or_refused(tmp_path: Path, part: float, value: int) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.zeros((6, 4)))
    data = bytearray(path.read_bytes())
    position = int(part * (len(data) - 1))
    data[position] ^= value
    path.write_bytes(data)
    try:
        assert read_columns(path, 6).shape[0] == 6
    except ValueError as error:
        assert str(path) in str(error) and "\n" not in str(error)
