"""The textbook: back-propagation one example at a time, in plain NumPy.

This is the algorithm of Nielsen, "Neural Networks and Deep Learning", chapters 1 and 2. It shares no line
with the rest of gpunn: the tests compare gpunn with it, and the benchmarks use it as their baseline of one
example at a time. Vectors are columns (n, 1); lists start at index 0 for layer 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from scipy.special import erf

from gpunn.names import look_up

__all__ = ["ACTIVATIONS", "COSTS", "OPTIMIZERS", "Textbook"]

Vector: TypeAlias = np.ndarray
Gradient: TypeAlias = list[tuple[np.ndarray, np.ndarray]]
State: TypeAlias = dict[str, float]


def _sigmoid(z: Vector) -> Vector:
    return 1 / (1 + np.exp(-z))


def _softmax(z: Vector) -> Vector:
    e = np.exp(z - z.max())
    return e / e.sum()


def _normal_cdf(z: Vector) -> Vector:
    return (1 + erf(z / np.sqrt(2))) / 2


def _hinge(a: Vector, y: Vector) -> float:
    """Σ max(0, aⱼ − a_y + 1) over the classes j ≠ y; y is one-hot, or 0 or 1 for a single output."""
    if len(a) == 1:
        return float(max(0, 1 - a[0, 0]) if y[0, 0] == 1 else max(0, 1 + a[0, 0]))
    right = int(np.argmax(y))
    return float(sum(max(0, a[j, 0] - a[right, 0] + 1) for j in range(len(a)) if j != right))


def _hinge_gradient(a: Vector, y: Vector) -> Vector:
    """Each class within the margin pushes its own output down by 1, and the right class's output up by 1."""
    gradient = np.zeros_like(a)
    if len(a) == 1:
        sign = 1 if y[0, 0] == 1 else -1
        gradient[0, 0] = -sign if 1 - sign * a[0, 0] > 0 else 0
        return gradient
    right = int(np.argmax(y))
    for j in range(len(a)):
        if j != right and a[j, 0] - a[right, 0] + 1 > 0:
            gradient[j, 0] += 1
            gradient[right, 0] -= 1
    return gradient


def _taus(n: int) -> Vector:
    """The quantiles from 5% to 95% that n outputs learn; the median for a single output."""
    return np.array([[0.5]]) if n == 1 else np.array([[0.05 + 0.9 * i / (n - 1)] for i in range(n)])


def _quantiles(a: Vector, y: Vector) -> float:
    """Σ τᵢ (yᵢ − aᵢ) if yᵢ > aᵢ, else (1 − τᵢ)(aᵢ − yᵢ)."""
    tau = _taus(len(a))
    return float(np.sum(np.where(y > a, tau * (y - a), (1 - tau) * (a - y))))


def _quantiles_gradient(a: Vector, y: Vector) -> Vector:
    return np.where(a == y, 0.5 - _taus(len(a)), np.where(y > a, -_taus(len(a)), 1 - _taus(len(a))))


#: (f(z), the Jacobian of f at z) by name; a diagonal Jacobian is a vector, any other a matrix.
ACTIVATIONS: dict[str, tuple[Callable[[Vector], Vector], Callable[[Vector], np.ndarray]]] = {
    "sigmoid": (_sigmoid, lambda z: _sigmoid(z) * (1 - _sigmoid(z))),
    "tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "relu": (lambda z: np.maximum(z, 0), lambda z: (z > 0).astype(z.dtype)),
    "leaky relu": (lambda z: np.where(z > 0, z, 0.01 * z), lambda z: np.where(z > 0, 1, 0.01)),
    "elu": (lambda z: np.where(z > 0, z, np.exp(z) - 1), lambda z: np.where(z > 0, 1, np.exp(z))),
    "gelu": (
        lambda z: z * _normal_cdf(z),
        lambda z: _normal_cdf(z) + z * np.exp(-z * z / 2) / np.sqrt(2 * np.pi),
    ),
    "swish": (
        lambda z: z * _sigmoid(z),
        lambda z: _sigmoid(z) + z * _sigmoid(z) * (1 - _sigmoid(z)),
    ),
    "softplus": (lambda z: np.log(1 + np.exp(z)), _sigmoid),
    "exp": (np.exp, np.exp),
    "identity": (lambda z: z, np.ones_like),
    "softmax": (_softmax, lambda z: np.diagflat(_softmax(z)) - _softmax(z) @ _softmax(z).T),
}

