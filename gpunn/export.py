"""Export a network as an ONNX file: rows of raw examples in, outputs and class labels out.

X (N, n_0) is uint8 if the network was trained on images (its meta has an `image_shape`), and float32
otherwise. A network for tables has one input (N, 1) per column, with raw values: a string, float32, or
float64 if the column's mean is large relative to its spread, as in timestamps. Each layer is a Gemm on w[l]
and b[l], with batch normalisation folded in, followed by the operators of f. Importing this module raises
ImportError unless the extra "onnx" is installed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gpunn.core.backend import UINT8_SCALE
from gpunn.files.writing import write_whole
from gpunn.functions.activations import Activation
from gpunn.network import Network, predicts_labels
from gpunn.predictor import Predictor
from gpunn.sweeps.ensemble import Ensemble, networks_of
from gpunn.tables.preprocessing import Category, Number, Preprocessing
from gpunn.tables.quantity import Quantity
from gpunn.tables.table import is_far
from gpunn.tables.target import Classes, Target, from_json

try:
    import onnx
    from onnx import TensorProto, helper, numpy_helper, parser
except ImportError as error:
    raise ImportError('ONNX files need onnx: pip install "gpunn[onnx]"') from error

__all__ = ["build", "to_onnx"]

OPSET = 20  # the first with Gelu
MOST_BYTES = 2**31 - 2**20  # protobuf's limit of 2 GiB, less some room for the graph itself


@dataclass
class Graph:
    """A graph being built: operators in execution order, and the constants that they read.

    taken: the names of a table's columns, which are the names of the inputs.
    prefix: what the names of one of several networks begin with.
    """

    taken: Collection[str] = ()
    prefix: str = ""
    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)

    def name(self, name: str) -> str:
        """Put the prefix before a name, and append _ until no input has it."""
        name = f"{self.prefix}{name}"
        while name in self.taken:
            name += "_"
        return name

    def add(self, operator: str, *inputs: str, out: str, **attributes: Any) -> str:
        """Add an operator with one output, and return the output's name."""
        out = self.name(out)
        self.nodes.append(helper.make_node(operator, inputs, [out], name=f"{out}:{operator}", **attributes))
        return out

    def constant(self, name: str, value: Any, dtype: Any = np.float32) -> str:
        """Add a constant, and return its name."""
        name = self.name(name)
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value, dtype), name))
        return name


