"""Turn a table's columns into features: numbers standardised, categories one-hot, missing values filled.

The results are those of scikit-learn's `SimpleImputer`, `StandardScaler` and `OneHotEncoder`. skrub's
`TableVectorizer` does much the same, column types and dropping included, but lacks three things:

- A fitted pipeline is stored as a pickle, which can run code when it is read. A `Preprocessing` is a few
  names and numbers, kept as JSON in the model file, which the ONNX export and other programs can read, too.
- A pipeline takes a DataFrame and makes copies of it. Here columns are fitted one at a time and transformed
  in blocks of rows, in place if possible, so training takes less than twice the memory of the numbers.
- A transformer costs 1 ms for each column, which is minutes for the 100,000 columns of a genome.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from gpunn.names import counted
from gpunn.tables.fitting import fill_of, mean_and_scale
from gpunn.tables.table import MOST_TEXTS, NUMBER, TEXT, Column, Table, number_text
from gpunn.training.progress import watched

MOST_CATEGORIES = 100
MONTH = r"(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
DATE = re.compile(
    r"(\d{4}([-./])\d\d?\2\d\d?|\d\d?([-./])\d\d?\3(\d\d){1,2}"
    rf"|\d\d?\.?[- ]{MONTH}[- ](\d\d){{1,2}}|{MONTH} \d\d?,? \d{{4}})([T ,].*)?",
    re.IGNORECASE,
)
BLOCK = 1 << 14  # rows


@dataclass(frozen=True)
class Number:
    """x → (x − mean) / scale, with `fill` in place of a missing x."""

    name: str
    fill: float
    mean: float
    scale: float

    @property
    def features(self) -> int:
        return 1

    def apply(self, x: np.ndarray, column: Column, out: np.ndarray) -> int:
        """Write the feature of x (m,), NaN if missing, to out (m, 1); return 0, as no number is unknown."""
        filled = np.where(np.isnan(x), self.fill - column.origin, x.astype(np.float64))
        with np.errstate(over="ignore"):  # the network refuses what is not finite
            out[:, 0] = (filled - (self.mean - column.origin)) / self.scale
        return 0


@dataclass(frozen=True)
class Category:
    """One-hot: a feature for each category. The category None, always the last, stands for missing values."""

    name: str
    categories: tuple[str | None, ...]

    @property
    def features(self) -> int:
        return len(self.categories)

    def apply(self, x: np.ndarray, column: Column, out: np.ndarray) -> int:
        """Write the features of x (m,), codes of the column's strings, to out (m, k).

        Returns the number of values of unknown categories, whose features are all 0.
        """
        assert column.texts
        place = {category: k for k, category in enumerate(self.categories)}
        places = [place.get(text, -1) for text in column.texts.codes] + [place.get(None, -1)]
        codes = np.where(np.isnan(x), len(places) - 1, x).astype(np.intp)
        k = np.array(places)[codes]
        out[:] = 0
        out[np.flatnonzero(k >= 0), k[k >= 0]] = 1
        return int(np.count_nonzero(k < 0))


@dataclass(frozen=True)
class Preprocessing:
    """The columns that become features, in order, and the reason for each column that was dropped."""

    columns: tuple[Number | Category, ...]
    dropped: Mapping[str, str]

    @classmethod
    def fit(cls, table: Table, rows: np.ndarray, impute: str = "median") -> Preprocessing:
        """Fit to these rows (m, n_columns) of a table, which should be the rows to train on, and no others.

        impute: "median" or "mean", which replaces a column's missing numbers.
        """
        steps = {
            column.name: table.dropped.get(column.name) or _fit_column(column, rows[:, j], impute)
            for j, column in enumerate(watched(table.columns, "preparing", "columns"))
        }
        dropped = {name: why for name, why in steps.items() if isinstance(why, str)}
        return cls(tuple(step for step in steps.values() if not isinstance(step, str)), dropped)

    @property
    def features(self) -> int:
        return sum(column.features for column in self.columns)

    @property
    def numbers(self) -> list[Number]:
        return [column for column in self.columns if isinstance(column, Number)]

    @property
    def kinds(self) -> dict[str, str]:
        """NUMBER or TEXT for each column."""
        return {c.name: NUMBER if isinstance(c, Number) else TEXT for c in self.columns}

    def apply(self, table: Table, rows: np.ndarray, reuse: bool = False) -> tuple[np.ndarray, dict[str, int]]:
        """Return X (n_features, m), column-major and of the rows' dtype, and the unknown values by column.

        rows (m, n_columns): rows of the table. reuse: write X to the memory of the rows if it is no larger.
        Unknown values are of categories that were not in the rows that were fitted to.
        """
        m, n = len(rows), self.features
        reuse = reuse and n <= rows.shape[1]
        X = rows.reshape(-1)[: m * n].reshape(m, n) if reuse else np.empty((m, n), rows.dtype)
        unknown = dict.fromkeys(self.kinds, 0)
        position = {column.name: (j, column) for j, column in enumerate(table.columns)}
        for start in watched(range(0, m, BLOCK), "preparing", "blocks of rows"):
            block, end = rows[start : start + BLOCK].copy(), 0
            for step in self.columns:
                j, column = position[step.name]
                begin, end = end, end + step.features
                out = X[start : start + BLOCK, begin:end]
                unknown[step.name] += step.apply(block[:, j], column, out)
        return X.T, {name: count for name, count in unknown.items() if count}

    def to_json(self) -> dict[str, Any]:
        return {"columns": [asdict(column) for column in self.columns], "dropped": dict(self.dropped)}

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Preprocessing:
        columns: Iterable[Number | Category] = (
            Category(c["name"], tuple(c["categories"])) if "categories" in c else Number(**c)
            for c in kept["columns"]
        )
        return cls(tuple(columns), dict(kept["dropped"]))


# fitting


def _fit_column(column: Column, x: np.ndarray, impute: str) -> Number | Category | str:
    """Return the step that fits a column, or the reason to drop it."""
    x = np.ascontiguousarray(x)
    if np.isnan(x).all() and not (column.texts and column.texts.many):
        return "empty"
    return _fit_category(column, x) if column.texts else _fit_number(column, x, impute)


def _fit_number(column: Column, x: np.ndarray, impute: str) -> Number | str:
    """Fit imputation and standardisation to one column."""
    least = np.fmin.reduce(x)
    if least == np.fmax.reduce(x):
        return f"always {number_text(column.origin + float(least))}"
    fill = fill_of(x, impute)
    mean, scale = mean_and_scale(np.where(np.isnan(x), x.dtype.type(fill), x))
    return Number(column.name, column.origin + fill, column.origin + mean, scale)


def _fit_category(column: Column, x: np.ndarray) -> Category | str:
    """Fit the categories, in the order of scikit-learn's OneHotEncoder: sorted, None last."""
    assert column.texts
    present, counts = np.unique(x[~np.isnan(x)], return_counts=True)
    dates = all(map(DATE.fullmatch, column.texts.codes))
    what, hint = (
        ("dates", "; convert them to numbers, such as days, to use them") if dates else ("strings", "")
    )
    if column.texts.many and not dates:
        return f"free text: more than {MOST_TEXTS:,} distinct strings"
    if column.texts.many or len(present) > MOST_CATEGORIES:
        return f"more than {MOST_CATEGORIES} distinct {what}{hint}"
    if len(present) > max(2, len(x) / 2):
        return f"{len(present):,} distinct {what} in {counted(len(x), 'row')}{hint}"
    texts = list(column.texts.codes)
    found = sorted(texts[int(code)] for code in present)
    if len(found) == 1 and counts[0] == len(x):
        return f"always '{found[0]}'"
    return Category(column.name, (*found, None) if np.isnan(x).any() else tuple(found))
