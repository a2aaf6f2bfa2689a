"""Data in memory as tables: DataFrames, and mappings of names to columns."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from gpunn.tables.sources.arrays import NUMBERS, Arrays, Coded
from gpunn.tables.sources.arrow import ArrowTable
from gpunn.tables.table import Source, check_unique

NOT_VALUES = (bytes, complex, dict, list, np.ndarray, set, tuple)
NUMERIC = ("integer", "floating", "mixed-integer-float", "decimal")  # by infer_dtype of object columns


def open_frame(data: Any) -> Source:
    """Open a pandas DataFrame, a mapping of arrays or lists, or a DataFrame that exports Arrow data.

    pandas and mappings do without pyarrow. Raises ValueError for anything else.
    """
    name = "the mapping" if isinstance(data, Mapping) else f"the {type(data).__name__}"
    if is_pandas(data, "DataFrame"):
        return Arrays(name, _pandas_columns(name, data))
    if isinstance(data, Mapping):
        return Arrays(name, {str(key): _column(f"{name}: '{key}'", values) for key, values in data.items()})
    if hasattr(data, "__arrow_c_stream__"):
        return ArrowTable(name, data)
    raise ValueError(
        f"{name} is not a table; expected the path of a file, a DataFrame, or a mapping of names to columns"
    )


def is_pandas(data: Any, kind: str) -> bool:
    """Return whether this is a pandas object of a kind such as "DataFrame", without importing pandas."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(data, getattr(pandas, kind))


def _pandas_columns(name: str, frame: Any) -> dict[str, np.ndarray | Coded]:
    names = [str(key) for key in frame.columns]
    check_unique(name, names)
    return {key: _pandas_column(f"{name}: '{key}'", frame.iloc[:, k]) for k, key in enumerate(names)}


def _pandas_column(name: str, series: Any) -> np.ndarray | Coded:
    """Return numbers as floats with NaN, and everything else as strings."""
    types = sys.modules["pandas"].api.types
    number = types.is_float_dtype(series) or types.is_integer_dtype(series)
    if number or (types.is_object_dtype(series) and types.infer_dtype(series, skipna=True) in NUMERIC):
        numbers: np.ndarray = series.to_numpy(np.float64, na_value=np.nan)
        return numbers
    missing = series.isna()
    return _encode(name, (None if isna else value for value, isna in zip(series, missing, strict=True)))


def _column(name: str, values: Any) -> np.ndarray | Coded:
    """Return one entry of a mapping: an array as it is; a list or an array of objects by its values."""
    if is_pandas(values, "Series"):
        return _pandas_column(name, values)
    array = np.asarray(values)
    if array.dtype.kind in NUMBERS or (isinstance(values, np.ndarray) and array.dtype.kind != "O"):
        return array
    items = [None if _is_nan(value) else value for value in values]
    if {type(value) for value in items} <= {int, float, type(None)}:
        return np.array([np.nan if value is None else value for value in items], np.float64)
    return _encode(name, items)


def _is_nan(value: Any) -> bool:
    return isinstance(value, float | np.floating) and bool(np.isnan(value))


def _encode(name: str, values: Iterable[Any]) -> Coded:
    """Number the distinct values by their strings; None and the empty string are missing.

    Raises ValueError, beginning with the name, for lists, arrays and the like.
    """
    known: dict[str, int] = {}
    codes = [-1 if value is None else _code(name, known, value) for value in values]
    return Coded(np.array(codes, np.intp), list(known))


def _code(name: str, known: dict[str, int], value: Any) -> int:
    if isinstance(value, NOT_VALUES):
        raise ValueError(f"{name} holds values of type {type(value).__name__}, expected numbers or strings")
    text = str(value).strip()
    return known.setdefault(text, len(known)) if text else -1
