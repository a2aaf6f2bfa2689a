"""scikit-learn's multi-layer perceptrons, trained by gpunn.

`classifier` and `regressor` hold the public estimators, whose attributes only these two and `base` write.
Every other module takes `Parameters` and records, and returns records.
"""

from gpunn.estimators.base import BaseMLP
from gpunn.estimators.classifier import MLPClassifier
from gpunn.estimators.regressor import MLPRegressor
from gpunn.estimators.search import SweepSearchCV

__all__ = ["BaseMLP", "MLPClassifier", "MLPRegressor", "SweepSearchCV"]
