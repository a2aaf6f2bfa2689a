"""A network as an ONNX file: rows of raw examples in, outputs and class labels out.

X (N, n_0) is uint8 where the network was trained on images (its meta has an `image_shape`), and float32
otherwise; of a table each column is an input of its own (N, 1), string or float32, as it stands in the
table, or float64 where it lies far from 0 for its spread, as times do. Each layer is a Gemm on the book's
w[l] and b[l], batch normalisation folded in, and one operator for f. Importing this module needs the extra
"onnx"; ImportError says so where it is missing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gpunn.core.backend import UINT8_SCALE
from gpunn.files.writing import write_whole
from gpunn.functions.activations import ACTIVATIONS, LEAK
from gpunn.network import Network
from gpunn.tables.preprocessing import Category, Number, Preprocessing
from gpunn.tables.table import is_far
from gpunn.tables.target import Quantity, from_json

try:
    import onnx
    from onnx import TensorProto, helper, numpy_helper
except ImportError as error:
    raise ImportError('ONNX files need onnx: pip install "gpunn[onnx]"') from error

__all__ = ["build", "to_onnx"]

OPSET = 20  # the first in which gelu is an operator
MOST_BYTES = 2**31 - 2**20  # a protobuf message ends at 2 GiB, and the graph needs a little itself
OPERATORS: dict[str, tuple[str, dict[str, float]]] = {
    "sigmoid": ("Sigmoid", {}),
    "tanh": ("Tanh", {}),
    "relu": ("Relu", {}),
    "leaky relu": ("LeakyRelu", {"alpha": LEAK}),
    "elu": ("Elu", {}),
    "gelu": ("Gelu", {}),
    "softplus": ("Softplus", {}),
    "exp": ("Exp", {}),
    "identity": ("Identity", {}),
    "softmax": ("Softmax", {"axis": 1}),
}


@dataclass
class Graph:
    """What is being built: operators in the order in which they run, and the constants that they read.

    taken: the names of a table's columns, which are the inputs'.
    """

    taken: Collection[str] = ()
    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)

    def name(self, wished: str) -> str:
        """A name that is not the one of an input."""
        return self.name(f"{wished}_") if wished in self.taken else wished

    def add(self, operator: str, *inputs: str, out: str, **attributes: Any) -> str:
        """One operator with one output, whose name is returned."""
        out = self.name(out)
        self.nodes.append(helper.make_node(operator, inputs, [out], name=f"{out}:{operator}", **attributes))
        return out

    def constant(self, name: str, value: Any, dtype: Any = np.float32) -> str:
        name = self.name(name)
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value, dtype), name))
        return name


def to_onnx(net: Network, path: str | os.PathLike[str]) -> Any:
    """Write the network as an ONNX file, and return what was written (`onnx.ModelProto`).

    Inputs: X (N, n_0), uint8 pixels or float32; of a table its columns, NaN or "" where a value is missing,
    "True" or "False" for a truth value.
    Outputs: the network's, float32 (N, n_L), named `probabilities` where they lie in (0, 1) and else
    `outputs`, of a number in a table `prediction`, in its units, float64 where it lies far from 0 for its
    spread; and, of a classifier, `label` int64 (N), an index into the metadata's `classes`. A column of one
    of these names keeps it, and the output's gets a _. A good file is replaced only by a whole one.

    Raises:
        ValueError: the network has a function of your own, or goes beyond a file's 2 GiB.
        OSError: the path cannot be written.

    >>> from gpunn.export import to_onnx
    >>> net = gpunn.Network(4, [gpunn.Dense(3, "relu"), gpunn.Dense(2, "softmax")], seed=0)
    >>> [output.name for output in to_onnx(net, "model.onnx").graph.output]
    ['probabilities', 'label']
    """
    model = build(net)
    write_whole(Path(path), model.SerializeToString())
    return model


def build(net: Network) -> Any:
    """The network as an `onnx.ModelProto`, which `to_onnx` writes. ValueError as there."""
    from gpunn.version import __version__

    _check(net)
    table = net.meta.get("table")
    graph = Graph([column["name"] for column in table["columns"]] if table else ())
    inputs, a0 = _columns(graph, Preprocessing.from_json(table)) if table else _features(graph, net)
    outputs, kind = _layers(graph, net.folded(), a0), TensorProto.FLOAT
    if table and isinstance(target := from_json(table["target"]), Quantity):
        outputs, kind = _in_units(graph, outputs, target)
    declared = [helper.make_tensor_value_info(outputs, kind, ["N", net.sizes[-1]])]
    if _classifies(net):
        label = _label(graph, outputs, net.sizes[-1], net.cost.threshold)
        declared.append(helper.make_tensor_value_info(label, TensorProto.INT64, ["N"]))
    opsets = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(
        helper.make_graph(graph.nodes, net.name, inputs, declared, graph.constants),
        opset_imports=opsets,
        ir_version=helper.find_min_ir_version_for(opsets),
        producer_name="gpunn",
        producer_version=__version__,
    )
    helper.set_model_props(model, _metadata(net, __version__))
    onnx.checker.check_model(model)
    return model


def _check(net: Network) -> None:
    own = [layer.f.name for layer in net.layers if layer.f not in ACTIVATIONS.values()]
    if own:
        raise ValueError(f"'{own[0]}' is your own, and ONNX has only functions with a name of gpunn's")
    if 4 * net.parameters > MOST_BYTES:
        raise ValueError(f"{net.name} has {net.parameters:,} parameters, more than an ONNX file's 2 GiB hold")


def _features(graph: Graph, net: Network) -> tuple[list[Any], str]:
    """The input X, pixels or features, and a[0]."""
    of_images = bool(net.meta.get("image_shape"))
    kind = TensorProto.UINT8 if of_images else TensorProto.FLOAT
    X = helper.make_tensor_value_info("X", kind, ["N", net.sizes[0]])
    if not of_images:
        return [X], "X"
    bytes_ = graph.add("Cast", "X", out="bytes", to=TensorProto.FLOAT)
    return [X], graph.add("Mul", bytes_, graph.constant("scale", UINT8_SCALE), out="a0")


def _columns(graph: Graph, table: Preprocessing) -> tuple[list[Any], str]:
    """An input (N, 1) for each column of a table, and a[0]."""
    inputs, features = [], []
    for j, column in enumerate(table.columns, start=1):
        kind = _kind(column) if isinstance(column, Number) else TensorProto.STRING
        inputs.append(helper.make_tensor_value_info(column.name, kind, ["N", 1]))
        features.append(
            _number(graph, column, j) if isinstance(column, Number) else _one_hot(graph, column, j)
        )
    return inputs, graph.add("Concat", *features, out="a0", axis=1)


def _kind(column: Number | Quantity) -> Any:
    """The type that holds its numbers."""
    return TensorProto.DOUBLE if is_far(column.mean, column.scale) else TensorProto.FLOAT


def _number(graph: Graph, column: Number, j: int) -> str:
    """In double precision, as `Number.apply` does it: a large mean leaves little of a float32."""
    fill, mean, scale = (
        graph.constant(f"{name}{j}", getattr(column, name), np.float64) for name in ("fill", "mean", "scale")
    )
    x = graph.add("Cast", column.name, out=f"x{j}", to=TensorProto.DOUBLE)
    missing = graph.add("IsNaN", x, out=f"missing{j}")
    filled = graph.add("Where", missing, fill, x, out=f"filled{j}")
    centred = graph.add("Sub", filled, mean, out=f"centred{j}")
    scaled = graph.add("Div", centred, scale, out=f"scaled{j}")
    return graph.add("Cast", scaled, out=f"feature{j}", to=TensorProto.FLOAT)


def _one_hot(graph: Graph, column: Category, j: int) -> str:
    """A text is missing where it is empty."""
    categories = graph.constant(f"categories{j}", [[text or "" for text in column.categories]], object)
    is_one = graph.add("Equal", column.name, categories, out=f"is_one{j}")
    return graph.add("Cast", is_one, out=f"feature{j}", to=TensorProto.FLOAT)


def _in_units(graph: Graph, outputs: str, target: Quantity) -> tuple[str, Any]:
    """The prediction in the target's units, and its type; in double precision, as `predict` does it."""
    scale = graph.constant("target_scale", target.scale, np.float64)
    mean = graph.constant("target_mean", target.mean, np.float64)
    learnt = graph.add("Cast", outputs, out="learnt", to=TensorProto.DOUBLE)
    scaled = graph.add("Mul", learnt, scale, out="target_scaled")
    shifted = graph.add("Add", scaled, mean, out="target_shifted")
    return graph.add("Cast", shifted, out="prediction", to=_kind(target)), _kind(target)


