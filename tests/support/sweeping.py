"""Examples that the tests of sweeps share, and a sweep that is quick."""

from __future__ import annotations

from typing import Any

import numpy as np
from helpers import classes
from hypothesis import strategies as st

import gpunn
from gpunn import Dense, Network

ROWS, Y = classes(60, 3, 5)
X = np.asfortranarray(ROWS.T)
LAYERS = [Dense(4, "tanh"), Dense(3, "softmax")]


def sweep(**arguments: Any) -> gpunn.SweepResult:
    """Sweep over two learning rates, or what is asked for."""
    arguments = {"grid": {"learning_rate": [0.1, 0.5]}, "epochs": 2, "optimizer": "sgd"} | arguments
    return gpunn.sweep(
        arguments.pop("X", X), arguments.pop("y", Y), arguments.pop("layers", LAYERS), **arguments
    )


def alone(layers: list[Dense] = LAYERS, seed: int = 0, **options: Any) -> gpunn.Network:
    """Train one network by itself."""
    net = gpunn.Network(5, layers, seed=seed)
    net.fit(X, Y, **({"epochs": 2, "device": "cpu"} | options))
    return net


def equal(a: gpunn.Network, b: gpunn.Network) -> bool:
    """Whether two networks are bitwise identical."""
    return np.array_equal(a.theta, b.theta)


OPTIMIZERS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "sgd": {"momentum": st.sampled_from([0.0, 0.5])},
    "nesterov": {"clip_norm": st.sampled_from([None, 0.5])},
    "adam": {"beta1": st.sampled_from([0.5, 0.9])},
    "lion": {},
}
SETTINGS: dict[str, st.SearchStrategy[Any]] = {
    "learning_rate": st.floats(1e-3, 1.0),
    "l2": st.sampled_from([0.0, 1e-3]),
    "l1": st.sampled_from([0.0, 1e-3]),
    "max_norm": st.sampled_from([None, 1.0]),
    "hidden": st.sampled_from([(3,), (6, 4), ()]),
    "activation": st.sampled_from(["relu", "sigmoid", "gelu"]),
    "init": st.sampled_from([None, "normal"]),
    "dropout": st.sampled_from([0.0, 0.3]),
    "batch_norm": st.booleans(),
    "input_dropout": st.sampled_from([0.0, 0.2]),
    "epochs": st.integers(1, 4),
    "batch_size": st.sampled_from([1, 7, 32, 100]),
    "schedule": st.sampled_from([None, "cosine", "one-cycle"]),
    "label_smoothing": st.sampled_from([0.0, 0.1]),
    "stop": st.sampled_from([None, gpunn.EarlyStopping("validation_loss", 1)]),
}


@st.composite
def grids(draw: st.DrawFn) -> dict[str, list[Any]]:
    """Draw a grid of an optimizer, and two values of a few other settings."""
    optimizer = draw(st.sampled_from(list(OPTIMIZERS)))
    names = draw(st.lists(st.sampled_from(list(SETTINGS)), max_size=3, unique=True))
    known = SETTINGS | OPTIMIZERS[optimizer]
    names += [name for name in OPTIMIZERS[optimizer] if draw(st.booleans())]
    varied = {name: draw(st.lists(known[name], min_size=1, max_size=2, unique=True)) for name in names}
    return {"optimizer": [optimizer], **varied}


def trained_alone(settings: dict[str, Any], seed: int, fold: int, dtype: str = "float32") -> Network:
    """Train a network by itself, as a user would write it down."""
    chosen = dict(settings)
    of_hidden = {n: chosen.pop(n) for n in ("activation", "dropout", "batch_norm") if n in chosen}
    init = chosen.pop("init", None)
    sizes = chosen.pop("hidden", (4,))
    layers = [Dense(n, **({"activation": "tanh", "init": init} | of_hidden)) for n in sizes]
    input_dropout = chosen.pop("input_dropout", 0.0)
    layers.append(Dense(3, "softmax", init))
    net = Network(5, layers, seed=seed, dtype=dtype, input_dropout=input_dropout)
    constants = ("learning_rate", "l2", "l1", "max_norm", "momentum", "clip_norm", "beta1")
    make = gpunn.core.optimizers.OPTIMIZERS[chosen.pop("optimizer")]
    optimizer = make(**{name: chosen.pop(name) for name in constants if name in chosen})
    kept, held = FOLDS[fold]
    data = {"validation": (X[:, held], Y[held]), "epochs": 2, "device": "cpu"}
    net.fit(X[:, kept], Y[kept], **(data | chosen), optimizer=optimizer)
    return net


FOLDS = [(np.arange(20, 60), np.arange(20)), (np.arange(40), np.arange(40, 60))]
