"""Training over MPI: what the ranks of a communicator tell each other, and how they fail together."""

from __future__ import annotations

import os
import platform
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np

from gpunn.backends.host.pool import cores
from gpunn.core.backend import BackendError

T = TypeVar("T")
BAD_INPUT = (ValueError, TypeError, OSError, BackendError, ImportError)
FAILED, INTERRUPTED = 1, 130  # exit codes
AGREED = "raised_by_all_ranks"  # the attribute of an error that every rank raises


class MpiRanks:
    """The ranks of an mpi4py communicator; see `gpunn.core.ranks.Ranks`.

    Attributes:
        apart: whether the ranks are done with what they do together, so that none waits for another.
    """

    def __init__(self, communicator: Any) -> None:
        from mpi4py import MPI

        self.communicator, self.in_place = communicator, MPI.IN_PLACE
        self.rank, self.size = communicator.Get_rank(), communicator.Get_size()
        self.apart = False

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MpiRanks) and bool(self.communicator == other.communicator)

    def __hash__(self) -> int:
        return hash((self.rank, self.size))

    def sum(self, x: np.ndarray) -> None:
        self.communicator.Allreduce(self.in_place, x)

    def from_first(self, make: Callable[[], T]) -> T:
        value, error = attempt(make) if self.rank == 0 else (None, None)
        value, why = self.communicator.bcast((value, None if error is None else explain(error)))
        if why is not None:
            self._raise(why, None, error)
        return value

    def together(self, do: Callable[[], T]) -> T:
        """Do this on every rank, and return each one's own result. Raises an error of any rank on all."""
        value, error = attempt(do)
        whys = self.communicator.allgather(None if error is None else explain(error))
        failed = [rank for rank, why in enumerate(whys) if why is not None]
        if failed:
            alike = len(set(whys)) == 1
            self._raise(whys[failed[0]], None if alike else failed[0], error)
        return value  # type: ignore[return-value]

    def check_same(self, description: Mapping[str, str]) -> None:
        """Raise ValueError on every rank unless the description is equal on all of them."""
        first, *others = self.communicator.allgather(dict(description))
        for rank, other in enumerate(others, start=1):
            for name in first.keys() | other.keys():
                if first.get(name) != other.get(name):
                    which = f"rank {rank} of {self.size} has another {name} than rank 0"
                    self.fail(f"{which}: {other.get(name)}, not {first.get(name)}")

    def fail(self, message: str) -> None:
        """Raise ValueError; every rank is about to do the same."""
        self._raise((message, True), None, None)

    def any(self, own: bool) -> bool:
        """Whether this is true on any rank."""
        return any(self.communicator.allgather(own))

    def local(self) -> int:
        """Return the number of this rank among those on this machine."""
        names = self.communicator.allgather(platform.node())
        return names[: self.rank].count(names[self.rank])

    def threads(self) -> int:
        """Return how many cores of this machine each of its ranks has to itself."""
        allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(cores()))
        found = self.communicator.allgather((platform.node(), allowed))
        beside = [own for there, own in found if there == platform.node()]
        return max(1, min(len(set().union(*beside)) // len(beside), cores()))

    def least_share(self, own: int) -> int:
        """Return the least of what each rank has, if the ranks of a machine share what it has."""
        found = self.communicator.allgather((platform.node(), own))
        names = [there for there, _ in found]
        return min(amount // names.count(there) for there, amount in found)

    def _raise(self, why: tuple[str, bool], rank: int | None, own: Exception | None) -> None:
        """Raise the error of a rank, or of all if `rank` is None; every rank is about to do the same."""
        message, bad_input = why
        where = "" if rank is None else f"rank {rank} of {self.size}: "
        made = (ValueError if bad_input else RuntimeError)(where + message)
        error = own if own is not None and rank is None else made
        setattr(error, AGREED, True)
        if error is own:
            raise error
        raise error from own

    @contextmanager
    def guard(self, agreed: type[Exception]) -> Iterator[None]:
        """End all ranks if this one fails alone, since the others would wait for it for ever.

        agreed: a kind of error that all ranks raise because they have computed the same.
        """
        try:
            yield
        except BaseException as error:
            if not (isinstance(error, agreed) or hasattr(error, AGREED) or self.apart):
                self.end(error)
            raise

    def end(self, error: BaseException) -> None:
        """Say in one line why this rank fails, and end all ranks."""
        if isinstance(error, KeyboardInterrupt):
            self.communicator.Abort(INTERRUPTED)
        why = " ".join(explain(error)[0].split())
        print(
            f"gpunn: error: rank {self.rank} of {self.size} fails, which ends all: {why}", file=sys.__stderr__
        )
        self.communicator.Abort(FAILED)


def attempt(make: Callable[[], T]) -> tuple[T | None, Exception | None]:
    """Return what this makes, or the error that it raises."""
    try:
        return make(), None
    except Exception as error:
        return None, error


def explain(error: BaseException) -> tuple[str, bool]:
    """Return the message of an error, and whether it is about bad input."""
    if isinstance(error, OSError) and error.strerror:
        return (f"{error.filename}: {error.strerror}" if error.filename else error.strerror), True
    return str(error) or type(error).__name__, isinstance(error, BAD_INPUT)


def ranks_of(communicator: Any) -> MpiRanks | None:
    """Return the ranks of a communicator; None for a single process.

    Raises ValueError for anything that is no communicator.
    """
    if communicator is None:
        return None
    if not hasattr(communicator, "Allreduce"):
        kind = type(communicator).__name__
        raise ValueError(f"communicator must be one of mpi4py's, such as MPI.COMM_WORLD, not {kind}")
    return MpiRanks(communicator) if communicator.Get_size() > 1 else None


class Signals:
    """Notes Ctrl-C and SIGTERM, so that all ranks end after the same epoch; a second one interrupts at once.

    Does nothing outside the main thread or for a signal with a handler of its own.
    """

    def __init__(self, terminates: bool) -> None:
        self.received: list[int] = []
        self.before: dict[int, Any] = {}
        usual = {signal.SIGINT: signal.default_int_handler}
        self.usual = usual | ({signal.SIGTERM: signal.SIG_DFL} if terminates else {})

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            for number, handler in self.usual.items():
                if signal.getsignal(number) is handler:
                    self.before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)
        if signal.SIGTERM in self.received:
            signal.raise_signal(signal.SIGTERM)

    def _note(self, number: int, frame: object) -> None:
        self.received.append(number)
        if len(self.received) > 1:
            raise KeyboardInterrupt
