"""Several networks as one estimator: members with seeds of their own, trained at once and averaged."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sklearn.base import clone
from sklearn.utils import check_random_state

from gpunn.estimators import lockstep
from gpunn.estimators.building import batch_size, hidden_sizes
from gpunn.sweeps.engine import Job, Workers
from gpunn.sweeps.members import estimate_seconds

CLASSES = ("classes_", "_multilabel")
SHARED = (*CLASSES, "n_features_in_", "feature_names_in_", "n_outputs_", "n_layers_", "out_activation_")


@dataclass(frozen=True)
class Examples:
    """The arguments of a call of `fit` or `partial_fit`, which all members share."""

    X: Any
    y: Any
    sample_weight: Any
    X_val: Any
    y_val: Any
    incremental: bool


@dataclass(frozen=True)
class Trained:
    """A member after training, with the warnings that it gave; or the error that ended it."""

    member: Any
    warned: Sequence[tuple[str, type[Warning]]] = ()
    error: BaseException | None = None


def fit(estimator: Any, examples: Examples) -> list[Any]:
    """Train the members of an ensemble; return them, and copy what they share to the estimator.

    Member k equals the estimator with n_ensemble=1 and the k-th seed that random_state draws. Members are
    trained in worker processes, one a core, or together on CUDA; one by one if callbacks follow them.

    Raises the first error of a member.
    """
    members = _members(estimator, examples.incremental)
    if estimator.callbacks:
        results = list(_train(examples, members))
    elif lockstep.on_cuda(estimator.device):
        results = _train_in_lockstep(examples, members)
    else:
        results = _train_by_workers(examples, members, _seconds(estimator, examples))
    for result in results:
        if result.error:
            raise result.error
    for text, kind in dict.fromkeys(warning for result in results for warning in result.warned):
        warnings.warn(text, kind, stacklevel=4)
    copy_fitted(results[0].member, estimator, SHARED)
    return [result.member for result in results]


def copy_fitted(source: Any, into: Any, names: Sequence[str]) -> None:
    """Copy these fitted attributes, as far as the source has them."""
    into.__dict__.update({name: value for name, value in vars(source).items() if name in names})


def _seconds(estimator: Any, examples: Examples) -> float:
    """Estimate the seconds that a member takes on one core; 0 for data that is not a matrix."""
    shape: tuple[int, ...] = getattr(examples.X, "shape", ())
    if len(shape) != 2 or not shape[0]:
        return 0.0
    m, size = shape[0], batch_size(estimator, shape[0])
    epochs = 1 if examples.incremental else estimator.max_iter
    sizes = [shape[1], *hidden_sizes(estimator), 1]
    return estimate_seconds(sizes, m, epochs, m if estimator.solver == "lbfgs" else size)


def _members(estimator: Any, incremental: bool) -> list[Any]:
    """Return the members to train: those of the call before, if training goes on, or new ones.

    Raises ValueError if training cannot go on with another number of members.
    """
    seeds = check_random_state(estimator.random_state).randint(2**31, size=estimator.n_ensemble)
    settings = {**estimator.get_params(deep=False), "n_ensemble": 1}
    if not hasattr(estimator, "estimators_") or not (estimator.warm_start or incremental):
        members = [clone(estimator).set_params(n_ensemble=1, random_state=int(seed)) for seed in seeds]
        for member in members if incremental else ():
            copy_fitted(estimator, member, CLASSES)
        return members
    members = estimator.estimators_
    if len(members) != len(seeds):
        raise ValueError(
            f"cannot continue training {len(members)} networks as {len(seeds)}: "
            "call fit with warm_start=False"
        )
    return [member.set_params(**{**settings, "random_state": member.random_state}) for member in members]


def _train(examples: Examples, members: Sequence[Any]) -> Iterator[Trained]:
    """Train members one after the other."""
    for member in members:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                _fit(examples, member)
            except Exception as error:
                yield Trained(member, error=error)
                continue
        yield Trained(member, _texts(caught))


def _fit(examples: Examples, member: Any) -> None:
    given = examples.X, examples.y, examples.sample_weight, examples.X_val, examples.y_val
    member._fit(*given, incremental=examples.incremental)


def _texts(caught: Sequence[warnings.WarningMessage]) -> list[tuple[str, type[Warning]]]:
    return [(str(warning.message), warning.category) for warning in caught]


def _train_in_lockstep(examples: Examples, members: Sequence[Any]) -> list[Trained]:
    """Train members at the same time. All their warnings are those of the first."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tasks = lockstep.run([partial(_fit, examples, member) for member in members])
    texts = [_texts(caught), *[[]] * len(members)]
    return [Trained(m, t, task.error) for m, t, task in zip(members, texts, tasks, strict=False)]


def _train_by_workers(examples: Examples, members: Sequence[Any], seconds: float) -> list[Trained]:
    """Train members in worker processes, each for about so many seconds."""
    trained: dict[int, Trained] = {}
    work = Job(_train_at, lambda item: seconds, lambda item, result: trained.update({item[0]: result}), _lost)
    with Workers(examples) as workers:
        workers.run(work, list(enumerate(members)))
    return [trained[k] for k in range(len(members))]


def _train_at(examples: Examples, items: Sequence[tuple[int, Any]]) -> Iterator[Trained]:
    """Train numbered members, as workers call it."""
    return _train(examples, [member for _, member in items])


def _lost(item: tuple[int, Any], reason: str) -> Trained:
    """Make the result of a member whose process died twice."""
    return Trained(item[1], error=RuntimeError(f"the process of member {item[0]} ended twice: {reason}"))
