"""A plain training loop in PyTorch, which imports nothing of this project.

`python benchmarks/contestants/plain_torch.py SETTINGS.json DATA.npz` trains a network of ReLU layers on MNIST
and prints its training time and its test accuracy as JSON. DATA.npz has X and X_test (m, 784) in uint8,
labels and labels_test (m,), and `rates`, the learning rate of each step.
"""

from __future__ import annotations

import copy
import itertools
import json
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

SIDE = 28


def build(torch: Any, sizes: Sequence[int]) -> Any:
    """Build the network with He's initial weights."""
    layers: list[Any] = []
    for n_in, n_out in itertools.pairwise(sizes):
        linear = torch.nn.Linear(n_in, n_out)
        torch.nn.init.normal_(linear.weight, std=math.sqrt(2 / n_in))
        torch.nn.init.zeros_(linear.bias)
        layers += [linear, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def train(
    torch: Any,
    model: Any,
    gather: Callable[[Any], Any],
    labels: Any,
    rates: Sequence[float],
    settings: Mapping[str, Any],
) -> float:
    """Take a step for each learning rate and return the seconds; `gather` returns rows of pixels in 0…1."""
    device = labels.device.type
    momentum = settings["momentum"]
    optimizer = torch.optim.SGD(
        model.parameters(), rates[0], momentum, nesterov=momentum > 0, fused=device == "cuda"
    )
    distort = (
        distortions(torch, labels.device, **settings["augmentation"]) if settings["augmentation"] else None
    )
    start, step = time.perf_counter(), 0
    while step < len(rates):
        for batch in torch.randperm(len(labels), device=labels.device).split(settings["batch_size"])[
            : len(rates) - step
        ]:
            optimizer.param_groups[0]["lr"] = rates[step]
            x = gather(batch)
            loss = torch.nn.functional.cross_entropy(
                model(distort(x) if distort else x), labels.index_select(0, batch)
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def distortions(
    torch: Any,
    device: Any,
    shift: float = 0,
    rotate: float = 0,
    scale: float = 0,
    elastic: float = 0,
    smoothness: float = 6,
    **_: Any,
) -> Callable[[Any], Any]:
    """Return a function that distorts rows of pixels at random, as `gpunn.Augmentation` says."""
    place = torch.arange(SIDE, device=device, dtype=torch.float32)
    bell = torch.exp(-((place[:, None] - place) ** 2) / (2 * smoothness**2)) / (
        smoothness * math.sqrt(2 * math.pi)
    )
    middle = (SIDE - 1) / 2
    rows, columns = (part.reshape(1, -1) - middle for part in torch.meshgrid(place, place, indexing="ij"))

    def distort(x: Any) -> Any:
        m = len(x)
        angle, taller, wider, down, aside = 2 * torch.rand(5, m, 1, device=device) - 1
        angle = angle * math.radians(rotate)
        dy, dx = rows - shift * down, columns - shift * aside
        y = (angle.cos() * dy + angle.sin() * dx) / (1 + scale * taller)
        across = (angle.cos() * dx - angle.sin() * dy) / (1 + scale * wider)
        if elastic:
            noise = 2 * torch.rand(2, m, SIDE, SIDE, device=device) - 1
            bent = elastic * (bell @ noise @ bell).reshape(2, m, -1)
            y, across = y + bent[0], across + bent[1]
        grid = torch.stack([across, y], -1).reshape(m, SIDE, SIDE, 2) / middle
        images = x.reshape(m, 1, SIDE, SIDE)
        return torch.nn.functional.grid_sample(images, grid, align_corners=True).reshape(m, -1)

    return distort


def main() -> None:
    """Train and evaluate from the command line."""
    import numpy as np
    import torch

    settings, data = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), np.load(sys.argv[2])
    torch.manual_seed(settings["seed"])
    device = settings["device"]
    X, X_test = (torch.from_numpy(data[name]).to(device).float() / 255 for name in ("X", "X_test"))
    labels, labels_test = (torch.from_numpy(data[name]).to(device) for name in ("labels", "labels_test"))
    model, rates = build(torch, settings["sizes"]).to(device), data["rates"].tolist()

    def gather(batch: Any) -> Any:
        return X.index_select(0, batch)

    train(torch, copy.deepcopy(model), gather, labels, rates[:3], settings)  # warm-up
    seconds = train(torch, model, gather, labels, rates, settings)
    with torch.no_grad():
        accuracy = float((model(X_test).argmax(1) == labels_test).float().mean())
    print(json.dumps({"seconds": seconds, "test_accuracy": accuracy}))


if __name__ == "__main__":
    main()
