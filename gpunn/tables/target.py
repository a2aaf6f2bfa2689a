"""The target of a table, classes or a quantity, and how the network's outputs relate to it.

The two records, `Classes` and `Quantity`, have the same methods, so that only these know which one it is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from gpunn.functions.costs import Cost
from gpunn.inspection.metrics import per_class, probabilities
from gpunn.inspection.scores import balanced_accuracy, score_probabilities, tempered
from gpunn.names import counted, unknown
from gpunn.network import classify
from gpunn.predictor import Predictor
from gpunn.tables.table import MOST_TEXTS, NUMBER, TEXT, Column, Table, number_text

CLASSIFICATION, REGRESSION = "classification", "regression"
MOST_WHOLE = 2**53  # float64 holds no larger odd number
FEW_NAMED = 5  # classes that are named in a description

Measures: TypeAlias = "dict[str, float | None]"


@dataclass(frozen=True)
class Classes:
    """A target of classes.

    Attributes:
        name: the column.
        kind: NUMBER or TEXT, what the column holds.
        classes: the classes' names, by their numbers.
        threshold: the second of two classes is predicted if its probability is above this.
        temperature: T, by which the softmax's z is divided: p^(1/T) / Σ p^(1/T) (Guo et al. 2017).
    """

    name: str
    kind: str
    classes: tuple[str, ...]
    threshold: float = 0.5
    temperature: float = 1.0

    task = CLASSIFICATION
    output_activation = "softmax"
    spread = 1.0  # of probabilities

    @property
    def n_out(self) -> int:
        """The number of outputs of a network for this target."""
        return len(self.classes)

    @property
    def labels(self) -> np.ndarray:
        """The classes (n_out,) as Python would have them: numbers, truth values or strings."""
        if self.kind == NUMBER:
            values = np.array([float(name) for name in self.classes])
            whole = (values == np.rint(values)).all() and np.abs(values).max() <= MOST_WHOLE
            return values.astype(np.int64) if whole else values
        if set(self.classes) == {"True", "False"}:
            return np.array([name == "True" for name in self.classes])
        return np.array(self.classes)

    def encode(self, table: Table) -> np.ndarray:
        """Return the class numbers (m,) of a table's target.

        Raises ValueError, with the place, for a class that the model does not know.
        """
        assert table.target and table.y is not None
        values = np.unique(table.y)
        names = class_names(table.target, values)
        place = {name: k for k, name in enumerate(self.classes)}
        for value, name in zip(values, names, strict=True):
            if name not in place:
                where = table.place(int(np.argmax(table.y == value)))
                raise ValueError(f"{table.name}, {where}: {unknown(name, 'class', self.classes)}")
        return np.array([place[name] for name in names])[np.searchsorted(values, table.y)]

    def fitted(self, y: np.ndarray, reach: tuple[float, float]) -> Classes:
        """Return this target: classes have nothing to fit."""
        return self

    def for_network(self, y: np.ndarray) -> np.ndarray:
        """Return the class numbers (m,), which are what `Network.fit` takes."""
        return y

    def strata(self, y: np.ndarray) -> np.ndarray | None:
        """Return the class of each row (m,): each class keeps its share when rows are held out."""
        return y

    def decode(self, net: Predictor, outputs: np.ndarray) -> np.ndarray:
        """Return the predicted class numbers (m,) from outputs (n_out, m)."""
        if self.threshold == 0.5:
            return classify(outputs, net.cost.threshold)
        p = self.probabilities(net, outputs)
        assert p is not None
        above: np.ndarray = p[1].astype(np.float64) > self.threshold
        return above.astype(np.intp)

    def labels_of(self, predicted: np.ndarray) -> np.ndarray:
        """Return the labels (m,) of class numbers (m,)."""
        return self.labels[predicted]

    def names_of(self, predicted: np.ndarray) -> list[str]:
        """Return the names of class numbers (m,)."""
        return [self.classes[k] for k in predicted]

    def probabilities(self, net: Predictor, outputs: np.ndarray) -> np.ndarray | None:
        """Return the probabilities (n_classes, m) in outputs (n_out, m); None if these are not in [0, 1]."""
        p = probabilities(net, outputs)
        return p if p is None or self.temperature == 1 else tempered(p, self.temperature)

    def constant(self, y: np.ndarray) -> int:
        """Return the best constant prediction: the most frequent class."""
        return int(np.argmax(np.bincount(y)))

    def measure(self, y: np.ndarray, predicted: np.ndarray) -> Measures:
        """Return the accuracy, and its mean over the classes."""
        return {
            "accuracy": float(np.mean(y == predicted)),
            "balanced_accuracy": balanced_accuracy(y, predicted),
        }

    def score(self, y: np.ndarray, net: Predictor, outputs: np.ndarray) -> Measures:
        """Return the scores of the probabilities in outputs (n_out, m), if there are any."""
        p = self.probabilities(net, outputs)
        return {} if p is None else score_probabilities(y, p)

    def details(self, y: np.ndarray, predicted: np.ndarray) -> dict[str, Any]:
        """Return the confusion matrix, and precision, recall and F1 of each class."""
        return per_class(y, predicted, self.classes)

    def check_domain(self, table: Table, cost: Cost) -> None:
        """Accept every table: the cost's domain limits quantities only."""

    def check_counts(self, table: Table, least: int, what: str) -> None:
        """Raise ValueError, with the place, if a class has fewer than `least` examples."""
        assert table.y is not None
        counts = np.bincount(table.y, minlength=self.n_out).tolist()
        if min(counts) >= least:
            return
        k = counts.index(min(counts))
        where, found = table.place(int(np.argmax(table.y == k))), counted(counts[k], "example")
        hint = "" if self.kind == TEXT else "; --task regression treats the target as a number"
        raise ValueError(
            f"{table.name}, {where}: class '{self.classes[k]}' has {found}, but {what} needs {least}{hint}"
        )

    def too_few(self, y: np.ndarray) -> str:
        """Describe what the rows with these targets (m,) lack to be trained on; "" if nothing."""
        counts = np.bincount(y, minlength=self.n_out)
        return "" if counts.all() else f"no example of class '{self.classes[int(np.argmin(counts))]}'"

    def describe(self) -> str:
        """Describe the task in a few words."""
        few = f": {', '.join(self.classes)}" if len(self.classes) <= FEW_NAMED else ""
        return f"classification, {len(self.classes):,} classes{few}"

    def meta(self) -> dict[str, Any]:
        """Return what a model file has of every classifier, not only of a table's."""
        return {"classes": self.classes}


