"""The progress bar of a run: epoch, loss, accuracy and examples/s, if stderr is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from threading import RLock
from types import TracebackType
from typing import TypeVar

from tqdm import tqdm

from gpunn.training.history import Record

T = TypeVar("T")
SOON = 2  # seconds; shorter work has no bar


class Bar(tqdm):  # type: ignore[misc]
    """tqdm without its monitor thread, and with a lock of this process alone.

    Forked processes share tqdm's own lock, so a process killed while holding it would block the others.
    """

    monitor_interval = 0


Bar.set_lock(RLock())


def watched(items: Sequence[T], what: str, unit: str) -> Iterable[T]:
    """Return the items, with a bar that appears after SOON seconds if stderr is a terminal."""
    shown: Iterable[T] = Bar(
        items,
        what,
        unit=f" {unit}",
        delay=SOON,
        leave=False,
        dynamic_ncols=True,
        disable=not sys.stderr.isatty(),
    )
    return shown


class ProgressBar:
    """Count the examples of all epochs.

    m: the examples in an epoch; None if the first epoch must show it. done: epochs of an earlier run.
    """

    def __init__(self, m: int | None, epochs: int, show: bool, done: int = 0) -> None:
        self.epochs = epochs
        self.bar = Bar(
            total=m and m * epochs,
            initial=(m or 0) * done,
            unit=" examples",
            unit_scale=True,
            dynamic_ncols=True,
            miniters=1,  # check the clock on every update, since no monitor thread does
            bar_format="{percentage:3.0f}% {bar} {rate_fmt}{postfix}",
            disable=not (show and sys.stderr.isatty()),
        )
        self.update = self.bar.update

    def epoch(self, record: Record) -> None:
        """Show the epoch that has just ended."""
        if self.bar.total is None:
            self.bar.total = self.bar.n * self.epochs
        shown = {"epoch": f"{record.epoch}/{self.epochs}", "loss": f"{record.loss:.4f}"}
        accuracy = record.validation_accuracy if record.validation_accuracy is not None else record.accuracy
        if accuracy is not None:
            shown["accuracy"] = f"{accuracy:.2%}"
        self.bar.set_postfix(shown)

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.bar.close()
