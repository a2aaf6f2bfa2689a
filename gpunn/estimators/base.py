"""What the two estimators share: their parameters, and how a `fit` becomes gpunn's."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from sklearn.base import BaseEstimator, is_regressor
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.validation import check_is_fitted, validate_data

from gpunn.core.inputs import is_sparse, on_device
from gpunn.core.layers import Dense
from gpunn.estimators.rows import Rows, combined_weights, on_device_X
from gpunn.estimators.settings import THEIRS, check, first_weights, hidden_layers, hidden_sizes
from gpunn.estimators.solvers import by_batches, not_converged, whole
from gpunn.functions.costs import Cost
from gpunn.network import Network
from gpunn.training.history import Callback
from gpunn.training.loop import OptimizerState

Classes: TypeAlias = Literal["new", "same", "among"]
SINGLE = ("float32", "tf32", "bf16")


@dataclass(eq=False, repr=False, kw_only=True)
class BaseMLP(BaseEstimator):
    """What scikit-learn's MLPClassifier and MLPRegressor have in common, and gpunn adds.

    Every parameter and attribute of theirs has its name, meaning and default here, so that changing the
    import is enough, and the same random_state draws the same first weights, the same rows to hold out and
    the same order of the examples. X is (m, n_features): an array, a frame, sparse, or CuPy's, which is not
    fetched from its device. The last six parameters are gpunn's own; those that are not described here are
    scikit-learn's, to the word.

    Args:
        hidden_layer_sizes: neurons of each hidden layer.
        activation: of the hidden layers: identity, logistic, tanh, relu, any of `gpunn.ACTIVATIONS`, an
            `Activation`, or a list of one for each.
        solver: adam, sgd or lbfgs.
        alpha: the cost of a mini-batch gains (alpha/2) Σ w² / batch_size.
        batch_size: "auto" for min(200, m).
        learning_rate: constant, invscaling or adaptive, of sgd.
        max_iter: epochs; of lbfgs, iterations.
        verbose: a line an epoch.
        device: auto, cpu, cuda or cuda:N.
        precision: float32 or float64, None for that of X; on CUDA also tf32 and bf16.
        dropout: of the hidden layers, or a list of one for each.
        batch_norm: of the hidden layers.
        scoring: what counts on the validation examples, as scikit-learn has it.
        callbacks: a function, or several, called with each epoch's `gpunn.Record`; one that returns True ends
            training.

    After `fit` there are n_features_in_, feature_names_in_, coefs_ and intercepts_ (views), n_layers_,
    n_outputs_, out_activation_, loss_, best_loss_, loss_curve_, validation_scores_, best_validation_score_,
    n_iter_, t_, and network_, the `gpunn.Network` itself.

    Where it differs: a warm start goes on with the optimizer's velocity or moments; partial_fit knows
    early_stopping; sample weights count in multiples of their mean over all of the training, and alpha is
    divided by batch_size in the short last mini-batch of an epoch too, where scikit-learn takes each
    mini-batch's own; Adam's epsilon is that of Kingma and Ba's algorithm 1.
    """

    loss: str | Cost = ""
    hidden_layer_sizes: Any = (100,)
    activation: Any = "relu"
    solver: str = "adam"
    alpha: float = 0.0001
    batch_size: int | str = "auto"
    learning_rate: str = "constant"
    learning_rate_init: float = 0.001
    power_t: float = 0.5
    max_iter: int = 200
    shuffle: bool = True
    random_state: Any = None
    tol: float = 1e-4
    verbose: bool | int = False
    warm_start: bool = False
    momentum: float = 0.9
    nesterovs_momentum: bool = True
    early_stopping: bool = False
    validation_fraction: float = 0.1
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    n_iter_no_change: float = 10
    max_fun: int = 15000
    device: str = "auto"
    precision: str | None = None
    dropout: float | Sequence[float] = 0.0
    batch_norm: bool = False
    scoring: Any = None
    callbacks: Callback | Sequence[Callback] | None = None

    # what comes out

    @property
    def coefs_(self) -> list[np.ndarray]:
        """Views of the weights of layers 1…L, each (n_{l-1}, n_l)."""
        return [w.T for w in self._fitted().weights]

    @property
    def intercepts_(self) -> list[np.ndarray]:
        """Views of the biases of layers 1…L, each (n_l,)."""
        return [b[:, 0] for b in self._fitted().biases]

    def _fitted(self) -> Network:
        if "network_" not in vars(self):
            raise AttributeError(f"this {type(self).__name__} is not fitted yet")
        return self.network_

    def _outputs(self, X: Any) -> np.ndarray:
        """a[L] for the rows of X, (m, n_outputs)."""
        check_is_fitted(self)
        if on_device(X):
            X = on_device_X(self, X, self._dtypes(), reset=False)
        else:
            X = validate_data(self, X, accept_sparse="csr", dtype=self._dtypes(), reset=False)
        return self.network_._outputs(X.T, self.device).T

    # what goes in: the first three are each estimator's own

    def _targets(self, y: np.ndarray, classes: Classes) -> np.ndarray:
        """y as `Network.fit` takes it. classes: those of y are new, the same as before, or among them."""
        raise NotImplementedError

    def _n_outputs(self, targets: np.ndarray) -> int:
        """How many outputs the network needs."""
        raise NotImplementedError

    def _output_layer(self) -> tuple[Dense, str | Cost]:
        """The last layer and the cost."""
        raise NotImplementedError

    def _class_weights(self, y: np.ndarray) -> np.ndarray | None:
        """One for each example, or None."""
        return None

    def _strata(self, y: np.ndarray) -> np.ndarray | None:
        """The labels that each keep their share of what is held out, or None."""
        return None

    def _loss_of(self, rows: Rows) -> Callable[[float], float]:
        """What scikit-learn's loss is, given the mean of ours."""
        return lambda loss: loss

    def _dtypes(self) -> Any:
        return np.float32 if self.precision in SINGLE else (np.float64, np.float32)

    def _checked(self, X: Any, y: Any, reset: bool) -> tuple[Any, np.ndarray]:
        """X and y as numbers and labels, as scikit-learn checks them; CuPy's X stays where it lies."""
        how = {"multi_output": True, "y_numeric": is_regressor(self)}
        y = y.get() if on_device(y) else y
        if on_device(X):
            X, y = on_device_X(self, X, self._dtypes(), reset), validate_data(self, y=y, **how)
        else:
            how |= {"accept_sparse": "csr", "dtype": self._dtypes()}
            X, y = validate_data(self, X, y, reset=reset, **how)
        y = y.toarray() if is_sparse(y) else y
        return X, column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y

    def _rows(
        self, X: Any, y: Any, sample_weight: Any = None, *, reset: bool = False, classes: Classes = "among"
    ) -> Rows:
        X, y = self._checked(X, y, reset)
        targets = self._targets(y, classes)
        return Rows(X, y, targets, *combined_weights(sample_weight, self._class_weights(y), X.shape[0]))

    # how it learns

    def _fit(
        self, X: Any, y: Any, sample_weight: Any, X_val: Any, y_val: Any, *, incremental: bool = False
    ) -> Any:
        check(self)
        first = "network_" not in vars(self) or not (self.warm_start or incremental)
        classes: Classes = "among" if incremental else "new" if first else "same"
        rows = self._rows(X, y, sample_weight, reset=first, classes=classes)
        if (X_val is None) != (y_val is None):
            raise ValueError("X_val and y_val go together: give both or neither")
        held = None if X_val is None else self._rows(X_val, y_val)
        random = check_random_state(self.random_state)
        if first:
            self._begin(rows, random)
        else:
            self._go_on(rows)
        self.n_iter_ = 0
        if self.solver == "lbfgs":
            whole(self, rows)
        elif incremental:
            by_batches(self, rows, held, random, epochs=1)
        else:
            self._fit_to_the_end(rows, held, random)
        return self

    def _begin(self, rows: Rows, random: np.random.RandomState) -> None:
        """A new network, and nothing learnt yet."""
        self.n_outputs_ = self._n_outputs(rows.targets)
        drops = any(layer.dropout for layer in hidden_layers(self))
        seed = int(random.randint(2**31)) if drops else 0
        dtype = np.float32 if self.precision in SINGLE else self.precision or rows.X.dtype
        self.network_ = self._network(rows, seed, dtype)
        first_weights(self.network_, random)
        self.n_layers_, self.t_ = len(self.network_.sizes), 0
        self.loss_curve_: list[float] = []
        self.learning_rate_, self._no_improvement_count = self.learning_rate_init, 0
        self.best_loss_ = None if self.early_stopping else math.inf
        self.best_validation_score_ = -math.inf if self.early_stopping else None
        self.validation_scores_: list[float] | None = [] if self.early_stopping else None
        self._optimizer_states: dict[tuple[str, bool], OptimizerState] = {}

    def _network(self, rows: Rows, seed: int, dtype: Any) -> Network:
        """As the parameters now want it."""
        output, cost = self._output_layer()
        self.out_activation_ = THEIRS.get(output.f.name, output.f.name)
        return Network(rows.X.shape[1], [*hidden_layers(self), output], cost, seed, dtype)

    def _go_on(self, rows: Rows) -> None:
        """The network goes on with its weights and the parameters as they are now; ValueError where these
        want other weights."""
        before = self.network_
        sizes = (rows.X.shape[1], *hidden_sizes(self), self.n_outputs_)
        if sizes != before.sizes:
            raise ValueError(f"the network is {before.name}: it cannot go on as {sizes}")
        after = self._network(rows, 0, before.dtype)
        if after.layout != before.layout:
            raise ValueError("the network cannot go on with another batch_norm")
        after.theta[:], after.rng = before.theta, before.rng
        self.network_ = after

    def _fit_to_the_end(self, rows: Rows, held: Rows | None, random: np.random.RandomState) -> None:
        """Until it converges or max_iter is reached; where scores decide, the best weights remain."""
        self.learning_rate_ = self.learning_rate_init
        course = by_batches(self, rows, held, random, epochs=self.max_iter)
        if course.best is not None:
            self.network_.theta[:] = course.best
        if course.stopped == "interrupted":
            warnings.warn("Training interrupted by user.", stacklevel=4)
        elif not course.stopped:
            not_converged(f"{self.max_iter} epochs (max_iter) were not enough to converge")
