"""The importance of columns, the dependence of predictions on them, and suspected leaks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gpunn.predictor import Predictor
from gpunn.sweeps.ensemble import networks_of
from gpunn.tables.dated import Dated
from gpunn.tables.leaks import Leak, find_leaks
from gpunn.tables.preprocessing import Preprocessing
from gpunn.tables.table import Source
from gpunn.tables.target import Classes, Target
from gpunn.training.progress import SOON, Bar

if TYPE_CHECKING:
    from gpunn.tables.substituting import Substituting

REPEATS = 5  # permutations of a column
FEWEST, MOST = 200, 2000  # rows to measure on
WORK = 3e10  # multiplications for all importances together: a second or two
MOST_COLUMNS = 200  # columns that are measured: those with the largest weights in the first layer
SUSPECTS = 20  # columns that are examined for leaks: the most important ones


@dataclass(frozen=True)
class Importance:
    """How much a score falls if a column is shuffled: mean and standard deviation over permutations."""

    column: str
    mean: float
    std: float

    @property
    def certain(self) -> bool:
        """Whether the score falls by more than it varies."""
        return self.mean > 2 * self.std and self.mean > 0


@dataclass(frozen=True)
class Drivers:
    """The columns that drive a model.

    Attributes:
        score: the name of the score that falls: "ROC AUC", "accuracy" or "R²".
        value: the score on these rows.
        rows: the number of rows.
        held_out: whether the rows were held out from training.
        columns: the number of columns, of which at most `MOST_COLUMNS` are measured.
        importances: the importance of columns, the largest first.
        leaks: columns that predict the target almost perfectly on their own.
    """

    score: str
    value: float
    rows: int
    held_out: bool
    columns: int
    importances: tuple[Importance, ...]
    leaks: tuple[Leak, ...]

    @property
    def driving(self) -> list[Importance]:
        """The columns without which the score would fall."""
        return [each for each in self.importances if each.certain]


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows to measure on, with their features.

    Attributes:
        X (n_features, m), y (m,): the examples, as `TableExamples` has them.
        at (m,): the indices of these rows among the examples that they were chosen from.
    """

    X: np.ndarray
    y: np.ndarray
    at: np.ndarray


def features_of(preprocessing: Preprocessing, source: Source) -> dict[str, np.ndarray]:
    """Return the indices of each column's features; a date has the features of all its parts."""
    dates = source.dates if isinstance(source, Dated) else {}
    of = {f"{name} {part}": name for name, how in dates.items() for part in how.parts}
    found: dict[str, list[int]] = {}
    end = 0
    for step in preprocessing.columns:
        begin, end = end, end + step.features
        found.setdefault(of.get(step.name, step.name), []).extend(range(begin, end))
    return {name: np.array(features) for name, features in found.items()}


def choose_rows(X: np.ndarray, y: np.ndarray, most: int) -> Rows:
    """Return `most` of the examples, evenly spaced, or all if there are fewer."""
    at = np.unique(np.linspace(0, len(y) - 1, min(most, len(y))).astype(np.intp))
    return Rows(np.asfortranarray(X[:, at]), y[at], at)


def rows_to_measure(parameters: int, columns: int) -> int:
    """Return the number of rows on which measuring takes a second or two."""
    each = 2 * parameters * REPEATS * max(columns, 1)
    return int(np.clip(WORK / each, FEWEST, MOST))


def largest(net: Predictor, features: Mapping[str, np.ndarray]) -> list[str]:
    """Return the columns with the largest weights in the first layer, in the table's order."""
    squares = sum(np.square(each.weights[0].astype(np.float64)).sum(axis=0) for each in networks_of(net))
    sizes = [float(np.sum(squares[at])) for at in features.values()]
    first = np.sort(np.argsort(-np.array(sizes), kind="stable")[:MOST_COLUMNS])
    names = list(features)
    return [names[k] for k in first]


def find_drivers(
    net: Predictor,
    target: Target,
    features: Mapping[str, np.ndarray],
    train: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray] | None,
    seed: int,
) -> Drivers:
    """Measure what drives a network.

    Args:
        net: the network.
        target: its target.
        features: the features of each column.
        train: (X, y), the examples that it was trained on.
        test: (X, y), the examples that were held out; None if there are none.
        seed: the random seed of the permutations.
    """
    names = largest(net, features)
    rows = choose_rows(*(test or train), rows_to_measure(net.parameters, len(names)))
    score, value, found = measure(net, target, rows, {name: features[name] for name in names}, seed)
    suspects = {each.column: features[each.column] for each in found[:SUSPECTS]}
    leaks = find_leaks(target, *train, suspects)
    return Drivers(score, value, len(rows.y), test is not None, len(features), tuple(found), tuple(leaks))


def measure(
    net: Predictor, target: Target, rows: Rows, features: Mapping[str, np.ndarray], seed: int
) -> tuple[str, float, list[Importance]]:
    """Return a score's name and value, and the importance of columns, the largest first."""
    from sklearn.inspection import permutation_importance

    model = estimator(net, target, rows.X, list(features.values()))
    name, score = scorer(target, net, rows.y)
    P = np.repeat(np.arange(len(rows.y), dtype=np.float64)[:, None], len(features), axis=1)
    with _bar(len(features) * REPEATS) as bar:

        def counted(*arguments: Any) -> float:
            bar.update()
            return score(*arguments)

        value = score(model, P, rows.y)
        found = permutation_importance(
            model, P, rows.y, scoring=counted, n_repeats=REPEATS, random_state=seed
        )
    measured = [
        Importance(column, float(mean), float(std))
        for column, mean, std in zip(features, found.importances_mean, found.importances_std, strict=True)
    ]
    return name, value, sorted(measured, key=lambda each: -each.mean)


def _bar(permutations: int) -> Bar:
    """Return a progress bar on a terminal, which appears only if measuring takes long."""
    return Bar(
        total=permutations,
        desc="what drives it",
        unit=" permutations",
        delay=SOON,
        leave=False,
        dynamic_ncols=True,
        disable=not sys.stderr.isatty(),
    )


def estimator(net: Predictor, target: Target, X: np.ndarray, features: list[np.ndarray]) -> Substituting:
    """Return the network as a scikit-learn estimator whose inputs are indices of rows."""
    from gpunn.tables.substituting import SubstitutingClassifier, SubstitutingRegressor

    kind = SubstitutingClassifier if isinstance(target, Classes) else SubstitutingRegressor
    made: Substituting = kind(net, target, X, features)
    return made


def scorer(target: Target, net: Predictor, y: np.ndarray) -> tuple[str, Callable[..., float]]:
    """Return the score by which importance is measured: its name, and a scikit-learn scorer."""
    from sklearn.metrics import accuracy_score, r2_score, roc_auc_score

    if not isinstance(target, Classes):
        return "R²", lambda model, P, y: float(r2_score(y, model.predict(P)))
    ranked = len(target.classes) == 2 and net.output_activation.gives_probabilities
    if ranked and len(np.unique(y)) == 2:
        return "ROC AUC", lambda model, P, y: float(roc_auc_score(y, model.predict_proba(P)[:, 1]))
    return "accuracy", lambda model, P, y: float(accuracy_score(y, model.predict(P)))
