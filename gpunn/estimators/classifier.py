"""The classifier."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils import compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets, type_of_target, unique_labels

from gpunn.core.layers import Dense
from gpunn.estimators.base import BaseMLP, Classes
from gpunn.estimators.settings import STOCHASTIC, cost
from gpunn.functions.costs import Cost
from gpunn.network import classify


def learns_by_batches(est: BaseMLP) -> bool:
    """AttributeError for a solver that has no `partial_fit`."""
    if est.solver not in STOCHASTIC:
        raise AttributeError(f"partial_fit is for solvers that learn by mini-batches, not {est.solver}")
    return True


def _gives_probabilities(est: MLPClassifier) -> bool:
    return est.loss != "hinge"


def _gives_margins(est: MLPClassifier) -> bool:
    return est.loss == "hinge"


@dataclass(eq=False, repr=False)
class MLPClassifier(ClassifierMixin, BaseMLP):
    """A neural network that classifies rows: scikit-learn's MLPClassifier, trained by gpunn.

    All other parameters and attributes are those of `gpunn.estimators.BaseMLP`; after `fit` there is
    classes_, too.

    Args:
        loss: log_loss, hinge (which gives a `decision_function`, and no probabilities), squared_error, or a
            `Cost`.
        class_weight: "balanced", {label: weight} or None.
        scoring: None for accuracy.

    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> est = gpunn.MLPClassifier((16,), solver="lbfgs", random_state=0, max_iter=1000).fit(X, y)
    >>> est.score(X, y) > 0.9
    True
    """

    hidden_layer_sizes: Any = (100,)
    activation: Any = "relu"
    loss: str | Cost = field(default="log_loss", kw_only=True)
    class_weight: Any = field(default=None, kw_only=True)

    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, X_val: Any = None, y_val: Any = None
    ) -> MLPClassifier:
        """Train on X (m, n_features) and y, labels (m,) or a 0/1 matrix (m, n_labels) of several at once.

        Args:
            X: an array, a frame, sparse, or CuPy's.
            y: labels of any type.
            sample_weight: (m,), what each example counts.
            X_val: measured after every epoch in validation_scores_, and what decides with early_stopping, in
                place of a share held out.
            y_val: what goes with it.

        Raises:
            ValueError: what does not fit, and a training that diverges.
        """
        return self._fit(X, y, sample_weight, X_val, y_val)

    @available_if(learns_by_batches)
    def partial_fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        classes: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
    ) -> MLPClassifier:
        """Train for one epoch on X and y, as `fit` takes them, from where the last call ended.

        With early_stopping each call is scored, on X_val and y_val or on a share of its own examples; when
        to stop is the caller's choice.

        Args:
            classes: all labels that there will ever be; needed in the first call.

        Raises:
            ValueError: classes are missing in the first call, or are not the same in a later one.
            AttributeError: the solver does not learn by mini-batches.
        """
        self._know(classes, y)
        return self._fit(X, y, sample_weight, X_val, y_val, incremental=True)

    def _know(self, classes: Any, y: Any) -> None:
        """The classes of the first `partial_fit`, which later ones may only repeat."""
        known = getattr(self, "classes_", None)
        if classes is None and known is None:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        if classes is None:
            return
        classes = unique_labels(classes)
        if known is not None and not np.array_equal(classes, known):
            raise ValueError(f"`classes={classes}` is not the same as on last call, was: {known}")
        if known is None:
            self.classes_, self._multilabel = classes, type_of_target(y).startswith("multilabel")

    def predict(self, X: Any) -> np.ndarray:
        """The labels of the rows of X, (m,), or (m, n_labels) of 0 and 1."""
        outputs = self._outputs(X)
        if self._multilabel:
            return (outputs > self.network_.cost.threshold).astype(int)
        labels = classify(outputs.T, self.network_.cost.threshold)
        return self.classes_[np.minimum(labels, len(self.classes_) - 1)]

    @available_if(_gives_probabilities)
    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each class (m, n_classes), in the order of `classes_`."""
        outputs = self._outputs(X)
        if len(self.classes_) == 1:
            return np.ones_like(outputs)
        return np.hstack([1 - outputs, outputs]) if self.n_outputs_ == 1 else np.ascontiguousarray(outputs)

    @available_if(_gives_probabilities)
    def predict_log_proba(self, X: Any) -> np.ndarray:
        """ln of `predict_proba`."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    @available_if(_gives_margins)
    def decision_function(self, X: Any) -> np.ndarray:
        """The hinge loss's outputs: (m,) for two classes, else (m, n_classes)."""
        outputs = self._outputs(X)
        return outputs[:, 0] if self.n_outputs_ == 1 else outputs

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = _gives_probabilities(self)
        tags.input_tags.sparse = True
        return tags

    def _targets(self, y: np.ndarray, classes: Classes) -> np.ndarray:
        check_classification_targets(y)
        if classes == "new":
            kind = type_of_target(y)
            if kind == "multiclass-multioutput":
                raise ValueError("y has several columns of more than two classes: fit a network for each")
            self.classes_, self._multilabel = unique_labels(y), kind.startswith("multilabel")
        if self._multilabel:
            return np.ascontiguousarray(y.T, dtype=np.float64)
        found = unique_labels(y)
        if classes == "same" and not np.array_equal(found, self.classes_):
            raise ValueError(
                "warm_start can only be used where `y` has the same classes as in the previous call to fit."
                f" Previously got {self.classes_}, `y` has {found}"
            )
        if len(unknown := np.setdiff1d(found, self.classes_)):
            raise ValueError(f"`y` has classes that are not in `classes_`: {unknown}, not in {self.classes_}")
        return np.searchsorted(self.classes_, y)

    def _n_outputs(self, targets: np.ndarray) -> int:
        classes = len(self.classes_)
        return len(targets) if self._multilabel else classes if classes > 2 else 1

    def _output_layer(self) -> tuple[Dense, str | Cost]:
        if self.loss == "hinge":
            return Dense(self.n_outputs_, "identity"), "hinge"
        softmax = len(self.classes_) > 2 and not self._multilabel
        log_loss = "cross-entropy" if softmax else "binary-cross-entropy"
        chosen = cost(log_loss if self.loss == "log_loss" else self.loss)
        return Dense(self.n_outputs_, "softmax" if softmax else "sigmoid"), chosen

    def _class_weights(self, y: np.ndarray) -> np.ndarray | None:
        weights = None if self.class_weight is None else compute_sample_weight(self.class_weight, y)
        if weights is not None and not (weights >= 0).all():
            raise ValueError(
                f"class_weight must be 'balanced' or weights of 0 or more, not {self.class_weight}"
            )
        return weights

    def _strata(self, y: np.ndarray) -> np.ndarray | None:
        return y if self.n_outputs_ == 1 else None
