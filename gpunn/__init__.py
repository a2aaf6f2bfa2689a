"""Fully connected networks, trained by matrix-based back-propagation on NumPy or CUDA."""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from gpunn import callbacks, datasets, reference, schedules
from gpunn.activations import ACTIVATIONS, Activation
from gpunn.augmentation import Augmentation
from gpunn.backends import BackendError
from gpunn.checks import check_gradients
from gpunn.costs import COSTS, Cost
from gpunn.history import History, Record
from gpunn.initializers import INITIALIZERS
from gpunn.layers import Dense
from gpunn.network import Network
from gpunn.optimizers import SGD, Adam, AdamW, Momentum, Nesterov, RMSProp
from gpunn.schedules import ReduceOnPlateau
from gpunn.statistics import layer_statistics
from gpunn.stopping import EarlyStopping
from gpunn.trainer import Diverged

if TYPE_CHECKING:
    from gpunn.estimators import MLPClassifier, MLPRegressor

try:
    __version__ = version("gpunn")
except PackageNotFoundError:  # run from a checkout that is not installed
    __version__ = "0+unknown"

__all__ = [
    "ACTIVATIONS",
    "COSTS",
    "INITIALIZERS",
    "SGD",
    "Activation",
    "Adam",
    "AdamW",
    "Augmentation",
    "BackendError",
    "Cost",
    "Dense",
    "Diverged",
    "EarlyStopping",
    "History",
    "MLPClassifier",
    "MLPRegressor",
    "Momentum",
    "Nesterov",
    "Network",
    "RMSProp",
    "Record",
    "ReduceOnPlateau",
    "callbacks",
    "check_gradients",
    "datasets",
    "layer_statistics",
    "reference",
    "schedules",
]


def __getattr__(name: str) -> Any:
    """What brings scikit-learn or ONNX along is only imported when asked for."""
    if name == "export":
        return import_module("gpunn.export")
    if name in ("MLPClassifier", "MLPRegressor"):
        from gpunn import estimators

        return getattr(estimators, name)
    raise AttributeError(f"module 'gpunn' has no attribute '{name}'")
