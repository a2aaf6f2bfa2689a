"""The target of a table, classes or a quantity, and how the network's outputs relate to it.

The two records, `Classes` and `Quantity`, have the same methods, so that only these know which one it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import numpy as np

from gpunn.functions.costs import Cost
from gpunn.inspection.metrics import per_class, probabilities
from gpunn.inspection.scores import balanced_accuracy, score_probabilities, tempered
from gpunn.names import counted, unknown
from gpunn.network import classify
from gpunn.predictor import Predictor
from gpunn.tables.quantity import REGRESSION, Measures, Quantity
from gpunn.tables.table import MOST_TEXTS, NUMBER, TEXT, Column, Table, number_text

CLASSIFICATION = "classification"
MOST_WHOLE = 2**53  # float64 holds no larger odd number
FEW_NAMED = 5  # classes that are named in a description


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

    def bounds(self, outputs: np.ndarray) -> None:
        """Return None: classes have no intervals."""

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
