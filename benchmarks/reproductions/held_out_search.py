"""Choose settings by successive halving on held-out images, and keep every run in a file."""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import gpunn
from benchmarks import machine
from benchmarks.reproductions.common import Progress, dense
from benchmarks.reproductions.recipe import HELD_OUT
from gpunn.backends import explain_cuda
from gpunn.datasets.dataset import Split
from gpunn.files.writing import write_whole

SHAPE = (28, 28)
FACTOR = 3  # of the candidates, one of FACTOR stays after each round
ERROR = "held-out error in percent"


@dataclass(frozen=True)
class Candidate:
    """The settings of a network's training that a search chooses from.

    The first five are those of `gpunn.Augmentation`. The optimizer is Nesterov's, with momentum 0.9.
    """

    shift: float = 1.5
    rotate: float = 13.0
    scale: float = 0.15
    elastic: float = 40.0
    smoothness: float = 6.0
    learning_rate: float = 0.1
    schedule: str = "cosine"
    batch_size: int = 256
    dropout: float = 0.0

    def grid(self, epochs: int) -> dict[str, list[Any]]:
        """Return the settings as a grid of one combination, for `gpunn.sweep`."""
        settings = asdict(self)
        names = [field.name for field in fields(gpunn.Augmentation) if field.name in settings]
        shown = gpunn.Augmentation(SHAPE, **{name: settings.pop(name) for name in names})
        return {
            name: [value] for name, value in {**settings, "augmentation": shown, "epochs": epochs}.items()
        }


class Runs:
    """The runs of a reproduction so far, in a JSON file.

    A new reproduction goes on where an interrupted one has ended, and begins anew if the last one is complete
    or was another one.

    Args:
        path: the file; None keeps the runs in memory alone.
        about: what the runs have in common, as JSON.
    """

    def __init__(self, path: Path | None, about: Mapping[str, Any]) -> None:
        self.path = path
        head = {**json.loads(json.dumps(about)), "complete": False}
        known = json.loads(path.read_text(encoding="utf-8")) if path and path.is_file() else {}
        self.resumed = head.items() <= known.items()
        self.content: dict[str, Any] = known if self.resumed else {**head, "runs": []}

    @property
    def all(self) -> list[dict[str, Any]]:
        """The runs, in the order in which they were kept."""
        runs: list[dict[str, Any]] = self.content["runs"]
        return runs

    def find(self, **wanted: Any) -> dict[str, Any] | None:
        """Return the run that has these values, if there is one."""
        return next((run for run in self.all if wanted.items() <= run.items()), None)

    def keep(self, **run: Any) -> None:
        """Add a run to the file."""
        self.all.append({**run, "on": device_name()})
        self._write()

    def end(self) -> None:
        """Mark the reproduction as complete."""
        self.content["complete"] = True
        self._write()

    def _write(self) -> None:
        if self.path:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            text = json.dumps(self.content, indent=1, ensure_ascii=False)
            write_whole(self.path, f"{text}\n".encode())


