"""Ranks: several processes that train one network together, each on its share of every mini-batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

T = TypeVar("T")


class Ranks(Protocol):
    """The processes of one training, as seen by one of them.

    Attributes:
        rank: the number of this process, from 0.
        size: how many there are.
    """

    rank: int
    size: int

    def sum(self, x: np.ndarray) -> None:
        """x ← Σ x over all ranks, in place; the result is bitwise identical on all of them."""

    def from_first(self, make: Callable[[], T]) -> T:
        """Return on every rank what rank 0 makes. Raises its error on every rank."""

    def together(self, do: Callable[[], T]) -> T:
        """Do this on every rank, and return each one's own result. Raises an error of any rank on all."""

    def check_same(self, description: Mapping[str, str]) -> None:
        """Raise ValueError on every rank unless the description is equal on all of them."""


@dataclass(frozen=True)
class Share:
    """The columns of a mini-batch that a rank computes.

    Attributes:
        whole: the examples of the mini-batch, on all ranks.
        first: the number of the share's first column in the mini-batch.
        m: the columns of the share, at least 1.
        counts: False if a short mini-batch has no example for this rank. It then computes the first example,
            which counts 0.
        ranks: None if one process computes the whole mini-batch.
    """

    whole: int
    first: int
    m: int
    counts: bool = True
    ranks: Ranks | None = None


def share_of(m: int, ranks: Ranks | None) -> Share:
    """Return the share of this rank in a mini-batch of m: the first m mod size ranks have one more."""
    if ranks is None:
        return Share(m, 0, m)
    each, more = divmod(m, ranks.size)
    own = each + (ranks.rank < more)
    if own == 0:
        return Share(m, 0, 1, False, ranks)
    return Share(m, ranks.rank * each + min(ranks.rank, more), own, True, ranks)


def positions(m: int, batch_size: int, ranks: Ranks) -> tuple[np.ndarray, int]:
    """Return the positions that a rank computes in a pass over m examples, and how many of them count.

    Positions that do not count come last.
    """
    full, short = divmod(m, batch_size)
    share = share_of(batch_size, ranks)
    starts = np.arange(0, full * batch_size, batch_size)
    found = [np.add.outer(starts, np.arange(share.first, share.first + share.m)).ravel()]
    counted = share.counts * full * share.m
    if short:
        last = share_of(short, ranks)
        found.append(full * batch_size + np.arange(last.first, last.first + last.m))
        counted += last.counts * last.m
    return np.concatenate(found), counted
