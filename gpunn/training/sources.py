"""Sources of an epoch's examples: one data set in memory, or a stream of blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sized
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np

from gpunn.core.examples import Examples
from gpunn.core.inputs import CheckedExamples
from gpunn.core.plan import BoundModel, Drawn, Plan, Progress, run
from gpunn.core.update import Update
from gpunn.functions.augmentation import Augmentation
from gpunn.training.fit_options import Arrange, Block, Blocks
from gpunn.training.identity import fingerprint

#: From the beginning and the end of a part of an epoch, in [0, 1], and its number of steps to the η of each.
RateFunction: TypeAlias = Callable[[float, float, int], "np.ndarray | None"]
Results: TypeAlias = "tuple[np.ndarray, np.ndarray | None]"  # losses (m,); hits (m,), or None without classes

MAX_PLANS = 4  # sizes of blocks whose plans are kept


@dataclass(frozen=True)
class Learner:
    """A model, and how it learns from examples."""

    model: BoundModel
    update: Update
    batch_size: int
    rng: np.random.Generator
    arrange: Arrange | None = None
    augmentation: Augmentation | None = None
    scheduled: bool = False

    def plan(self, examples: Examples, m: int, epoch_steps: int | None = None) -> Plan:
        """Bind one pass of learning over m of the examples. epoch_steps: as in `Plan`."""
        return Plan(
            self.model,
            examples,
            m,
            min(self.batch_size, m),
            training=True,
            epoch_steps=epoch_steps,
            update=self.update,
            scheduled=self.scheduled,
            augmentation=self.augmentation,
        )

    def draw(self, rng: np.random.Generator, order: np.ndarray) -> Drawn:
        """Draw the key of an epoch's masks and distortions, if it needs any, and permute `order`."""
        key = self.draw_key(rng)
        return key, apply_arrange(self.arrange, order) if self.arrange else rng.permutation(order)

    def draw_key(self, rng: np.random.Generator) -> int:
        """Draw the key of an epoch's masks and distortions; 0 if it needs none."""
        needed = self.augmentation or any(self.model.dropout)
        return int(rng.integers(1 << 32)) if needed else 0

    def steps(self, m: int) -> int:
        """Return the number of mini-batches in m examples."""
        return -(-m // min(self.batch_size, m))


@dataclass(frozen=True)
class Permutation:
    """A function for `shuffle` that is known to permute: its orders are not checked."""

    arrange: Arrange

    def __call__(self, order: np.ndarray) -> np.ndarray:
        return self.arrange(order)


def apply_arrange(arrange: Arrange, order: np.ndarray) -> np.ndarray:
    """Call the user's function. Raises ValueError unless it returns as many of the indices it was given."""
    found = np.asarray(arrange(order))
    if isinstance(arrange, Permutation):
        return found
    last = order.max()
    if found.shape == order.shape and found.dtype.kind in "iu" and 0 <= found.min() <= found.max() <= last:
        if last + 1 == len(order):  # these are all the indices that there are
            return found
        known = np.zeros(last + 1, bool)
        known[order] = True
        if known[found].all():
            return found
    got = f"{found.dtype} {found.shape}"
    if found.size:
        got += f" from {found.min()} to {found.max()}"
    raise ValueError(f"shuffle must return {len(order):,} of the indices that it was given, not {got}")


class DrawAhead:
    """Draw each epoch's key and permutation, the next one while a device still works on this epoch.

    Drawing ahead uses a copy of the generator. The generator itself is never ahead of the current epoch, so
    checkpoints and later calls of `fit` are unaffected.

    Attributes:
        useful: whether the device works on while the host draws.
    """

    def __init__(self, learner: Learner, order: np.ndarray) -> None:
        self.learner, self.order = learner, order
        self.prepared: tuple[bytes, Drawn, Any] | None = None
        self.useful = learner.model.be.runs_ahead and not learner.arrange

    def next(self) -> Drawn:
        """Return the draw of the epoch that begins."""
        rng, prepared = self.learner.rng, self.prepared
        self.prepared = None
        if prepared is None or prepared[0] != state_mark(rng):  # the generator was used in between
            return self.learner.draw(rng, self.order)
        rng.bit_generator.state = prepared[2]
        return prepared[1]

    def look(self) -> Drawn:
        """Draw what the next epoch will most likely be given."""
        rng = deepcopy(self.learner.rng)
        mark, drawn = state_mark(rng), self.learner.draw(rng, self.order)
        self.prepared = mark, drawn, rng.bit_generator.state
        return drawn


def state_mark(rng: np.random.Generator) -> bytes:
    """Return bytes that identify a generator's state, for any kind of bit generator."""
    return deepcopy(rng).bytes(16)


class ExampleSource(Protocol):
    """The examples of every epoch."""

    @property
    def m(self) -> int | None:
        """The number of examples in an epoch, or None if it is not known in advance."""

    def learn(self, rates: RateFunction, progress: Progress | None) -> Results:
        """Learn from all the examples once."""


class InMemory:
    """A data set that is loaded, of which the examples `order` are learnt from."""

    def __init__(self, learner: Learner, examples: Examples, order: np.ndarray) -> None:
        self.learner, self.order, self.draws = learner, order, DrawAhead(learner, order)
        self.plan = learner.plan(examples, len(order))
        self.has_labels = examples.labels is not None

    @property
    def m(self) -> int:
        """The number of examples."""
        return len(self.order)

    def learn(self, rates: RateFunction, progress: Progress | None) -> Results:
        """Run an epoch over the examples in a new order."""
        self.start(rates, self.draws.next())
        run(self.learner.model.be, self.plan.stages, progress)
        if self.draws.useful:
            self.plan.expect(*self.draws.look())
        return self.results()

    def start(self, rates: RateFunction, drawn: Drawn) -> None:
        """Start an epoch over the examples."""
        key, order = drawn
        self.plan.start(order, rates(0, 1, self.learner.steps(self.m)), key)

    def results(self) -> Results:
        """Return the epoch's losses and hits."""
        losses, hits = self.plan.results()
        return losses, hits if self.has_labels else None


class BlockPlans:
    """Plans of learning from blocks, one for each of the last few shapes.

    epoch_steps: as in `Plan`.
    """

    def __init__(self, learner: Learner, epoch_steps: int | None = None) -> None:
        self.learner, self.epoch_steps = learner, epoch_steps
        self.bound: dict[Any, tuple[Examples, Plan]] = {}

    def of(self, given: CheckedExamples) -> Plan:
        """Return a plan for blocks of this shape, with this block's examples loaded."""
        be, arrays = self.learner.model.be, given.arrays()
        kind = tuple(None if a is None else (a.shape, a.dtype) for a in arrays)
        if kind in self.bound:
            examples, bound = self.bound[kind]
            be.data.refill(examples, *arrays)
            return bound
        if len(self.bound) == MAX_PLANS:
            del self.bound[next(iter(self.bound))]
        examples = given.copy().load(be)
        bound = self.learner.plan(examples, given.X.shape[1], self.epoch_steps)
        self.bound[kind] = examples, bound
        return bound


class BlockStream:
    """The user's blocks, one after another, each shuffled within itself.

    check: turns a block into checked examples. If the blocks have a length, the learning rate changes from
    block to block; otherwise it changes from epoch to epoch.
    """

    m = None

    def __init__(self, learner: Learner, blocks: Blocks, check: Callable[[Block], CheckedExamples]) -> None:
        self.learner, self.blocks, self.check = learner, blocks, check
        self.plans = BlockPlans(learner)
        self.has_labels = False

    def learn(self, rates: RateFunction, progress: Progress | None) -> Results:
        """Run an epoch over all the blocks."""
        parts = [self._learn_block(*part, rates, progress) for part in self._parts()]
        if not parts:
            raise ValueError(
                "an epoch had no blocks: an iterator can be run through only once, so pass a list, or a "
                "function that returns a new iterator"
            )
        losses, hits = zip(*parts, strict=True)
        self.has_labels = all(h is not None for h in hits)
        return np.concatenate(losses), np.concatenate(hits) if self.has_labels else None

    def _parts(self) -> Iterator[tuple[CheckedExamples, float, float]]:
        """Yield each block, and where in the epoch it begins and ends."""
        ranks = self.learner.model.ranks
        blocks = ranks.together(self._open) if ranks else self._open()
        count = len(blocks) if isinstance(blocks, Sized) else 0
        for k, given in enumerate(self._checked(blocks)):
            begin, end = (k / count, (k + 1) / count) if count else (0.0, 0.0)
            yield given, begin, end

    def _open(self) -> Iterable[Block]:
        return self.blocks() if callable(self.blocks) else self.blocks

    def _checked(self, blocks: Iterable[Block]) -> Iterator[CheckedExamples]:
        """Yield the blocks as checked examples. Raises ValueError unless all ranks have the same."""
        ranks, rest = self.learner.model.ranks, iter(blocks)
        if ranks is None:
            yield from map(self.check, rest)
            return

        def take() -> CheckedExamples | None:
            block = next(rest, None)
            return None if block is None else self.check(block)

        while True:
            given = ranks.together(take)
            ranks.check_same({"next block": "none" if given is None else fingerprint(*given.arrays())})
            if given is None:
                return
            yield given

    def _learn_block(
        self, given: CheckedExamples, begin: float, end: float, rates: RateFunction, progress: Progress | None
    ) -> Results:
        m = given.X.shape[1]
        plan = self.plans.of(given)
        etas = rates(begin, end, self.learner.steps(m))
        key, order = self.learner.draw(self.learner.rng, np.arange(m))
        plan.start(order, etas, key)
        run(self.learner.model.be, plan.stages, progress)
        losses, hits = plan.results()
        return losses.copy(), None if given.y.labels is None else hits.copy()
