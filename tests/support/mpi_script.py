"""Run by mpiexec on two ranks: every check is done on both, and rank 0 prints what came out as JSON."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from mpi4py import MPI

import gpunn
from gpunn import Dense, Network

WORLD = MPI.COMM_WORLD
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(16, 41)), RNG.integers(0, 4, 41)
OPTIMIZERS = {"sgd": gpunn.SGD(), "nesterov": gpunn.Nesterov(), "adam": gpunn.Adam(epsilon=1e-2)}
USUAL = {"epochs": 2, "batch_size": 10, "device": "cpu", "threads": 1}


def network(seed: int | None = 3) -> Network:
    layers = [Dense(9, "tanh", batch_norm=True, dropout=0.3), Dense(4, "softmax")]
    return Network(16, layers, seed=seed, dtype="float64")


def learn(x: Any = X, y: Any = Y, seed: int | None = 3, **options: Any) -> Network:
    net = network(seed)
    net.fit(x, y, **{**USUAL, "communicator": WORLD, **options})
    return net


def hashes(net: Network) -> set[str]:
    return set(WORLD.allgather(hashlib.sha256(net.theta.tobytes()).hexdigest()))


def error_of(do: Callable[[], Any]) -> str:
    try:
        do()
    except ValueError as error:
        texts = set(WORLD.allgather(str(error)))
        return texts.pop() if len(texts) == 1 else f"different errors: {texts}"
    return "no error"


def shouts(record: gpunn.Record) -> None:
    raise ValueError("a callback that fails")


def main(folder: Path) -> dict[str, Any]:
    first = WORLD.rank == 0
    found: dict[str, Any] = {"apart": {}, "copies": {}}
    for name, optimizer in OPTIMIZERS.items():
        net, one = learn(optimizer=optimizer), network()
        one.fit(X, Y, **{**USUAL, "optimizer": optimizer})
        found["apart"][name] = float(np.abs(net.theta - one.theta).max())
        found["copies"][name] = len(hashes(net))
    found["copies"]["no seed"] = len(hashes(learn(seed=None)))
    mapped = np.load(folder / "X.npy", mmap_mode="r").T
    found["copies"]["memory map"] = len(hashes(learn(mapped)))
    found["mapped"] = float(np.abs(learn(mapped).theta - learn().theta).max())
    other = np.where(np.arange(41) == (3 if first else 4), 0, X)
    path = folder / ("X.npy" if first else "nothing.npy")
    found["errors"] = {
        "data": error_of(lambda: learn(other)),
        "settings": error_of(lambda: learn(batch_size=10 if first else 20)),
        "epochs": error_of(lambda: learn(epochs=1 if first else 2)),
        "examples": error_of(lambda: learn(X[:, :1], Y[:1])),
        "batch": error_of(lambda: learn(batch_size=1)),
        "one rank": error_of(lambda: learn(X if first else X[:4])),
        "not finite": error_of(lambda: learn(np.load(folder / "bad.npy", mmap_mode="r").T)),
        "file": error_of(lambda: learn(lambda: iter([(np.load(path).T, Y)]), None)),
        "callback": error_of(lambda: learn(on_epoch_end=shouts)),
        "none": error_of(learn),
    }
    return found


if __name__ == "__main__":
    result = main(Path(sys.argv[1]))
    if WORLD.rank == 0:
        print(json.dumps(result))
