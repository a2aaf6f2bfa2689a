"""`gpunn train --from MODEL`: go on from the network and the weights of a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gpunn.files.ensemble import is_ensemble
from gpunn.files.model import check_meta
from gpunn.network import Network
from gpunn.tables.options import TableOptions
from gpunn.training.option import from_kept


def load(path: Path) -> Network:
    """Load a model to start from. Raises ValueError if it is damaged, or an ensemble."""
    if is_ensemble(path):
        raise ValueError(f"{path} is an ensemble, but --from starts from one network: name the model of one")
    model = Network.load(path)
    check_meta(path, model.meta)
    return model


def data_of(model: Network, data: str | None, table: TableOptions) -> dict[str, Any]:
    """Return the data to train on and the options of a table: those of the model if no data are named."""
    dataset = model.meta.get("dataset")
    if data is not None or not isinstance(dataset, str):
        return {"data": data, "table": table}
    kept = model.meta.get("table", {}).get("options", {})
    return {"data": dataset, "table": table if table.chosen() else from_kept(TableOptions, kept)}


def copy_weights(start: Network, net: Network, model: str, data: str) -> None:
    """Copy all parameters. Raises ValueError if the two networks do not have the same layers."""
    if start.sizes != net.sizes:
        raise ValueError(
            f"{model} has {start.sizes[0]:,} inputs and {start.sizes[-1]:,} outputs, but {data} needs "
            f"{net.sizes[0]:,} and {net.sizes[-1]:,}"
        )
    mine, theirs = (
        ([layer.f.name for layer in each.layers], each.dropout, each.layout.normed) for each in (net, start)
    )
    if mine != theirs:
        raise ValueError(f"the hidden layers of {model} differ, which only Python can train: use Network.fit")
    for copy, parameter in zip(net.weights + net.biases, start.weights + start.biases, strict=True):
        copy[:] = parameter
    for norm, other in zip(net.norms, start.norms, strict=True):
        for name, values in (other or {}).items():
            assert norm
            norm[name][:] = values
