"""`gpunn export` and `gpunn demo`: a saved network for other programs, and for people."""

from __future__ import annotations

import json
import webbrowser
from contextlib import suppress
from pathlib import Path
from typing import Any

from gpunn.cli.models import Model
from gpunn.cli.runs import RUNS
from gpunn.names import listed

FEW = 8  # inputs, that are named

# export


def export(path: Path, file: Path, as_json: bool) -> None:
    """Write a model as an ONNX file, and say what goes in and comes out."""
    if file.suffix.lower() != ".onnx":
        raise ValueError(f"{file}: name a file that ends in .onnx, the one format that is written")
    net = Model.load(path).net
    from gpunn.export import to_onnx

    graph = to_onnx(net, file).graph
    inputs, outputs = signature(graph.input), signature(graph.output)
    if as_json:
        print(json.dumps({"model": str(path), "onnx": str(file), "inputs": inputs, "outputs": outputs}))
    else:
        print(f"saved {file}: {in_words(inputs)} → {in_words(outputs)}")


def signature(values: Any) -> dict[str, str]:
    """The type and shape of each input or output, such as `uint8 (N, 784)`."""
    from onnx.helper import tensor_dtype_to_np_dtype

    found = {}
    for value in values:
        tensor = value.type.tensor_type
        shape = ", ".join(d.dim_param or str(d.dim_value) for d in tensor.shape.dim)
        found[value.name] = f"{tensor_dtype_to_np_dtype(tensor.elem_type)} ({shape})"
    return found


def in_words(values: dict[str, str]) -> str:
    """In one line, whatever the columns of a table are called and however many they are."""
    return listed([" ".join(f"{name} {kind}".split()) for name, kind in values.items()], FEW)


# demo


def demo(path: Path | None, port: int, open_browser: bool) -> None:
    """Serve the page on which a person draws for a model, until Ctrl-C."""
    from gpunn.demo import Server

    path = path or newest_run()
    model = Model.load(path)
    if not model.image_shape:
        raise ValueError(f"{path} does not say what size of picture it takes: name a model of pictures")
    try:
        server = Server(model.net, model.image_shape, model.classes, port)
    except OSError as error:
        raise ValueError(f"port {port}: {error.strerror}; choose another with --port") from error
    with server, suppress(KeyboardInterrupt):
        print(f"{path}, {model.net.name}: draw on {server.url} (Ctrl-C ends it)", flush=True)
        if open_browser:
            webbrowser.open(server.url)
        server.serve_forever()


def newest_run() -> Path:
    """The folder of the model that was saved last."""
    models = list(RUNS.glob("*/model.safetensors"))
    if not models:
        raise ValueError(f"there is no model under {RUNS}: name one, or run gpunn train first")
    return max(models, key=lambda model: model.stat().st_mtime).parent