def to_onnx(net: Network | Ensemble, path: str | os.PathLike[str]) -> Any:
    """Write the network or ensemble as an ONNX file, and return the model written (`onnx.ModelProto`).

    Inputs: X (N, n_0), uint8 pixels or float32. For tables, one input per column; missing values are NaN or
    "", and Boolean values are "True" or "False".

    Outputs: `probabilities` if they lie in (0, 1), else `outputs`, float32 (N, n_L). For table regression:
    `prediction`, in the target's units (float64 if the mean is large relative to the spread), and with
    prediction intervals also their ends `lower` and `upper`. A classifier
    also has `label`, int64 (N), an index into the metadata's `classes`. If a column has the same name as an
    output, the output's name gets a trailing _.

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
    from gpunn.version import __version__

    networks = networks_of(net)
    _check(networks)
    table = net.meta.get("table")
    graph = Graph([column["name"] for column in table["columns"]] if table else ())
    inputs, a0 = _columns(graph, Preprocessing.from_json(table)) if table else _features(graph, net)
    target = from_json(table["target"]) if table else None
    tempered = isinstance(target, Classes) and target.temperature != 1
    name = "uncalibrated" if tempered else _outputs_name(net)
    outputs, kind = _mean_outputs(graph, networks, a0, name), TensorProto.FLOAT
    given = {outputs: net.sizes[-1]}
    if isinstance(target, Quantity):
        kind, parts = _kind(target), _parts(graph, outputs, target)
        given = {_in_units(graph, part, target, name): 1 for name, part in parts.items()}
    elif target and tempered:
        outputs = _tempered(graph, outputs, target.temperature)
        given = {outputs: net.sizes[-1]}
    declared = [helper.make_tensor_value_info(name, kind, ["N", n]) for name, n in given.items()]
    if predicts_labels(net):
        label = _label(graph, outputs, net.sizes[-1], *_thresholds(net, target))
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


def _check(networks: Sequence[Network]) -> None:
    for layer in (layer for net in networks for layer in net.layers):
        if layer.f.onnx is None:
            raise ValueError(f"'{layer.f.name}' is your own: only gpunn's activations have an ONNX spelling")
    name, parameters = networks[0].name, sum(net.parameters for net in networks)
    if 4 * parameters > MOST_BYTES:
        raise ValueError(f"{name} has {parameters:,} parameters, too many for an ONNX file of 2 GiB")


def _features(graph: Graph, net: Predictor) -> tuple[list[Any], str]:
    """(The input X, pixels or features; a[0])."""
    of_images = bool(net.meta.get("image_shape"))
    kind = TensorProto.UINT8 if of_images else TensorProto.FLOAT
    X = helper.make_tensor_value_info("X", kind, ["N", net.sizes[0]])
    if not of_images:
        return [X], "X"
    bytes_ = graph.add("Cast", "X", out="bytes", to=TensorProto.FLOAT)
    return [X], graph.add("Mul", bytes_, graph.constant("scale", UINT8_SCALE), out="a0")


def _columns(graph: Graph, table: Preprocessing) -> tuple[list[Any], str]:
    """(An input (N, 1) for each column of a table; a[0])."""
    inputs, features = [], []
    for j, column in enumerate(table.columns, start=1):
        kind = _kind(column) if isinstance(column, Number) else TensorProto.STRING
        inputs.append(helper.make_tensor_value_info(column.name, kind, ["N", 1]))
        features.append(
            _number(graph, column, j) if isinstance(column, Number) else _one_hot(graph, column, j)
        )
    return inputs, graph.add("Concat", *features, out="a0", axis=1)


def _kind(column: Number | Quantity) -> Any:
    """The ONNX type that holds the numbers without losing their spread."""
    return TensorProto.DOUBLE if is_far(column.mean, column.scale) else TensorProto.FLOAT


def _number(graph: Graph, column: Number, j: int) -> str:
    """Scale and code a number in float64, as `Number.apply` does: a large mean swamps float32."""
    fill, mean, scale = (
        graph.constant(f"{name}{j}", getattr(column, name), np.float64) for name in ("fill", "mean", "scale")
    )
    x = graph.add("Cast", column.name, out=f"x{j}", to=TensorProto.DOUBLE)
    missing = graph.add("IsNaN", x, out=f"missing{j}")
    filled = graph.add("Where", missing, fill, x, out=f"filled{j}")
    centred = graph.add("Sub", filled, mean, out=f"centred{j}")
    parts = [graph.add("Div", centred, scale, out=f"scaled{j}")]
    if column.clip is not None:
        parts = [_clipped(graph, column.clip, parts[0], j)]
    if column.codes:
        parts.append(_codes(graph, column.edges, filled, j))
    if column.gaps:
        parts.append(graph.add("Cast", missing, out=f"gap{j}", to=TensorProto.DOUBLE))
    whole = graph.add("Concat", *parts, out=f"parts{j}", axis=1) if len(parts) > 1 else parts[0]
    return graph.add("Cast", whole, out=f"feature{j}", to=TensorProto.FLOAT)


def _clipped(graph: Graph, clip: float, z: str, j: int) -> str:
    """z / √(1 + (z/c)²)."""
    ratio = graph.add("Div", z, graph.constant(f"clip{j}", clip, np.float64), out=f"ratio{j}")
    square = graph.add("Mul", ratio, ratio, out=f"square{j}")
    more = graph.add("Add", square, graph.constant(f"one{j}", 1, np.float64), out=f"more{j}")
    return graph.add("Div", z, graph.add("Sqrt", more, out=f"root{j}"), out=f"clipped{j}")


def _codes(graph: Graph, edges: Sequence[float], x: str, j: int) -> str:
    """Piecewise-linear codes (N, T) of x (N, 1)."""
    low = graph.constant(f"low{j}", [edges[:-1]], np.float64)
    width = graph.constant(f"width{j}", [np.diff(edges)], np.float64)
    shifted = graph.add("Sub", x, low, out=f"shifted{j}")
    share = graph.add("Div", shifted, width, out=f"share{j}")
    limits = [graph.constant(f"limit{k}_{j}", k, np.float64) for k in (0, 1)]
    return graph.add("Clip", share, *limits, out=f"codes{j}")


def _one_hot(graph: Graph, column: Category, j: int) -> str:
    """Encode a category as one-hot; an empty string is a missing value."""
    categories = graph.constant(f"categories{j}", [[text or "" for text in column.categories]], object)
    is_one = graph.add("Equal", column.name, categories, out=f"is_one{j}")
    return graph.add("Cast", is_one, out=f"feature{j}", to=TensorProto.FLOAT)


def _parts(graph: Graph, outputs: str, target: Quantity) -> dict[str, str]:
    """The prediction, and the ends of its interval if there are any, in float64, before they are scaled."""
    learnt = graph.add("Cast", outputs, out="learnt", to=TensorProto.DOUBLE)
    if target.interval is None:
        return {"prediction": learnt}
    a, b, c = (
        graph.add("Gather", learnt, graph.constant(f"place{k}", [k], np.int64), out=f"output{k}", axis=1)
        for k in range(3)
    )
    less, more = graph.add("Min", a, b, out="less"), graph.add("Max", a, b, out="more")
    median = graph.add("Max", less, graph.add("Min", more, c, out="most"), out="median")
    widened = graph.constant("widened", target.widened, np.float64)
    low = graph.add("Sub", graph.add("Min", less, c, out="least_output"), widened, out="low")
    high = graph.add("Add", graph.add("Max", more, c, out="most_output"), widened, out="high")
    return {
        "prediction": median,
        "lower": graph.add("Min", low, median, out="lower_end"),
        "upper": graph.add("Max", high, median, out="upper_end"),
    }


def _in_units(graph: Graph, learnt: str, target: Quantity, name: str) -> str:
    """A number in the target's units, computed in float64, as `predict` does."""
    scale = graph.constant(f"{name}_scale", target.scale, np.float64)
    mean = graph.constant(f"{name}_mean", target.mean, np.float64)
    scaled = graph.add("Mul", learnt, scale, out=f"{name}_scaled")
    shifted = graph.add("Add", scaled, mean, out=f"{name}_shifted")
    return graph.add("Cast", shifted, out=name, to=_kind(target))


