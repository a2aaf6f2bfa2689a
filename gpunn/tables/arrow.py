"""pyarrow, where it is installed, and its columns as arrays of NumPy."""

from __future__ import annotations

import importlib
from collections.abc import Collection
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

Values: TypeAlias = "np.ndarray | tuple[np.ndarray, list[str | None]]"


def need_pyarrow(path: Path, module: str) -> Any:
    """A module of pyarrow. ValueError, with what to install, where that is missing."""
    try:
        return importlib.import_module(f"pyarrow.{module}")
    except ImportError:
        raise ValueError(
            f'{path}: reading this kind of file needs pyarrow: pip install "gpunn[tables]"'
        ) from None


def encoded() -> Any:
    """The type of texts by their codes."""
    import pyarrow

    return pyarrow.dictionary(pyarrow.int32(), pyarrow.string())


def decode(column: Any, missing: Collection[str] = ()) -> Values:
    """Floats with NaN for what is missing, or the codes of texts, −1 for none, and the texts."""
    if not hasattr(column, "dictionary"):
        return np.asarray(column.to_numpy(zero_copy_only=False), np.float64)
    codes = np.asarray(column.indices.fill_null(-1).to_numpy(zero_copy_only=False))
    texts = [None if text is None else text.strip() for text in column.dictionary.to_pylist()]
    return codes, [None if text in missing else text for text in texts]
