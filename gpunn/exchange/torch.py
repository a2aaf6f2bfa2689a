"""Networks from PyTorch and scikit-learn, and back to PyTorch: the same function, its weights copied exactly.

An example is a row there and a column here. PyTorch keeps w[l] as we do, (n_l, n_{l-1}), scikit-learn its
transpose.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gpunn.core.backend import NORM_EPSILON, NORM_MOMENTUM
from gpunn.core.layers import Dense
from gpunn.functions.activations import ACTIVATIONS, LEAK, Activation
from gpunn.functions.costs import Cost

if TYPE_CHECKING:  # `Network` reads and writes through this module
    from gpunn.network import Network

# our activation: its class in torch.nn, and the settings with which that is the same (any of them will do)
FUNCTIONS: dict[str, tuple[str, dict[str, tuple[Any, ...]]]] = {
    "sigmoid": ("Sigmoid", {}),
    "tanh": ("Tanh", {}),
    "relu": ("ReLU", {}),
    "leaky relu": ("LeakyReLU", {"negative_slope": (LEAK,)}),
    "elu": ("ELU", {"alpha": (1,)}),
    "gelu": ("GELU", {"approximate": ("none",)}),
    "softplus": ("Softplus", {"beta": (1,), "threshold": (20,)}),
    "identity": ("Identity", {}),
    "softmax": ("Softmax", {"dim": (1, -1)}),
}
OF_TORCH = {kind: f for f, (kind, _) in FUNCTIONS.items()}
SAME = dict(FUNCTIONS.values()) | {"BatchNorm1d": {"eps": (NORM_EPSILON,), "track_running_stats": (True,)}}


# from PyTorch


def from_torch(
    make: type[Network], module: Any, cost: str | Cost | None = None, meta: dict[str, Any] | None = None
) -> Network:
    """The network that an `nn.Sequential` is: what `Network.from_torch` does."""
    from torch import nn

    if not isinstance(module, nn.Sequential):
        raise ValueError(f"only an nn.Sequential can be read, not {type(module).__name__}")
    _check_widths(module)
    before, *groups = _groups(module)
    if not groups:
        raise ValueError("this nn.Sequential has no Linear")
    dropped = _take(before, ["Dropout"])
    _check_empty(before)
    parts = [_parts(group) for group in groups]
    first: Any = parts[0][0]
    n_in, dtype = first.in_features, str(first.weight.dtype).removeprefix("torch.")
    if dtype not in ("float32", "float64"):
        raise ValueError(f"layer weights of {dtype} cannot be read: convert the module to float32 or float64")
    layers = [_dense(*part) for part in parts]
    net = make(n_in, layers, cost, None, dtype, meta, dropped.p if dropped else 0.0)
    for w, b, norm, (linear, batch_norm, *_) in zip(net.weights, net.biases, net.norms, parts, strict=True):
        w[:], b[:, 0] = _array(linear.weight), _array(linear.bias, 0)
        if norm:
            norm["gamma"][:, 0], norm["beta"][:, 0] = _array(batch_norm.weight, 1), _array(batch_norm.bias, 0)
            norm["mean"][:, 0] = _array(batch_norm.running_mean)
            norm["variance"][:, 0] = _array(batch_norm.running_var)
    return net


def _kind(child: Any) -> str:
    """The name of its class, with its module's where that is not PyTorch's."""
    kind = type(child)
    return kind.__name__ if kind.__module__.startswith("torch.nn.") else f"{kind.__module__}.{kind.__name__}"


def _groups(module: Any) -> list[list[tuple[int, Any]]]:
    """Its modules, each with its place, cut before every Linear; the first are those before any."""
    groups: list[list[tuple[int, Any]]] = [[]]
    for place, child in enumerate(module):
        if _kind(child) == "Linear":
            groups.append([])
        groups[-1].append((place, child))
    return groups


def _parts(group: list[tuple[int, Any]]) -> tuple[Any, Any, Any, Any]:
    """(Linear, BatchNorm1d, activation, Dropout), None for those that are not there."""
    kinds = ["Linear"], ["BatchNorm1d"], list(OF_TORCH), ["Dropout"]
    linear, norm, f, dropout = (_take(group, kind) for kind in kinds)
    _check_empty(group)
    return linear, norm, f, dropout


def _take(group: list[tuple[int, Any]], kinds: list[str]) -> Any:
    """The first of the group, taken off, where it is of those kinds; None otherwise."""
    if not group or _kind(group[0][1]) not in kinds:
        return None
    place, child = group.pop(0)
    for setting, same in SAME.get(_kind(child), {}).items():
        if getattr(child, setting) not in same:
            raise ValueError(f"layer {place}, {child}, is none of gpunn's: that has {setting}={same[0]}")
    return child


def _check_empty(group: list[tuple[int, Any]]) -> None:
    for place, child in group:
        raise ValueError(
            f"layer {place}, {_kind(child)}, cannot be read here: a layer of gpunn's is Linear, "
            f"BatchNorm1d, one of {', '.join(OF_TORCH)}, and Dropout, in this order"
        )


def _check_widths(module: Any) -> None:
    """PyTorch finds out when it runs; NumPy would spread a single column."""
    width = None
    for place, child in enumerate(module):
        takes = getattr(child, "in_features", getattr(child, "num_features", width))
        if width not in (None, takes):
            raise ValueError(f"layer {place}, {_kind(child)}, takes {takes} features, but gets {width}")
        width = getattr(child, "out_features", width)


def _dense(linear: Any, norm: Any, f: Any, dropout: Any) -> Dense:
    name = OF_TORCH[_kind(f)] if f else "identity"
    return Dense(linear.out_features, name, None, dropout.p if dropout else 0.0, norm is not None)


def _array(tensor: Any, default: float | None = None) -> Any:
    return default if tensor is None else tensor.detach().cpu().numpy()


# to PyTorch


def to_torch(net: Network) -> Any:
    """The same function as an `nn.Sequential`: what `Network.to_torch` does."""
    try:
        from torch import nn
    except ImportError as error:
        raise ImportError("to_torch needs PyTorch: pip install torch") from error

    modules: list[Any] = [nn.Dropout(net.dropout[0])] if net.dropout[0] else []
    for l, (layer, w, b, norm) in enumerate(
        zip(net.layers, net.weights, net.biases, net.norms, strict=True), start=1
    ):
        modules.append(_filled(nn.Linear(*w.shape[::-1]), weight=w, bias=b.ravel()))
        if norm:
            gamma, beta, mean, variance = (x.ravel() for x in norm.values())
            batch_norm = nn.BatchNorm1d(layer.n, NORM_EPSILON, NORM_MOMENTUM)
            _filled(batch_norm, weight=gamma, bias=beta, running_mean=mean, running_var=variance)
            modules.append(batch_norm)
        if layer.f.name != "identity":
            modules.append(_function(layer.f, l))
        if layer.dropout:
            modules.append(nn.Dropout(layer.dropout))
    return nn.Sequential(*modules).eval()


def _function(f: Activation, l: int) -> Any:
    from torch import nn

    if f.name not in FUNCTIONS or f is not ACTIVATIONS[f.name]:
        raise ValueError(f"layer {l}'s '{f.name}' is not in torch.nn, which has {', '.join(FUNCTIONS)}")
    kind, settings = FUNCTIONS[f.name]
    return getattr(nn, kind)(**{name: same[0] for name, same in settings.items()})


def _filled(module: Any, **arrays: np.ndarray) -> Any:
    """A module with these parameters and buffers, in their dtype."""
    import torch

    for name, array in arrays.items():
        getattr(module, name).data = torch.tensor(array)
    return module
