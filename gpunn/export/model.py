"""Write a network as an ONNX file."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
from onnx import helper

from gpunn.export.graph import Graph
from gpunn.export.inputs import columns, features
from gpunn.export.outputs import add_outputs
from gpunn.files.writing import write_whole
from gpunn.network import Network
from gpunn.predictor import Predictor
from gpunn.sweeps.ensemble import Ensemble, networks_of
from gpunn.tables.preprocessing import Preprocessing
from gpunn.tables.target import from_json
from gpunn.version import __version__

OPSET = 20  # the first with Gelu
MOST_BYTES = 2**31 - 2**20  # protobuf's limit of 2 GiB, less some room for the graph itself


def to_onnx(net: Network | Ensemble, path: str | os.PathLike[str]) -> Any:
    """Write the network or ensemble as an ONNX file, and return the model written (`onnx.ModelProto`).

    Inputs: X (N, n_0), uint8 pixels or float32. For tables, one input per column; missing values are NaN or
    "", and Boolean values are "True" or "False".

    Outputs: `probabilities` if they lie in (0, 1), else `outputs`, float32 (N, n_L). For table regression:
    `prediction`, in the target's units (float64 if the mean is large relative to the spread), and with
    prediction intervals also their ends `lower` and `upper`. A classifier also has `label`, int64 (N), an
    index into the metadata's `classes`. If a column has the same name as an output, the output's name gets a
    trailing _.

    An existing file is replaced only when the new file is complete.

    Raises:
        ValueError: the network has an activation of your own, or is too large for a file of 2 GiB.
        OSError: the path cannot be written.

    >>> from gpunn.export import to_onnx
    >>> net = gpunn.Network(4, [gpunn.Dense(3, "relu"), gpunn.Dense(2, "softmax")], seed=0)
    >>> [output.name for output in to_onnx(net, "model.onnx").graph.output]
    ['probabilities', 'label']
    """
    model = build(net)
    write_whole(Path(path), model.SerializeToString())
    return model


def build(net: Network | Ensemble) -> Any:
    """Build the `onnx.ModelProto` that `to_onnx` writes. Raises ValueError as `to_onnx` does."""
    _check(networks_of(net))
    table = net.meta.get("table")
    graph = Graph([column["name"] for column in table["columns"]] if table else ())
    inputs, a0 = columns(graph, Preprocessing.from_json(table)) if table else features(graph, net)
    outputs = add_outputs(graph, net, a0, from_json(table["target"]) if table else None)
    opsets = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(
        helper.make_graph(graph.nodes, net.name, inputs, outputs, graph.constants),
        opset_imports=opsets,
        ir_version=helper.find_min_ir_version_for(opsets),
        producer_name="gpunn",
        producer_version=__version__,
    )
    helper.set_model_props(model, _metadata(net))
    onnx.checker.check_model(model)
    return model


def _check(networks: Sequence[Network]) -> None:
    for layer in (layer for net in networks for layer in net.layers):
        if layer.f.onnx is None:
            raise ValueError(f"'{layer.f.name}' is your own: only gpunn's activations have an ONNX spelling")
    name, parameters = networks[0].name, sum(net.parameters for net in networks)
    if 4 * parameters > MOST_BYTES:
        raise ValueError(f"{name} has {parameters:,} parameters, too many for an ONNX file of 2 GiB")


def _metadata(net: Predictor) -> dict[str, str]:
    """The metadata, all strings; `classes`, `image_shape` and `channels` as JSON."""
    known: dict[str, str] = {
        name: json.dumps(net.meta[name])
        for name in ("classes", "image_shape", "channels")
        if name in net.meta
    }
    return {"gpunn": __version__, "network": net.name, **known}
