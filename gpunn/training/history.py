"""The history of training: a record for each epoch, and what follows the records."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol, TypeAlias, TypeGuard

from gpunn.files.strict_json import dump_json
from gpunn.names import counted, look_up

MEASURES = ("loss", "accuracy", "validation_loss", "validation_accuracy", "validation_score")


@dataclass(frozen=True)
class Record:
    """One epoch of training; a field is None if it was not measured.

    Attributes:
        epoch: the epoch, from 1.
        loss: the mean cost of the epoch's examples, each measured just before the step of its mini-batch.
        accuracy: the share of these examples that was classified correctly, measured at the same moment; None
            if the targets are not classes.
        validation_loss: the mean cost of the validation examples after the epoch.
        validation_accuracy: the share of the validation examples classified correctly after the epoch.
        seconds: wall-clock time spent training, without validation.
        examples_per_second: training throughput, including shuffling and gathering.
        validation_score: what `fit`'s `score` returned for the outputs of the validation examples.
        threads: on a CPU, the number of threads that computed most of the epoch. Without compiled kernels the
            last bits may depend on it; it is then None if it changed during the epoch.
    """

    epoch: int
    loss: float
    accuracy: float | None
    validation_loss: float | None
    validation_accuracy: float | None
    seconds: float
    examples_per_second: float
    validation_score: float | None = None
    threads: int | None = None


Callback: TypeAlias = Callable[[Record], object]


def as_loss(record: Record, metric: str) -> float:
    """Return a metric of an epoch with the sign that makes less better.

    Raises ValueError if there is no such metric or it was not measured.
    """
    value = look_up(vars(record), metric, "metric")
    if value is None:
        raise ValueError(f"{metric} is not measured: pass validation to fit, or choose another metric")
    return -value if metric.endswith(("accuracy", "score")) else value


def best_epoch(records: Iterable[Record], metric: str) -> int | None:
    """Return the epoch with the best value of a metric; None without epochs."""
    best = min(records, key=lambda record: as_loss(record, metric), default=None)
    return best.epoch if best else None


class EpochObserver(Protocol):
    """An object that follows training by its records, and whose state checkpoints keep."""

    def observe(self, record: Record) -> None:
        """Take note of an epoch."""

    def state(self) -> tuple[dict[str, Any], Any]:
        """Return all that changes: values for JSON, and an array of the backend or None."""

    def restore(self, values: Mapping[str, Any], array: Any) -> None:
        """Go back to what `state` returned; the array is now a NumPy array or None."""


def observes(candidate: object) -> TypeGuard[EpochObserver]:
    """Whether an object follows training; to ask isinstance of a protocol would take 0.4 ms."""
    return hasattr(candidate, "observe")


@dataclass
class History:
    """The epochs of one training run: a sequence of `Record`.

    Attributes:
        device: a description of the device.
        records: a record for each epoch.
        stopped: why training ended: "" after the last epoch, "early", "callback" (one returned True) or
            "interrupted" (Ctrl-C).
        algorithms: what the last bits depend on, by name. On a CPU, {"CPU": what computed}: compiled kernels
            with a checksum, or NumPy and BLAS. On CUDA, a checksum of the algorithm of each matrix product.
        ranks: the number of processes that trained the network together.

    >>> net = gpunn.Network([2, 3, 1], seed=0)
    >>> history = net.fit(np.eye(2), [0, 1], epochs=3, device="cpu")
    >>> [record.epoch for record in history], history.stopped, history.device
    ([1, 2, 3], '', 'cpu')
    """

    device: str
    records: list[Record] = field(default_factory=list)
    stopped: str = ""
    algorithms: Mapping[str, str] = field(default_factory=dict)
    ranks: int = 1

    def __repr__(self) -> str:
        """Describe the outcome in a line."""
        epochs = counted(len(self), "epoch") + (f", stopped: {self.stopped}" if self.stopped else "")
        measured = asdict(self.records[-1]) if self.records else {}
        last = [
            f"{name.replace('_', ' ')} {value:.4g}"
            for name, value in measured.items()
            if name in MEASURES and value is not None
        ]
        return f"History({'; '.join([epochs, *last, f'{self.seconds:.3g} s', f'on {self.device}'])})"

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    def __getitem__(self, index: int) -> Record:
        return self.records[index]

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C ended training."""
        return self.stopped == "interrupted"

    @property
    def seconds(self) -> float:
        """Wall-clock time spent training, without validation."""
        return sum(record.seconds for record in self.records)

    @property
    def examples_per_second(self) -> float:
        """Training throughput over all epochs, including shuffling and gathering."""
        examples = sum(record.seconds * record.examples_per_second for record in self.records)
        return examples / self.seconds if self.records else 0.0

    def to_json(self) -> str:
        """Return JSON: {"device", "stopped", "interrupted", "records": [{"epoch", "loss", …}, …]}.

        A number that is not finite becomes null.
        """
        content = {
            "device": self.device,
            "stopped": self.stopped,
            "interrupted": self.interrupted,
            "records": [asdict(record) for record in self.records],
        }
        return dump_json(content, indent=1)
