"""Trials with hostile options: good files, and a value that makes no sense."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

from benchmarks.attack import sandbox
from benchmarks.attack.material import CPU_ONLY, TRAIN_TABLE, Material
from benchmarks.attack.rules import Step, judge, leftovers

NUMBERS = (
    "0", "-1", "1", "2", "1e999", "nan", "-inf", "1e-320", "3.5", "0.999999", "2147483648", "9" * 400, "0x10",
    "٣", "1_0", "",
)  # fmt: skip
WORDS = (
    "", "x", "none", "\x1b[31m", "\udcff", "'", "=1+1", "relu ", "quadratic(", "huber(nan)", "huber(1e-320)",
    "size", "kind", "balanced", "softmax", "~nouser", "/dev/null", "a" * 5000, "-", "--", "utf-7", "rot13",
    "idna",
)  # fmt: skip
GRIDS = (
    "learning_rate=0.01,0.1", "learning_rate=", "=1", "l2=0..1", "hidden=4,-1", "hidden=a-b", "x=1",
    "epochs=1,1", "l2=nan", "seed=1", "0", "-1", "2", "9" * 30, "\x1b[31m", "",
)  # fmt: skip
NUMERIC = (
    "hidden", "dropout", "input-dropout", "learning-rate", "beta1", "beta2", "l2", "l1", "max-norm",
    "clip-norm", "label-smoothing", "shift", "rotate", "scale", "elastic", "image-size", "batch-size",
    "patience", "checkpoint-every", "seed", "held-out", "cv",
)  # fmt: skip
NAMED = (
    "activation", "output-activation", "cost", "init", "optimizer", "schedule", "class-weight", "device",
    "precision", "target", "task", "test", "categorical", "drop", "date", "impute", "missing",
    "delimiter", "encoding", "sheet", "data-dir", "from", "output",
)  # fmt: skip


def attempt(good: Material, folder: Path, rng: Random) -> Iterator[Step]:
    """Train with one hostile option or two; it trains, diverges, or is refused in one line."""
    data = rng.choice(["fruit.csv", "idx", "classes"])
    usual = TRAIN_TABLE if data == "fruit.csv" else ["--epochs", "1", "--hidden", "4", *CPU_ONLY, "--json"]
    command = ["train", good.path(data), *usual, "--output", "out"]
    if rng.random() < 0.3:
        option = rng.choice(["--grid", "--grid", "--draws", "--folds", "--halving"])
        command = ["sweep", *command[1:], option, rng.choice(GRIDS)]
    for _ in range(rng.choice([1, 1, 2])):
        names, values = rng.choice([(NUMERIC, NUMBERS), (NAMED, WORDS)])
        command += [f"--{rng.choice(names)}", rng.choice(values)]
    outcome = sandbox.run(command, folder, sandbox.leave_out_charts)
    yield Step(outcome, [*judge(outcome), *leftovers(folder)])