@dataclass(frozen=True)
class SuccessiveHalving:
    """A search in rounds: every candidate for a few epochs, then the best third for more, and so on.

    Each round trains anew, so that its schedule ends with it, on all but the last tenth of the training
    images. The error on this tenth decides; equal candidates stay in the order of the round before.

    Attributes:
        first: the first candidate.
        choices: the values from which each field of the others is drawn.
        count: how many candidates there are.
        rounds: the epochs of each round.
    """

    first: Candidate
    choices: Mapping[str, Sequence[Any]]
    count: int
    rounds: Sequence[int]

    def candidates(self) -> list[Candidate]:
        """Return different candidates, always the same ones."""
        rng, found = np.random.default_rng(0), {self.first: None}
        while len(found) < min(self.count, math.prod(map(len, self.choices.values()))):
            drawn = {name: values[int(rng.integers(len(values)))] for name, values in self.choices.items()}
            found[replace(self.first, **drawn)] = None
        return list(found)

    def names(self) -> str:
        """List the settings that are chosen."""
        *others, last = (name.replace("_", " ") for name in self.choices)
        return f"{', '.join(others)} and {last}"

    def settings(self) -> dict[str, Any]:
        """Return all that decides what the search tries, for JSON."""
        return {**asdict(self), "held out": f"the last 1/{HELD_OUT} of the training images"}

    def best(self, sizes: Sequence[int], train: Split, runs: Runs, progress: Progress) -> Candidate:
        """Run the rounds that the file does not have yet, and return the best candidate of the last one."""
        kept = len(train.y) - len(train.y) // HELD_OUT
        learnt, held = Split(train.X[:, :kept], train.y[:kept]), (train.X[:, kept:], train.y[kept:])
        staying = self.candidates()
        for k, epochs in enumerate(self.rounds):

            def find(candidate: Candidate, epochs: int = epochs) -> dict[str, Any] | None:
                return runs.find(part="search", settings=asdict(candidate), epochs=epochs)

            def keep(end: gpunn.NetworkEnd, candidate: Candidate, epochs: int = epochs, k: int = k) -> None:
                error = 100.0 if math.isnan(end.score) else round(100 * (1 - end.score), 3)
                own = {"settings": asdict(candidate), "epochs": epochs, "seconds": round(end.seconds, 2)}
                runs.keep(part="search", **own, **{ERROR: error})
                progress(f"round {k + 1} of {len(self.rounds)}: {error:.2f} %")

            if left := [candidate for candidate in staying if find(candidate) is None]:
                train_all(sizes, left, epochs, learnt, keep=keep, validation=held)
            errors = {candidate: (find(candidate) or {})[ERROR] for candidate in staying}
            staying = sorted(staying, key=lambda candidate: errors[candidate])  # stable
            staying = staying[: -(-len(staying) // FACTOR)]
        return staying[0]


def train_all(
    sizes: Sequence[int],
    candidates: Sequence[Candidate],
    epochs: int,
    train: Split,
    keep: Callable[[gpunn.NetworkEnd, Candidate], object] | None = None,
    seeds: int = 1,
    **options: Any,
) -> gpunn.SweepResult:
    """Train a network for each candidate and each seed: on a GPU in tf32, else one network a core.

    keep: called with each network that is finished, and its candidate.

    Raises KeyboardInterrupt after Ctrl-C.
    """

    def end(end: gpunn.NetworkEnd) -> None:
        if keep:
            keep(end, candidates[end.member.candidate])

    result = gpunn.sweep(
        train.X,
        train.y,
        dense(sizes, "relu", "softmax"),
        grid=[candidate.grid(epochs) for candidate in candidates],
        seeds=seeds,
        optimizer=gpunn.Nesterov(),
        on_network_end=end,
        **where(),
        **options,
    )
    if result.interrupted:
        raise KeyboardInterrupt
    return result


def error_of(outputs: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of examples, in percent, whose largest output (10, m) is not their label."""
    return round(100 * float(np.mean(outputs.argmax(axis=0) != labels)), 2)


def where() -> dict[str, Any]:
    """Return the options of `fit` that choose the device."""
    return {"device": "cpu"} if explain_cuda() else {"device": "cuda", "precision": "tf32"}


@cache
def device_name() -> str:
    """Return the name of the device that trains."""
    gpu = None if explain_cuda() else machine.gpu()
    return str(gpu["name"] if gpu else machine.cpu()["cpu"])


@contextmanager
def networks_folder(folder: Path | None, name: str, *, resume: bool) -> Iterator[Path]:
    """Give a folder for finished networks, and remove it at the end; an interruption leaves it there."""
    if folder is None:
        with tempfile.TemporaryDirectory() as temporary:
            yield Path(temporary)
        return
    own = folder / f"{name}-networks"
    if not resume:
        shutil.rmtree(own, ignore_errors=True)
    yield own
    shutil.rmtree(own)
