"""Arrays of NumPy as tables: .npz files, and pairs of .npy files."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gpunn.tables.table import NUMBER, TEXT

BATCH = 1 << 16  # rows


class Arrays:
    """Named arrays, an example a row: (m,) is a column of that name, NAME (m, n) the columns NAME1…NAMEn.

    kinds: numbers, or texts (truth values among them).
    ValueError, naming the file, for an array of anything else, for arrays of different lengths, and for
    columns of one name.
    """

    notes = ()

    def __init__(self, path: Path, arrays: Mapping[str, np.ndarray]) -> None:
        self.path, self.columns = path, dict[str, np.ndarray]()
        for name, array in arrays.items():
            self._check(name, array)
            columns = {name: array}
            if array.ndim == 2:
                columns = {f"{name}{j}": array[:, j - 1] for j in range(1, array.shape[1] + 1)}
            if twice := columns.keys() & self.columns.keys():
                raise ValueError(f"{path}: {name} and another array make a column '{min(twice)}': rename one")
            self.columns |= columns
        self.m = self._count(arrays)
        self.kinds = {name: NUMBER if a.dtype.kind in "iuf" else TEXT for name, a in self.columns.items()}

    def _check(self, name: str, array: np.ndarray) -> None:
        if array.ndim not in (1, 2) or array.dtype.kind not in "buifU":
            raise ValueError(
                f"{self.path}: {name} is {array.dtype} of shape {array.shape}, expected numbers or texts, a "
                "row or a value an example"
            )

    def _count(self, arrays: Mapping[str, np.ndarray]) -> int:
        """How many examples there are."""
        lengths = {name: len(array) for name, array in arrays.items()}
        if len(set(lengths.values())) != 1:
            shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items()) or "no arrays"
            raise ValueError(f"{self.path}: {shapes}: a table has a row an example, as many in each array")
        m = next(iter(lengths.values()))
        if not m or not self.columns:
            raise ValueError(f"{self.path} has no rows")
        return m

    def batches(self, kinds: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """The columns that kinds names, batch after batch: floats with NaN, or (codes with −1, texts)."""
        for start in range(0, self.m, BATCH):
            rows = slice(start, start + BATCH)
            yield {name: self._cast(name, self.columns[name][rows], kind) for name, kind in kinds.items()}

    def _cast(self, name: str, values: np.ndarray, kind: str) -> Any:
        if kind == TEXT:
            texts, codes = np.unique(values, return_inverse=True)
            return codes, [str(text).strip() or None for text in texts]
        if values.dtype.kind == "U":
            raise ValueError(f"{self.path}: {name} holds texts, where there were numbers in training")
        return np.asarray(values, np.float64)

    def place(self, row: int) -> str:
        """Where a row is, counted from 0."""
        return f"row {row + 1}"

    def mistaken(self, name: str, texts: Collection[str]) -> None:
        """An array of texts is one on purpose."""


def read_npz(path: Path) -> Arrays:
    """The arrays of a .npz file."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return Arrays(path, {name: file[name] for name in file.files})
    except OSError as error:
        if error.errno:
            raise
        raise ValueError(f"{path} is not a readable .npz file: {error}") from None
    except Exception as error:  # zipfile and the header's parser have many
        if str(path) in str(error):
            raise
        raise ValueError(f"{path} is not a readable .npz file: {error}") from None


def read_npy(path: Path, target: Path | None) -> Arrays:
    """X (m, n) in one .npy file, and y (m,) in another if there is one: columns X1…Xn, and y."""
    arrays = {"X": _load(path)}
    if arrays["X"].ndim != 2:
        raise ValueError(f"{path}: shape {arrays['X'].shape}, expected a row an example: (m, n)")
    if target:
        arrays["y"] = _load(target)
        if arrays["y"].shape != (len(arrays["X"]),):
            hint = "; transpose X" if arrays["y"].shape == arrays["X"].shape[1:] else ""
            raise ValueError(
                f"{target}: shape {arrays['y'].shape}, but {path} has {len(arrays['X'])} rows, each an "
                f"example{hint}"
            )
    return Arrays(path, arrays)


def _load(path: Path) -> np.ndarray:
    try:
        return np.lib.format.open_memmap(path, mode="r")  # reads neither .npz nor pickles
    except OSError as error:
        if error.errno:
            raise
        raise ValueError(f"{path} is not a readable .npy file: {error}") from None
    except Exception as error:  # the header is parsed as Python, so damage gives tokenizer errors too
        raise ValueError(f"{path} is not a readable .npy file: {error}") from None
