"""Where an epoch's examples come from: all of them at hand, or block after block."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sized
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np

from gpunn.core.backend import Examples
from gpunn.core.inputs import CheckedExamples
from gpunn.core.optimizers import Update
from gpunn.core.plan import Drawn, Model, Progress, Round
from gpunn.functions.augmentation import Augmentation

Arrange = Callable[[np.ndarray], np.ndarray]  # the examples' indices before every epoch
Rates = Callable[[float, float, int], "np.ndarray | None"]  # η of so many steps between two parts of an epoch
Results: TypeAlias = "tuple[np.ndarray, np.ndarray | None]"  # losses and hits (m,); no hits without classes
Block: TypeAlias = "tuple[Any, ...]"  # X (n_0, m), y, and sample weights (m,) if they have any
Blocks: TypeAlias = "Iterable[Block] | Callable[[], Iterable[Block]]"

KEPT_BOUND = 4  # sizes of blocks for which plans are kept


@dataclass(frozen=True)
class Learner:
    """A model, and how it learns from whatever examples it is shown."""

    model: Model
    update: Update
    batch_size: int
    rng: np.random.Generator
    arrange: Arrange | None = None
    augmentation: Augmentation | None = None
    scheduled: bool = False

    def round(self, examples: Examples, m: int) -> Round:
        """Learning from m of those examples."""
        return Round(
            self.model,
            examples,
            m,
            min(self.batch_size, m),
            training=True,
            update=self.update,
            scheduled=self.scheduled,
            augmentation=self.augmentation,
        )

    def draw(self, rng: np.random.Generator, order: np.ndarray) -> Drawn:
        """A key of random numbers, if any are needed, and the examples of `order` arranged anew."""
        needed = self.augmentation or any(self.model.dropout)
        key = int(rng.integers(1 << 32)) if needed else 0
        return key, arranged(self.arrange, order) if self.arrange else rng.permutation(order)

    def steps(self, m: int) -> int:
        """How many mini-batches m examples make."""
        return -(-m // min(self.batch_size, m))


def arranged(arrange: Arrange, order: np.ndarray) -> np.ndarray:
    """What a function of the user's makes of the order. ValueError where that is none of these examples."""
    found = np.asarray(arrange(order))
    last = order.max()
    if found.shape == order.shape and found.dtype.kind in "iu" and 0 <= found.min() <= found.max() <= last:
        known = np.zeros(last + 1, bool)
        known[order] = True
        if known[found].all():
            return found
    raise ValueError(
        f"shuffle must return {len(order)} indices, of the examples that it was given, not {found.dtype} "
        f"{found.shape}" + (f" from {found.min()} to {found.max()}" if found.size else "")
    )


class Ahead:
    """Each epoch's draw, of which the next can be made while a device works on the last.

    It is made from a copy of the generator, which itself is never further than the epoch that has begun: a
    checkpoint or another fit does not notice.
    """

    def __init__(self, learner: Learner, order: np.ndarray) -> None:
        self.learner, self.order = learner, order
        self.next_one: tuple[bytes, Drawn, Any] | None = None
        useful = learner.model.be.runs_ahead and not learner.arrange
        self.look = self._look if useful else None

    def next(self) -> Drawn:
        """The epoch's that begins."""
        rng, drawn = self.learner.rng, self.next_one
        self.next_one = None
        if drawn is None or drawn[0] != mark_of(rng):  # somebody else has drawn from it since
            return self.learner.draw(rng, self.order)
        rng.bit_generator.state = drawn[2]
        return drawn[1]

    def _look(self) -> Drawn:
        rng = deepcopy(self.learner.rng)
        mark, drawn = mark_of(rng), self.learner.draw(rng, self.order)
        self.next_one = mark, drawn, rng.bit_generator.state
        return drawn


def mark_of(rng: np.random.Generator) -> bytes:
    """Of a generator's state, of whichever kind it is."""
    return deepcopy(rng).bytes(16)


class Lessons(Protocol):
    """The examples of every epoch."""

    def epoch(self, rates: Rates, progress: Progress | None) -> Results:
        """Learn from all of them, once."""


class Loaded:
    """Those of `order`, of examples that are all at hand."""

    def __init__(self, learner: Learner, examples: Examples, order: np.ndarray) -> None:
        self.learner, self.order, self.ahead = learner, order, Ahead(learner, order)
        self.round = learner.round(examples, len(order))
        self.has_labels = examples.labels is not None

    def epoch(self, rates: Rates, progress: Progress | None) -> Results:
        etas = rates(0, 1, self.learner.steps(len(self.order)))
        key, order = self.ahead.next()
        losses, hits = self.round(order, etas, key, progress, self.ahead.look)
        return losses, hits if self.has_labels else None


class Streamed:
    """The user's blocks, one after another: each is copied to where the backend wants it, and its examples
    are arranged among themselves.

    check: what a block is. The learning rate follows the blocks where they have a length, else the epochs.
    """

    def __init__(self, learner: Learner, blocks: Blocks, check: Callable[[Block], CheckedExamples]) -> None:
        self.learner, self.blocks, self.check = learner, blocks, check
        self.bound: dict[Any, tuple[Examples, Round]] = {}

    def epoch(self, rates: Rates, progress: Progress | None) -> Results:
        parts = [self._block(*part, rates, progress) for part in self._parts()]
        if not parts:
            raise ValueError(
                "an epoch had no blocks: an iterator can be run through only once, so give a list, or a "
                "function that makes the iterator"
            )
        losses, hits = zip(*parts, strict=True)
        return np.concatenate(losses), None if any(h is None for h in hits) else np.concatenate(hits)

    def _parts(self) -> Iterator[tuple[CheckedExamples, float, float]]:
        """Each block, and between which parts of the epoch it comes."""
        blocks = self.blocks() if callable(self.blocks) else self.blocks
        count = len(blocks) if isinstance(blocks, Sized) else 0
        for k, block in enumerate(blocks):
            begin, end = (k / count, (k + 1) / count) if count else (0.0, 0.0)
            yield self.check(block), begin, end

    def _block(
        self, given: CheckedExamples, begin: float, end: float, rates: Rates, progress: Progress | None
    ) -> Results:
        m = given.X.shape[1]
        over = self._round(given)
        etas = rates(begin, end, self.learner.steps(m))
        key, order = self.learner.draw(self.learner.rng, np.arange(m))
        losses, hits = over(order, etas, key, progress)
        return losses.copy(), None if given.y.labels is None else hits.copy()

    def _round(self, given: CheckedExamples) -> Round:
        """Bound for blocks of that kind, with this one's examples in place."""
        be, arrays = self.learner.model.be, given.arrays()
        kind = tuple(None if a is None else (a.shape, a.dtype) for a in arrays)
        if kind in self.bound:
            examples, over = self.bound[kind]
            be.refill(examples, *arrays)
            return over
        if len(self.bound) == KEPT_BOUND:
            del self.bound[next(iter(self.bound))]
        examples = given.copy().load(be)
        self.bound[kind] = examples, self.learner.round(examples, given.X.shape[1])
        return self.bound[kind][1]