#: (C(a, y), ∂C/∂a) by name.
COSTS: dict[str, tuple[Callable[[Vector, Vector], float], Callable[[Vector, Vector], Vector]]] = {
    "quadratic": (lambda a, y: float(np.sum((y - a) ** 2) / 2), lambda a, y: a - y),
    "cross-entropy": (lambda a, y: float(-np.sum(y * np.log(a))), lambda a, y: -y / a),
    "binary-cross-entropy": (
        lambda a, y: float(-np.sum(y * np.log(a) + (1 - y) * np.log(1 - a))),
        lambda a, y: (a - y) / (a * (1 - a)),
    ),
    "mae": (lambda a, y: float(np.sum(np.abs(a - y))), lambda a, y: np.sign(a - y)),
    "log-cosh": (lambda a, y: float(np.sum(np.log(np.cosh(a - y)))), lambda a, y: np.tanh(a - y)),
    "huber": (  # δ = 1
        lambda a, y: float(np.sum(np.where(np.abs(a - y) <= 1, (a - y) ** 2 / 2, np.abs(a - y) - 1 / 2))),
        lambda a, y: np.where(np.abs(a - y) <= 1, a - y, np.sign(a - y)),
    ),
    "quantile": (  # τ = ½
        lambda a, y: float(np.sum(np.maximum((y - a) / 2, (a - y) / 2))),
        lambda a, y: np.sign(a - y) / 2,
    ),
    "quantiles": (_quantiles, _quantiles_gradient),  # a spread of 0.9
    "poisson": (lambda a, y: float(np.sum(a - y * np.log(a))), lambda a, y: 1 - y / a),
    "hinge": (_hinge, _hinge_gradient),
}


def _sgd(x: float, g: float, s: State, t: int, eta: float, l2: float) -> float:
    return x - eta * (g + l2 * x)


def _momentum(x: float, g: float, s: State, t: int, eta: float, l2: float) -> float:
    s["v"] = 0.9 * s.get("v", 0) + g + l2 * x
    return x - eta * s["v"]


def _nesterov(x: float, g: float, s: State, t: int, eta: float, l2: float) -> float:
    s["v"] = 0.9 * s.get("v", 0) + g + l2 * x
    return x - eta * (g + l2 * x + 0.9 * s["v"])


def _rmsprop(x: float, g: float, s: State, t: int, eta: float, l2: float) -> float:
    g = g + l2 * x
    s["v"] = 0.9 * s.get("v", 0) + 0.1 * g**2
    return x - eta * g / (s["v"] ** 0.5 + 1e-8)


def _adam(x: float, g: float, s: State, t: int, eta: float, l2: float) -> float:
    g = g + l2 * x
    s["m"] = 0.9 * s.get("m", 0) + 0.1 * g
    s["v"] = 0.999 * s.get("v", 0) + 0.001 * g**2
    return x - eta * (s["m"] / (1 - 0.9**t)) / ((s["v"] / (1 - 0.999**t)) ** 0.5 + 1e-8)


def _adamw(x: float, g: float, s: State, t: int, eta: float, l2: float) -> float:
    return _adam(x, g, s, t, eta, 0) - eta * l2 * x


def _lion(x: float, g: float, s: State, t: int, eta: float, l2: float) -> float:
    m = s.get("m", 0)
    s["m"] = 0.99 * m + 0.01 * g
    return x - eta * (float(np.sign(0.9 * m + 0.1 * g)) + l2 * x)


#: Each optimizer's rule with its default settings: (x, g, state, t, eta, l2) → the new x, for one parameter x
#: with gradient g, in step t = 1, 2, … The state is empty at the start; l2 is 0 for a bias.
OPTIMIZERS: dict[str, Callable[[float, float, State, int, float, float], float]] = {
    "sgd": _sgd,
    "momentum": _momentum,
    "nesterov": _nesterov,
    "rmsprop": _rmsprop,
    "adam": _adam,
    "adamw": _adamw,
    "lion": _lion,
}


