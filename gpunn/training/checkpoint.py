"""Checkpoints: all that the epochs to come depend on, kept after every so many, so that they come out alike.

A checkpoint is a safetensors file, `epoch-000012.safetensors`. Tensors: `theta`, `best` (of early stopping)
and `optimizer.…` (velocity, moments, steps), each flat in θ's layout (see `parameters`), as the device held
them. Metadata, all strings: `format` "gpunn-checkpoint", `version` "1", `state` (JSON: the rest of the
state, what the run is, and its network's meta) and `digest`, a checksum of all of these.
"""

from __future__ import annotations

import hashlib
import json
import signal
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from gpunn.core.backend import Backend
from gpunn.core.inputs import dense, is_sparse
from gpunn.files.writing import write_whole
from gpunn.training.history import History, Record
from gpunn.training.schedules import ReduceOnPlateau
from gpunn.training.stopping import Best, Watch

FORMAT, VERSION = "gpunn-checkpoint", "1"
PATTERN = "epoch-*.safetensors"
PLATEAU = ("current", "best", "waited")  # what changes in a ReduceOnPlateau
HASHED = 1 << 24  # bytes at a time


@dataclass(frozen=True)
class Checkpoints:
    """In which folder they are kept, after every how many epochs, and how many of the last ones."""

    folder: Path
    every: int = 1
    keep: int = 2

    def __post_init__(self) -> None:
        for name in ("every", "keep"):
            value = getattr(self, name)
            if not isinstance(value, int | np.integer) or value < 1:
                raise ValueError(f"checkpoints: {name} must be a whole number of at least 1, not {value!r}")

    def files(self) -> list[Path]:
        """Those that are there, the oldest first."""
        return sorted(self.folder.glob(PATTERN))


@dataclass(frozen=True)
class State:
    """Where the parts of a training are whose values decide what comes next."""

    be: Backend
    theta: Any
    optimizer: Mapping[str, Any]
    rng: np.random.Generator
    history: History
    schedule: Any
    watch: Watch | None

    def arrays(self) -> dict[str, Any]:
        """The backend's, by the names they have in the file; the best θ apart."""
        return {"theta": self.theta} | {f"optimizer.{name}": a for name, a in self.optimizer.items()}

    def take(self) -> Snapshot:
        """A copy of it all, still on the device."""
        tensors = {name: self.be.copy(array) for name, array in self.arrays().items()}
        rest: dict[str, Any] = {
            "generator": self.rng.bit_generator.state,
            "records": [asdict(record) for record in self.history],
        }
        if isinstance(self.schedule, ReduceOnPlateau):
            rest["plateau"] = {name: getattr(self.schedule, name) for name in PLATEAU}
        if self.watch:
            best = self.watch.best
            rest["best"] = {"score": best.score, "epoch": best.epoch, "waited": best.waited}
            if best.theta is not None:
                tensors["best"] = best.theta
        return Snapshot(len(self.history), tensors, rest)

    def put_back(self, tensors: Mapping[str, np.ndarray], rest: Mapping[str, Any]) -> None:
        """What `take` took and a file kept."""
        for name, array in self.arrays().items():
            self.be.restore(tensors[name], into=array)
        self.rng.bit_generator.state = rest["generator"]
        self.history.records[:] = [Record(**record) for record in rest["records"]]
        if isinstance(self.schedule, ReduceOnPlateau):
            for name in PLATEAU:
                setattr(self.schedule, name, rest["plateau"][name])
        if self.watch:
            theta = None
            if "best" in tensors:
                self.be.restore(tensors["best"], into=(theta := self.be.copy(self.theta)))
            self.watch.best = Best(**rest["best"], theta=theta)


@dataclass(frozen=True)
class Snapshot:
    """The state after an epoch: arrays of the backend, and the rest as JSON has it."""

    epoch: int
    tensors: Mapping[str, Any]
    rest: Mapping[str, Any]


@dataclass(frozen=True)
class Saved:
    """A checkpoint read back."""

    path: Path
    tensors: dict[str, np.ndarray]
    state: dict[str, Any]


