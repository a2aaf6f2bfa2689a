"""Train on a stream: examples too many for memory, of which a block at a time is learnt from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol, runtime_checkable

import numpy as np

from gpunn.core.inputs import CheckedExamples
from gpunn.core.plan import Progress, run
from gpunn.training.fit_options import Block
from gpunn.training.sources import BlockPlans, Learner, RateFunction, Results


@runtime_checkable
class Stream(Protocol):
    """Examples that come in blocks, in a new order every epoch.

    Attributes:
        shape: (n_0, m), of all the examples together.
        description: identifies the examples and how they are shuffled, for checkpoints.
        class_counts: the number of examples of each class; None if y is not classes.
    """

    @property
    def shape(self) -> tuple[int, int]: ...

    @property
    def description(self) -> str: ...

    @property
    def class_counts(self) -> np.ndarray | None: ...

    def blocks(self, batch_size: int, rng: np.random.Generator | None) -> Iterator[Block]:
        """Yield an epoch's examples in blocks (X, y), each a whole number of mini-batches but the last.

        The order of the examples depends on `rng` alone, not on the size of the blocks; None keeps their
        order.
        """


class Streamed:
    """The examples of a stream, in the order in which they come.

    An epoch is one pass, as if all the examples were in memory in that order: the learning rates and the
    masks of dropout are those of such an epoch.

    check: turns a block into checked examples.
    """

    def __init__(self, learner: Learner, stream: Stream, check: Callable[[Block], CheckedExamples]) -> None:
        self.learner, self.stream, self.check = learner, stream, check
        self.m = stream.shape[1]
        self.plans = BlockPlans(learner, learner.steps(self.m))
        self.has_labels = False

    def learn(self, rates: RateFunction, progress: Progress | None) -> Results:
        """Run an epoch over the stream."""
        learner, done = self.learner, 0
        key, etas = learner.draw_key(learner.rng), rates(0, 1, learner.steps(self.m))
        losses, hits = np.empty(self.m, learner.model.be.memory.dtype), np.zeros(self.m, bool)
        rng = None if learner.arrange else shuffling(learner.rng)
        for given in map(self.check, self.stream.blocks(learner.batch_size, rng)):
            plan, m = self.plans.of(given), given.X.shape[1]
            plan.start(np.arange(m), etas, key, done // learner.batch_size)
            run(learner.model.be, plan.stages, progress)
            losses[done : done + m], hits[done : done + m] = plan.results()
            done, self.has_labels = done + m, given.y.labels is not None
        if done != self.m:
            raise RuntimeError(f"the stream had {done:,} examples in an epoch, and {self.m:,} were expected")
        return losses, hits if self.has_labels else None


def balanced(stream: Stream) -> np.ndarray:
    """Return the weights of the classes (n,) that `class_weight="balanced"` means (King and Zeng 2001).

    Raises ValueError if the stream has no classes.
    """
    counts = stream.class_counts
    if counts is None:
        raise ValueError("class_weight='balanced' needs class labels, but y is targets")
    weights: np.ndarray = counts.sum() / (np.count_nonzero(counts) * np.where(counts > 0, counts, 1))
    return weights


def shuffling(rng: np.random.Generator) -> np.random.Generator:
    """Draw the generator that shuffles an epoch of a stream, which another thread may use."""
    return np.random.default_rng(int(rng.integers(1 << 63)))
