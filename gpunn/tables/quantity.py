"""A target of numbers: how outputs become predictions, and the intervals around them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from gpunn.functions.costs import Cost
from gpunn.names import counted
from gpunn.predictor import Predictor
from gpunn.tables.table import NUMBER, Table, number_text

REGRESSION = "regression"

Measures: TypeAlias = "dict[str, float | None]"


@dataclass(frozen=True)
class Quantity:
    """A target of numbers; the network learns (y − mean) / scale.

    Attributes:
        name: the column.
        interval: the share of the targets that prediction intervals should contain. The network then has
            three outputs: the lower end, the median and the upper end. None: it has one output.
        widened: the distance by which both ends are moved outwards, in units of the scale.
    """

    name: str
    mean: float = 0.0
    scale: float = 1.0
    interval: float | None = None
    widened: float = 0.0

    task = REGRESSION
    kind = NUMBER
    output_activation = "identity"
    labels = None

    @property
    def n_out(self) -> int:
        """The number of outputs of a network for this target."""
        return 1 if self.interval is None else 3

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
        return self.fitted_to((float(y.min()), float(y.max())), float(y.mean()), float(y.std()), reach)

    def fitted_to(
        self, ends: tuple[float, float], mean: float, deviation: float, reach: tuple[float, float]
    ) -> Quantity:
        """Return the target as `fitted` does, from the smallest and the largest number and their moments."""
        low, high = reach
        within = low <= ends[0] and ends[1] <= high
        if within and high < math.inf:
            return self
        if within and low == 0:
            return replace(self, scale=mean or 1.0)
        return replace(self, mean=mean, scale=deviation or 1.0)

    def for_network(self, y: np.ndarray) -> np.ndarray:
        """Return the targets (n_out, m) that `Network.fit` takes: (y − mean) / scale, for each output."""
        return np.repeat(((y - self.mean) / self.scale)[None], self.n_out, axis=0)

    def strata(self, y: np.ndarray) -> None:
        """Return None: rows are held out without regard to the target."""

    def decode(self, net: Predictor, outputs: np.ndarray) -> np.ndarray:
        """Return the predictions (m,), in the target's units, from outputs (n_out, m)."""
        middle = np.sort(outputs, axis=0)[self.n_out // 2]
        predicted: np.ndarray = middle.astype(np.float64) * self.scale + self.mean
        return predicted

    def bounds(self, outputs: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """Return the ends (m,) of the intervals, in the target's units, from outputs (n_out, m).

        Return None without intervals. Outputs in another order are sorted (Chernozhukov et al. 2010), and
        the interval always contains the median.
        """
        if self.interval is None:
            return None
        low, median, high = np.sort(outputs, axis=0).astype(np.float64)
        low, high = np.minimum(low - self.widened, median), np.maximum(high + self.widened, median)
        return low * self.scale + self.mean, high * self.scale + self.mean

    def widened_to(self, y: np.ndarray, outputs: np.ndarray) -> Quantity:
        """Return the target whose intervals contain their share of y (m,), from outputs (3, m).

        y was held out from training. The intervals are widened by the ⌈(m + 1) share⌉-th smallest distance
        of a target from its interval (Romano et al. 2019, conformalized quantile regression).
        """
        assert self.interval is not None
        low, _, high = np.sort(outputs, axis=0).astype(np.float64)
        learnt = (y - self.mean) / self.scale
        distance = np.sort(np.maximum(low - learnt, learnt - high))
        k = min(math.ceil((len(y) + 1) * self.interval), len(y))
        return replace(self, widened=float(distance[k - 1]))

    def labels_of(self, predicted: np.ndarray) -> np.ndarray:
        """Return the predictions (m,) themselves."""
        return predicted

    def names_of(self, predicted: np.ndarray) -> list[float]:
        """Return the predictions (m,) as Python floats."""
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
        """Return the share of y (m,) within the intervals of outputs (3, m), and their mean width."""
        if (ends := self.bounds(outputs)) is None:
            return {}
        low, high = ends
        return {"coverage": float(np.mean((low <= y) & (y <= high))), "width": float(np.mean(high - low))}

    def details(self, y: np.ndarray, predicted: np.ndarray) -> dict[str, Any]:
        """Return {}: there is nothing beyond the measures."""
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
            f"takes no number {bound}: choose another --cost or --output-activation"
        )

    def check_counts(self, table: Table, least: int, what: str) -> None:
        """Accept every table: only classes have counts."""

    def too_few(self, y: np.ndarray) -> str:
        """Return how many rows there are if they are too few to train on, else ""."""
        return counted(len(y), "row") if len(y) < 2 else ""

    def describe(self) -> str:
        """Describe the task in a word."""
        return "regression"

    def meta(self) -> dict[str, Any]:
        """Return {}: only classifiers have classes."""
        return {}
