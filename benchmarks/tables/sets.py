"""Public tables, and their division into those that settings were chosen on and those that are reported."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

BINARY, IMBALANCED, CLASSES, NUMBERS = "two classes", "imbalanced", "several classes", "numbers"


@dataclass(frozen=True)
class TableSet:
    """A table to learn from.

    Attributes:
        name: the file in GPUNN_DATA/tables without its suffix, or scikit-learn's loader after "load_".
        kind: of problem. "imbalanced": two classes, one with less than a quarter of the rows.
        target: the target column; None for the last.
        header: whether the first line of the file names the columns.
        ignore: columns that only name the rows.
    """

    name: str
    kind: str
    target: str | None = None
    header: bool = True
    ignore: tuple[str, ...] = ()

    @property
    def classifies(self) -> bool:
        return self.kind != NUMBERS

    def load(self) -> tuple[pd.DataFrame, np.ndarray]:
        """Return the columns, strings as categories, and the target (m,): class numbers, or numbers."""
        return _load(self)


SETS = [
    TableSet("breast_cancer", BINARY),
    TableSet("wine", CLASSES),
    TableSet("digits", CLASSES),
    TableSet("diabetes", NUMBERS),
    TableSet("abalone", NUMBERS, header=False),
    TableSet("banknote", BINARY, header=False),
    TableSet("churn", IMBALANCED, ignore=("RowNumber", "CustomerId")),
    TableSet("diamonds", NUMBERS, "price"),
    TableSet("german", BINARY, header=False),
    TableSet("ionosphere", BINARY, header=False),
    TableSet("letter", CLASSES, "lettr"),
    TableSet("mammography", IMBALANCED, header=False),
    TableSet("mpg", NUMBERS, "mpg"),
    TableSet("phoneme", BINARY, header=False),
    TableSet("pima", BINARY, header=False),
    TableSet("sacramento", NUMBERS, "price"),
    TableSet("sonar", BINARY, header=False),
    TableSet("titanic", BINARY, "survived", ignore=("ticket", "cabin")),
    TableSet("winequality-red", NUMBERS, header=False),
]


def chosen_on() -> set[str]:
    """Return the names of the sets that the recipe's settings were chosen on; the others are reported.

    In each of two groups, classification and regression, the sets are ordered by the SHA-256 of their names,
    and every second set, from the first, is one to choose on.
    """
    names: set[str] = set()
    for classifies in (True, False):
        group = sorted((s.name for s in SETS if s.classifies == classifies), key=_hash)
        names.update(group[::2])
    return names


def _hash(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


@lru_cache(maxsize=2)
def _load(chosen: TableSet) -> tuple[pd.DataFrame, np.ndarray]:
    frame = _file(chosen)
    target = frame.columns[-1] if chosen.target is None else chosen.target
    y = frame.pop(target)
    frame = frame.drop(columns=list(chosen.ignore))
    frame.columns = [str(name) for name in frame.columns]
    for name in frame:
        if not pd.api.types.is_numeric_dtype(frame[name]):
            frame[name] = frame[name].astype("category")
        else:
            frame[name] = frame[name].astype(np.float64)
    if chosen.classifies:
        return frame, np.unique(y.astype(str), return_inverse=True)[1]
    return frame, y.to_numpy(np.float64)


def _file(chosen: TableSet) -> pd.DataFrame:
    from sklearn import datasets

    path = folder() / f"{chosen.name}.csv"
    if path.is_file():
        return pd.read_csv(path, header=0 if chosen.header else None, na_values=["?"])
    loader: Any = getattr(datasets, f"load_{chosen.name}", None)
    if loader is None:
        raise FileNotFoundError(f"{path} is missing: set GPUNN_DATA to the folder that holds tables/")
    return loader(as_frame=True).frame


def folder() -> Path:
    """Return the folder of the tables' files."""
    return Path(os.environ.get("GPUNN_DATA", ".")) / "tables"