@dataclass
class Textbook:
    """A network as in the book, one example at a time, in the dtype of its arrays.

    Args:
        weights: (n_l, n_{l-1}) for layers 1…L.
        biases: (n_l, 1) for layers 1…L.
        activations: a name for each layer.
        cost: a name.

    Raises:
        ValueError: a name is unknown.

    >>> net = gpunn.Network([4, 3, 2], seed=0, dtype="float64")
    >>> book = gpunn.reference.Textbook(net.weights, net.biases, ["sigmoid", "sigmoid"])
    >>> X, y = np.eye(4), np.array([0, 1, 1, 0])
    >>> theirs, ours = book.mean_gradient(X, np.eye(2)[:, y]), net.gradients(X, y)
    >>> all(np.allclose(dw, dw_) and np.allclose(db, db_) for (dw, db), (dw_, db_) in zip(theirs, ours))
    True
    """

    weights: list[np.ndarray]
    biases: list[np.ndarray]
    activations: Sequence[str]
    cost: str = "quadratic"

    def __post_init__(self) -> None:
        self._f = [look_up(ACTIVATIONS, name, "activation") for name in self.activations]
        self._cost = look_up(COSTS, self.cost, "cost")

    def feedforward(self, a: Vector) -> Vector:
        """Compute the outputs (n_L, 1) for one example a (n_0, 1)."""
        for w, b, (f, _) in zip(self.weights, self.biases, self._f, strict=True):
            a = f(w @ a + b)
        return a

    def loss(self, x: Vector, y: Vector) -> float:
        """Compute the cost of one example, x (n_0, 1) and y (n_L, 1)."""
        return self._cost[0](self.feedforward(x), y)

    def backprop(self, x: Vector, y: Vector) -> Gradient:
        """Compute [(∂C/∂w, ∂C/∂b), …] of one example, x (n_0, 1) and y (n_L, 1), by BP1 to BP4."""
        zs, activations = [], [x]
        for w, b, (f, _) in zip(self.weights, self.biases, self._f, strict=True):
            zs.append(w @ activations[-1] + b)
            activations.append(f(zs[-1]))
        delta = _times(self._f[-1][1](zs[-1]), self._cost[1](activations[-1], y))  # BP1
        gradient = []
        for l in range(len(zs) - 1, -1, -1):
            gradient.append((delta @ activations[l].T, delta))  # BP4, BP3
            if l > 0:
                delta = _times(self._f[l - 1][1](zs[l - 1]), self.weights[l].T @ delta)  # BP2
        return gradient[::-1]

    def mean_gradient(self, X: np.ndarray, Y: np.ndarray) -> Gradient:
        """Average `backprop` over the columns of X (n_0, m) and Y (n_L, m)."""
        m = X.shape[1]
        total = [(np.zeros_like(w), np.zeros_like(b)) for w, b in zip(self.weights, self.biases, strict=True)]
        for j in range(m):
            example = self.backprop(X[:, j : j + 1], Y[:, j : j + 1])
            for (dw, db), (dw_j, db_j) in zip(total, example, strict=True):
                dw += dw_j
                db += db_j
        return [(dw / m, db / m) for dw, db in total]

    def epoch(self, X: np.ndarray, Y: np.ndarray, order: np.ndarray, batch_size: int, eta: float) -> None:
        """Train for one epoch of stochastic gradient descent; the last mini-batch may be shorter."""
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            for l, (dw, db) in enumerate(self.mean_gradient(X[:, batch], Y[:, batch])):
                self.weights[l] = self.weights[l] - eta * dw
                self.biases[l] = self.biases[l] - eta * db


def _times(jacobian: np.ndarray, error: Vector) -> Vector:
    """Jacobianᵀ · error, which is ⊙ if the Jacobian is diagonal."""
    return jacobian * error if jacobian.shape == error.shape else jacobian.T @ error
