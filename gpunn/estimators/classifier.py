"""The estimator for classification."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils import compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets, type_of_target, unique_labels

from gpunn.core.layers import Dense
from gpunn.estimators.base import BaseMLP, ClassRule
from gpunn.estimators.building import cost
from gpunn.estimators.parameters import learns_by_minibatches
from gpunn.estimators.rows import balanced_weights
from gpunn.functions.costs import Cost
from gpunn.network import classify


def _gives_probabilities(est: MLPClassifier) -> bool:
    return est.loss != "hinge"


def _gives_margins(est: MLPClassifier) -> bool:
    return est.loss == "hinge"


@dataclass(eq=False, repr=False)
class MLPClassifier(ClassifierMixin, BaseMLP):
    """A neural network classifier: scikit-learn's MLPClassifier, trained by gpunn.

    `gpunn.estimators.BaseMLP` describes all other parameters and attributes. After `fit` there is also
    classes_.

    Args:
        loss: log_loss, hinge, squared_error or a `Cost`. With hinge there is a `decision_function`, but no
            probabilities.
        class_weight: "balanced", {label: weight} or None.
        scoring: score on the validation rows; None for accuracy.

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
        """Train on X (m, n_features) and y, which is labels (m,) or a 0/1 indicator matrix (m, n_labels).

        Args:
            X: an array, a data frame, a sparse matrix or a CuPy array.
            y: labels of any type.
            sample_weight: (m,), the weight of each example.
            X_val: validation rows, scored after every epoch in validation_scores_. With early_stopping they
                replace the fraction that would be held out.
            y_val: the labels of X_val.

        Raises:
            ValueError: if the data or the parameters are invalid, or training diverges.
        """
        return self._fit(X, y, sample_weight, X_val, y_val)

    @available_if(learns_by_minibatches)
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
        """Train for one more epoch on X and y, which are as in `fit`.

        With early_stopping each call is scored on X_val and y_val, or on a fraction of its own examples. The
        caller decides when to stop.

        Args:
            classes: all labels that will ever occur; required in the first call.

        Raises:
            ValueError: if classes is missing in the first call or differs in a later call.
            AttributeError: if the solver does not train by mini-batches.
        """
        self._remember_classes(classes, y)
        return self._fit(X, y, sample_weight, X_val, y_val, incremental=True)

    def _remember_classes(self, classes: Any, y: Any) -> None:
        """Store the classes of the first `partial_fit`; check that later calls repeat them."""
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
        """Return the labels of the rows of X: (m,), or a 0/1 indicator matrix (m, n_labels)."""
        outputs = self._outputs(X)
        if self._multilabel:
            return (outputs > self._networks()[0].cost.threshold).astype(int)
        labels = classify(outputs.T, self._networks()[0].cost.threshold)
        return self.classes_[np.minimum(labels, len(self.classes_) - 1)]

    @available_if(_gives_probabilities)
    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class (m, n_classes), in the order of `classes_`."""
        outputs = self._outputs(X)
        if len(self.classes_) == 1:
            return np.ones_like(outputs)
        return np.hstack([1 - outputs, outputs]) if self.n_outputs_ == 1 else np.ascontiguousarray(outputs)

    @available_if(_gives_probabilities)
    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Return ln p of `predict_proba`."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    @available_if(_gives_margins)
    def decision_function(self, X: Any) -> np.ndarray:
        """Return the outputs trained by the hinge loss: (m,) for two classes, otherwise (m, n_classes)."""
        outputs = self._outputs(X)
        return outputs[:, 0] if self.n_outputs_ == 1 else outputs

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = _gives_probabilities(self)
        tags.input_tags.sparse = True
        return tags

    def _targets(self, y: np.ndarray, rule: ClassRule) -> np.ndarray:
        check_classification_targets(y)
        if rule == "new":
            kind = type_of_target(y)
            if kind == "multiclass-multioutput":
                raise ValueError(
                    "y has several columns with more than two classes: fit one classifier per column"
                )
            self._multilabel, self.classes_ = kind.startswith("multilabel"), unique_labels(y)
        if self._multilabel:
            return np.ascontiguousarray(y.T, dtype=np.float64)
        if rule == "new":
            return np.searchsorted(self.classes_, y)
        found = unique_labels(y)
        if rule == "same" and not np.array_equal(found, self.classes_):
            raise ValueError(
                "warm_start can only be used where `y` has the same classes as in the previous call to fit."
                f" Previously got {self.classes_}, `y` has {found}"
            )
        if len(unknown := np.setdiff1d(found, self.classes_)):
            raise ValueError(
                f"`y` has classes that are not in `classes_`: {unknown}; expected {self.classes_}"
            )
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

    def _class_weights(self, y: np.ndarray, sample_weight: np.ndarray | None) -> np.ndarray | None:
        if self.class_weight is None:
            return None
        if isinstance(self.class_weight, str) and self.class_weight == "balanced":
            columns = y.T if self._multilabel else y[None]
            return np.asarray(np.prod([balanced_weights(column, sample_weight) for column in columns], 0))
        weights = compute_sample_weight(self.class_weight, y)
        if not (weights >= 0).all():
            raise ValueError(
                f"class_weight must be 'balanced' or non-negative weights, not {self.class_weight}"
            )
        return weights

    def _strata(self, y: np.ndarray) -> np.ndarray | None:
        return None if self._multilabel else y
