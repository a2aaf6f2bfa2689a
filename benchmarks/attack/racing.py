"""Trials with two processes at once. Each stops at a chosen file operation for the other."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from random import Random

from benchmarks.attack import sandbox
from benchmarks.attack.disturbed import judge_model
from benchmarks.attack.material import CPU_ONLY, TRAIN_IMAGES, Material
from benchmarks.attack.moments import at_operation
from benchmarks.attack.rules import Step, judge, leftovers
from benchmarks.attack.sandbox import Outcome, Process
from gpunn.report.run import Run

Command = list[object]


def races(good: Material, folder: Path, rng: Random) -> Iterator[Step]:
    """Race two trainings in one folder or in new ones, or a training and a reader of its folder."""
    kind = rng.choice(["one folder", "one folder", "new folders", "reader", "resume"])
    train: Command = ["train", good.path("idx"), *TRAIN_IMAGES]
    if kind == "reader":
        shutil.copytree(good.path("images"), folder / "run")
        first: Command = [*train, "--output", "run", "--overwrite"]
        second = rng.choice(_readers(good))
    elif kind == "resume":
        shutil.copytree(good.path("images"), folder / "run")
        (folder / "run" / "checkpoints" / "epoch-000003.safetensors").unlink()
        first = second = ["train", "--resume", "run", "--json"]
    else:
        first = second = [*train, *(["--output", "run"] if kind == "one folder" else [])]
    most = good.lengths["train"].operations
    stops = rng.randint(1, most), rng.randint(1, most)
    met, outcomes = _race(first, second, folder, stops, rng.random() < 0.5)
    broken = [[*judge(outcome)] for outcome in outcomes]
    broken[0] += judge_model(folder / "run")
    broken[1] += leftovers(folder)
    if kind == "reader":
        broken[0] += ["the training lost"] if outcomes[0].code != 0 else []
        broken[1] += ["a reader lost"] if second[0] != "report" and outcomes[1].code != 0 else []
    else:
        broken[0] += _judge_runs(kind, outcomes, folder)
    for outcome, rules in zip(outcomes, broken, strict=True):
        yield Step(outcome, rules, met)
        met = False


def _readers(good: Material) -> list[Command]:
    return [
        ["predict", "run", good.path("columns.npy")],
        ["evaluate", "run", good.path("idx"), *CPU_ONLY],
        ["report", "run", "--no-browser", "--output", "page.html"],
    ]


def _race(
    first: Command, second: Command, folder: Path, stops: tuple[int, int], reverse: bool
) -> tuple[bool, list[Outcome]]:
    """Run two commands, and return whether both ran at once, and what they did.

    The first runs to its stop, the second to its own stop or to its end, and then both go on, in one order or
    in the other. A process that waits for the other is no deadlock, because the other goes on at last.
    """
    a = _start(first, folder, stops[0])
    a_stopped = a.wait_until_stopped()
    b = _start(second, folder, stops[1])
    b_stopped = b.wait_until_stopped()
    waiting = [process for process, stopped in ((a, a_stopped), (b, b_stopped)) if stopped]
    for process in reversed(waiting) if reverse else waiting:
        process.go_on()
    return a_stopped, [a.wait(), b.wait()]


def _start(command: Command, folder: Path, stop: int) -> Process:
    return sandbox.start(
        command, folder, lambda: at_operation(stop, lambda: os.kill(os.getpid(), signal.SIGSTOP))
    )


def _judge_runs(kind: str, outcomes: list[Outcome], folder: Path) -> Iterator[str]:
    """Yield a rule if nobody won, or if a run is not whole."""
    done = sum(outcome.code == 0 for outcome in outcomes)
    runs = sorted((folder / "gpunn-runs").glob("*")) if kind == "new folders" else [folder / "run"]
    if not done:
        yield "both processes lost"
    elif kind == "new folders" and done < 2:
        yield "a training in a new folder lost"
    elif sum(map(_is_whole, runs)) < (done if kind == "new folders" else 1):
        yield "a run is not whole"


def _is_whole(folder: Path) -> bool:
    try:
        Run.load(folder)
    except (ValueError, OSError):
        return False
    return True
