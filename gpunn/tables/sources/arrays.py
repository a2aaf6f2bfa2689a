"""NumPy arrays as tables: .npz files, pairs of .npy files, and arrays in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gpunn.tables.table import NUMBER, TEXT, digest_of_files

BATCH = 1 << 16  # rows
NUMBERS, TEXTS = "iuf", "bU"  # the kinds of NumPy's dtypes; truth values are strings


class Coded(NamedTuple):
    """A column of strings as codes (m,), −1 for missing values, and the strings."""

    codes: np.ndarray
    texts: list[str]


class Arrays:
    """Named arrays with an example in each row.

    NAME (m,) is the column NAME; NAME (m, n) is the columns NAME1 … NAMEn. The target is "y" if there is one.

    Raises ValueError, naming the data, for arrays of anything but numbers, strings and truth values, for
    arrays of different lengths, and for two columns of one name.
    """

    notes = ()
    point: str | None = None
    header: bool | None = None

    def __init__(self, name: str, arrays: Mapping[str, np.ndarray | Coded], *files: Path) -> None:
        self.name, self.files, self.columns = name, files, dict[str, np.ndarray | Coded]()
        for key, array in arrays.items():
            columns = {key: array}
            if isinstance(array, np.ndarray):
                self._check(key, array)
                if array.ndim == 2:
                    columns = {f"{key}{j}": array[:, j - 1] for j in range(1, array.shape[1] + 1)}
            if twice := columns.keys() & self.columns.keys():
                raise ValueError(
                    f"{name}: '{key}' and another array both make a column '{min(twice)}'; rename one"
                )
            self.columns |= columns
        self.m = self._count(arrays)
        self.kinds = {key: kind_of(column) for key, column in self.columns.items()}
        self.target = "y" if "y" in self.columns else None

    def _check(self, key: str, array: np.ndarray) -> None:
        if array.ndim not in (1, 2) or array.dtype.kind not in NUMBERS + TEXTS:
            raise ValueError(
                f"{self.name}: '{key}' is {array.dtype} of shape {array.shape}; expected numbers or strings, "
                "with a row or a value for each example"
            )

    def _count(self, arrays: Mapping[str, np.ndarray | Coded]) -> int:
        """Return the number of examples."""
        shapes = {key: (a.codes if isinstance(a, Coded) else a).shape for key, a in arrays.items()}
        if len({shape[0] for shape in shapes.values()}) != 1:
            found = ", ".join(f"{key} {shape}" for key, shape in shapes.items()) or "no arrays"
            raise ValueError(f"{self.name}: found {found}; expected as many rows in each array, at least one")
        m: int = next(iter(shapes.values()))[0]
        if not m or not self.columns:
            raise ValueError(f"{self.name} has no rows")
        return m

    def batches(self, kinds: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        for start in range(0, self.m, BATCH):
            rows = slice(start, start + BATCH)
            yield {key: self._cast(key, self.columns[key], rows, kind) for key, kind in kinds.items()}

    def _cast(self, key: str, column: np.ndarray | Coded, rows: slice, kind: str) -> Any:
        if kind == NUMBER and kind_of(column) == TEXT:
            raise ValueError(f"{self.name}: '{key}' holds strings, but the model was trained on numbers")
        if isinstance(column, Coded):
            return column.codes[rows], column.texts
        if kind == NUMBER:
            return np.asarray(column[rows], np.float64)
        texts, codes = np.unique(column[rows], return_inverse=True)
        return codes, [str(text).strip() or None for text in texts]

    def place(self, row: int) -> str:
        return f"row {row + 1}"

    def odd_one(self, name: str) -> None:
        """Accept every array of strings: its dtype says that it is one."""

    def fingerprint(self) -> str:
        """Return a digest of the files, or of the names and values of arrays in memory."""
        if self.files:
            return digest_of_files(*self.files)
        digest = hashlib.blake2b(digest_size=16)
        for key, column in self.columns.items():
            digest.update(repr((key, column.texts if isinstance(column, Coded) else column.dtype)).encode())
            digest.update((column.codes if isinstance(column, Coded) else column).tobytes())
        return digest.hexdigest()


def kind_of(column: np.ndarray | Coded) -> str:
    return NUMBER if isinstance(column, np.ndarray) and column.dtype.kind in NUMBERS else TEXT


def read_npz(path: Path) -> Arrays:
    """Read the arrays of a .npz file."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return Arrays(str(path), {name: file[name] for name in file.files}, path)
    except OSError as error:
        if error.errno:
            raise
        raise ValueError(f"{path} is not a readable .npz file: {error}") from None
    except Exception as error:  # zipfile and the parser of headers raise many kinds
        if str(path) in str(error):
            raise
        raise ValueError(f"{path} is not a readable .npz file: {error}") from None


def read_npy(path: Path, target: Path | None) -> Arrays:
    """Read X (m, n) from a .npy file, and y (m,) from another if given: columns X1…Xn and y."""
    arrays = {"X": _load(path)}
    if arrays["X"].ndim != 2:
        raise ValueError(f"{path} has shape {arrays['X'].shape}; expected (m, n), a row for each example")
    if target:
        arrays["y"] = _load(target)
        if arrays["y"].shape != (len(arrays["X"]),):
            hint = "; transpose X" if arrays["y"].shape == arrays["X"].shape[1:] else ""
            raise ValueError(
                f"{target} has shape {arrays['y'].shape}, but {path} has {len(arrays['X']):,} rows, one for "
                f"each example{hint}"
            )
    return Arrays(str(path), arrays, *filter(None, (path, target)))


def _load(path: Path) -> np.ndarray:
    try:
        return np.lib.format.open_memmap(path, mode="r")  # reads neither .npz files nor pickles
    except OSError as error:
        if error.errno:
            raise
        raise ValueError(f"{path} is not a readable .npy file: {error}") from None
    except Exception as error:  # the header is parsed as Python, so damage raises tokenizer errors, too
        raise ValueError(f"{path} is not a readable .npy file: {error}") from None
