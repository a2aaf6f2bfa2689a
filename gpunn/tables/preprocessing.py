"""Turn a table's columns into features: numbers scaled and coded, categories one-hot, missing values filled.

A number becomes up to T + 2 features: its scaled value, its piecewise-linear codes in T bins, and whether it
is missing. Imputation, scaling and one-hot categories are those of scikit-learn's `SimpleImputer`,
`RobustScaler` and `OneHotEncoder`; smooth clipping is that of RealMLP (Holzmüller et al. 2024); the codes are
those of Gorishniy et al. 2022, section 3.2. skrub's `TableVectorizer` does much the same, column types and
dropping included, but lacks three things:

- A fitted pipeline is stored as a pickle, which can run code when it is read. A `Preprocessing` is a few
  names and numbers, kept as JSON in the model file, which the ONNX export and other programs can read, too.
- A pipeline takes a DataFrame and makes copies of it. Here columns are fitted one at a time and transformed
  in blocks of rows, in place if possible.
- A transformer costs 1 ms for each column, which is minutes for the 100,000 columns of a genome.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from gpunn.names import counted, listed
from gpunn.tables.fitting import Summary, edges_of, fill_of, middle_and_scale
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
CLIP = 3.0  # the bound of scaled numbers
BINS, FEWEST_BINS = 12, 4  # codes of a number; fewer than the latter tell nothing new
MOST_CODES = 2048  # of all numbers together
MOST_VALUES = 1 << 26  # codes in all rows: 256 MiB in float32


@dataclass(frozen=True)
class Number:
    """A number x as features: z = (x − mean) / scale, clipped smoothly; its codes; and whether it is missing.

    Models of gpunn 0.1.0 have z alone, without a bound.

    Attributes:
        fill: replaces a missing x.
        mean: the x that becomes 0, which is the median; the mean in models of gpunn 0.1.0.
        clip: the bound c of z, which becomes z / √(1 + (z/c)²); None to leave z as it is.
        edges: b_0 < … < b_T. Code t of the piecewise-linear codes is (x − b_{t−1}) / (b_t − b_{t−1}), limited
            to 0…1.
        gaps: whether a feature is 1 if x is missing, and otherwise 0.
    """

    name: str
    fill: float
    mean: float
    scale: float
    clip: float | None = None
    edges: tuple[float, ...] = ()
    gaps: bool = False

    @property
    def codes(self) -> int:
        """The number T of codes."""
        return max(len(self.edges) - 1, 0)

    @property
    def features(self) -> int:
        return 1 + self.codes + self.gaps

    def apply(self, x: np.ndarray, column: Column, out: np.ndarray) -> int:
        """Write the features of x (m,), NaN if missing, to out (m, k); return 0, as no number is unknown."""
        filled = x.astype(np.float64)
        missing = np.isnan(filled)
        filled[missing] = self.fill - column.origin
        with np.errstate(over="ignore"):  # the network refuses what is not finite
            z = filled - (self.mean - column.origin)
            z /= self.scale
            if self.clip is not None:
                z /= np.hypot(1, z / self.clip)
            out[:, 0] = z
        if self.codes:
            edges = np.array(self.edges)[:, None] - column.origin
            codes = filled - edges[:-1]  # (T, m), so that NumPy's inner loops are long
            codes /= np.diff(edges, axis=0)
            out[:, 1 : 1 + self.codes] = np.clip(codes, 0, 1, out=codes).T
        if self.gaps:
            out[:, -1] = missing
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

        def summary(j: int) -> Summary:
            return Summary.of(table.columns[j], np.ascontiguousarray(rows[:, j]))

        return cls.fit_to(table, len(rows), summary, impute)

    @classmethod
    def fit_to(
        cls, table: Table, m: int, summary: Callable[[int], Summary], impute: str = "median"
    ) -> Preprocessing:
        """Fit to the summaries of the columns of m rows. summary: returns that of column j of the table."""
        bins = bins_for(m, sum(column.kind == NUMBER for column in table.columns))
        steps = {
            column.name: table.dropped.get(column.name) or _fit_column(column, summary(j), impute, bins)
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

    def check(self, name: str) -> None:
        """Raise ValueError if all columns of the table of this name are dropped."""
        if not self.columns:
            why = listed([f"{column} ({reason})" for column, reason in self.dropped.items()])
            raise ValueError(f"{name}: no column is left to learn from; dropped {why}")

    def suits(self, table: Table) -> bool:
        """Whether a table has all the columns, with numbers and strings where they were."""
        found = {column.name: column.kind for column in table.columns}
        return self.kinds.items() <= found.items()

    def apply(self, table: Table, rows: np.ndarray, reuse: bool = False) -> tuple[np.ndarray, dict[str, int]]:
        """Return X (n_features, m), column-major and of the rows' dtype, and the unknown values by column.

        rows (m, n_columns): rows of the table. reuse: write X to the memory of the rows if it is no larger.
        Unknown values are of categories that were not in the rows that were fitted to.
        """
        m, n = len(rows), self.features
        reuse = reuse and n <= rows.shape[1]
        X = rows.reshape(-1)[: m * n].reshape(m, n) if reuse else np.empty((m, n), rows.dtype)
        unknown = dict.fromkeys(self.kinds, 0)
        for start in watched(range(0, m, BLOCK), "preparing", "blocks of rows"):
            block = rows[start : start + BLOCK].copy()
            for name, count in self.encode(table, block, X[start : start + BLOCK]).items():
                unknown[name] += count
        return X.T, {name: count for name, count in unknown.items() if count}

    def encode(self, table: Table, block: np.ndarray, out: np.ndarray) -> dict[str, int]:
        """Write the features of some rows (m, n_columns) to out (m, n_features).

        Returns the number of unknown values by column.
        """
        position = {column.name: (j, column) for j, column in enumerate(table.columns)}
        unknown, end = {}, 0
        for step in self.columns:
            j, column = position[step.name]
            begin, end = end, end + step.features
            unknown[step.name] = step.apply(block[:, j], column, out[:, begin:end])
        return unknown

    def new_categories(self, table: Table) -> dict[str, list[str | None]]:
        """Return the categories of a table that were not in the rows that were fitted to, by column."""
        known = {step.name: step.categories for step in self.columns if isinstance(step, Category)}
        found: dict[str, list[str | None]] = {}
        for j, column in enumerate(table.columns):
            if column.name in known and column.texts:
                there = [*column.texts.codes, *([None] if np.isnan(table.rows[:, j]).any() else [])]
                found[column.name] = [text for text in there if text not in known[column.name]]
        return found

    def to_json(self) -> dict[str, Any]:
        return {"columns": [asdict(column) for column in self.columns], "dropped": dict(self.dropped)}

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Preprocessing:
        columns: Iterable[Number | Category] = (
            Category(c["name"], tuple(c["categories"]))
            if "categories" in c
            else Number(**{**c, "edges": tuple(c.get("edges", ()))})
            for c in kept["columns"]
        )
        return cls(tuple(columns), dict(kept["dropped"]))


# fitting


def bins_for(m: int, numbers: int) -> int:
    """Return the largest number of codes for each of so many columns of numbers in m rows.

    Wide and very long tables have fewer codes, or none, so that the features stay few enough to learn from
    and to hold in memory.
    """
    room = min(MOST_CODES, MOST_VALUES // max(m, 1))
    bins = min(BINS, room // max(numbers, 1))
    return bins if bins >= FEWEST_BINS else 0


def _fit_column(column: Column, found: Summary, impute: str, bins: int) -> Number | Category | str:
    """Return the step that fits a column, or the reason to drop it."""
    if found.missing == found.m and not (column.texts and column.texts.many):
        return "empty"
    return _fit_category(column, found) if column.texts else _fit_number(column, found, impute, bins)


def _fit_number(column: Column, found: Summary, impute: str, bins: int) -> Number | str:
    """Fit imputation, scaling and codes to one column."""
    present = found.present
    if present[0] == present[-1]:
        return f"always {number_text(column.origin + float(present[0]))}"
    middle, scale = middle_and_scale(present)
    edges = tuple(np.unique(column.origin + edges_of(present, bins)).tolist())
    return Number(
        column.name,
        fill=column.origin + fill_of(present, impute),
        mean=column.origin + middle,
        scale=scale,
        clip=CLIP,
        edges=edges,
        gaps=found.missing > 0,
    )


def _fit_category(column: Column, seen: Summary) -> Category | str:
    """Fit the categories, in the order of scikit-learn's OneHotEncoder: sorted, None last."""
    assert column.texts
    present = np.flatnonzero(seen.counts)
    dates = all(map(DATE.fullmatch, column.texts.codes))
    what, hint = (
        ("dates", "; --date names the first that is written unlike the others") if dates else ("strings", "")
    )
    if column.texts.many and not dates:
        return f"free text: more than {MOST_TEXTS:,} distinct strings"
    if column.texts.many or len(present) > MOST_CATEGORIES:
        return f"more than {MOST_CATEGORIES} distinct {what}{hint}"
    if len(present) > max(2, seen.m / 2):
        return f"{len(present):,} distinct {what} in {counted(seen.m, 'row')}{hint}"
    texts = list(column.texts.codes)
    found = sorted(texts[int(code)] for code in present)
    if len(found) == 1 and not seen.missing:
        return f"always '{found[0]}'"
    return Category(column.name, (*found, None) if seen.missing else tuple(found))
