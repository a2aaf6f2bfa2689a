"""`gpunn export` and `gpunn demo`: use a saved network in other programs, and in the browser."""

from __future__ import annotations

import webbrowser
from contextlib import suppress
from pathlib import Path
from typing import Any

from gpunn.cli.models import SavedModel
from gpunn.cli.output import say
from gpunn.cli.runs import RUNS
from gpunn.files.model import file_of
from gpunn.files.strict_json import dump_json
from gpunn.files.writing import check_not_input
from gpunn.names import listed
from gpunn.sweeps.ensemble import Ensemble

FEW = 8  # inputs to name

# export


def export(path: Path, file: Path, as_json: bool) -> None:
    """Write a model as an ONNX file and print its inputs and outputs."""
    if file.suffix.lower() != ".onnx":
        raise ValueError(f"{file}: expected a name that ends in .onnx, the only format for export")
    check_not_input(file, [file_of(path)])
    net = SavedModel.load(path).net
    from gpunn.export import to_onnx

    graph = to_onnx(net, file).graph
    inputs, outputs = signature(graph.input), signature(graph.output)
    if as_json:
        say(dump_json({"model": str(path), "onnx": str(file), "inputs": inputs, "outputs": outputs}))
    else:
        say(f"saved {file}: {in_words(inputs)} → {in_words(outputs)}")


def signature(values: Any) -> dict[str, str]:
    """Return the type and shape of each input or output, such as `uint8 (N, 784)` or `string (N, 1)`."""
    from onnx import TensorProto
    from onnx.helper import tensor_dtype_to_np_dtype

    found = {}
    for value in values:
        tensor = value.type.tensor_type
        shape = ", ".join(d.dim_param or str(d.dim_value) for d in tensor.shape.dim)
        is_text = tensor.elem_type == TensorProto.STRING  # for NumPy, texts are objects
        kind = "string" if is_text else tensor_dtype_to_np_dtype(tensor.elem_type)
        found[value.name] = f"{kind} ({shape})"
    return found


def in_words(values: dict[str, str]) -> str:
    """List inputs or outputs in one line, whatever the names and the number of columns."""
    return listed([" ".join(f"{name} {kind}".split()) for name, kind in values.items()], FEW)


# demo


def demo(path: Path | None, port: int, open_browser: bool) -> None:
    """Serve the page for drawing digits, until Ctrl-C."""
    from gpunn.demo import Server

    path = path or newest_run()
    model = SavedModel.load(path)
    if isinstance(model.net, Ensemble):
        raise ValueError(
            f"{path} is an ensemble, but the page shows the layers of one network: choose a model that was "
            "trained without --ensemble"
        )
    if not model.image_shape:
        raise ValueError(f"{path} does not say what size of image it takes: choose a model of images")
    if model.channels:
        raise ValueError(
            f"{path} was trained on pictures, which cannot be drawn on the page: use gpunn predict instead"
        )
    try:
        server = Server(model.net, model.image_shape, model.classes, port)
    except OSError as error:
        raise ValueError(f"port {port}: {error.strerror}; choose another with --port") from error
    with server, suppress(KeyboardInterrupt):
        say(f"{path}, {model.net.name}: draw on {server.url} (Ctrl-C to stop)")
        if open_browser:
            webbrowser.open(server.url)
        server.serve_forever()


def newest_run() -> Path:
    """Return the folder of the model that was saved last."""
    models = list(RUNS.glob("*/model.safetensors"))
    if not models:
        raise ValueError(f"there is no model in {RUNS}: run gpunn train first, or name a model")
    return max(models, key=lambda model: model.stat().st_mtime).parent
