"""scikit-learn's estimators: `MLPClassifier` and `MLPRegressor`, trained by gpunn."""

from gpunn.estimators.base import BaseMLP
from gpunn.estimators.classifier import MLPClassifier
from gpunn.estimators.regressor import MLPRegressor

__all__ = ["BaseMLP", "MLPClassifier", "MLPRegressor"]
