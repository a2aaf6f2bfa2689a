"""The outputs of an ONNX model: probabilities, numbers in the target's units, and labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto, helper

from gpunn.export.graph import Graph, kind_of_number
from gpunn.export.layers import mean_outputs
from gpunn.network import Network, predicts_labels
from gpunn.predictor import Predictor
from gpunn.sweeps.ensemble import Ensemble, networks_of
from gpunn.tables.quantity import Quantity
from gpunn.tables.target import Classes, Target


def add_outputs(graph: Graph, net: Network | Ensemble, a0: str, target: Target | None) -> list[Any]:
    """Compute the outputs from a[0], and return their declarations.

    Args:
        graph: the graph, which has the inputs.
        net: the network or ensemble.
        a0: the name of a[0].
        target: the target of a table, or None.
    """
    kind, width = TensorProto.FLOAT, net.sizes[-1]
    tempered = isinstance(target, Classes) and target.temperature != 1
    probabilities = "probabilities" if net.output_activation.gives_probabilities else "outputs"
    outputs = mean_outputs(graph, networks_of(net), a0, "uncalibrated" if tempered else probabilities)
    names = [outputs]
    if isinstance(target, Quantity):
        kind, width = kind_of_number(target.mean, target.scale), 1
        parts = _parts(graph, outputs, target)
        names = [_in_units(graph, part, target, name) for name, part in parts.items()]
    elif isinstance(target, Classes) and tempered:
        names = [outputs := _tempered(graph, outputs, target.temperature)]
    declared = [helper.make_tensor_value_info(name, kind, ["N", width]) for name in names]
    if predicts_labels(net):
        label = _label(graph, outputs, net.sizes[-1], *_thresholds(net, target))
        declared.append(helper.make_tensor_value_info(label, TensorProto.INT64, ["N"]))
    return declared


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
    return graph.add("Cast", shifted, out=name, to=kind_of_number(target.mean, target.scale))


def _tempered(graph: Graph, p: str, temperature: float) -> str:
    """softmax(ln p / T), as the table's target computes it."""
    above = graph.add("Max", p, graph.constant("tiny", np.finfo(np.float32).tiny), out="above_zero")
    beta = graph.constant("beta", 1 / temperature)
    z = graph.add("Mul", graph.add("Log", above, out="ln_p"), beta, out="tempered")
    return graph.add("Softmax", z, out="probabilities", axis=1)


def _thresholds(net: Predictor, target: Target | None) -> tuple[float, float | None]:
    """Return the threshold of a single output, and the one that a table with two classes may have."""
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
