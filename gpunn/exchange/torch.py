"""Networks from and to PyTorch: the same function, with its weights copied exactly.

PyTorch takes examples as rows, and stores w[l] as gpunn does, (n_l, n_{l-1}).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gpunn.core.backend import NORM_EPSILON, NORM_MOMENTUM
from gpunn.core.layers import Dense
from gpunn.exchange.parts import Parts
from gpunn.functions.activations import ACTIVATIONS, Activation
from gpunn.names import listed

OF_TORCH = {f.torch[0]: f.name for f in ACTIVATIONS.values() if f.torch}
SETTINGS = {
    **dict(f.torch for f in ACTIVATIONS.values() if f.torch),
    "BatchNorm1d": {"eps": (NORM_EPSILON,), "track_running_stats": (True,)},
}


# from PyTorch


def from_torch(module: Any) -> Parts:
    """Take apart an `nn.Sequential`. Raises ValueError for a module that gpunn has no equivalent of."""
    from torch import nn

    if not isinstance(module, nn.Sequential):
        raise ValueError(f"only an nn.Sequential can be read, not {type(module).__name__}")
    _check_widths(module)
    before, *groups = _groups(module)
    if not groups:
        raise ValueError("this nn.Sequential has no Linear")
    dropout = _take(before, ["Dropout"])
    _check_empty(before)
    modules = [_modules(group) for group in groups]
    first: Any = modules[0][0]
    dtype = str(first.weight.dtype).removeprefix("torch.")
    if dtype not in ("float32", "float64"):
        raise ValueError(f"layer weights of {dtype} cannot be read: convert the module to float32 or float64")
    arrays: dict[str, np.ndarray] = {}
    for l, (linear, norm, _, _) in enumerate(modules, start=1):
        arrays |= _arrays(l, linear, norm)
    layers = [_dense(*layer) for layer in modules]
    return Parts(first.in_features, layers, arrays, dropout.p if dropout else 0.0)


def _kind(child: Any) -> str:
    """The name of a module's class, qualified unless it is one of torch.nn's."""
    kind = type(child)
    return kind.__name__ if kind.__module__.startswith("torch.nn.") else f"{kind.__module__}.{kind.__name__}"


def _groups(module: Any) -> list[list[tuple[int, Any]]]:
    """Split the (place, module) pairs before every Linear; the first group is what precedes any Linear."""
    groups: list[list[tuple[int, Any]]] = [[]]
    for place, child in enumerate(module):
        if _kind(child) == "Linear":
            groups.append([])
        groups[-1].append((place, child))
    return groups


def _modules(group: list[tuple[int, Any]]) -> tuple[Any, Any, Any, Any]:
    """(Linear, BatchNorm1d, activation, Dropout) of one layer; None for a missing module."""
    kinds = ["Linear"], ["BatchNorm1d"], list(OF_TORCH), ["Dropout"]
    linear, norm, f, dropout = (_take(group, kind) for kind in kinds)
    _check_empty(group)
    return linear, norm, f, dropout


def _take(group: list[tuple[int, Any]], kinds: list[str]) -> Any:
    """Remove and return the first module of the group if it is of one of these kinds, else None."""
    if not group or _kind(group[0][1]) not in kinds:
        return None
    place, child = group.pop(0)
    for setting, same in SETTINGS.get(_kind(child), {}).items():
        if getattr(child, setting) not in same:
            raise ValueError(f"layer {place}, {child}, has no equivalent: gpunn has {setting}={same[0]}")
    return child


def _check_empty(group: list[tuple[int, Any]]) -> None:
    for place, child in group:
        raise ValueError(
            f"layer {place}, {_kind(child)}, cannot be read here: a layer is a Linear, and optionally "
            f"BatchNorm1d, one of {listed(OF_TORCH)}, and Dropout, in this order"
        )


def _check_widths(module: Any) -> None:
    """Compare the widths of neighbours: PyTorch would find out too late, and NumPy would broadcast."""
    width = None
    for place, child in enumerate(module):
        takes = getattr(child, "in_features", getattr(child, "num_features", width))
        if width not in (None, takes):
            raise ValueError(f"layer {place}, {_kind(child)}, takes {takes} features, but gets {width}")
        width = getattr(child, "out_features", width)


def _dense(linear: Any, norm: Any, f: Any, dropout: Any) -> Dense:
    name = OF_TORCH[_kind(f)] if f else "identity"
    return Dense(linear.out_features, name, None, dropout.p if dropout else 0.0, norm is not None)


def _arrays(l: int, linear: Any, norm: Any) -> dict[str, np.ndarray]:
    """The arrays of layer l by name, with neutral values for parameters that the module does not have."""
    n = linear.out_features
    arrays = {f"w{l}": _array(linear.weight), f"b{l}": _column(linear.bias, n, 0)}
    if norm:
        arrays |= {f"gamma{l}": _column(norm.weight, n, 1), f"beta{l}": _column(norm.bias, n, 0)}
        arrays |= {f"mean{l}": _column(norm.running_mean, n), f"variance{l}": _column(norm.running_var, n)}
    return arrays


def _array(tensor: Any) -> np.ndarray:
    array: np.ndarray = tensor.detach().cpu().numpy()
    return array


def _column(tensor: Any, n: int, default: float = 0.0) -> np.ndarray:
    """A tensor (n,) as an array (n, 1); None becomes the default."""
    return np.full((n, 1), default) if tensor is None else _array(tensor)[:, None]


# to PyTorch


def to_torch(layers: Sequence[Dense], arrays: Mapping[str, np.ndarray], input_dropout: float) -> Any:
    """Build an `nn.Sequential` in evaluation mode; `arrays` are named as in `Parts`.

    Raises ValueError for an activation that PyTorch does not have.
    """
    try:
        from torch import nn
    except ImportError as error:
        raise ImportError("to_torch needs PyTorch: pip install torch") from error

    modules: list[Any] = [nn.Dropout(input_dropout)] if input_dropout else []
    for l, layer in enumerate(layers, start=1):
        w = arrays[f"w{l}"]
        modules.append(_filled(nn.Linear(*w.shape[::-1]), weight=w, bias=arrays[f"b{l}"].ravel()))
        if layer.batch_norm:
            norm = [arrays[f"{name}{l}"].ravel() for name in ("gamma", "beta", "mean", "variance")]
            names = ("weight", "bias", "running_mean", "running_var")
            batch_norm = nn.BatchNorm1d(layer.n, NORM_EPSILON, NORM_MOMENTUM)
            modules.append(_filled(batch_norm, **dict(zip(names, norm, strict=True))))
        if layer.f.name != "identity":
            modules.append(_function(layer.f, l))
        if layer.dropout:
            modules.append(nn.Dropout(layer.dropout))
    return nn.Sequential(*modules).eval()


def _function(f: Activation, l: int) -> Any:
    from torch import nn

    if f.torch is None:
        raise ValueError(f"layer {l}'s '{f.name}' is not in torch.nn: use one of {listed(OF_TORCH.values())}")
    kind, settings = f.torch
    return getattr(nn, kind)(**{name: same[0] for name, same in settings.items()})


def _filled(module: Any, **arrays: np.ndarray) -> Any:
    """The module with these parameters and buffers, in their dtype."""
    import torch

    for name, array in arrays.items():
        getattr(module, name).data = torch.tensor(array)
    return module
