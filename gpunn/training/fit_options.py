"""The options of `Network.fit`, listed and documented once."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ParamSpec, Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from gpunn.core.inputs import ClassWeight
from gpunn.core.optimizers import Adam, Optimizer
from gpunn.functions.augmentation import Augmentation
from gpunn.names import listed, near_match
from gpunn.training.history import Callback, History
from gpunn.training.schedules import Schedule
from gpunn.training.stopping import EarlyStopping

Arrange: TypeAlias = Callable[[np.ndarray], np.ndarray]  # from an epoch's indices to the order to use
ScoreFunction: TypeAlias = Callable[[np.ndarray], float]  # outputs (n_out, m) ↦ score; higher is better
OptimizerState: TypeAlias = "dict[str, np.ndarray]"  # velocity, moments or step counts by name, each flat
Block: TypeAlias = "tuple[Any, ...]"  # X (n_0, m), y, and optionally sample weights (m,)
Blocks: TypeAlias = "Iterable[Block] | Callable[[], Iterable[Block]]"
Pair: TypeAlias = "tuple[ArrayLike, ArrayLike]"  # X (n_0, m) and y
Validation: TypeAlias = "float | np.ndarray | list[int] | range | Pair | None"


@dataclass(frozen=True)
class Score:
    """A score that compares the outputs for the validation examples with their y.

    Attributes:
        compare: maps outputs (n_L, k) and y, labels (k,) or targets (n_L, k), to the score; higher is better.

    >>> from sklearn.metrics import roc_auc_score
    >>> score = gpunn.Score(lambda outputs, y: roc_auc_score(y, outputs[1]))
    >>> net = gpunn.Network(2, [gpunn.Dense(2, "softmax")], seed=0)
    >>> X, y = np.random.default_rng(0).normal(size=(2, 50)), np.arange(50) % 2
    >>> net.fit(X, y, epochs=1, validation=0.2, score=score)[0].validation_score <= 1
    True
    """

    compare: Callable[[np.ndarray, np.ndarray], float]

    def of(self, y: np.ndarray) -> ScoreFunction:
        """Return the score as a function of the outputs for examples with these y."""
        return functools.partial(_compare, self.compare, y)


def _compare(compare: Callable[[np.ndarray, np.ndarray], float], y: np.ndarray, outputs: np.ndarray) -> float:
    return compare(outputs, y)


P = ParamSpec("P")
DEFAULT_OPTIMIZER = Adam(0.01)


@dataclass(frozen=True, kw_only=True, eq=False)
class FitOptions:
    """The options of `Network.fit`, which takes them as keyword arguments or as one such object.

    Args:
        epochs: passes over the examples.
        batch_size: examples in a mini-batch; the last mini-batch of an epoch may be smaller.
        optimizer: a name, such as "nesterov" or "sgd", or an optimizer, such as `Adam`. The default,
            Adam(0.01), learns well whatever the activations and the initial weights; "sgd" is the book's
            gradient descent, with a learning rate of 0.1.
        schedule: a name (`gpunn.schedules.SCHEDULES`) or a function from progress in [0, 1) to the factor of
            the learning rate at that step.
        augmentation: random distortions of the images, drawn anew in every epoch.
        shuffle: True shuffles the examples before every epoch; False keeps their order. A function receives
            the training indices before each epoch and returns as many of them, in the order to use.
        validation: (X, y) to evaluate after every epoch. Otherwise the examples to hold out for this purpose:
            their indices (k,), or their share, such as 0.1, which is stratified if y is classes.
        score: a function of the outputs (n_L, k) for the validation examples, recorded as
            `validation_score`; higher is better. A `Score` also gets their y, whichever examples are held
            out.
        stop: when to stop before the last epoch.
        sample_weight: (m,), the weight of each example. It multiplies the example's gradient and recorded
            loss, which are averaged over the number of examples, not over the sum of the weights.
        class_weight: "balanced", {label: weight} or an array with a weight for each class, applied as
            `sample_weight` is.
        label_smoothing: ε in [0, 1). The targets of labels become (1 − ε) one-hot + ε / classes (Szegedy et
            al. 2016, section 7). Neither smoothing nor weights change the accuracy or the validation loss.
        device: auto, cpu, cuda or cuda:N; auto takes a working GPU if there is one.
        precision: the network's dtype; on CUDA also "tf32", or "bf16" (activations and δ in 16 bits, θ in
            float32).
        threads: on a CPU, the number of threads, and at most as many as OMP_NUM_THREADS, `threadpoolctl` and
            the like allow. None takes GPUNN_THREADS, or lets trials choose, since threads are slow beside
            other busy processes. Compiled kernels compute the same bits with any number. Without them, the
            last bits of the result may depend on it; `Record.threads` keeps it.
        verbose: whether to show progress: a bar if stderr is a terminal, otherwise a line every few seconds.
        on_epoch_end: one or several functions, called with the `Record` of each epoch while the network has
            that epoch's weights. Training ends if one of them returns True. `gpunn.callbacks` has some.
        checkpoint: the folder for checkpoints, which hold the whole state of training. If one cannot be
            written, such as on a full disk, `fit` warns once and trains on.
        checkpoint_every: epochs between checkpoints; the last epoch always writes one.
        keep: how many of the newest checkpoints to keep.
        resume: whether to continue from the newest checkpoint, or from the start if there is no checkpoint.
            On the same machine the result is bitwise identical to that of an unbroken run.
        communicator: mpi4py's communicator of processes that train the network together, such as
            `MPI.COMM_WORLD`. Each of them makes the same call and learns from its share of every mini-batch;
            the result is that of one process, but for rounding. `on_epoch_end` is called on rank 0, which
            alone writes checkpoints.
        optimizer_state: a dictionary that carries the optimizer's velocity or moments from one call to the
            next. Start with an empty one.

    Raises:
        ValueError: if `epochs`, `batch_size` or `threads` is not a whole number of at least 1.

    >>> options = gpunn.FitOptions(epochs=3, optimizer="adam", device="cpu")
    >>> net = gpunn.Network([2, 3, 1], seed=0)
    >>> len(net.fit(np.eye(2), [0, 1], options)), len(net.fit(np.eye(2), [0, 1], options, epochs=5))
    (3, 5)
    """

    epochs: int = 10
    batch_size: int = 32
    optimizer: str | Optimizer = DEFAULT_OPTIMIZER
    schedule: str | Schedule | None = None
    augmentation: Augmentation | None = None
    shuffle: bool | Arrange = True
    validation: Validation = None
    score: ScoreFunction | Score | None = None
    stop: EarlyStopping | None = None
    sample_weight: ArrayLike | None = None
    class_weight: ClassWeight | None = None
    label_smoothing: float = 0.0
    device: str = "auto"
    precision: str | None = None
    threads: int | None = None
    verbose: bool = False
    on_epoch_end: Callback | Sequence[Callback] | None = None
    checkpoint: str | os.PathLike[str] | None = None
    checkpoint_every: int = 1
    keep: int = 2
    resume: bool = False
    communicator: Any = None
    optimizer_state: OptimizerState | None = None

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "threads"):
            value = getattr(self, name)
            if name == "threads" and value is None:
                continue
            if not isinstance(value, int | np.integer) or value < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, not {value!r}")

    def changed(self, changes: Mapping[str, Any]) -> FitOptions:
        """Return a copy with the changes. Raises TypeError for an option that does not exist."""
        known = [field.name for field in fields(self)]
        for name in changes:
            if name not in known:
                near = near_match(name, known)
                hint = f"did you mean '{near}'?" if near else f"choose from {listed(known)}"
                raise TypeError(f"fit() got an unexpected keyword argument '{name}': {hint}")
        return replace(self, **changes)

    def check(self, n_in: int, *, blocks: bool) -> None:
        """Raise ValueError if the options do not go together, with n_in inputs or with blocks of examples."""
        if self.score and self.validation is None:
            raise ValueError("score needs a validation set: pass validation, too")
        if self.resume and self.checkpoint is None:
            raise ValueError("resume needs the folder of the checkpoints: pass checkpoint=FOLDER")
        if self.augmentation:
            self.augmentation.check(n_in)
        if blocks:
            self._check_for_blocks()

    def check_metric(self, *, classes: bool) -> None:
        """Raise ValueError if early stopping follows a metric that will not be measured."""
        if self.stop:
            self.stop.check(self.validation is not None, classes=classes, scored=self.score is not None)

    def _check_for_blocks(self) -> None:
        """Raise ValueError for options that need all the examples at once."""
        if self.sample_weight is not None:
            raise ValueError(
                "sample_weight cannot be passed for blocks: put it into each block, as (X, y, sample_weight)"
            )
        if isinstance(self.class_weight, str):
            raise ValueError(
                "class_weight='balanced' needs all examples at once, not blocks: pass {label: weight}"
            )
        if not (self.validation is None or isinstance(self.validation, tuple)):
            raise ValueError("examples cannot be held out of blocks: pass validation=(X, y)")

    @property
    def arrange(self) -> Arrange | None:
        """The function that orders the examples, or None to shuffle them."""
        if callable(self.shuffle):
            return self.shuffle
        return None if self.shuffle else np.asarray

    @property
    def callbacks(self) -> Sequence[Callback]:
        """`on_epoch_end` as a sequence."""
        return [self.on_epoch_end] if callable(self.on_epoch_end) else self.on_epoch_end or ()


# the signature of `Network.fit`


class _BoundFit(Protocol[P]):
    def __call__(
        self,
        X: ArrayLike | Blocks,
        y: ArrayLike | None = None,
        options: FitOptions | None = None,
        *args: P.args,
        **changes: P.kwargs,
    ) -> History: ...


class _FitMethod(Protocol[P]):
    def __get__(self, net: object, owner: type | None = None, /) -> _BoundFit[P]: ...


def takes_options(make: Callable[P, FitOptions]) -> Callable[[Callable[..., History]], _FitMethod[P]]:
    """Let a method (self, X, y, options) take the options by name as well, with `make`'s parameters.

    `help`, notebooks and Sphinx see these parameters in `__signature__`, type checkers and editors in P. The
    dataclass therefore remains the only list of options.
    """

    def decorate(method: Callable[..., History]) -> Any:
        @functools.wraps(method, assigned=("__module__", "__name__", "__qualname__", "__doc__"))
        def fit(
            self: Any,
            X: ArrayLike | Blocks,
            y: ArrayLike | None = None,
            options: FitOptions | None = None,
            **changes: Any,
        ) -> History:
            return method(self, X, y, (options or FitOptions()).changed(changes))

        signature = inspect.signature(fit, follow_wrapped=False)
        *own, _ = signature.parameters.values()
        parameters = [*own, *inspect.signature(make).parameters.values()]
        fit.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        return fit

    return decorate