class Keeper:
    """Keeps the checkpoints of a training, and puts one back first where it is to be resumed.

    what: what the run is, name by name, which must be the same to resume it. meta: kept with it.
    resume: go on from the newest whole checkpoint; from the start where the folder has none at all.
    Raises ValueError for checkpoints of another run, or damaged ones only.
    """

    def __init__(
        self,
        chosen: Checkpoints,
        what: Mapping[str, str],
        meta: dict[str, Any],
        rng: np.random.Generator,
        *,
        resume: bool,
    ) -> None:
        self.chosen, self.what, self.meta = chosen, dict(what), meta
        self.saved = newest(chosen.folder) if resume else None
        if not resume and chosen.files():
            raise ValueError(
                f"{chosen.folder} holds checkpoints already: resume that run, or name another folder"
            )
        if self.saved:
            self._check_same(self.saved)
            rng.bit_generator.state = self.saved.state["first_generator"]
        self.first_generator = rng.bit_generator.state
        self.written = 0
        self.snapshot: Snapshot | None = None

    @property
    def epochs_done(self) -> int:
        """Before this training begins."""
        return len(self.saved.state["records"]) if self.saved else 0

    def _check_same(self, saved: Saved) -> None:
        for name, now in self.what.items():
            then = saved.state["what"].get(name)
            if then != now:
                raise ValueError(f"{saved.path} is of a run with another {name}: {then} there, {now} here")

    def begin(self, state: State) -> None:
        """Watch over that state, from the checkpoint's on if there is one."""
        self.state = state
        if self.saved:
            state.put_back(self.saved.tensors, self.saved.state)
            self.written = self.epochs_done
            self._tidy(self.saved.path)

    def epoch_done(self) -> None:
        """Keep the state as it is in case of Ctrl-C, and write it if it is time to."""
        self.snapshot = self.state.take()
        if self.snapshot.epoch % self.chosen.every == 0:
            self.flush()

    def flush(self) -> None:
        """Write the state of the last epoch that was done, unless it is written or no longer finite."""
        if self.snapshot is None or self.snapshot.epoch <= self.written:
            return
        tensors = {name: self.state.be.download(a) for name, a in self.snapshot.tensors.items()}
        if not np.isfinite(tensors["theta"]).all():
            return
        state = {**self.snapshot.rest, "what": self.what, "meta": self.meta}
        state["first_generator"] = self.first_generator
        self.chosen.folder.mkdir(parents=True, exist_ok=True)
        path = self.chosen.folder / f"epoch-{self.snapshot.epoch:06}.safetensors"
        write_whole(path, pack(tensors, json.dumps(state)))
        self.written = self.snapshot.epoch
        self._tidy(path)

    def _tidy(self, newest: Path) -> None:
        """Remove all but the last ones, and what a killed process left half-written.

        A newer one is damaged, or this would not be the newest: it counts for nothing, and stays.
        """
        old = [path for path in self.chosen.files() if path.name <= newest.name][: -self.chosen.keep]
        for path in [*old, *self.chosen.folder.glob(f".{PATTERN}.*")]:
            with suppress(OSError):
                path.unlink()


# the file


def pack(tensors: Mapping[str, np.ndarray], state: str) -> bytes:
    """The content of a checkpoint."""
    arrays = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    metadata = {"format": FORMAT, "version": VERSION, "state": state, "digest": digest(arrays, state)}
    return save(arrays, metadata)


def digest(tensors: Mapping[str, np.ndarray], state: str) -> str:
    """A checksum of the tensors and the state."""
    checksum = hashlib.blake2b(state.encode(), digest_size=16)
    for name in sorted(tensors):
        checksum.update(f"{name} {tensors[name].dtype} {tensors[name].shape}".encode())
        checksum.update(tensors[name].data)
    return checksum.hexdigest()


def read(path: Path) -> Saved:
    """A checkpoint. ValueError, naming the file, where it is damaged or none of gpunn's."""
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is not a readable checkpoint: {error}") from None
    if metadata.get("format") != FORMAT or metadata.get("version") != VERSION:
        raise ValueError(f"{path} is no checkpoint that this gpunn reads")
    state = metadata.get("state", "")
    if metadata.get("digest") != digest(tensors, state):
        raise ValueError(f"{path} is damaged: its content does not give its checksum")
    return Saved(path, tensors, json.loads(state))


def newest(folder: Path) -> Saved | None:
    """The newest whole checkpoint of a folder, None where there is no file of one.

    Warns of each damaged one that it passes over. ValueError where there are only damaged ones.
    """
    errors = []
    for path in reversed(Checkpoints(folder).files()):
        try:
            saved = read(path)
        except ValueError as error:
            errors.append(str(error))
        else:
            for message in errors:
                warnings.warn(f"{message}; going on from {path.name}", stacklevel=2)
            return saved
    if errors:
        raise ValueError(f"no checkpoint in {folder} is whole: {errors[0]}")
    return None


# what a run is


def described(choice: Any) -> str:
    """A choice in words that are the same in another process: functions have only their kind."""
    if is_dataclass(choice):
        chosen = (f"{field.name}={getattr(choice, field.name)}" for field in fields(choice) if field.init)
        return f"{type(choice).__name__}({', '.join(chosen)})"
    plain = choice is None or isinstance(choice, str | float | int)
    return str(choice) if plain else f"a {type(choice).__name__}"


def fingerprint(*arrays: Any) -> str:
    """Shape, type and checksum of data, by which other data are told from them."""
    checksum, shapes = hashlib.blake2b(digest_size=8), []
    for array in arrays:
        if is_sparse(array):
            parts = fingerprint(array.data, array.indices, array.indptr)
            checksum.update(parts.encode())
            shapes.append(f"{array.dtype} {array.shape}")
        elif array is not None:
            array = dense(array)
            shapes.append(f"{array.dtype} {array.shape}")
            rows = array.T
            step = max(1, HASHED * len(rows) // max(1, rows.nbytes))
            for start in range(0, len(rows), step):
                checksum.update(np.ascontiguousarray(rows[start : start + step]).data)
    return f"{', '.join(shapes)} {checksum.hexdigest()}"


@contextmanager
def sigterm_as_ctrl_c(wanted: bool) -> Iterator[None]:
    """SIGTERM ends what is within as Ctrl-C does, and then the process, as it would have done.

    Only in the main thread, and where nobody handles it yet.
    """
    default = signal.SIG_DFL
    in_main = threading.current_thread() is threading.main_thread()
    if not (wanted and in_main and signal.getsignal(signal.SIGTERM) is default):
        yield
        return
    came = False

    def once(*_: Any) -> None:
        nonlocal came
        if not came:
            came = True
            raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, once)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, default)
        if came:
            signal.raise_signal(signal.SIGTERM)
