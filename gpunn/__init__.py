"""Fully connected networks, trained by matrix-based back-propagation on NumPy or CUDA."""

from importlib import import_module, metadata
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpunn import callbacks, datasets, reference, schedules
    from gpunn.activations import ACTIVATIONS, Activation
    from gpunn.augmentation import Augmentation
    from gpunn.backends import BackendError
    from gpunn.checks import check_gradients
    from gpunn.costs import COSTS, Cost
    from gpunn.estimators import MLPClassifier, MLPRegressor
    from gpunn.history import History, Record
    from gpunn.initializers import INITIALIZERS
    from gpunn.layers import Dense
    from gpunn.network import Network
    from gpunn.optimizers import SGD, Adam, AdamW, Momentum, Nesterov, RMSProp
    from gpunn.schedules import ReduceOnPlateau
    from gpunn.statistics import layer_statistics
    from gpunn.stopping import EarlyStopping
    from gpunn.trainer import Diverged

    __version__: str

HOMES = {
    "activations": ("ACTIVATIONS", "Activation"),
    "augmentation": ("Augmentation",),
    "backends": ("BackendError",),
    "checks": ("check_gradients",),
    "costs": ("COSTS", "Cost"),
    "estimators": ("MLPClassifier", "MLPRegressor"),
    "history": ("History", "Record"),
    "initializers": ("INITIALIZERS",),
    "layers": ("Dense",),
    "network": ("Network",),
    "optimizers": ("SGD", "Adam", "AdamW", "Momentum", "Nesterov", "RMSProp"),
    "schedules": ("ReduceOnPlateau",),
    "statistics": ("layer_statistics",),
    "stopping": ("EarlyStopping",),
    "trainer": ("Diverged",),
}

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
    """Names and modules are imported when they are asked for, so that the command line starts at once.

    Ctrl-C then never comes before what answers it, and scikit-learn comes with the estimators alone.
    """
    home = next((module for module, names in HOMES.items() if name in names), None)
    if home:
        value: Any = getattr(import_module(f"gpunn.{home}"), name)
    elif name == "__version__":
        value = _version()
    elif not name.startswith("_") and find_spec(f"gpunn.{name}"):
        value = import_module(f"gpunn.{name}")
    else:
        raise AttributeError(f"module 'gpunn' has no attribute '{name}'")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})


def _version() -> str:
    try:
        return metadata.version("gpunn")
    except metadata.PackageNotFoundError:  # run from a checkout that is not installed
        return "0+unknown"
