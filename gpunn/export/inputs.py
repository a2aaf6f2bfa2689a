"""The inputs of an ONNX model: pixels, features, or the columns of a table with their preparation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from gpunn.core.backend import UINT8_SCALE
from gpunn.export.graph import Graph, kind_of_number
from gpunn.predictor import Predictor
from gpunn.tables.preprocessing import Category, Number, Preprocessing


def features(graph: Graph, net: Predictor) -> tuple[list[Any], str]:
    """Return [the input X, which is pixels or features] and the name of a[0]."""
    of_images = bool(net.meta.get("image_shape"))
    kind = TensorProto.UINT8 if of_images else TensorProto.FLOAT
    X = helper.make_tensor_value_info("X", kind, ["N", net.sizes[0]])
    if not of_images:
        return [X], "X"
    bytes_ = graph.add("Cast", "X", out="bytes", to=TensorProto.FLOAT)
    return [X], graph.add("Mul", bytes_, graph.constant("scale", UINT8_SCALE), out="a0")


def columns(graph: Graph, table: Preprocessing) -> tuple[list[Any], str]:
    """Return an input (N, 1) for each column of a table, and the name of a[0]."""
    inputs, features = [], []
    for j, column in enumerate(table.columns, start=1):
        kind = kind_of_number(column.mean, column.scale) if isinstance(column, Number) else TensorProto.STRING
        inputs.append(helper.make_tensor_value_info(column.name, kind, ["N", 1]))
        features.append(
            _number(graph, column, j) if isinstance(column, Number) else _one_hot(graph, column, j)
        )
    return inputs, graph.add("Concat", *features, out="a0", axis=1)


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
