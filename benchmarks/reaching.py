"""Measure how fast a test accuracy is reached, with the settings of `targets`."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.contestants import OURS, OURS_ON_CUDA, Skipped, plain_torch
from benchmarks.measure import PAUSE, Tick
from benchmarks.nets import Data
from benchmarks.targets import TARGETS, Target
from benchmarks.worker import Workers

#: The contestants that are also timed as commands, from their start to their end, and their devices.
COMMANDS = {OURS: "cpu", OURS_ON_CUDA: "cuda", "PyTorch": "cpu", "PyTorch CUDA": "cuda"}
PATIENCE = 300  # seconds that a command may take


def measure(
    workers: Workers, names: Sequence[str], seeds: int, keep: Callable[[list[Any]], object], tick: Tick
) -> None:
    """Measure every target, and keep the results after each."""
    found: list[dict[str, Any]] = []
    for what, target in TARGETS.items():
        if not (own := participants(names, what)):
            continue
        training = {} if target.augmentation else by_training(workers, own, target, seeds, tick)
        commands = by_command(workers, own, target, tick)
        about = {"accuracy": target.accuracy, "title": target.title, "settings": target.plain()}
        found.append({**about, "training": training, "commands": commands})
        keep(found)


def ticks(names: Sequence[str], seeds: int) -> int:
    """Return the number of steps in the progress bar."""
    total = 0
    for what, target in TARGETS.items():
        own = participants(names, what)
        trained = 0 if target.augmentation else seeds * len(own)
        total += trained + len([name for name in own if name in COMMANDS])
    return total


def participants(names: Sequence[str], what: str) -> list[str]:
    """Return the contestants that train a target: those on its device, or all of them."""
    if what.endswith("PU"):
        return [name for name in names if ("CUDA" in name) == what.endswith("GPU")]
    return list(names)


def by_training(
    workers: Workers, names: Sequence[str], target: Target, seeds: int, tick: Tick
) -> dict[str, Any]:
    """Return the seconds of training alone, by contestant, if the accuracy is reached with every seed."""
    runs: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    skipped = {}
    for seed in range(seeds):
        for name in names:
            tick(f"{target.name}: {name} to {target.accuracy:.0%}, seed {seed}")
            try:
                if name not in skipped:
                    runs[name].append(train(workers, name, target, seed))
            except Skipped as reason:
                skipped[name] = {"skipped": str(reason)}
    return {name: skipped[name] if name in skipped else summary(runs[name], target) for name in names}


def train(workers: Workers, name: str, target: Target, seed: int) -> tuple[float, float]:
    """Train in a worker, after a warm-up; return the seconds and the test accuracy."""
    worker = workers[name]
    worker.prepare(target, seed)
    worker.seconds(target.batch_size, 1)  # warm-up
    worker.prepare(target, seed)
    time.sleep(PAUSE)
    return worker.reach()


def summary(runs: Sequence[tuple[float, float]], target: Target) -> dict[str, Any]:
    """Summarise the runs of all seeds."""
    seconds, accuracies = zip(*runs, strict=True)
    return {
        "seconds": float(np.median(seconds)),
        "range": [min(seconds), max(seconds)],
        "accuracies": list(accuracies),
        "reached": min(accuracies) >= target.accuracy,
    }


def by_command(workers: Workers, names: Sequence[str], target: Target, tick: Tick) -> dict[str, Any]:
    """Return the seconds of commands from their start to their end, and those of their training."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in [name for name in names if name in COMMANDS]:
            tick(f"{target.name}: the command of {name} to {target.accuracy:.0%}")
            try:
                workers.check(name)
                found[name] = run(command(name, target, workers.data, Path(folder)), target)
            except Skipped as reason:
                found[name] = {"skipped": str(reason)}
    return found


def command(name: str, target: Target, data: Data, folder: Path) -> list[str]:
    """Return the command that trains a target."""
    device = COMMANDS[name]
    if name in (OURS, OURS_ON_CUDA):
        output = ["--output", str(folder / "run"), "--overwrite"]
        return ["-m", "gpunn", "train", "mnist", *target.options(), "--device", device, "--json", *output]
    settings, arrays = folder / f"{device}.json", folder / "mnist.npz"
    settings.write_text(json.dumps({**target.plain(), "device": device, "seed": 0}), encoding="utf-8")
    rates, rows = target.rates(len(data.labels)), {"X": data.X.T, "X_test": data.X_test.T}
    np.savez(arrays, rates=rates, labels=data.labels, labels_test=data.labels_test, **rows)
    return [plain_torch.__file__, str(settings), str(arrays)]


def run(arguments: Sequence[str], target: Target) -> dict[str, Any]:
    """Run a command; return its seconds, those of its training, and the test accuracy."""
    start = time.perf_counter()
    try:
        done = subprocess.run(
            [sys.executable, *arguments], capture_output=True, text=True, timeout=PATIENCE, check=True
        )
    except subprocess.CalledProcessError as error:
        raise Skipped(f"failed: {(error.stderr.strip().splitlines() or ['no message'])[-1]}") from None
    except subprocess.TimeoutExpired:
        raise Skipped(f"no answer within {PATIENCE} s") from None
    wall = time.perf_counter() - start
    found = json.loads(done.stdout.splitlines()[-1])
    accuracy = found["test_accuracy"]
    reached = accuracy >= target.accuracy
    return {"wall seconds": wall, "seconds": found["seconds"], "accuracy": accuracy, "reached": reached}
