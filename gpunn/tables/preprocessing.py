"""What becomes of a table's columns: numbers standardised, categories one-hot, nothing left missing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from gpunn.tables.table import NUMBER, TEXT, Column, Table, number_text

MOST_CATEGORIES = 100
ROW_NUMBERS = 20  # so many rows in a row are no coincidence
DATE = re.compile(r"(\d{4}([-./])\d\d?\2\d\d?|\d\d?([-./])\d\d?\3\d{4})([T ].*)?")
BLOCK = 1 << 14  # rows at a time


@dataclass(frozen=True)
class Number:
    """x → (x − mean) / scale, with fill for x where there is none."""

    name: str
    fill: float
    mean: float
    scale: float

    @property
    def features(self) -> int:
        return 1

    def apply(self, x: np.ndarray, column: Column, out: np.ndarray) -> int:
        """x (m,), NaN where there is nothing, into out (m, 1); 0, since no number is unknown."""
        filled = np.where(np.isnan(x), self.fill - column.origin, x.astype(np.float64))
        out[:, 0] = (filled - (self.mean - column.origin)) / self.scale
        return 0


@dataclass(frozen=True)
class Category:
    """One-hot: a feature for each category; None, the last if at all, is the one of what is missing."""

    name: str
    categories: tuple[str | None, ...]

    @property
    def features(self) -> int:
        return len(self.categories)

    def apply(self, x: np.ndarray, column: Column, out: np.ndarray) -> int:
        """x (m,), codes of the column's texts, into out (m, k); how many are of no category: all zeros."""
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
    """The columns that are made use of, in order, and why the others are not."""

    columns: tuple[Number | Category, ...]
    dropped: Mapping[str, str]

    @classmethod
    def fit(cls, table: Table, rows: np.ndarray, impute: str = "median") -> Preprocessing:
        """What suits these rows (m, n_columns) of a table: those to train on, and no others.

        impute: "median" or "mean", of a column's numbers where there are none.
        """
        steps = {
            column.name: table.dropped.get(column.name) or _fit_column(column, rows[:, j], impute)
            for j, column in enumerate(table.columns)
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
        """NUMBER or TEXT, by column."""
        return {c.name: NUMBER if isinstance(c, Number) else TEXT for c in self.columns}

    def apply(self, table: Table, rows: np.ndarray, reuse: bool = False) -> tuple[np.ndarray, dict[str, int]]:
        """X (n_features, m), column-major, of rows (m, n_columns) and their type; how many values are of no
        category, by column.

        reuse: X may take the place of the rows, where it is no larger.
        """
        m, n = len(rows), self.features
        reuse = reuse and n <= rows.shape[1]
        X = rows.reshape(-1)[: m * n].reshape(m, n) if reuse else np.empty((m, n), rows.dtype)
        unknown = dict.fromkeys(self.kinds, 0)
        position = {column.name: (j, column) for j, column in enumerate(table.columns)}
        for start in range(0, m, BLOCK):
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
    """What to do with a column; in words, why to drop it."""
    x = np.ascontiguousarray(x)
    if np.isnan(x).all() and not (column.texts and column.texts.many):
        return "empty"
    return _fit_category(column, x) if column.texts else _fit_number(column, x, impute)


def _fit_number(column: Column, x: np.ndarray, impute: str) -> Number | str:
    """One column at a time, so that scikit-learn's copies stay small."""
    from sklearn.impute import SimpleImputer
    from sklearn.preprocessing import StandardScaler

    if np.nanmin(x) == np.nanmax(x):
        return f"always {number_text(column.origin + float(np.nanmin(x)))}"
    imputer, scaler = SimpleImputer(strategy=impute), StandardScaler()
    scaler.fit(imputer.fit_transform(x[:, None]))
    fill, mean = (column.origin + float(value[0]) for value in (imputer.statistics_, scaler.mean_))
    return Number(column.name, fill, mean, float(scaler.scale_[0]))


def _fit_category(column: Column, x: np.ndarray) -> Category | str:
    """As scikit-learn's OneHotEncoder has them: sorted, None last."""
    from sklearn.preprocessing import OneHotEncoder

    assert column.texts
    present, counts = np.unique(x[~np.isnan(x)], return_counts=True)
    dates = all(map(DATE.fullmatch, column.texts.codes))
    what, hint = ("dates", "; as numbers, such as days, they could be used") if dates else ("texts", "")
    if column.texts.many or len(present) > MOST_CATEGORIES:
        return f"more than {MOST_CATEGORIES} different {what}{hint}"
    if len(present) > max(2, len(x) / 2):
        return f"{len(present)} different {what} in {len(x)} rows{hint}"
    texts = np.array([*column.texts.codes, None], object)
    if len(present) == 1 and counts[0] == len(x):
        return f"always '{texts[int(present[0])]}'"
    codes = [*present.astype(int), *([-1] if np.isnan(x).any() else [])]
    categories = OneHotEncoder().fit(texts[codes][:, None]).categories_[0]
    return Category(column.name, tuple(categories))


def mark_row_numbers(table: Table) -> Table:
    """Drops the columns that only count the rows, from 0 or 1, in the file's order."""
    if len(table.rows) < ROW_NUMBERS:
        return table
    counting = [
        column.name
        for j, column in enumerate(table.columns)
        if not column.texts
        and column.origin + float(table.rows[0, j]) in (0, 1)
        and (np.diff(table.rows[:, j]) == 1).all()
    ]
    return replace(table, dropped=dict.fromkeys(counting, "counts the rows"))
