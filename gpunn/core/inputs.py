"""Input checks: everything a user passes in is checked once, here, with the shapes in the error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from gpunn.functions.costs import Cost

if TYPE_CHECKING:  # backends make inputs dense by `dense`, so they import this module
    from gpunn.core.backend import Backend
    from gpunn.core.examples import Examples

ClassWeight: TypeAlias = str | Mapping[int, float] | ArrayLike


@dataclass(frozen=True)
class Targets:
    """The meaning of y: class labels (m,), or else real targets (n_out, m).

    distributions: the targets of each example sum to 1, as softmax's outputs do.
    """

    labels: np.ndarray | None
    targets: np.ndarray | None
    distributions: bool


def is_sparse(X: Any) -> bool:
    """Whether X is a scipy.sparse matrix or array."""
    return hasattr(X, "tocsc")


def on_device(X: Any) -> bool:
    """Whether X is a CuPy array, in the memory of a CUDA device."""
    return hasattr(X, "__cuda_array_interface__")


def dense(X: Any) -> np.ndarray:
    """X as a dense NumPy array."""
    return X.toarray() if is_sparse(X) else X.get() if on_device(X) else np.asarray(X)


@dataclass(frozen=True)
class CheckedExamples:
    """Examples that passed the checks: X (n_in, m), the meaning of y, and weights (1, m) if there are any.

    smoothing: ε of label smoothing.
    """

    X: np.ndarray
    y: Targets
    weights: np.ndarray | None = None
    smoothing: float = 0.0

    def arrays(self) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None, np.ndarray | None]:
        """(X, labels, targets, weights)."""
        return self.X, self.y.labels, self.y.targets, self.weights

    def copy(self) -> CheckedExamples:
        """A copy that shares no memory with what the user passed in."""
        X, labels, targets, weights = (None if a is None else a.copy(order="F") for a in self.arrays())
        assert X is not None
        return replace(self, X=X, y=replace(self.y, labels=labels, targets=targets), weights=weights)

    def equals(self, other: CheckedExamples) -> bool:
        """Whether these are the same examples, but for smoothing: X itself, and an equal y and weights."""
        mine, theirs = self.arrays(), other.arrays()
        return mine[0] is theirs[0] and all(
            a is b or (a is not None and b is not None and np.array_equal(a, b))
            for a, b in zip(mine[1:], theirs[1:], strict=True)
        )

    def load(self, be: Backend) -> Examples:
        """The examples in the backend's memory."""
        return be.data.examples(self.X, self.y.labels, self.y.targets, self.smoothing, self.weights)


def check_examples(
    X: Any,
    y: ArrayLike,
    sizes: Sequence[int],
    cost: Cost,
    sample_weight: ArrayLike | None = None,
    class_weight: ClassWeight | None = None,
    label_smoothing: float = 0.0,
    own: slice = slice(None),
) -> CheckedExamples:
    """Check examples against the sizes of a network and its cost. Raises ValueError, with the shapes.

    own: the examples to read, if other processes read the others.
    """
    X = check_X(X, sizes[0], own)
    m, n_out = X.shape[1], sizes[-1]
    targets = check_y(y, m, n_out)
    if cost.of_labels and targets.labels is None:
        raise ValueError(f"{cost.name} needs class labels ({m},), not targets")
    if targets.targets is not None:
        check_range(targets.targets, *cost.domain, cost.name)
    check_smoothing(label_smoothing, targets, cost)
    return CheckedExamples(
        X, targets, check_weights(sample_weight, class_weight, targets, m, n_out), label_smoothing
    )


def check_X(X: Any, n_in: int, own: slice = slice(None)) -> np.ndarray:
    """Check X (n_in, m), one example a column. Raises ValueError unless it is finite numbers of that shape.

    A sparse X stays sparse, as CSC, and a CuPy array stays on its device: only `Backend.examples` and `dense`
    handle these. Only the examples `own` of a dense X are read.
    """
    X = X.tocsc() if is_sparse(X) else X if on_device(X) else np.asarray(X)
    if X.dtype.kind not in "buif":
        raise ValueError(f"X must be numbers, not {X.dtype}")
    if X.ndim != 2 or X.shape[0] != n_in:
        hint = "; transpose it, since examples are columns" if X.ndim == 2 and X.shape[1] == n_in else ""
        raise ValueError(f"X must be ({n_in}, m), one example a column, not {X.shape}{hint}")
    if X.shape[1] == 0:
        raise ValueError(f"X has no examples: its shape is {X.shape}")
    _check_finite(*(X.data, "X.data") if is_sparse(X) else (X[:, own], "X", own.start or 0))
    return X


def check_y(y: ArrayLike, m: int, n_out: int) -> Targets:
    """Check y, class labels (m,) or targets (n_out, m); one-hot targets become labels."""
    y = dense(y)
    if y.dtype.kind not in "buif":
        raise ValueError(f"y must be numbers, not {y.dtype}")
    if y.shape not in ((m,), (n_out, m)):
        raise ValueError(f"y must be labels ({m},) or targets ({n_out}, {m}), not {y.shape}")
    _check_finite(y, "y")
    if y.ndim == 2 and n_out > 1:
        distributions = np.allclose(np.sum(y, 0), 1)
        if distributions and np.isin(y, (0, 1)).all():
            return Targets(np.argmax(y, 0), None, True)
        return Targets(None, np.asfortranarray(y), distributions)
    y = y.ravel()
    if n_out == 1 and not np.isin(y, (0, 1)).all():
        return Targets(None, y[None], False)
    return Targets(_check_labels(y, max(n_out, 2)), None, n_out > 1)


