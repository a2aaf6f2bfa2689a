"""Fit several estimators at once, so that their networks are trained in lockstep on CUDA.

Each fit has a thread, but only one thread runs at any time. A fit runs until it has a network to train, then
the next one does. Once all of them wait, their networks are trained together. The code of the fits, of which
scikit-learn's pipelines and scores are a part, knows nothing of this. The order of events is always the same.
"""

from __future__ import annotations

import threading
import warnings
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from joblib._parallel_backends import ParallelBackendBase, SequentialBackend
from sklearn import config_context, get_config

from gpunn import backends
from gpunn.network import Network
from gpunn.training import together
from gpunn.training.candidates import Candidate, at_once
from gpunn.training.candidates import shape_of as shape_of_step
from gpunn.training.fit import fit
from gpunn.training.fit_options import FitOptions
from gpunn.training.history import History
from gpunn.training.together import Result

T = TypeVar("T")

MOST = 264  # fits at once: a large GPU has half as many multiprocessors
BYTES = 4 << 30  # of rows, which each fit of a search copies

here = threading.local()  # its `task` is the task that this thread runs


def on_cuda(device: str) -> bool:
    """Return whether a device of this name is CUDA and works; `fit` complains of unknown names."""
    try:
        return backends.choose(device, "float32").name != "cpu"
    except (ValueError, backends.BackendError):
        return False


def train(net: Network, X: Any, y: np.ndarray, **options: Any) -> History:
    """Train a network as `net.fit` does, together with those of other fits if this is one of several."""
    task: Task[Any] | None = getattr(here, "task", None)
    if task is None:
        return net.fit(X, y, **options)
    return task.wait_for(Candidate(net, X, y, FitOptions().changed(options)))


class Task(threading.Thread, Generic[T]):
    """A fit that runs in turns with the thread that made it.

    Attributes:
        wanted: the network that the fit waits for; None once the fit has ended.
        trained: how the training of that network ended.
        error: the error that ended the fit, or None.
        result: what the fit returned, unless there is an error.
    """

    result: T
    trained: History | BaseException

    def __init__(self, work: Callable[[], T]) -> None:
        super().__init__(daemon=True)
        self.work, self.config = work, get_config()
        self.go, self.stopped = threading.Semaphore(0), threading.Semaphore(0)
        self.wanted: Candidate | None = None
        self.error: BaseException | None = None

    def resume(self) -> None:
        """Let the fit run until it wants a network, or ends. Raises KeyboardInterrupt if that ended it."""
        self.wanted = None
        if self.is_alive():
            self.go.release()
        else:
            self.start()
        self.stopped.acquire()
        if self.error and not isinstance(self.error, Exception):
            raise self.error

    def abandon(self) -> None:
        """End the fit where it waits, or will wait."""
        self.trained = KeyboardInterrupt()
        self.go.release()

    def run(self) -> None:
        """Run the fit, in this thread."""
        here.task = self
        try:
            with config_context(**self.config):
                self.result = self.work()
        except BaseException as error:
            self.error = error
        finally:
            self.stopped.release()

    def wait_for(self, wanted: Candidate) -> History:
        """Wait until a network is trained. Raises the error that ended its training."""
        self.wanted = wanted
        self.stopped.release()
        self.go.acquire()
        if isinstance(self.trained, BaseException):
            raise self.trained
        return self.trained

    def outcome(self) -> T:
        """Return what the fit returned, or raise its error."""
        if self.error:
            raise self.error
        return self.result


def run(works: Sequence[Callable[[], T]], most: int = MOST) -> list[Task[T]]:
    """Run fits, at most `most` at once, and train their networks together; return the tasks in order."""
    tasks: list[Task[T]] = []
    left, waiting = deque(works), list[Task[T]]()
    try:
        with warnings.catch_warnings():  # fits that overlap leave each other's filters behind
            while left or waiting:
                while left and len(waiting) < most:
                    tasks.append(Task(left.popleft()))
                    tasks[-1].resume()
                    waiting += [task for task in tasks[-1:] if task.wanted]
                train_all(waiting)
                for task in waiting:
                    task.resume()
                waiting = [task for task in waiting if task.wanted]
    finally:
        for task in tasks:
            if task.is_alive():
                task.abandon()
    return tasks


