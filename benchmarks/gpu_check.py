"""Two parts of benchmarks/gpu_check.sh.

`fit` runs every kind of kernel a few times, for compute-sanitizer to watch. `compare` trains the same
networks on the CPU and on a device and compares the results.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from datetime import datetime, timezone
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

import gpunn
from benchmarks import machine, report
from benchmarks.nets import MIDDLE, SMALL, Data, Net, load

THETA = 1e-3  # largest ‖θ − θ_CPU‖ / ‖θ_CPU‖ after an epoch in float32
ACCURACY = 0.003  # largest difference in test accuracy after ten epochs
EPOCHS = 10


def fit(device: str) -> None:
    """Run every kind of kernel a few times."""
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 256, (36, 70), np.uint8), np.arange(70) % 5
    layers = [
        gpunn.Dense(33, "relu", batch_norm=True, dropout=0.3),
        gpunn.Dense(20, "tanh"),
        gpunn.Dense(17, "softmax"),
        gpunn.Dense(5, "softmax"),
    ]
    book = gpunn.Network(784, [gpunn.Dense(30), gpunn.Dense(10)], "quadratic", seed=0)
    pixels, labels = rng.integers(0, 256, (784, 70), np.uint8), np.arange(70) % 10
    book.fit(pixels, labels, epochs=1, batch_size=10, optimizer="sgd", device=device)
    print("the book's network, in the resident kernel", np.abs(theta(book)).sum())
    precisions = ["float32"] if device == "cpu" else ["float32", "bf16"]
    for cost, precision in product(("cross-entropy", "quadratic", "hinge"), precisions):
        net = gpunn.Network(36, layers, cost, seed=0)
        where: Any = {"device": device, "precision": precision}
        optimizer = gpunn.Adam(l1=1e-4, l2=1e-4, max_norm=2.0, clip_norm=1.0)
        net.fit(X, y, epochs=2, batch_size=32, optimizer=optimizer, schedule="cosine", **where)
        print(cost, precision, net.evaluate(X, y, device=device))
    for f in ("sigmoid", "softmax"):  # small enough for the resident kernel
        net = gpunn.Network(36, [gpunn.Dense(33, "tanh"), gpunn.Dense(5, f)], seed=0)
        net.fit(X, y, epochs=2, batch_size=10, optimizer="adam", device=device)
        print(f, net.evaluate(X, y, device=device))
    net = gpunn.Network(64, [gpunn.Dense(100), gpunn.Dense(10, "softmax")], seed=0)
    net.fit(rng.random((64, 400)), np.arange(400) % 10, epochs=2, batch_size=200, device=device)
    print("several blocks share out the examples", np.abs(theta(net)).sum())
    grid = {"learning_rate": [0.1, 0.5], "l2": [0.0, 1e-3]}
    small = [gpunn.Dense(8, "tanh"), gpunn.Dense(5, "softmax")]
    swept = gpunn.sweep(X, y, small, grid=grid, seeds=3, epochs=2, validation=0.2, device=device)
    print("networks at once", swept.table.column("status"))


def theta(net: gpunn.Network) -> np.ndarray:
    """Concatenate all weights and biases."""
    return np.concatenate([x.ravel() for x in [*net.weights, *net.biases]])


def train(net: Net, data: Data, device: str) -> tuple[np.ndarray, float]:
    """Return θ after one epoch and the test accuracy after ten."""
    network, first = net.build(), []

    def after(record: gpunn.Record) -> None:
        if record.epoch == 1:
            first.append(theta(network))

    network.fit(
        data.X,
        data.labels,
        epochs=EPOCHS,
        batch_size=net.batch_size,
        optimizer=gpunn.SGD(net.learning_rate),
        device=device,
        on_epoch_end=after,
    )
    return first[0], network.evaluate(data.X_test, data.labels_test)[1] or 0.0


def compare_net(net: Net, data: Data, device: str) -> dict[str, Any]:
    """Compare a network trained on the device with the same network trained on the CPU."""
    (ours, accuracy), (theirs, expected) = (train(net, data, name) for name in (device, "cpu"))
    apart = float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))
    learnable = data.name != "random"  # accuracy on noise means nothing
    return {
        "net": net.title,
        "theta_apart_after_an_epoch": apart,
        "accuracies": [accuracy, expected] if learnable else None,
        "holds": apart <= THETA and (not learnable or abs(accuracy - expected) <= ACCURACY),
    }


def compare(
    device: str, folder: Path, nets: Sequence[Net] = (SMALL, MIDDLE), data: Data | None = None
) -> bool:
    """Compare the networks, print and write the results; return True if all are within bounds."""
    data = load() if data is None else data
    found: list[dict[str, Any]] = []
    results = {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "device": device,
        "data": data.name,
        "machine": machine.describe(),
        "at_most": {"theta": THETA, "accuracy": ACCURACY},
        "nets": found,
    }
    for net in nets:
        try:
            found.append(compare_net(net, data, device))
        except Exception as error:  # the other networks are still compared
            found.append({"net": net.title, "holds": False, "error": f"{type(error).__name__}: {error}"})
        print(json.dumps(found[-1], ensure_ascii=False))
        path = report.write(results, folder, "-trajectories")
    print(f"wrote {path}")
    return all(row["holds"] for row in found)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one part from the command line."""
    parser = argparse.ArgumentParser("python -m benchmarks.gpu_check")
    parser.add_argument("part", choices=["fit", "compare"])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args(arguments)
    if options.part == "fit":
        fit(options.device)
        return
    data = load()
    if data.name == "random" and options.device != "cpu":
        raise SystemExit(
            "MNIST is not available, and accuracy on noise means nothing: set GPUNN_DATA to its folder"
        )
    if not compare(options.device, options.output, data=data):
        raise SystemExit("the trajectories of the device and the CPU differ too much")


if __name__ == "__main__":
    main()
