"""Hand tasks to the workers of any executor, wherever they are."""

from __future__ import annotations

import math
import pickle
import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

from joblib import cpu_count, wrap_non_picklable_objects

from gpunn.names import one_line
from gpunn.sweeps.shipping import Shipment, Work, other_version, perform
from gpunn.version import __version__

D = TypeVar("D")
T = TypeVar("T")
R = TypeVar("R")

AHEAD = 2  # tasks a worker that have been submitted, so that no worker waits for this process
VERSION = "__import__('gpunn').__version__"  # which every version of gpunn knows, unlike a function


class WorkersEnded(RuntimeError):
    """All workers of an executor have ended, or the connection to them has."""


class ExecutorPool(Generic[D]):
    """The workers of an executor.

    Workers on this machine, or that share the folder, map a file into memory. Others get the data with a task
    if they lack them; Dask's workers get them from each other.

    Args:
        data: what all the work needs.
        executor: has `submit`, which returns a future of `concurrent.futures`.
        folder: where to write the file; None for a temporary folder.

    Attributes:
        workers: how many tasks are done at a time, as far as the executor says.

    Raises:
        ValueError: if the workers cannot import gpunn, or have another version of it.
        WorkersEnded: if there are no workers.
    """

    def __init__(self, data: D, executor: Any, folder: Path | None = None) -> None:
        self.executor, self.client = executor, client_of(executor)
        self.supplied = False  # whether a worker has the data
        self.sent: Any = None  # the data, as Dask's workers pass them on
        check_version(self)
        self.workers = count_workers(executor)
        self.shipment = Shipment(data, folder, lasting=True)
        if not isinstance(executor, ThreadPoolExecutor):
            self.shipment.to_file()

    @property
    def most(self) -> float:
        """How many tasks to submit ahead of their results.

        Dask's scheduler knows best what to do with all of them. Elsewhere the first tasks find out whether
        the workers have the data, which later tasks would be sent without.
        """
        if self.client is not None:
            return math.inf
        return self.workers * (AHEAD if self.supplied else 1)

    def submit(self, work: Work[Any, T, R], items: list[T], *, again: bool = False) -> Future[Any]:
        """Submit a task; again, with the data, if its worker lacked them. Raises WorkersEnded."""
        content: Any = None
        if self.client is None:
            content = self.shipment.content if again else None
        elif again and self.sent is None:
            self.sent = put(self.client, self.shipment.content)
        sent = content or self.sent
        task = wrap_non_picklable_objects(partial(perform, work, self.shipment.parcel, items), False)
        future = self.start("gpunn-train", task, *([] if sent is None else [sent]))
        future.add_done_callback(self._note)
        return future

    def start(self, name: str, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Let a worker call a function. Raises WorkersEnded if there is no worker any more."""
        named = {} if self.client is None else {"key": f"{name}-{secrets.token_hex(8)}"}
        try:
            future: Future[Any] = self.executor.submit(function, *arguments, **named)
        except RuntimeError as error:  # BrokenExecutor is one
            raise ended(error) from None
        return future

    def call(self, function: Callable[..., R], *arguments: Any) -> R:
        """Call a function on a worker, and wait for it. Raises WorkersEnded, or the error of the function."""
        future = self.start("gpunn-look", function, *arguments)
        try:
            result: R = future.result()
        except (BrokenExecutor, CancelledError) as error:
            raise ended(error) from None
        except BaseException:
            future.cancel()
            raise
        return result

    def _note(self, future: Future[Any]) -> None:
        """Note that a worker had the data."""
        self.supplied = self.supplied or not (
            future.cancelled() or future.exception() or future.result() is None
        )

    def abandon(self, running: Sequence[Future[Any]]) -> None:
        """Do nothing: an executor's workers finish the tasks that they have begun, and nobody waits."""

    def close(self) -> None:
        """Remove the file, and let the workers' copies go."""
        self.shipment.close()
        self.sent = None


def check_version(pool: ExecutorPool[Any]) -> None:
    """Raise ValueError unless a worker has this version of gpunn."""
    try:
        found = pool.call(eval, VERSION)
    except WorkersEnded:
        raise
    except Exception as error:
        raise ValueError(f"the workers cannot import gpunn: {one_line(error)}") from None
    if found != __version__:
        raise ValueError(other_version(found, __version__))


def ended(error: BaseException) -> WorkersEnded:
    """Return the error that says why the workers have ended."""
    why = "their tasks were cancelled, as when the scheduler ends"
    if not isinstance(error, CancelledError):
        why = one_line(error)  # type: ignore[arg-type]
    return WorkersEnded(f"the executor's workers have ended: {why}")


def count_workers(executor: Any) -> int:
    """Count the tasks that an executor does at a time; as many as there are cores if it does not say."""
    client = client_of(executor)
    if client is not None:
        return max(1, sum(client.nthreads().values()))
    return getattr(executor, "_max_workers", None) or int(cpu_count())


# Dask


def client_of(executor: Any) -> Any:
    """Return the client of an executor of Dask's; None for other executors."""
    return executor._client if type(executor).__module__.startswith("distributed.") else None


def put(client: Any, content: bytes) -> Any:
    """Unpickle data on one of Dask's workers; the others get a copy from there.

    A task makes them, rather than `scatter`, so that they are made again if their worker dies.
    """
    import dask

    with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1TiB"}):
        return client.submit(pickle.loads, content, key=f"gpunn-data-{secrets.token_hex(8)}")
