"""Train networks with a sanitizer in the compiled kernels: what test_compiled_sanitized.py runs as a process.

    python sanitized_training.py LIBRARY DTYPE THREADS [careless]

"careless" lets no thread wait for the others between operations.
"""

from __future__ import annotations

import ctypes
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from kernel_operations import let_threads_share_everything

import gpunn
from gpunn import Dense
from gpunn.backends.host.compiled import library, operations

M, BATCH, N_IN = 75, 33, 290  # more inputs than are summed up in one piece
RNG = np.random.default_rng(0)
X, LABELS, NUMBERS = RNG.random((N_IN, M)), RNG.integers(0, 5, M), RNG.standard_normal((3, M))
PLAIN = [Dense(70, "relu"), Dense(33, "tanh"), Dense(5, "softmax")]
NORMED = [
    Dense(70, "gelu", batch_norm=True, dropout=0.3),
    Dense(9, "swish", batch_norm=True),
    Dense(3, "identity"),
]


def cases() -> list[tuple[list[Dense], np.ndarray, dict[str, Any]]]:
    """Return layers, what they learn, and how."""
    wide = [Dense(1100, "relu"), Dense(5, "softmax")]  # its sums are computed in several parts
    weights = RNG.random(M)
    bent = gpunn.Augmentation((10, 29), shift=1, rotate=10, scale=0.1, elastic=2)
    sgd = [gpunn.SGD(0.1), gpunn.SGD(0.1, 0.9, nesterov=True, l1=0.01, max_norm=2)]
    rules = [gpunn.Adam(0.01, clip_norm=1), gpunn.AdamW(0.01), gpunn.RMSProp(l2=0.1), gpunn.Lion()]
    return [
        *((PLAIN, LABELS, {"optimizer": one, "sample_weight": weights}) for one in sgd),
        *((NORMED, NUMBERS, {"optimizer": one, "schedule": "cosine"}) for one in rules),
        (wide, LABELS, {"optimizer": "sgd", "validation": (X, LABELS)}),
        (PLAIN, LABELS, {"augmentation": bent}),
        ([Dense(1, "sigmoid")], LABELS % 2, {"optimizer": "adam", "label_smoothing": 0.1}),
    ]


def main(path: str, dtype: str, threads: int, careless: bool) -> None:
    built = SimpleNamespace(library=ctypes.CDLL(path), checksum="")
    library.build = lambda source: built  # type: ignore[assignment]
    let_threads_share_everything(pytest.MonkeyPatch())
    if careless:
        operations.meets = lambda *_: False
    learn(dtype, threads)


def learn(dtype: str, threads: int) -> None:
    """Train the networks of all cases."""
    for layers, targets, how in cases():
        cost = "quadratic" if targets is NUMBERS else None
        net = gpunn.Network(N_IN, layers, cost, seed=0, dtype=dtype)
        net.fit(X, targets, epochs=2, batch_size=BATCH, device="cpu", threads=threads, **how)
        print("learnt", float(abs(net.theta).sum()), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), "careless" in sys.argv)
