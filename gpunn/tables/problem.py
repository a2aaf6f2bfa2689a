"""A table made ready to be learnt from, and how well a network has learnt it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from gpunn.functions import activations, costs
from gpunn.functions.activations import Activation
from gpunn.functions.costs import Cost
from gpunn.names import listed
from gpunn.network import Network, classify
from gpunn.tables.preprocessing import Preprocessing
from gpunn.tables.reading import Format, check_columns, open_table, read
from gpunn.tables.table import Table
from gpunn.tables.target import Classes, Quantity, check_whole


@dataclass(frozen=True, eq=False)
class Examples:
    """X (n_features, m), column-major, and y (m,): the numbers of classes, or numbers in the target's units.

    unknown: how many values were of no category that was trained on, by column. rows (m,): which rows of the
    file they are, counted from 0; None for all of them.
    """

    X: np.ndarray
    y: np.ndarray
    unknown: dict[str, int]
    rows: np.ndarray | None = None


@dataclass(frozen=True)
class Preparation:
    """impute: what missing numbers become. cost, output: of the network that is to learn."""

    impute: str
    cost: Cost
    output: Activation

    @classmethod
    def of(cls, impute: str | None = None, cost: str | None = None, output: str | None = None) -> Preparation:
        """By their names, or what is usual."""
        f = activations.get(output or "identity")
        return cls(impute or "median", costs.get(cost or costs.usual_for(f.name)), f)

    @property
    def reach(self) -> tuple[float, float]:
        """The open interval of the outputs that can be learnt."""
        low, high = zip(self.cost.domain, self.output.values, strict=True)
        return max(low), min(high)


@dataclass(frozen=True, eq=False)
class Problem:
    """The rows to train on, those to test on if there are any, and what was made of their columns."""

    target: Classes | Quantity
    preprocessing: Preprocessing
    train: Examples
    test: Examples | None

    @property
    def n_out(self) -> int:
        return len(self.target.classes) if isinstance(self.target, Classes) else 1

    def targets(self, y: np.ndarray) -> np.ndarray:
        """y as `Network.fit` takes it: labels (m,), or standardised targets (1, m)."""
        if isinstance(self.target, Classes):
            return y
        return ((y - self.target.mean) / self.target.scale)[None]

    def score(self, net: Network, examples: Examples) -> tuple[np.ndarray, dict[str, float | None]]:
        """A network's outputs (n_out, m) for some examples, and how good they are: loss, and `measure`."""
        outputs, loss, _ = net.examine(examples.X, self.targets(examples.y))
        predicted = predict(self.target, net, outputs)
        return outputs, {"loss": loss, **measure(self.target, examples.y, predicted)}

    def baseline(self, y: np.ndarray) -> dict[str, float | None]:
        """The same of no network: always the most frequent class to train on, or the mean."""
        always: float = self.train.y.mean()
        if isinstance(self.target, Classes):
            always = int(np.argmax(np.bincount(self.train.y)))
        return measure(self.target, y, np.full(len(y), always))


def predict(target: Classes | Quantity, net: Network, outputs: np.ndarray) -> np.ndarray:
    """The classes (m,) by their numbers, or numbers (m,) in the target's units, of outputs (n_out, m)."""
    if isinstance(target, Classes):
        return classify(outputs, net.cost.threshold)
    return outputs[0].astype(np.float64) * target.scale + target.mean


def measure(target: Classes | Quantity, y: np.ndarray, predicted: np.ndarray) -> dict[str, float | None]:
    """The accuracy; of numbers the RMSE and MAE, in their units, and R², if there are two or more."""
    from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

    if isinstance(target, Classes):
        return {"accuracy": float(np.mean(y == predicted))}
    return {
        "rmse": float(root_mean_squared_error(y, predicted)),
        "mae": float(mean_absolute_error(y, predicted)),
        "r2": float(r2_score(y, predicted)) if len(y) > 1 else None,
    }


def read_known(
    fitted: Preprocessing,
    target: Classes | Quantity | None,
    path: Path,
    format: Format,
    dtype: DTypeLike,
) -> tuple[Table, list[str]]:
    """The columns of a file that a model needs, the target too if there is to be one; which others it has."""
    source = open_table(path, format)
    wanted = fitted.kinds | ({target.name: target.kind} if target else {})
    extra = check_columns(source, wanted)
    means = {number.name: number.mean for number in fitted.numbers}
    table = read(source, wanted, target.name if target else None, dtype, means)
    if target:
        check_whole(table)
    return table, extra


def examples_for(fitted: Preprocessing, target: Classes | Quantity, table: Table) -> Examples:
    """X and y of a table that was read for a model."""
    X, unknown = fitted.apply(table, table.rows)
    return Examples(X, target.encode(table), unknown)


def prepare(
    table: Table, target: Classes | Quantity, m: int, how: Preparation, *, reuse: bool = False
) -> Problem:
    """What to learn from a table, whose y is encoded: train on its first m rows, test on the others.

    Whatever is fitted, is fitted to those m. reuse: the rows may be overwritten.
    """
    assert table.y is not None
    fitted, y = Preprocessing.fit(table, table.rows[:m], how.impute), table.y
    if not fitted.columns:
        why = listed([f"{name} ({reason})" for name, reason in fitted.dropped.items()])
        raise ValueError(f"{table.path}: no column is left to learn from; dropped {why}")
    if isinstance(target, Quantity):
        target = target.fitted(y[:m], how.reach)
    X, unknown = fitted.apply(table, table.rows, reuse)
    train, test = Examples(X[:, :m], y[:m], {}), Examples(X[:, m:], y[m:], unknown)
    return Problem(target, fitted, train, test if len(test.y) else None)
