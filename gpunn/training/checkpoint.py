"""Checkpoints: everything that the coming epochs depend on, so that a resumed run is bitwise identical."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gpunn.core.backend import Backend
from gpunn.core.ranks import Ranks
from gpunn.files.strict_json import tag_numbers
from gpunn.files.writing import check_writable, write_whole
from gpunn.names import counted
from gpunn.training.checkpoint_files import PATTERN, Checkpoints, SavedCheckpoint, newest, pack_state
from gpunn.training.history import EpochObserver, History, Record
from gpunn.training.identity import explain_other_algorithms


@dataclass(frozen=True)
class TrainingState:
    """References to everything that determines the rest of training.

    observers: what follows the records, by the name of its state in the file.
    """

    be: Backend
    theta: Any
    optimizer: Mapping[str, Any]
    rng: np.random.Generator
    history: History
    observers: Mapping[str, EpochObserver]

    def arrays(self) -> dict[str, Any]:
        """Return the backend's arrays that training changes in place, by their names in the file."""
        return {"theta": self.theta} | {f"optimizer.{name}": a for name, a in self.optimizer.items()}

    def snapshot(self) -> Snapshot:
        """Copy the state; the arrays stay on the device."""
        tensors = {name: self.be.memory.copy(array) for name, array in self.arrays().items()}
        values: dict[str, Any] = {
            "generator": self.rng.bit_generator.state,
            "records": [asdict(record) for record in self.history],
        }
        if self.history.ranks > 1:
            values["ranks"] = self.history.ranks
        if self.history.algorithms:
            values["algorithms"] = dict(self.history.algorithms)
        for name, observer in self.observers.items():
            values[name], array = observer.state()
            if array is not None:
                tensors[name] = array
        return Snapshot(len(self.history), tensors, values)

    def restore(self, tensors: Mapping[str, np.ndarray], values: Mapping[str, Any]) -> None:
        """Go back to a snapshot that was read from a file."""
        arrays = self.arrays()
        if missing := [name for name in arrays if name not in tensors]:
            raise ValueError(f"the checkpoint lacks {missing[0]}: it belongs to another run")
        for name, array in arrays.items():
            self.be.memory.restore(tensors[name], into=array)
        self.rng.bit_generator.state = values["generator"]
        self.history.records[:] = [Record(**record) for record in values["records"]]
        for name, observer in self.observers.items():
            observer.restore(values[name], tensors.get(name))


@dataclass(frozen=True)
class Snapshot:
    """The state after an epoch: arrays of the backend, and values for JSON."""

    epoch: int
    tensors: Mapping[str, Any]
    values: Mapping[str, Any]


