"""The progress of a sweep: a bar on a terminal, otherwise a line every few seconds."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import TypeAlias

from gpunn.sweeps.members import Member
from gpunn.sweeps.outcome import Outcome
from gpunn.sweeps.preparing import Prepared
from gpunn.sweeps.scoring import Metric
from gpunn.sweeps.settings import in_words
from gpunn.training.progress import PAUSE, Bar


@dataclass(frozen=True)
class NetworkEnd:
    """A network of a sweep that is finished, as `on_network_end` receives it.

    Attributes:
        member: its number in the table, its settings, seed and fold.
        status: how it ended, as in the table.
        score: its score by the sweep's metric; NaN if it was not trained.
        done: how many networks are finished, with this one.
        total: how many networks the sweep has.
        examples: how many examples it learnt from, in all its epochs; 0 if an earlier sweep has trained it.
        seconds: wall-clock time that it took.
        metric: the sweep's metric.
    """

    member: Member
    status: str
    score: float
    done: int
    total: int
    examples: int
    seconds: float
    metric: Metric


OnNetworkEnd: TypeAlias = Callable[[NetworkEnd], object]


class SweepProgress:
    """Report the networks that are finished: show their number and the best of them, and call the user.

    Args:
        prepared: the sweep.
        on_network_end: the user's function, if there is one.
        show: whether to show anything.
    """

    def __init__(self, prepared: Prepared, on_network_end: OnNetworkEnd | None, *, show: bool) -> None:
        self.prepared, self.on_network_end = prepared, on_network_end
        self.best: NetworkEnd | None = None
        self.start = self.shown = time.monotonic()
        self.done = self.examples = 0
        on_terminal = sys.stderr.isatty()
        self.show_lines = show and not on_terminal
        total = len(prepared.members)
        self.bar = Bar(
            total=total, unit=" networks", dynamic_ncols=True, miniters=1, disable=not (show and on_terminal)
        )

    def __call__(self, member: Member, outcome: Outcome, *, on_file: bool) -> object:
        """Report a network that is finished; return what the user's function returns."""
        prepared = self.prepared
        self.done += 1
        examples = 0 if on_file else prepared.data.examples(member.fold) * len(outcome.history)
        self.examples += examples
        score = prepared.metric.of(outcome, prepared.recipe.of(member).options.stop)
        total, metric = len(prepared.members), prepared.metric
        end = NetworkEnd(member, outcome.status, score, self.done, total, examples, outcome.seconds, metric)
        loss = metric.loss
        if not math.isnan(score) and (self.best is None or loss(score) < loss(self.best.score)):
            self.best = end
        self._show(end)
        return self.on_network_end(end) if self.on_network_end else None

    def _show(self, end: NetworkEnd) -> None:
        self.bar.update()
        self.bar.set_postfix_str(self._best(), refresh=False)
        now = time.monotonic()
        if self.show_lines and (end.done == end.total or now - self.shown >= PAUSE):
            self.shown = now
            speed = self.examples / max(now - self.start, 1e-9)
            parts = [f"{end.done:,}/{end.total:,} networks", f"{speed:,.0f} examples/s", self._best()]
            print(", ".join(filter(None, parts)), file=sys.stderr, flush=True)

    def _best(self) -> str:
        """Describe the best network until now."""
        if self.best is None:
            return ""
        where = in_words(self.best.member.settings)
        name = self.prepared.metric.name.replace("_", " ")
        return f"best network: {name} {self.best.score:.4g}" + (f" ({where})" if where else "")

    def __enter__(self) -> SweepProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.bar.close()
