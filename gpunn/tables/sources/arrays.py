"""NumPy arrays as tables: .npz files, pairs of .npy files, and arrays in memory."""

from __future__ import annotations

import hashlib
import math
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from gpunn.names import one_line
from gpunn.tables.table import MOST_COLUMNS, NUMBER, TEXT, NotANumberError, digest_of_files

BATCH = 1 << 16  # rows
EXPANSION, ALWAYS = 200, 1 << 30  # a .npz file unpacks to up to 200 times its size; to 1 GiB in any case
HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
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

    notes = cautions = ()
    point: str | None = None
    header: bool | None = None

    def __init__(self, name: str, arrays: Mapping[str, np.ndarray | Coded], *files: Path) -> None:
        self.name, self.files, self.columns = name, files, dict[str, np.ndarray | Coded]()
        shapes = {key: (a.codes if isinstance(a, Coded) else a).shape for key, a in arrays.items()}
        for key, array in arrays.items():
            if isinstance(array, np.ndarray):
                check_kind(name, key, array.shape, array.dtype)
        self.m = count_rows(name, shapes)
        for key, array in arrays.items():
            columns = {key: array}
            if isinstance(array, np.ndarray) and array.ndim == 2:
                columns = {f"{key}{j}": array[:, j - 1] for j in range(1, array.shape[1] + 1)}
            if twice := columns.keys() & self.columns.keys():
                raise ValueError(
                    f"{name}: '{key}' and another array both make a column '{min(twice)}'; rename one"
                )
            self.columns |= columns
        self.kinds = {key: kind_of(column) for key, column in self.columns.items()}
        self.target = "y" if "y" in self.columns else None

    def batches(self, kinds: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        for start in range(0, self.m, BATCH):
            rows = slice(start, start + BATCH)
            yield {key: self._cast(key, self.columns[key], rows, kind) for key, kind in kinds.items()}

    def _cast(self, key: str, column: np.ndarray | Coded, rows: slice, kind: str) -> Any:
        if kind == NUMBER and kind_of(column) == TEXT:
            raise NotANumberError(
                f"{self.name}: '{key}' holds strings, but the model was trained on numbers", key
            )
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


def check_kind(name: str, key: str, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Raise ValueError unless an array holds numbers or strings, with a row or a value for each example."""
    if len(shape) not in (1, 2) or dtype.kind not in NUMBERS + TEXTS:
        raise ValueError(
            f"{name}: '{key}' is {dtype} of shape {shape}; expected numbers or strings, with a row or a "
            "value for each example"
        )


def count_rows(name: str, shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Return the number of examples in arrays of these shapes.

    Raises ValueError if it is not the same in each array, if it is 0, or if there are too many columns.
    """
    if len({shape[0] for shape in shapes.values()}) != 1:
        found = ", ".join(f"{key} {shape}" for key, shape in shapes.items()) or "no arrays"
        raise ValueError(f"{name}: found {found}; expected as many rows in each array, at least one")
    m, n = next(iter(shapes.values()))[0], sum(shape[1] if shape[1:] else 1 for shape in shapes.values())
    if not m or not n:
        raise ValueError(f"{name} has no rows")
    if n > MOST_COLUMNS:
        raise ValueError(f"{name} has {n:,} columns; at most {MOST_COLUMNS:,} can be read")
    return m


def read_npz(path: Path) -> Arrays:
    """Read the arrays of a .npz file. Their shapes are compared before any of them is unpacked."""
    with _explained(path, ".npz"):
        with zipfile.ZipFile(path) as archive:
            _check_npz(path, archive)
        with np.load(path, allow_pickle=False) as file:
            return Arrays(str(path), {name: file[name] for name in file.files}, path)


def _check_npz(path: Path, archive: zipfile.ZipFile) -> None:
    """Raise ValueError if the arrays do not make a table, from the beginning of each array."""
    shapes, size = dict[str, tuple[int, ...]](), 0
    for name in dict.fromkeys(archive.namelist()):
        key, held = name.removesuffix(".npy"), archive.getinfo(name).file_size
        with archive.open(name) as file:
            shapes[key], dtype = _read_header(file)
            check_kind(str(path), key, shapes[key], dtype)
            expected = file.tell() + dtype.itemsize * math.prod(shapes[key])
        if held != expected:
            raise ValueError(
                f"'{key}' has {held:,} bytes, but {dtype} of shape {shapes[key]} has {expected:,}"
            )
        size += held
    count_rows(str(path), shapes)
    if size > max(ALWAYS, EXPANSION * path.stat().st_size):
        raise ValueError(
            f"{path} has {path.stat().st_size:,} bytes, but unpacks to {size:,}; if you trust it, save it "
            "unpacked, with numpy.savez"
        )


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    """Return the shape and the dtype of an array in the .npy format."""
    version = np.lib.format.read_magic(file)
    if version not in HEADERS:
        raise ValueError(f"version {version} of the .npy format is not for numbers or strings")
    shape, _, dtype = HEADERS[version](file)
    if min(shape, default=0) < 0:
        raise ValueError(f"an array has shape {shape}")
    return shape, dtype


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
    name = f"{path} with {target}" if target else str(path)
    return Arrays(name, arrays, *filter(None, (path, target)))


def _load(path: Path) -> np.ndarray:
    with _explained(path, ".npy"):
        return np.lib.format.open_memmap(path, mode="r")  # reads neither .npz files nor pickles


@contextmanager
def _explained(path: Path, kind: str) -> Iterator[None]:
    """Name the file in errors about its content, which are of many kinds: headers are parsed as Python."""
    try:
        yield
    except Exception as error:
        if (isinstance(error, OSError) and error.filename) or str(error).startswith(str(path)):
            raise
        raise ValueError(f"{path} is not a readable {kind} file: {one_line(error)}") from None
