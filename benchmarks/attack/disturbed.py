"""Trials in which the files are good and the world is not: kills and signals."""

from __future__ import annotations

import mmap
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from random import Random

from benchmarks.attack import sandbox
from benchmarks.attack.material import OUTPUTS, Material
from benchmarks.attack.moments import Moment
from benchmarks.attack.rules import Step, changed, contents, judge, leftovers
from gpunn.network import Network

SIGNALS = (signal.SIGINT, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE)
KILLS = (signal.SIGKILL, signal.SIGPROF)
MODEL = "model.safetensors"
RESUMED = (  # a command, its run, the files that it can be resumed from, and the good run
    ("train", "run", "checkpoints/epoch-*.safetensors", "images"),
    ("train", "run", "checkpoints/epoch-*.safetensors", "images"),
    ("sweep", "sweep/best", "sweep.json", "sweep/best"),
)


def kills(good: Material, folder: Path, rng: Random) -> Iterator[Step]:
    """Kill a training or a sweep at a chosen moment, and resume it, or start it again, until it ends."""
    name, run, state, run_of_good = rng.choice(RESUMED)
    command = good.disturbed_commands()[name]
    moment = Moment.choose(good.lengths[name], rng)
    outcome = sandbox.start(command, folder, moment.kill).wait()
    broken = [*judge(outcome, signals=KILLS), *judge_model(folder / run)]
    yield Step(outcome, broken, met=outcome.ended_by in KILLS)
    output = run.partition("/")[0]
    resumable = any((folder / output).glob(state))
    outcome = sandbox.run([name, "--resume", output, "--json"] if resumable else command, folder)
    broken = [*judge(outcome), *leftovers(folder)]
    broken += judge_result(outcome.code, good.theta(run_of_good), folder / run)
    yield Step(outcome, broken, met=False)


def killed_outputs(good: Material, folder: Path, rng: Random) -> Iterator[Step]:
    """Kill a command that writes one file at a chosen moment: the file is the old one or the new one."""
    name = rng.choice(list(OUTPUTS))
    command, path = good.disturbed_commands()[name], folder / OUTPUTS[name]
    sandbox.run(command, folder)
    new = path.read_bytes()
    path.write_bytes(b"old")
    outcome = sandbox.start(command, folder, Moment.choose(good.lengths[name], rng).kill).wait()
    broken = [*judge(outcome, signals=KILLS)]
    if path.read_bytes() not in (b"old", new):
        broken.append("half-written")
    yield Step(outcome, broken, met=outcome.ended_by in KILLS)


def signals(good: Material, folder: Path, rng: Random) -> Iterator[Step]:
    """Send a signal at a chosen moment of a training or of a command that writes one file."""
    name, number = rng.choice(["train", "train", *OUTPUTS]), rng.choice(SIGNALS)
    command, sent = good.disturbed_commands()[name], mmap.mmap(-1, 1)
    if name != "train":
        (folder / OUTPUTS[name]).write_bytes(b"old")
    before = contents(folder)

    def send() -> None:
        sent[0] = 1
        os.kill(os.getpid(), number)

    moment = Moment.choose(good.lengths[name], rng)
    outcome = sandbox.start(command, folder, lambda: moment.call(send)).wait()
    broken = [*judge(outcome, signals=[number]), *judge_model(folder / "run")]
    if name != "train" and outcome.code != 0 and changed(before):
        broken += [] if _is_new(good, name, folder) else ["an old file is lost"]
    if number == signal.SIGINT:
        broken += leftovers(folder)
        if outcome.code not in (0, 130):
            broken.append("Ctrl-C is not exit code 130")
        elif '"interrupted": true' in outcome.out and not has_model(folder / "run"):
            broken.append("what was learnt is lost")
    yield Step(outcome, broken, met=bool(sent[0]))


def _is_new(good: Material, name: str, folder: Path) -> bool:
    """Whether the file of an interrupted command is the whole new one."""
    found = (folder / OUTPUTS[name]).read_bytes()
    sandbox.run(good.disturbed_commands()[name], folder)
    return found == (folder / OUTPUTS[name]).read_bytes()


# verdicts


def judge_model(folder: Path) -> Iterator[str]:
    """Yield a rule if there is a model that cannot be loaded."""
    if has_model(folder):
        try:
            Network.load(folder)
        except ValueError:
            yield "the model is damaged"


def judge_result(code: int | None, theta: bytes, folder: Path) -> Iterator[str]:
    """Yield a rule if a training that was started again does not end with the weights of the good one."""
    if code != 0:
        yield "not resumed"
    elif Network.load(folder).theta.tobytes() != theta:
        yield "the resumed run differs"


def has_model(folder: Path) -> bool:
    """Whether the folder of a run has a model."""
    return (folder / MODEL).exists()
