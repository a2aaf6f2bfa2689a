"""The layers of a network, or of each network of an ensemble, as ONNX operators."""

from __future__ import annotations

from collections.abc import Sequence

from onnx import helper, parser

from gpunn.export.graph import Graph
from gpunn.functions.activations import Activation
from gpunn.network import Network


def mean_outputs(graph: Graph, networks: Sequence[Network], a0: str, name: str) -> str:
    """The outputs of one network, or the mean of several networks' outputs."""
    if len(networks) == 1:
        return _layers(graph, networks[0].folded(), a0, name)
    outputs = []
    for i, net in enumerate(networks):
        graph.prefix = f"network{i}_"
        outputs.append(_layers(graph, net.folded(), a0, name))
    graph.prefix = ""
    return graph.add("Mean", *outputs, out=name)


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
