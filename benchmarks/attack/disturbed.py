"""Trials in which the files are good and the world is not: kills, full disks, signals and races."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.attack import sandbox
from benchmarks.attack.material import TRAIN_IMAGES, Material, digest
from benchmarks.attack.rules import judge, leftovers
from benchmarks.attack.sandbox import Outcome
from gpunn.network import Network
from gpunn.report.run import Run

Found = Iterator[tuple[Outcome, list[str]]]
STAGES = ("open", "fsync", "replace")  # of writing a file whole
TRAIN = ["train", "digits", *TRAIN_IMAGES, "--checkpoint-every", "1", "--output", "run"]
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE)


def kills(good: Material, folder: Path, rng: Random) -> Found:
    """Kill a training at a random or a chosen moment, and resume it until it ends."""
    stage, number = rng.choice([None, None, *STAGES]), rng.randrange(1, 12)
    prepare = None if stage is None else lambda: _die_at(stage, number)
    process = sandbox.start(TRAIN, folder, prepare)
    outcome = process.wait(number=signal.SIGKILL, after=None if stage else rng.uniform(0.0, 0.8))
    broken = list(judge(outcome, signals=[signal.SIGKILL]))
    broken += _judge_model(folder / "run")
    yield outcome, broken
    if not list((folder / "run").glob("checkpoints/epoch-*.safetensors")):
        return
    outcome = sandbox.run(["train", "--resume", "run", "--json"], folder)
    broken = [*judge(outcome), *leftovers(folder)]
    if outcome.code != 0:
        broken.append("not resumed")
    elif Network.load(folder / "run").theta.tobytes() != good.theta():
        broken.append("the resumed run differs")
    yield outcome, broken


def killed_outputs(good: Material, folder: Path, rng: Random) -> Found:
    """Kill a command that writes one file at a chosen moment: the file is the old one or the new one."""
    stage, number = rng.choice(STAGES), rng.randrange(1, 3)
    command, path = _writing_command(good, folder, rng)
    fresh = sandbox.run(command, folder)
    new = path.read_bytes() if path.exists() else b""
    yield fresh, [*judge(fresh), *([] if fresh.code == 0 else ["the good input is refused"])]
    path.write_bytes(b"old")
    outcome = sandbox.start(command, folder, lambda: _die_at(stage, number)).wait()
    broken = list(judge(outcome, signals=[signal.SIGKILL]))
    if path.read_bytes() not in (b"old", new):
        broken.append("half-written")
    yield outcome, broken


def full_disks(good: Material, folder: Path, rng: Random) -> Found:
    """Let every file that is written be limited to a random size."""
    if rng.random() < 0.5:
        again = rng.random() < 0.5
        if again:
            shutil.copytree(good.path("images"), folder / "run")
            shutil.rmtree(folder / "run" / "checkpoints")
        before = digest(folder)
        size = rng.choice([0, 100, 3000, rng.randrange(60_000)])
        command = [*TRAIN, *(_overwrite("train") if again else [])]
        outcome = sandbox.start(command, folder, file_size=size).wait()
        broken = [*judge(outcome), *leftovers(folder), *_judge_model(folder / "run")]
        shutil.rmtree(folder / "run" / "checkpoints", ignore_errors=True)
        if again and outcome.code != 0 and _without(folder, "history.new.jsonl") != before:
            broken.append("the earlier run is not whole")
    else:
        writing, path = _writing_command(good, folder, rng)
        path.write_bytes(b"old" * 10)
        before, size = digest(folder), rng.choice([0, 10, 100, rng.randrange(4000)])
        outcome = sandbox.start(writing, folder, file_size=size).wait()
        broken = [*judge(outcome, [path.name]), *leftovers(folder)]
        if outcome.code != 0 and digest(folder) != before:
            broken.append("an old file is lost")
    yield outcome, broken


def signals(good: Material, folder: Path, rng: Random) -> Found:
    """Send a signal at a random moment of a training."""
    number = rng.choice(SIGNALS)
    outcome = sandbox.start(TRAIN, folder).wait(number=number, after=rng.uniform(0.0, 0.8))
    broken = [*judge(outcome, signals=[number]), *_judge_model(folder / "run")]
    if number == signal.SIGINT:
        broken += leftovers(folder)
        if outcome.code not in (0, 130):
            broken.append("Ctrl-C is not exit code 130")
        elif outcome.code == 130 and '"interrupted": true' in outcome.out and not _has_model(folder / "run"):
            broken.append("what was learnt is lost")
    yield outcome, broken


def races(good: Material, folder: Path, rng: Random) -> Found:
    """Start two trainings at once, in one folder or in new ones."""
    output = ["--output", "run"] if rng.random() < 0.7 else []
    command = ["train", "digits", *TRAIN_IMAGES, *output]
    processes = []
    for _ in range(2):
        processes.append(sandbox.start(command, folder))
        sandbox.pause(rng.choice([0.0, 0.0, rng.uniform(0, 0.3)]))
    outcomes = [process.wait() for process in processes]
    broken = [[*judge(outcome)] for outcome in outcomes]
    done = sum(outcome.code == 0 for outcome in outcomes)
    runs = [folder / "run"] if output else sorted((folder / "gpunn-runs").glob("*"))
    if not done:
        broken[0].append("both processes lost")
    elif sum(map(_is_whole, runs)) < (1 if output else done):
        broken[0].append("a run is not whole")
    broken[1] += leftovers(folder)
    yield from zip(outcomes, broken, strict=True)


# helpers


def _writing_command(good: Material, folder: Path, rng: Random) -> tuple[list[object], Path]:
    """Return a command that writes one file, and the file."""
    choices: list[tuple[list[object], str]] = [
        (["predict", good.path("table"), good.path("new.csv"), "-o"], "out.csv"),
        (["export", good.path("images")], "out.onnx"),
        (["report", good.path("images"), "--no-browser", "--output"], "out.html"),
    ]
    command, name = rng.choice(choices)
    return [*command, name, *_overwrite(str(command[0]))], folder / name


def _overwrite(command: str) -> list[str]:
    """Return the option with which a command replaces files, if it has one."""
    return ["--overwrite"] if sandbox.has_option(command, "--overwrite") else []


def _die_at(stage: str, number: int) -> None:
    """Make the process kill itself at the nth call of a function of `os`."""
    real: Callable[..., Any] = getattr(os, stage)
    calls = [0]

    def deadly(*arguments: Any, **keywords: Any) -> Any:
        calls[0] += 1
        if calls[0] == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **keywords)

    setattr(os, stage, deadly)


def _judge_model(folder: Path) -> Iterator[str]:
    """Yield a rule if there is a model that cannot be loaded."""
    if _has_model(folder):
        try:
            Network.load(folder)
        except ValueError:
            yield "the model is damaged"


def _has_model(folder: Path) -> bool:
    return (folder / "model.safetensors").exists()


def _is_whole(folder: Path) -> bool:
    try:
        Run.load(folder)
    except (ValueError, OSError):
        return False
    return True


def _without(folder: Path, name: str) -> str:
    """Return the digest of a folder without the file of that name, which is removed."""
    (folder / "run" / name).unlink(missing_ok=True)
    return digest(folder)