def train_all(tasks: Sequence[Task[Any]]) -> None:
    """Train the networks that tasks wait for, those of one shape together."""
    groups: dict[tuple[Any, ...], list[Task[Any]]] = {}
    for task in tasks:
        assert task.wanted
        groups.setdefault(shape_of(task.wanted), []).append(task)
    for group in groups.values():
        candidates = with_shared_inputs([task.wanted for task in group if task.wanted])
        for task, result in zip(group, train_group(candidates), strict=True):
            task.trained = result


def shape_of(c: Candidate) -> tuple[Any, ...]:
    """Return the properties that networks must share to be trained together."""
    held = c.options.validation
    m = c.X.shape[1] - (len(held) if isinstance(held, np.ndarray) else 0)
    of_network = c.net.sizes[0], c.net.cost, c.net.dtype, c.options.device
    return *of_network, *shape_of_step(c.net.layers, c.options, m)


def train_group(candidates: Sequence[Candidate]) -> Sequence[Result]:
    """Train networks in lockstep, as many at once as fit, or one by one if the device cannot do that."""
    most, trained = at_once(candidates[0]), list[Result]()
    for start in range(0, len(candidates), most):
        batch = candidates[start : start + most]
        results = together.fit(batch) if len(batch) > 1 else None
        trained += [train_alone(c) for c in batch] if results is None else results
    return trained


def train_alone(c: Candidate) -> Result:
    """Train one network."""
    try:
        return fit(c.net, c.X, c.y, c.options)
    except Exception as error:
        return error


def with_shared_inputs(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Replace equal X by the same array, which is then loaded once: each fit has made its own copy."""
    known: dict[tuple[Any, ...], list[np.ndarray]] = {}

    def shared(X: Any) -> Any:
        if not isinstance(X, np.ndarray):
            return X
        alike = known.setdefault((X.shape, X.dtype, X[:, 0].tobytes(), X[:, -1].tobytes()), [])
        for other in alike:
            if np.array_equal(X, other):
                return other
        alike.append(X)
        return X

    return [replace(c, X=shared(c.X)) for c in candidates]


# joblib's way in


class Ended(Protocol):
    """A task that has ended."""

    def outcome(self) -> Any:
        """Return the result, or raise the error."""


class Lockstep(ParallelBackendBase):
    """A backend for `joblib.Parallel` that collects tasks, and runs all of them when a result is needed.

    Args:
        X: the rows that each task copies.
    """

    supports_sharedmem = True

    def __init__(self, X: Any) -> None:
        super().__init__()
        size = getattr(getattr(X, "data", None), "nbytes", 0) or getattr(X, "nbytes", 0)
        self.most = max(1, min(MOST, BYTES // max(size, 1)))
        self.jobs: list[Job] = []

    def effective_n_jobs(self, n_jobs: int) -> int:
        """Return more than the tasks of any search, so that joblib submits all of them at once."""
        return 100_000

    def submit(self, func: Callable[[], Any], callback: Callable[[Any], Any] | None = None) -> Job:
        """Collect a task."""
        self.jobs.append(Job(self, func, callback))
        return self.jobs[-1]

    apply_async = submit  # its name in older versions of joblib

    def get_nested_backend(self) -> tuple[Any, None]:
        """Return the backend within a task."""
        return SequentialBackend(nesting_level=1), None

    def do(self, works: Sequence[Any]) -> Sequence[Ended]:
        """Do tasks, and return how each of them ended."""
        return run(works, self.most)

    def run(self) -> None:
        """Run the collected tasks; a callback may submit more."""
        jobs, self.jobs = self.jobs, []
        for job, task in zip(jobs, self.do([job.work for job in jobs]), strict=True):
            job.task = task
        for job in jobs:
            if job.callback:
                job.callback(job)


class Job:
    """A task that joblib has submitted."""

    def __init__(self, backend: Lockstep, work: Any, callback: Any) -> None:
        self.backend, self.work, self.callback = backend, work, callback
        self.task: Ended | None = None

    def get(self, timeout: float | None = None) -> Any:
        """Return the result, or raise the task's error."""
        if self.task is None:
            self.backend.run()
        assert self.task
        return self.task.outcome()
