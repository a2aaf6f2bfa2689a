"""What happened: one record an epoch."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import TypeAlias


@dataclass(frozen=True)
class Record:
    """One epoch of a training; what was not measured is None.

    Attributes:
        epoch: which one, from 1.
        loss: the cost, a mean over the epoch's examples, each measured just before its own mini-batch's step.
        accuracy: the share of them that was named rightly, likewise; None where the targets are not classes.
        validation_loss: the same of the validation examples, after the epoch.
        validation_accuracy: likewise.
        seconds: spent training, validation not included.
        examples_per_second: in them, shuffling and gathering included.
        validation_score: what the user's own function made of the outputs for the validation examples.
    """

    epoch: int
    loss: float
    accuracy: float | None
    validation_loss: float | None
    validation_accuracy: float | None
    seconds: float
    examples_per_second: float
    validation_score: float | None = None


MEASURES = ("loss", "accuracy", "validation_loss", "validation_accuracy", "validation_score")

Callback: TypeAlias = Callable[[Record], object]


@dataclass
class History:
    """The epochs of one training: a sequence of `Record`.

    Attributes:
        device: where it was, in words.
        records: an epoch each.
        stopped: what ended it: "" for the last epoch, "early", "callback" (one asked for it) or
            "interrupted" (Ctrl-C).

    >>> net = gpunn.Network([2, 3, 1], seed=0)
    >>> history = net.fit(np.eye(2), [0, 1], epochs=3, device="cpu")
    >>> [record.epoch for record in history], history.stopped, history.device
    ([1, 2, 3], '', 'cpu')
    """

    device: str
    records: list[Record] = field(default_factory=list)
    stopped: str = ""

    def __repr__(self) -> str:
        """How it ended, in a line."""
        epochs = (
            f"{len(self)} epoch{'' if len(self) == 1 else 's'}{self.stopped and ', stopped: '}{self.stopped}"
        )
        known = asdict(self.records[-1]).items() if self.records else ()
        last = [
            f"{name.replace('_', ' ')} {value:.4g}"
            for name, value in known
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
        """Whether Ctrl-C ended it."""
        return self.stopped == "interrupted"

    @property
    def seconds(self) -> float:
        """Time spent training, validation not included."""
        return sum(record.seconds for record in self.records)

    @property
    def examples_per_second(self) -> float:
        """Over all epochs, shuffling and gathering included."""
        examples = sum(record.seconds * record.examples_per_second for record in self.records)
        return examples / self.seconds if self.records else 0.0

    def to_json(self) -> str:
        """The same as JSON: {"device", "stopped", "interrupted", "records": [{"epoch", "loss", …}, …]}."""
        device, stopped, records = self.device, self.stopped, [asdict(record) for record in self.records]
        kept = {"device": device, "stopped": stopped, "interrupted": self.interrupted, "records": records}
        return json.dumps(kept, indent=1)