def _layers(graph: Graph, net: Network, a: str) -> str:
    """a[L] of a[0]; examples are rows here, so z = a wᵀ + bᵀ."""
    name = "probabilities" if net.layers[-1].f.values == (0, 1) else "outputs"
    for l, (layer, w, b) in enumerate(zip(net.layers, net.weights, net.biases, strict=True), start=1):
        w_, b_ = graph.constant(f"w{l}", w), graph.constant(f"b{l}", b.ravel())
        z = graph.add("Gemm", a, w_, b_, out=f"z{l}", transB=1)
        operator, attributes = OPERATORS[layer.f.name]
        a = graph.add(operator, z, out=name if l == len(net.layers) else f"a{l}", **attributes)
    return a


def _classifies(net: Network) -> bool:
    """Whether `Network.predict` means something: there are classes, or, but of a table, outputs or a cost of
    such.
    """
    of_labels = net.layers[-1].f.values == (0, 1) or net.cost.of_labels
    return bool(net.meta.get("classes")) or ("table" not in net.meta and of_labels)


def _label(graph: Graph, outputs: str, n: int, threshold: float) -> str:
    """What `gpunn.network.classify` does."""
    if n > 1:
        return graph.add("ArgMax", outputs, out="label", axis=1, keepdims=0)
    above = graph.add("Greater", outputs, graph.constant("threshold", threshold), out="above")
    column = graph.add("Cast", above, out="column", to=TensorProto.INT64)
    return graph.add("Reshape", column, graph.constant("vector", [-1], np.int64), out="label")


def _metadata(net: Network, version: str) -> dict[str, str]:
    """Strings; `classes` and `image_shape` as JSON."""
    known: dict[str, str] = {
        name: json.dumps(net.meta[name]) for name in ("classes", "image_shape") if name in net.meta
    }
    return {"gpunn": version, "network": net.name, **known}
