"""Networks from scikit-learn: the same function, with its weights copied exactly.

An example is a row there and a column here, and scikit-learn keeps the transpose of w[l].
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gpunn.core.layers import Dense

if TYPE_CHECKING:  # `Network` reads and writes through this module
    from gpunn.network import Network

OF_SKLEARN = {"logistic": "sigmoid"}  # the other activations have the same names


def from_sklearn(make: type[Network], estimator: Any, meta: dict[str, Any] | None = None) -> Network:
    """The network of a fitted `MLPClassifier` or `MLPRegressor`: what `Network.from_sklearn` does."""
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.utils.validation import check_is_fitted

    if not isinstance(estimator, MLPClassifier | MLPRegressor):
        raise ValueError(
            f"only scikit-learn's MLPClassifier and MLPRegressor can be read, not {type(estimator).__name__}"
        )
    check_is_fitted(estimator)
    *hidden, output = (w.shape[1] for w in estimator.coefs_)
    f, f_out = (OF_SKLEARN.get(f, f) for f in (estimator.activation, estimator.out_activation_))
    layers = [*(Dense(n, f) for n in hidden), Dense(output, f_out)]
    classes = {"classes": estimator.classes_.tolist()} if isinstance(estimator, MLPClassifier) else {}
    w = estimator.coefs_[0]
    net = make(len(w), layers, None, None, w.dtype, {**classes, **(meta or {})})
    for l, (w, b) in enumerate(zip(estimator.coefs_, estimator.intercepts_, strict=True)):
        net.weights[l][:], net.biases[l][:, 0] = w.T, b
    return net
