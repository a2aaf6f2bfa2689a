"""The base class of both estimators: checks data, trains a network, and publishes the fitted attributes."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import numpy as np
from sklearn.base import is_regressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.validation import check_is_fitted, validate_data

from gpunn.core.inputs import is_sparse, on_device
from gpunn.core.layers import Dense
from gpunn.estimators import ensemble, lbfgs, minibatch
from gpunn.estimators.building import SCIKIT_LEARN_NAMES, hidden_layers, hidden_sizes, initialise
from gpunn.estimators.fit import Fit, Outcome, Progress
from gpunn.estimators.fitted import FittedState
from gpunn.estimators.parameters import Parameters, check
from gpunn.estimators.rows import Rows, check_device_X, check_sample_weight, quickly_checked
from gpunn.estimators.validation import Split, given_rows, held_out, scorer
from gpunn.functions.costs import Cost
from gpunn.network import Network
from gpunn.sweeps.ensemble import Ensemble
from gpunn.training.fit_options import OptimizerState

ClassRule: TypeAlias = Literal["new", "same", "subset"]
SINGLE_PRECISION = ("float32", "tf32", "bf16")


class BaseMLP(Parameters, FittedState):
    """Common base of `gpunn.MLPClassifier` and `gpunn.MLPRegressor`.

    Every parameter and attribute of scikit-learn's MLPs is here with its name, meaning and default, so it is
    enough to change the import. The same random_state draws the same initial weights, the same validation
    rows and the same order of examples. X is (m, n_features): an array, a data frame, a sparse matrix or a
    CuPy array, which stays on its device. The last seven parameters are gpunn's own. Parameters that are not
    described here work as in scikit-learn.

    Args:
        hidden_layer_sizes: number of units in each hidden layer.
        activation: activation of the hidden layers: identity, logistic, tanh, relu, any of
            `gpunn.ACTIVATIONS`, an `Activation`, or a list with one entry per layer.
        solver: adam, sgd or lbfgs.
        alpha: L2 penalty; (alpha/2) Σ w² / batch_size is added to the cost of a mini-batch.
        batch_size: mini-batch size; "auto" is min(200, m).
        learning_rate: schedule for sgd: constant, invscaling or adaptive.
        max_iter: maximum number of epochs, or of iterations for lbfgs.
        verbose: print a line per epoch.
        device: auto, cpu, cuda or cuda:N.
        precision: float32 or float64; on CUDA also tf32 and bf16. None: the dtype of X.
        dropout: dropout rate of the hidden layers, or a list with one entry per layer.
        batch_norm: normalise the hidden layers by mini-batch.
        scoring: score on the validation rows, in any form that scikit-learn's `scoring` accepts.
        callbacks: a function or a list of functions, called with each epoch's `gpunn.Record`. Training ends
            if a callback returns True.
        n_ensemble: number of networks with seeds of their own, drawn from random_state. They are trained at
            once, one a core, and their outputs are averaged. The fitted members are in estimators_, and
            ensemble_ is the `gpunn.Ensemble` of their networks; n_iter_ is their maximum, loss_ their mean.

    Attributes after `fit`: n_features_in_, feature_names_in_, coefs_ and intercepts_ (views), n_layers_,
    n_outputs_, out_activation_, loss_, best_loss_, loss_curve_, validation_scores_, best_validation_score_,
    n_iter_, t_, and network_, the `gpunn.Network`.

    Differences from scikit-learn: a warm start keeps the optimizer's velocity or moments, and the curvature
    that lbfgs has learnt. `partial_fit` supports early_stopping, which stratifies the rows that it holds out
    for any number of classes, unless a class has a single row. Sample weights are relative to their mean over
    the whole training set, and alpha is divided by batch_size even in an epoch's shorter last mini-batch,
    whereas scikit-learn uses the mean and the size of each mini-batch. Adam's epsilon is that of algorithm 1
    in Kingma and Ba.
    """

    def _outputs(self, X: Any) -> np.ndarray:
        """Return a[L] for the rows of X, (m, n_outputs)."""
        X = self._checked_X(X)
        networks = self._networks()
        outputs = networks[0]._outputs(X.T, self.device).T
        for net in networks[1:]:
            outputs = outputs + net._outputs(X.T, self.device).T
        return outputs if len(networks) == 1 else outputs / len(networks)

    def _checked_X(self, X: Any) -> Any:
        """Validate rows to predict as scikit-learn does, whose checks take longer than a prediction."""
        fitted = vars(self)
        unnamed = "n_features_in_" in fitted and "feature_names_in_" not in fitted
        if unnamed:
            checked = quickly_checked(X, self._dtypes(), self.n_features_in_)
            if checked is not None:
                return checked
        check_is_fitted(self)
        if on_device(X):
            return self._check_device_X(X, reset=False)
        return validate_data(self, X, accept_sparse="csr", dtype=self._dtypes(), reset=False)

    def _networks(self) -> list[Network]:
        """Return the trained networks: one, or those of the ensemble."""
        if "estimators_" in vars(self):
            return [member.network_ for member in self.estimators_]
        return [self.network_]

    # Hooks of the subclasses

    def _targets(self, y: np.ndarray, rule: ClassRule) -> np.ndarray:
        """Return y as `Network.fit` takes it.

        rule: the classes of y define classes_ ("new"), must equal them ("same") or be among them ("subset").
        """
        raise NotImplementedError

    def _n_outputs(self, targets: np.ndarray) -> int:
        """Return the number of outputs that the network needs."""
        raise NotImplementedError

    def _output_layer(self) -> tuple[Dense, str | Cost]:
        """Return the last layer and the cost."""
        raise NotImplementedError

    def _class_weights(self, y: np.ndarray, sample_weight: np.ndarray | None) -> np.ndarray | None:
        """Return one weight per example, or None."""
        return None

    def _strata(self, y: np.ndarray) -> np.ndarray | None:
        """Return the labels to stratify validation rows by, or None."""
        return None

    def _loss_conversion(self, rows: Rows) -> Callable[[float], float]:
        """Return the function from the mean of gpunn's cost to scikit-learn's loss."""
        return lambda loss: loss

    # Data

    def _dtypes(self) -> Any:
        return (np.float32,) if self.precision in SINGLE_PRECISION else (np.float64, np.float32)

    def _check_device_X(self, X: Any, reset: bool) -> Any:
        X = check_device_X(X, self._dtypes())
        if reset:
            self.n_features_in_ = X.shape[1]
        elif X.shape[1] != self.n_features_in_:
            expected = f"{type(self).__name__} is expecting {self.n_features_in_} features as input"
            raise ValueError(f"X has {X.shape[1]} features, but {expected}")
        return X

    def _checked(self, X: Any, y: Any, reset: bool) -> tuple[Any, np.ndarray]:
        """Validate X and y as scikit-learn does; a CuPy X stays on its device."""
        how = {"multi_output": True, "y_numeric": is_regressor(self)}
        y = y.get() if on_device(y) else y
        if on_device(X):
            X, y = self._check_device_X(X, reset), validate_data(self, y=y, **how)
        else:
            how |= {"accept_sparse": "csr", "dtype": self._dtypes()}
            X, y = validate_data(self, X, y, reset=reset, **how)
        y = y.toarray() if is_sparse(y) else y
        return X, column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y

    def _rows(
        self, X: Any, y: Any, sample_weight: Any = None, *, reset: bool = False, rule: ClassRule = "subset"
    ) -> Rows:
        X, y = self._checked(X, y, reset)
        targets = self._targets(y, rule)
        sample_weight = check_sample_weight(sample_weight, X.shape[0])
        weights = self._class_weights(y, sample_weight)
        if weights is None:
            weights = sample_weight
        elif sample_weight is not None:
            weights = sample_weight * weights
        return Rows(X, y, targets, sample_weight, weights)

    # Training

    def _fit(
        self, X: Any, y: Any, sample_weight: Any, X_val: Any, y_val: Any, *, incremental: bool = False
    ) -> Any:
        check(self)
        if self.n_ensemble > 1:
            examples = ensemble.Examples(X, y, sample_weight, X_val, y_val, incremental)
            self.estimators_ = ensemble.fit(self, examples)
            self.ensemble_ = Ensemble(self._networks())
            self.n_iter_ = max(member.n_iter_ for member in self.estimators_)
            self.loss_ = float(np.mean([member.loss_ for member in self.estimators_]))
            self.__dict__.pop("network_", None)
            return self
        self.__dict__.pop("estimators_", None)
        first = "network_" not in vars(self) or not (self.warm_start or incremental)
        rule: ClassRule = "subset" if incremental else "new" if first else "same"
        rows = self._rows(X, y, sample_weight, reset=first, rule=rule)
        if (X_val is None) != (y_val is None):
            raise ValueError("X_val and y_val go together: give both or neither")
        validation = None if X_val is None else self._rows(X_val, y_val)
        random = check_random_state(self.random_state)
        if first:
            self._begin(rows, random)
        else:
            self._resume(rows)
        outcome = self._train(rows, validation, random, incremental)
        if outcome.stopped == "interrupted" and not incremental:
            warnings.warn("Training interrupted by user.", stacklevel=3)
        if outcome.not_converged:
            message = f"{outcome.not_converged}; increase max_iter, or scale the data"
            warnings.warn(message, ConvergenceWarning, stacklevel=3)
        return self

    def _begin(self, rows: Rows, random: np.random.RandomState) -> None:
        """Create and initialise the network, and reset the progress."""
        self.n_outputs_ = self._n_outputs(rows.targets)
        has_dropout = any(layer.dropout for layer in hidden_layers(self))
        seed = int(random.randint(2**31)) if has_dropout else 0
        dtype = np.float32 if self.precision in SINGLE_PRECISION else self.precision or rows.X.dtype
        self.network_ = self._build(rows, seed, dtype)
        initialise(self.network_, random)
        self.n_layers_ = len(self.network_.sizes)
        self._optimizer_states: dict[tuple[str, bool], OptimizerState] = {}
        stops_early = self.early_stopping and self.solver != "lbfgs"
        self._progress = Progress.start(self.learning_rate_init, stops_early)

    def _build(self, rows: Rows, seed: int, dtype: Any) -> Network:
        """Build the network that the current parameters describe."""
        output, cost = self._output_layer()
        self.out_activation_ = SCIKIT_LEARN_NAMES.get(output.f.name, output.f.name)
        return Network(rows.X.shape[1], [*hidden_layers(self), output], cost, seed, dtype)

    def _resume(self, rows: Rows) -> None:
        """Rebuild the network with the current parameters and the weights learnt so far.

        Raises ValueError if the parameters describe weights of another shape.
        """
        before = self.network_
        sizes = (rows.X.shape[1], *hidden_sizes(self), self.n_outputs_)
        if sizes != before.sizes:
            name = "-".join(map(str, sizes))
            raise ValueError(
                f"cannot continue training a {before.name} network as {name}: call fit with warm_start=False"
            )
        after = self._build(rows, 0, before.dtype)
        if after.layout != before.layout:
            raise ValueError(
                "cannot continue training with another batch_norm: call fit with warm_start=False"
            )
        after.theta[:], after.rng = before.theta, before.rng
        self.network_ = after

    def _train(
        self, rows: Rows, validation: Rows | None, random: np.random.RandomState, incremental: bool
    ) -> Outcome:
        progress = self._progress
        progress.n_iter = 0
        if not incremental:
            progress.learning_rate = self.learning_rate_init
        self._publish(progress)
        fit = Fit(self, self.network_, rows, progress, self._loss_conversion(rows), self._publish)
        if self.solver == "lbfgs":
            kept = self._optimizer_states.setdefault((self.solver, False), {}) if self.warm_start else None
            return lbfgs.minimise(fit, kept)
        split = self._split(rows, validation, random)
        if not isinstance(self.batch_size, str) and self.batch_size > len(split.train):
            clipped = f"batch_size={self.batch_size} is above the {len(split.train):,} training rows"
            warnings.warn(f"{clipped} and is going to be clipped.", stacklevel=4)
        state = self._optimizer_states.setdefault((self.solver, self.momentum > 0), {})
        if incremental:
            return minibatch.train(fit, split, state, random, epochs=1)
        outcome = minibatch.train(fit, split, state, random, epochs=self.max_iter)
        if outcome.best is not None:
            self.network_.theta[:] = outcome.best
        if outcome.stopped:
            return outcome
        return Outcome(not_converged=f"{self.max_iter} epochs (max_iter) were not enough to converge")

    def _publish(self, progress: Progress) -> None:
        """Copy the progress to the fitted attributes."""
        self.learning_rate_, self.n_iter_, self.t_ = progress.learning_rate, progress.n_iter, progress.t
        self.loss_, self.best_loss_ = progress.loss, progress.best_loss
        self.loss_curve_ = progress.loss_curve
        self.validation_scores_ = progress.validation_scores
        self.best_validation_score_ = progress.best_validation_score
        self._no_improvement_count = progress.epochs_without_improvement  # scikit-learn's tests read it

    # Validation

    def _split(self, rows: Rows, validation: Rows | None, random: np.random.RandomState) -> Split:
        """Validate on the caller's rows, on rows held out for early stopping, or not at all."""
        if validation is not None:
            return given_rows(rows, validation, scorer(self, self.scoring))
        if self.early_stopping:
            return held_out(
                rows, self.validation_fraction, self._strata(rows.y), random, scorer(self, self.scoring)
            )
        return Split(np.arange(rows.m))
