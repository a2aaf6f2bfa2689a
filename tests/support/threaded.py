"""A communicator between threads of this process, with the methods of mpi4py's that gpunn calls."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from typing import Any

import numpy as np


class Ended(Exception):
    """A rank has ended all of them."""


class Board:
    """The place where the ranks meet."""

    def __init__(self, size: int) -> None:
        self.size, self.barrier = size, threading.Barrier(size, timeout=60)
        self.slots: list[Any] = [None] * size
        self.code: int | None = None


class Communicator:
    """One rank's end of it."""

    def __init__(self, board: Board, rank: int) -> None:
        self.board, self.rank = board, rank

    def Get_rank(self) -> int:
        return self.rank

    def Get_size(self) -> int:
        return self.board.size

    def allgather(self, own: Any) -> list[Any]:
        try:
            self.board.slots[self.rank] = own
            self.board.barrier.wait()
            found = copy.deepcopy(self.board.slots)
            self.board.barrier.wait()
        except threading.BrokenBarrierError:
            raise Ended from None
        return found

    def bcast(self, own: Any) -> Any:
        return self.allgather(own)[0]

    def Allreduce(self, in_place: object, x: np.ndarray) -> None:
        assert x.flags.c_contiguous or x.flags.f_contiguous
        first, *others = self.allgather(x)
        for other in others:  # in the same order on every rank
            first += other
        x[...] = first

    def Abort(self, code: int) -> None:
        self.board.code = code
        self.board.barrier.abort()
        raise Ended


def on_ranks(size: int, do: Callable[[Communicator], Any]) -> list[Any]:
    """Do this on so many ranks; return what each returns, or the error that it raises."""
    board = Board(size)
    found: list[Any] = [None] * size

    def one(rank: int) -> None:
        try:
            found[rank] = do(Communicator(board, rank))
        except Exception as error:
            found[rank] = error

    threads = [threading.Thread(target=one, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found