def _check_labels(y: np.ndarray, classes: int) -> np.ndarray:
    labels = y.astype(np.intp)
    if not np.array_equal(labels, y):
        raise ValueError("y must be whole numbers, since it holds class labels")
    outside = (labels < 0) | (labels >= classes)
    if outside.any():
        first = int(np.argmax(outside))
        raise ValueError(f"labels must be in 0…{classes - 1}, but y[{first}] is {labels[first]}")
    return labels


def check_range(targets: np.ndarray, least: float, most: float, cost: str) -> None:
    """Raise ValueError unless all targets are in [least, most]."""
    outside = (targets < least) | (targets > most)
    if outside.any():
        first = tuple(int(i) for i in np.argwhere(outside)[0])
        rule = f"in [{least:g}, {most:g}]" if np.isfinite(most) else f"of {least:g} or more"
        where = ", ".join(map(str, first))
        raise ValueError(f"{cost} needs targets {rule}, but y[{where}] is {targets[first]:g}")


def check_smoothing(epsilon: float, y: Targets, cost: Cost) -> None:
    """Raise ValueError unless ε is in [0, 1), and 0 if y is not labels or the cost needs hard labels."""
    if not 0 <= epsilon < 1:
        raise ValueError(f"label_smoothing must be in [0, 1), not {epsilon!r}")
    if epsilon and y.labels is None:
        raise ValueError("label_smoothing needs class labels, but y is targets")
    if epsilon and cost.of_labels:
        raise ValueError(f"{cost.name} needs hard class labels: label_smoothing must be 0")


def check_weights(
    sample_weight: ArrayLike | None, class_weight: ClassWeight | None, y: Targets, m: int, n_out: int
) -> np.ndarray | None:
    """The weight of each example (1, m): its own times that of its class; None if neither is given."""
    if sample_weight is None and class_weight is None:
        return None
    own = None if sample_weight is None else _check_weights(sample_weight, m, "sample_weight")
    weights = np.ones(m) if own is None else own.astype(np.float64)
    if class_weight is not None:
        if y.labels is None:
            raise ValueError("class_weight needs class labels, but y is targets: use sample_weight")
        with np.errstate(over="ignore"):
            weights *= _class_weights(class_weight, y.labels, max(n_out, 2), own)[y.labels]
    if np.max(weights) > np.finfo(np.float32).max:
        raise ValueError(f"the largest weight is {np.max(weights):g}, too large for float32")
    return weights[None]


def _class_weights(
    class_weight: ClassWeight, labels: np.ndarray, classes: int, sample_weight: np.ndarray | None
) -> np.ndarray:
    """The weight of each class (classes,); classes that a dictionary does not name have weight 1.

    "balanced" is m / (k · number of examples of the class), where k classes occur, as in scikit-learn (King
    and Zeng 2001). Examples are counted by their sample weights.
    """
    if isinstance(class_weight, str):
        if class_weight != "balanced":
            raise ValueError(
                f"class_weight must be 'balanced', a dictionary or an array, not '{class_weight}'"
            )
        occur = np.count_nonzero(np.bincount(labels))
        totals = np.bincount(labels, sample_weight, classes)
        return np.asarray(totals.sum() / (occur * np.where(totals > 0, totals, 1)))
    if not isinstance(class_weight, Mapping):
        return _check_weights(class_weight, classes, "class_weight")
    weights: list[float] = [1.0] * classes
    for label, weight in class_weight.items():
        if label not in range(classes):
            raise ValueError(f"class_weight names class {label!r}, but the classes are 0…{classes - 1}")
        weights[int(label)] = weight
    return _check_weights(weights, classes, "class_weight")


def _check_weights(weights: ArrayLike, n: int, name: str) -> np.ndarray:
    """Check weights (n,): finite, and 0 or more."""
    weights = dense(weights)
    if weights.dtype.kind not in "buif":
        raise ValueError(f"{name} must be numbers, not {weights.dtype}")
    if weights.shape != (n,):
        raise ValueError(f"{name} must be ({n},), not {weights.shape}")
    _check_finite(weights, name)
    if (weights < 0).any():
        first = int(np.argmax(weights < 0))
        raise ValueError(f"{name}[{first}] is {weights[first]}: weights must be 0 or more")
    return weights


def _check_finite(array: np.ndarray, name: str, first: int = 0) -> None:
    """Raise ValueError unless all numbers are finite. first: the number of the array's first column.

    A finite sum has only finite terms, so the common case needs no temporary array.
    """
    if array.dtype.kind != "f":
        return
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(np.sum(array, dtype=np.result_type(array, np.float32))):
            return
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        *row, column = bad[0]
        where = ", ".join(str(i) for i in (*row, column + first))
        raise ValueError(f"{name}[{where}] is {array[tuple(bad[0])]}: {name} must be finite")