@dataclass(frozen=True)
class Quantity:
    """A target of numbers, of which the network learns (y − mean) / scale."""

    name: str
    mean: float = 0.0
    scale: float = 1.0

    task = REGRESSION
    kind = NUMBER
    output_activation = "identity"
    n_out = 1
    labels = None

    @property
    def spread(self) -> float:
        """The size of differences that matter, in the target's units."""
        return self.scale

    def encode(self, table: Table) -> np.ndarray:
        """Return the numbers (m,) of a table's target."""
        assert table.y is not None
        return table.y

    def fitted(self, y: np.ndarray, reach: tuple[float, float]) -> Quantity:
        """Return the target with a mean and a scale for these numbers (m,) and outputs within `reach`.

        Numbers within a bounded interval stay as they are. If the only bound is a minimum of 0, numbers
        are scaled but not shifted.
        """
        low, high = reach
        within = low <= y.min() and y.max() <= high
        if within and high < math.inf:
            return self
        if within and low == 0:
            return replace(self, scale=float(y.mean()) or 1.0)
        return replace(self, mean=float(y.mean()), scale=float(y.std()) or 1.0)

    def for_network(self, y: np.ndarray) -> np.ndarray:
        """Return the targets (1, m) that `Network.fit` takes: (y − mean) / scale."""
        standardised: np.ndarray = ((y - self.mean) / self.scale)[None]
        return standardised

    def strata(self, y: np.ndarray) -> None:
        """Return None: rows are held out without regard to the target."""

    def decode(self, net: Predictor, outputs: np.ndarray) -> np.ndarray:
        """Return the predictions (m,), in the target's units, from outputs (1, m)."""
        predicted: np.ndarray = outputs[0].astype(np.float64) * self.scale + self.mean
        return predicted

    def labels_of(self, predicted: np.ndarray) -> np.ndarray:
        """Return the predictions (m,) themselves."""
        return predicted

    def names_of(self, predicted: np.ndarray) -> list[float]:
        """Return the predictions (m,) as numbers of Python."""
        return [float(value) for value in predicted]

    def probabilities(self, net: Predictor, outputs: np.ndarray) -> None:
        """Return None: there are no classes."""

    def constant(self, y: np.ndarray) -> float:
        """Return the best constant prediction: the mean."""
        return float(y.mean())

    def measure(self, y: np.ndarray, predicted: np.ndarray) -> Measures:
        """Return RMSE and MAE, in the target's units, and R², which needs two examples."""
        from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

        return {
            "rmse": float(root_mean_squared_error(y, predicted)),
            "mae": float(mean_absolute_error(y, predicted)),
            "r2": float(r2_score(y, predicted)) if len(y) > 1 else None,
        }

    def score(self, y: np.ndarray, net: Predictor, outputs: np.ndarray) -> Measures:
        """Return nothing: there are no probabilities."""
        return {}

    def details(self, y: np.ndarray, predicted: np.ndarray) -> dict[str, Any]:
        """Return nothing more than the measures."""
        return {}

    def check_domain(self, table: Table, cost: Cost) -> None:
        """Raise ValueError, with the place, for a number outside the cost's domain."""
        assert table.y is not None
        low, high = cost.domain
        outside = (table.y < low) | (table.y > high)
        if not outside.any():
            return
        i = int(np.argmax(outside))
        bound = f"below {low:g}" if table.y[i] < low else f"above {high:g}"
        raise ValueError(
            f"{table.name}, {table.place(i)}: '{self.name}' is {number_text(table.y[i])}, but {cost.name} "
            f"takes nothing {bound}; choose another --cost or --output-activation"
        )

    def check_counts(self, table: Table, least: int, what: str) -> None:
        """Accept every table: only classes have counts."""

    def too_few(self, y: np.ndarray) -> str:
        """Describe what the rows with these targets (m,) lack to be trained on; "" if nothing."""
        return counted(len(y), "row") if len(y) < 2 else ""

    def describe(self) -> str:
        """Describe the task in a word."""
        return "regression"

    def meta(self) -> dict[str, Any]:
        """Return nothing: only classifiers have classes."""
        return {}


Target: TypeAlias = Classes | Quantity


def check_target(table: Table) -> None:
    """Raise ValueError if the target has too many strings to be classes."""
    assert table.target
    if table.target.texts and table.target.texts.many:
        raise ValueError(
            f"{table.name}: '{table.target.name}' has more than {MOST_TEXTS:,} distinct strings, too many "
            "for classification"
        )


def class_names(column: Column, values: np.ndarray) -> list[str]:
    """Return the names of classes from the values of a table's target."""
    if column.texts:
        texts = list(column.texts.codes)
        return [texts[int(value)] for value in values]
    return [number_text(value) for value in values]


def to_json(target: Target) -> dict[str, Any]:
    return {"task": target.task, **asdict(target)}


def from_json(kept: Mapping[str, Any]) -> Target:
    values = {name: value for name, value in kept.items() if name != "task"}
    if kept["task"] == REGRESSION:
        return Quantity(**values)
    return Classes(**{**values, "classes": tuple(values["classes"])})
