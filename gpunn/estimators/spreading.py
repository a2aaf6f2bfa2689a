"""Fit the candidates of a search by the workers of an executor, wherever they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from gpunn.estimators import lockstep
from gpunn.estimators.lockstep import Lockstep
from gpunn.sweeps.devices import kind, own
from gpunn.sweeps.engine import Job, Workers, shares
from gpunn.sweeps.executors import ExecutorPool

Call: TypeAlias = "tuple[Callable[..., Any], Sequence[Any], dict[str, Any]]"
Item: TypeAlias = "tuple[int, Call]"


@dataclass(frozen=True)
class Place:
    """An argument that several calls share, by its number."""

    number: int


@dataclass(frozen=True)
class Done:
    """The result of a call, or its error."""

    result: Any = None
    error: Exception | None = None

    def outcome(self) -> Any:
        """Return the result, or raise the error."""
        if self.error:
            raise self.error
        return self.result


class Spread(Lockstep):
    """A backend for `joblib.Parallel` that hands the tasks to an executor, and the data once a worker.

    Args:
        executor: has `submit`, which returns a future of `concurrent.futures`.
        estimator: the estimator of the search.
    """

    def __init__(self, executor: Executor, estimator: Any) -> None:
        super().__init__(None)
        self.executor, self.devices = executor, set(devices_of(estimator).values())

    def do(self, works: Sequence[Any]) -> list[Done]:
        """Do tasks of joblib's, each of which is a list of calls.

        Raises WorkersEnded if all workers have ended.
        """
        calls = [call for work in works for call in work.items]
        shared, short = set_apart(calls)
        found: dict[int, Done] = {}
        with Workers(shared, self.executor) as workers:
            divide = shares if self.on_gpus(workers) else None
            work = Job(
                call_all, lambda item: 1.0, lambda item, done: found.update({item[0]: done}), lost, divide
            )
            workers.run(work, list(enumerate(short)))
        results = iter(found[k] for k in range(len(calls)))
        return [together([next(results) for _ in work.items]) for work in works]

    def on_gpus(self, workers: Workers[Any]) -> bool:
        """Whether the workers train on GPUs; the first that answers speaks for all."""
        pool = workers.pool
        assert isinstance(pool, ExecutorPool)
        return any(pool.call(kind, device, "float32", None) == "cuda" for device in self.devices - {"cpu"})


def devices_of(estimator: Any) -> dict[str, str]:
    """Return the devices of an estimator and of its parts, by the names of the parameters."""
    chosen = estimator.get_params().items()
    return {n: value for n, value in chosen if n.split("__")[-1] == "device" and isinstance(value, str)}


def set_apart(calls: Sequence[Call]) -> tuple[list[Any], list[Call]]:
    """Set the data among the arguments apart: return each of them once, and the calls with their places."""
    shared: list[Any] = []
    numbers: dict[int, int] = {}

    def short(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: short(each) for name, each in value.items()}
        if not hasattr(value, "shape") and not isinstance(value, list):
            return value
        if id(value) not in numbers:
            numbers[id(value)] = len(shared)
            shared.append(value)
        return Place(numbers[id(value)])

    return shared, [(f, [short(each) for each in args], short(kwargs)) for f, args, kwargs in calls]


def together(parts: Sequence[Done]) -> Done:
    """Return the results of several calls as that of one task."""
    error = next((part.error for part in parts if part.error), None)
    return Done([part.result for part in parts], error)


def lost(item: Item, reason: str) -> Done:
    """Make the result of a call whose worker died twice."""
    return Done(error=RuntimeError(f"the worker of fit {item[0]} ended twice: {reason}"))


# in a worker


def call_all(shared: list[Any], items: Sequence[Item]) -> Iterator[Done]:
    """Make calls, on this worker's device; on a GPU, networks of one shape are trained together."""
    calls = [restored(call, shared) for _, call in items]
    if len(calls) > 1 and any(lockstep.on_cuda(device) for device in devices_of(calls[0].args[0]).values()):
        for task in lockstep.run(calls):
            error = task.error if isinstance(task.error, Exception) else None
            yield Done(None if task.error else task.result, error)
        return
    for call in calls:
        try:
            yield Done(call())
        except Exception as error:
            yield Done(error=error)


def restored(call: Call, shared: Sequence[Any]) -> partial[Any]:
    """Return a call with its data, whose estimator trains on this worker's device."""
    function, args, kwargs = call

    def full(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: full(each) for name, each in value.items()}
        return shared[value.number] if isinstance(value, Place) else value

    estimator, *rest = (full(each) for each in args)
    chosen = {name: own(device) for name, device in devices_of(estimator).items()}
    return partial(function, estimator.set_params(**chosen), *rest, **full(kwargs))
