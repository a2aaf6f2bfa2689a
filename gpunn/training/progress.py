"""The progress of a run: a bar on a terminal, otherwise a line about an epoch every few seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from threading import RLock
from types import TracebackType
from typing import TypeVar

from tqdm import tqdm

from gpunn.training.history import MEASURES, Record

PAUSE = 2.0  # seconds from one line to the next if epochs are quicker than that

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


class EpochLines:
    """Print a line about an epoch: the first, the last, and those in between that follow after a pause.

    Args:
        epochs: the number of epochs in all.
        write: the function that prints a line.
        clock: the time in seconds.
    """

    def __init__(
        self, epochs: int, write: Callable[[str], object], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.epochs, self.write, self.clock = epochs, write, clock
        self.start = self.shown = clock()
        self.first: int | None = None  # of this process, which may have resumed a run

    def __call__(self, record: Record) -> None:
        now = self.clock()
        is_first = self.first is None
        self.first = self.first or record.epoch
        if is_first or record.epoch == self.epochs or now - self.shown >= PAUSE:
            self.shown = now
            self.write(self._line(record, now))

    def _line(self, record: Record, now: float) -> str:
        speed = f"{record.examples_per_second:,.0f} examples/s"
        parts = [f"epoch {record.epoch}/{self.epochs}: {in_words(record)}", speed]
        if left := self.epochs - record.epoch:
            done = record.epoch - (self.first or 1) + 1
            parts.append(f"{Bar.format_interval((now - self.start) / done * left)} left")
        return ", ".join(parts)


def in_words(record: Record) -> str:
    """Write what an epoch measured, as in "loss 0.0912, validation accuracy 97.80%"."""
    values = {name: getattr(record, name) for name in MEASURES}
    return ", ".join(
        f"{name.replace('_', ' ')} {f'{value:.2%}' if name.endswith('accuracy') else f'{value:.4f}'}"
        for name, value in values.items()
        if value is not None
    )


class ProgressDisplay:
    """Show the progress of all epochs: by a bar if stderr is a terminal, otherwise by lines.

    Notebooks show stderr on a red ground, so that the lines are printed on stdout there.

    Args:
        m: the examples in an epoch; None if the first epoch must show it.
        epochs: the number of epochs in all.
        show: whether to show anything.
        done: the epochs of an earlier run.
    """

    def __init__(self, m: int | None, epochs: int, show: bool, done: int = 0) -> None:
        self.epochs = epochs
        on_terminal = sys.stderr.isatty()
        stream = sys.stdout if in_notebook() else sys.stderr
        self.lines = EpochLines(epochs, lambda line: print(line, file=stream, flush=True))
        self.show_lines, self.bar = show and not on_terminal, None
        if show and on_terminal:  # a hidden bar costs time, too
            self.bar = Bar(
                total=m and m * epochs,
                initial=(m or 0) * done,
                unit=" examples",
                unit_scale=True,
                dynamic_ncols=True,
                miniters=1,  # check the clock on every update, since no monitor thread does
                bar_format="{percentage:3.0f}% {bar} {remaining} left, {rate_fmt}{postfix}",
            )
        self.update = self.bar.update if self.bar else None

    def epoch(self, record: Record) -> None:
        """Show the epoch that has just ended."""
        if self.show_lines:
            self.lines(record)
        if self.bar:
            self._show(self.bar, record)

    def _show(self, bar: Bar, record: Record) -> None:
        if bar.total is None:
            bar.total = bar.n * self.epochs
        shown = {"epoch": f"{record.epoch}/{self.epochs}", "loss": f"{record.loss:.4f}"}
        accuracy = record.validation_accuracy if record.validation_accuracy is not None else record.accuracy
        if accuracy is not None:
            shown["accuracy"] = f"{accuracy:.2%}"
        bar.set_postfix(shown)

    def __enter__(self) -> ProgressDisplay:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        if self.bar:
            self.bar.close()


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return hasattr(shell, "kernel")
