"""A table prepared for training: examples to train on and to test on, and what was fitted to the former."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import DTypeLike

from gpunn.functions import activations, costs
from gpunn.functions.activations import Activation
from gpunn.functions.costs import Cost
from gpunn.predictor import Predictor
from gpunn.tables.interpreting import describe_spelt, judge_again, leave_out_missing_targets
from gpunn.tables.measures import evaluate, measure_constant
from gpunn.tables.preprocessing import Preprocessing
from gpunn.tables.quantity import Measures
from gpunn.tables.reader import read
from gpunn.tables.reading import check_columns
from gpunn.tables.spelling import PERCENT, Spelling
from gpunn.tables.table import NUMBER, TEXT, NotANumberError, Source, Table
from gpunn.tables.target import Target, check_target

EXTREME = 1e15  # a scaled number that is larger may overflow in the layers of a network; clipped ones are not


@dataclass(frozen=True, eq=False)
class TableExamples:
    """Examples made from the rows of a table.

    Attributes:
        X (n_features, m): the features, column-major.
        y (m,): class numbers, or numbers in the target's units.
        unknown: the number of values of unknown categories, by column.
        rows (m,): the rows of the table, counted from 0; None for all of them.
        extreme: where the value is that is farthest from those trained on, if it may overflow; or "". Only
            models of gpunn 0.1.0 have features without a bound.
        notes: remarks on how their table was read, for the user.
    """

    X: np.ndarray
    y: np.ndarray
    unknown: dict[str, int]
    rows: np.ndarray | None = None
    extreme: str = ""
    notes: tuple[str, ...] = ()

    def evaluate(self, target: Target, net: Predictor, device: str = "cpu") -> tuple[np.ndarray, Measures]:
        """Return a network's outputs (n_out, m), its loss and the target's measures.

        Raises ValueError, with the place, for a value so large that the outputs overflow.
        """
        try:
            return evaluate(target, net, self.X, self.y, device)
        except ValueError as error:
            raise explained(error, self.extreme) from None


def explained(error: ValueError, extreme: str) -> ValueError:
    """Return the error that names the place of an extreme value, if there is one."""
    why = "the value is too far from those trained on, and overflows; correct it, or leave its row out"
    return ValueError(f"{extreme}: {why}") if extreme else error


def find_extreme(preprocessing: Preprocessing, table: Table, X: np.ndarray) -> str:
    """Say where the value is whose feature in X (n_features, m) is largest; "" if none can overflow."""
    if not X.size or max(-X.min(), X.max()) < EXTREME:
        return ""
    k, i = np.unravel_index(int(np.argmax(np.abs(X))), X.shape)
    ends = np.cumsum([column.features for column in preprocessing.columns])
    name = preprocessing.columns[int(np.searchsorted(ends, k, side="right"))].name
    return f"{table.name}, {table.place(int(i))}, column '{name}'"


@dataclass(frozen=True)
class Preparation:
    """How to prepare a table.

    Attributes:
        impute: "median" or "mean", which replaces missing numbers.
        cost: the cost of the network that will learn.
        output: the activation of its output layer.
        known: what an earlier model fitted to the columns, which is used if it suits the table; the features
            of a run that is continued must stay as they were.
    """

    impute: str
    cost: Cost
    output: Activation
    known: Preprocessing | None = None

    @classmethod
    def of(cls, impute: str | None = None, cost: str | None = None, output: str | None = None) -> Preparation:
        """Look up the names; None means the default."""
        f = activations.get(output or "identity")
        return cls(impute or "median", costs.get(cost or costs.usual_for(f)), f)

    @property
    def reach(self) -> tuple[float, float]:
        """The open interval of the outputs that can be learnt."""
        low, high = zip(self.cost.domain, self.output.values, strict=True)
        return max(low), min(high)


@dataclass(frozen=True, eq=False)
class PreparedTable:
    """The examples to train on, the examples to test on if any, and what was fitted to the former."""

    target: Target
    preprocessing: Preprocessing
    train: TableExamples
    test: TableExamples | None

    def evaluate(self, net: Predictor, examples: TableExamples) -> tuple[np.ndarray, Measures]:
        """Return a network's outputs (n_out, m) for some examples, and its measures."""
        return examples.evaluate(self.target, net)

    def baseline(self, y: np.ndarray) -> Measures:
        """Return the measures of always predicting the most frequent class, or the mean, of training."""
        return measure_constant(self.target, y, self.constant)

    @property
    def constant(self) -> float:
        """The best constant prediction: the most frequent class, or the mean, of training."""
        return self.target.constant(self.train.y)