class CheckpointWriter:
    """Write the checkpoints of a run, after restoring the newest one if the run is resumed.

    A checkpoint that cannot be written does not end training: the first one warns, the last good one is kept,
    and the next one is tried when it is due.

    description: what the run is, by name; a run is only resumed if all of it is equal. meta: stored too.
    resume: continue from the newest readable checkpoint, or from the start if the folder has no checkpoint.
    ranks: those that train together, of which rank 0 alone reads and writes files.
    Raises ValueError if the checkpoints are of another run, or if all of them are damaged, and OSError if the
    folder cannot be written before training.
    """

    def __init__(
        self,
        chosen: Checkpoints,
        description: Mapping[str, str],
        meta: dict[str, Any],
        rng: np.random.Generator,
        *,
        resume: bool,
        ranks: Ranks | None = None,
    ) -> None:
        self.chosen, self.description, self.meta = chosen, dict(description), meta
        self.writes = ranks is None or ranks.rank == 0
        self.saved = ranks.from_first(lambda: self._open(resume)) if ranks else self._open(resume)
        if self.saved:
            with _naming(self.saved.path):
                rng.bit_generator.state = self.saved.state["first_generator"]
        self.first_generator = rng.bit_generator.state
        self.written, self.warned, self.compared = 0, False, False
        self.snapshot: Snapshot | None = None

    def _open(self, resume: bool) -> SavedCheckpoint | None:
        """Check the folder, and read the newest checkpoint if the run is resumed."""
        check_writable(self.chosen.folder)
        saved = newest(self.chosen.folder) if resume else None
        if not resume and self.chosen.files():
            raise ValueError(
                f"{self.chosen.folder} already holds checkpoints: resume that run, or choose another folder"
            )
        if saved:
            self._check_same_run(saved)
        return saved

    @property
    def epochs_done(self) -> int:
        """The number of epochs in the checkpoint that this run resumes from."""
        return len(self.saved.state["records"]) if self.saved else 0

    def _check_same_run(self, saved: SavedCheckpoint) -> None:
        for name, here in self.description.items():
            there = saved.state["what"].get(name)
            if name == "schedule" and _differs_in_epochs(there, here):
                if not here.startswith("constant over "):
                    warnings.warn(
                        f"the schedule was {there} and is {here} from now on, so the result will differ from "
                        "that of an unbroken run",
                        stacklevel=2,
                    )
            elif there != here:
                raise ValueError(
                    f"{saved.path} belongs to a run with another {name}: {there} there, {here} here"
                )

    def begin(self, state: TrainingState) -> None:
        """Observe this state, and restore it from the checkpoint if there is one."""
        self.state = state
        if self.saved:
            with _naming(self.saved.path):
                state.restore(self.saved.tensors, self.saved.state)
            self.written = self.epochs_done
            if self.writes:
                self._tidy(self.saved.path)
            self._compare_ranks()
            self._go_on_with_threads()
        self._compare_algorithms()

    def _compare_ranks(self) -> None:
        """Warn if another number of processes trains the network from now on."""
        there, here = self.saved.state.get("ranks", 1) if self.saved else 1, self.state.history.ranks
        if there != here and self.writes:
            warnings.warn(
                f"the run so far used {counted(there, 'rank')}, and {here} from now on, so the result may "
                "differ in the last bits from that of an unbroken run",
                stacklevel=2,
            )

    def _go_on_with_threads(self) -> None:
        """Use as many threads as the run so far; warn if that is not allowed, and the bits depend on it."""
        so_far = self.state.history[-1].threads if len(self.state.history) else None
        if so_far and (now := self.state.be.threads.go_on_with(so_far)) and now != so_far:
            warnings.warn(
                f"the run so far used {counted(so_far, 'thread')}, and {now} from now on, so the result may "
                "differ in the last bits from that of an unbroken run",
                stacklevel=2,
            )

    def epoch_done(self) -> None:
        """Take a snapshot in case of Ctrl-C, and write it if it is due."""
        self._compare_algorithms()
        self.snapshot = self.state.snapshot()
        if self.snapshot.epoch % self.chosen.every == 0:
            self.flush()

    def _compare_algorithms(self) -> None:
        """Warn, once, if products that are bound by now differ from those of the resumed run."""
        there = self.saved.state.get("algorithms", {}) if self.saved else {}
        if not self.compared and (other := explain_other_algorithms(there, self.state.history.algorithms)):
            warnings.warn(other, stacklevel=2)
            self.compared = True

    def flush(self) -> None:
        """Write the state of the last complete epoch, unless it is written already or θ is not finite."""
        if not self.writes or self.snapshot is None or self.snapshot.epoch <= self.written:
            return
        tensors = {name: self.state.be.memory.download(a) for name, a in self.snapshot.tensors.items()}
        if not np.isfinite(tensors["theta"]).all():
            return
        state = {**tag_numbers(self.snapshot.values), "what": self.description, "meta": self.meta}
        state["first_generator"] = self.first_generator
        path = self.chosen.folder / f"epoch-{self.snapshot.epoch:06}.safetensors"
        try:
            self.chosen.folder.mkdir(parents=True, exist_ok=True)
            write_whole(path, pack_state(tensors, state))
        except OSError as error:
            self._warn_of(path, error)
            return
        self.written = self.snapshot.epoch
        self._tidy(path)

    def _warn_of(self, path: Path, error: OSError) -> None:
        """Warn, once in a run, that a checkpoint could not be written."""
        last = f"the last checkpoint is of epoch {self.written:,}" if self.written else "without a checkpoint"
        if not self.warned:
            warnings.warn(f"{path}: {error.strerror}; training goes on, {last}", stacklevel=2)
        self.warned = True

    def _tidy(self, newest: Path) -> None:
        """Remove all but the last few checkpoints, and files that a killed process left half-written.

        Files newer than `newest` are damaged. They are left in place and do not count.
        """
        old = [path for path in self.chosen.files() if path.name <= newest.name][: -self.chosen.keep]
        for path in [*old, *self.chosen.folder.glob(f".{PATTERN}.*")]:
            with suppress(OSError):
                path.unlink()


def _differs_in_epochs(there: str | None, here: str) -> bool:
    """Whether two descriptions of a schedule differ in nothing but the number of epochs."""
    name, over, _ = here.rpartition(" over ")
    return bool(there and over) and there != here and str(there).rpartition(" over ")[0] == name


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Name a checkpoint whose file is whole, but whose state cannot be restored."""
    try:
        yield
    except (ValueError, KeyError, TypeError, IndexError, OverflowError) as error:
        raise ValueError(f"{path} cannot be restored: {error}") from None
