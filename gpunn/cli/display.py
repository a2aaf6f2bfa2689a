"""The live table of a sweep: the best networks so far, and how far the sweep is."""

from __future__ import annotations

import math
import sys
import time
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from gpunn.cli.output import printable
from gpunn.sweeps.progress import NetworkEnd
from gpunn.sweeps.settings import in_text

SHOWN = 8  # networks in the table


class SweepDisplay:
    """Show the best networks and a bar on a terminal, as `on_network_end`.

    Attributes:
        lines: whether the sweep should print lines about its progress instead, since stderr is no terminal.
    """

    def __init__(self, *, quiet: bool) -> None:
        on_terminal = sys.stderr.isatty() and not quiet
        self.lines = not on_terminal and not quiet
        self.best: list[NetworkEnd] = []
        self.examples, self.start = 0, time.monotonic()
        self.progress = Progress(
            BarColumn(None),
            MofNCompleteColumn(),
            TextColumn("networks{task.fields[speed]}"),
            TimeRemainingColumn(),
            expand=True,
        )
        self.task = self.progress.add_task("", total=None, speed="")
        console = Console(stderr=True)
        self.live = Live(self.progress, console=console, refresh_per_second=4) if on_terminal else None

    def begin(self, networks: int) -> None:
        """Show the bar of a sweep of so many networks."""
        self.progress.update(self.task, total=networks)
        if self.live:
            self.live.start()

    def __call__(self, end: NetworkEnd) -> None:
        """Show a network that is finished."""
        self.examples += end.examples
        if not math.isnan(end.score):
            self.best = sorted([*self.best, end], key=lambda each: each.metric.loss(each.score))[:SHOWN]
        speed = f", {self.examples / max(time.monotonic() - self.start, 1e-9):,.0f} examples/s"
        self.progress.update(self.task, completed=end.done, speed=speed)
        if self.live:
            self.live.update(Group(self.table(), self.progress))

    def table(self) -> Table:
        """Return the table of the best networks, the best first."""
        names = list(dict.fromkeys(name for end in self.best for name in end.member.settings))
        table = Table(box=None, header_style="bold", pad_edge=False)
        metric = self.best[0].metric.name.replace("_", " ") if self.best else "score"
        folds = ["fold"] if any(end.member.fold is not None for end in self.best) else []
        for name in ("network", *names, "seed", *folds, metric):
            table.add_column(printable(name), justify="right")
        for end in self.best:
            member = end.member
            values = [in_text(member.settings[name]) if name in member.settings else "" for name in names]
            fold = [str(member.fold)] if folds else []
            row = [str(member.index), *values, str(member.seed), *fold, f"{end.score:.4g}"]
            table.add_row(*map(printable, row))
        return table

    def __enter__(self) -> SweepDisplay:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        if self.live:
            self.live.stop()