@dataclass(frozen=True, eq=False)
class EvaluationTable:
    """A table that a model is evaluated on.

    Attributes:
        name: what messages call it.
        table: the table.
        examples: the examples to evaluate on.
        constant: the best constant prediction in training, if the training rows are known.
        changed: whether it has changed since training, so that the held-out rows are unknown.
    """

    name: str
    table: Table
    examples: TableExamples
    constant: float | None = None
    changed: bool = False


def read_for(
    preprocessing: Preprocessing,
    target: Target | None,
    source: Source,
    dtype: DTypeLike,
    spellings: Mapping[str, Spelling] = MappingProxyType({}),
    missing: Collection[str] = (),
) -> Table:
    """Read the columns that a model needs, and the target if it is given. Leave out rows without it.

    spellings: how numbers were written in columns of the table that was trained on.
    missing: further words that stand for a missing value.
    """
    wanted = preprocessing.kinds | ({target.name: target.kind} if target else {})
    check_columns(source, wanted, target.name if target else None)
    means = {number.name: number.mean for number in preprocessing.numbers}
    strings = {name: how for name, how in spellings.items() if source.kinds.get(name) == TEXT}
    name = target.name if target else None
    try:
        table = read(source, wanted, name, dtype, means, strings, missing)
    except NotANumberError as error:
        if error.column in strings:
            raise
        plain = [name for name, kind in wanted.items() if kind == NUMBER and name not in spellings]
        spelt = judge_again(error, source, plain, missing) if error.column not in spellings else {}
        if any(how.unit == PERCENT for how, _ in spelt.values()):  # 12.3% may have been 12.3 or 0.123
            raise
        how = {**spellings, **{name: spelling for name, (spelling, _) in spelt.items()}}
        table = read(source, wanted, name, dtype, means, how, missing)
        table = replace(table, notes=(*table.notes, *([describe_spelt(spelt)] if spelt else [])))
    if target:
        check_target(table)
        table = leave_out_missing_targets(table)
    return table


def examples_of(preprocessing: Preprocessing, target: Target, table: Table) -> TableExamples:
    """Return the examples of a table that was read for a model."""
    X, unknown = preprocessing.apply(table, table.rows)
    extreme = find_extreme(preprocessing, table, X)
    return TableExamples(X, target.encode(table), unknown, table.kept, extreme, table.notes)


def prepare(table: Table, target: Target, m: int, how: Preparation, *, reuse: bool = False) -> PreparedTable:
    """Prepare a table, whose y is encoded, to train on its first m rows and test on the others.

    Everything that is fitted is fitted to the first m rows. reuse: allow the table's rows to be overwritten.

    Raises ValueError if all columns are dropped.
    """
    assert table.y is not None
    known = how.known if how.known and how.known.suits(table) else None
    fitted, y = known or Preprocessing.fit(table, table.rows[:m], how.impute), table.y
    fitted.check(table.name)
    target = target.fitted(y[:m], how.reach)
    X, unknown = fitted.apply(table, table.rows, reuse)
    train, test = TableExamples(X[:, :m], y[:m], {}), TableExamples(X[:, m:], y[m:], unknown)
    return PreparedTable(target, fitted, train, test if len(test.y) else None)
