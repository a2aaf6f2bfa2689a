"""HTML views of `Network` and `History` for notebooks. Importing this module adds them to both classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gpunn.network import Network
from gpunn.report.figures import curves, measured_lines
from gpunn.report.page import template
from gpunn.training.history import History


def network_html(net: Network) -> str:
    """Render a network as a table of its layers."""
    return template("network.html").render(net=net, rows=layer_rows(net))


def layer_rows(net: Network) -> Sequence[dict[str, Any]]:
    """The sizes, activation, parameter count and extras of each layer."""
    rows = []
    for l, (layer, w) in enumerate(zip(net.layers, net.weights, strict=True), start=1):
        extras = ["batch norm"] * layer.batch_norm + [f"dropout {layer.dropout:g}"] * bool(layer.dropout)
        parameters = w.size + layer.n * (3 if layer.batch_norm else 1)
        row = {"layer": l, "n_in": w.shape[1], "n": layer.n, "activation": layer.f.name}
        rows.append({**row, "parameters": parameters, "extras": ", ".join(extras)})
    return rows


def history_html(history: History) -> str:
    """Render a history as its one-line summary and its curves."""
    charts = [
        curves(lines, name, percent=name == "accuracy")
        for name in ("loss", "accuracy")
        if (lines := measured_lines(history, name))
    ]
    return template("history.html").render(history=history, charts=charts)


Network._repr_html_ = network_html  # type: ignore[attr-defined]
History._repr_html_ = history_html  # type: ignore[attr-defined]