def _tempered(graph: Graph, p: str, temperature: float) -> str:
    """softmax(ln p / T), as the table's target computes it."""
    above = graph.add("Max", p, graph.constant("tiny", np.finfo(np.float32).tiny), out="above_zero")
    beta = graph.constant("beta", 1 / temperature)
    z = graph.add("Mul", graph.add("Log", above, out="ln_p"), beta, out="tempered")
    return graph.add("Softmax", z, out="probabilities", axis=1)


def _mean_outputs(graph: Graph, networks: Sequence[Network], a0: str, name: str) -> str:
    """The outputs of one network, or the mean of several networks' outputs."""
    if len(networks) == 1:
        return _layers(graph, networks[0].folded(), a0, name)
    outputs = []
    for i, net in enumerate(networks):
        graph.prefix = f"network{i}_"
        outputs.append(_layers(graph, net.folded(), a0, name))
    graph.prefix = ""
    return graph.add("Mean", *outputs, out=name)


def _outputs_name(net: Predictor) -> str:
    return "probabilities" if net.output_activation.gives_probabilities else "outputs"


def _layers(graph: Graph, net: Network, a: str, name: str) -> str:
    """a[L] from a[0]; examples are rows here, so z = a wᵀ + bᵀ."""
    for l, (layer, w, b) in enumerate(zip(net.layers, net.weights, net.biases, strict=True), start=1):
        w_, b_ = graph.constant(f"w{l}", w), graph.constant(f"b{l}", b.ravel())
        z = graph.add("Gemm", a, w_, b_, out=f"z{l}", transB=1)
        a = _activate(graph, layer.f, z, out=name if l == len(net.layers) else f"a{l}")
    return a


def _activate(graph: Graph, f: Activation, z: str, out: str) -> str:
    """a = f(z), by the operators of the activation's ONNX spelling."""
    names = {"z": z}
    for node in parser.parse_graph(f"f (float[N] z) => (float[N] a) {{ {f.onnx} }}").node:
        inputs, (result,) = (names[name] for name in node.input), node.output
        attributes = {x.name: helper.get_attribute_value(x) for x in node.attribute}
        whole = out if result == "a" else f"{out}_{result}"
        names[result] = graph.add(node.op_type, *inputs, out=whole, **attributes)
    return names["a"]


def _thresholds(net: Predictor, target: Target | None) -> tuple[float, float | None]:
    """(The threshold of a single output; that of the second of two classes of a table, if it has one)."""
    chosen = target.threshold if isinstance(target, Classes) and target.threshold != 0.5 else None
    return net.cost.threshold, chosen


def _label(graph: Graph, outputs: str, n: int, threshold: float, second: float | None) -> str:
    """Classify the outputs as `gpunn.network.classify` does, or by a threshold for the second class."""
    if n > 1 and second is None:
        return graph.add("ArgMax", outputs, out="label", axis=1, keepdims=0)
    a, kind = outputs, np.float32
    if second is not None:  # as the table's target does, in float64
        a = graph.add("Gather", a, graph.constant("second", [1], np.int64), out="second_p", axis=1)
        a, threshold, kind = graph.add("Cast", a, out="exact_p", to=TensorProto.DOUBLE), second, np.float64
    above = graph.add("Greater", a, graph.constant("threshold", threshold, kind), out="above")
    column = graph.add("Cast", above, out="column", to=TensorProto.INT64)
    return graph.add("Reshape", column, graph.constant("vector", [-1], np.int64), out="label")


def _metadata(net: Predictor, version: str) -> dict[str, str]:
    """The metadata, all strings; `classes`, `image_shape` and `channels` as JSON."""
    known: dict[str, str] = {
        name: json.dumps(net.meta[name])
        for name in ("classes", "image_shape", "channels")
        if name in net.meta
    }
    return {"gpunn": version, "network": net.name, **known}
