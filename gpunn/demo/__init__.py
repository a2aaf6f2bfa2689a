"""A page on which a person draws a digit and watches the network's layers respond.

The page (`page/`, plain HTML, CSS and JavaScript) fetches the network once and computes it in the browser.
The server only serves files from memory, on 127.0.0.1.
"""

from __future__ import annotations

import json
import socketserver
from collections.abc import Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from importlib.resources import files
from typing import Any

import numpy as np

from gpunn.functions.activations import Activation
from gpunn.network import Network

TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript"}
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'self'; img-src data:",  # allow nothing from other hosts
    "X-Content-Type-Options": "nosniff",
}


class Server(socketserver.ThreadingTCPServer):
    """Serve the page of one network, which takes images (height, width), at `url`.

    Use it as a context manager; `serve_forever` answers requests until `shutdown`. Port 0 means a free port.
    Raises OSError if the port is not available, and ValueError for an activation of the user's own.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(
        self, net: Network, image_shape: tuple[int, int], classes: Sequence[str], port: int = 0
    ) -> None:
        self.contents = {
            **page(),
            "/functions.js": (f"{TYPES['js']}; charset=utf-8", functions(net).encode()),
            "/network.json": ("application/json", json.dumps(describe(net, image_shape, classes)).encode()),
            "/weights": ("application/octet-stream", weights(net)),
        }
        super().__init__(("127.0.0.1", port), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/"


class Handler(BaseHTTPRequestHandler):
    """Answer GET requests for the server's contents, and no other requests."""

    server: Server

    def do_GET(self) -> None:
        if self.headers.get("Host", "").partition(":")[0] not in ("127.0.0.1", "localhost"):
            self.send_error(HTTPStatus.FORBIDDEN)  # another site's name, rebound to 127.0.0.1
        elif found := self.server.contents.get(self.path.partition("?")[0]):
            kind, body = found
            self.send_response(HTTPStatus.OK)
            for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **HEADERS}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Log nothing: the terminal belongs to the user."""


def page() -> dict[str, tuple[str, bytes]]:
    """The static files of the page: path → (content type, content)."""
    found = {}
    for file in files("gpunn.demo").joinpath("page").iterdir():
        path = "/" if file.name == "index.html" else f"/{file.name}"
        found[path] = (f"{TYPES[file.name.rpartition('.')[2]]}; charset=utf-8", file.read_bytes())
    return found


def functions(net: Network) -> str:
    """f[1]…f[L] as a JavaScript module, made of the activations' entries."""
    arrows = "".join(f"  {_arrow(layer.f)},\n" for layer in net.layers)
    return f'import {{ erf, softmax }} from "./special.js";\n\nexport const FUNCTIONS = [\n{arrows}];\n'


def _arrow(f: Activation) -> str:
    """The activation of an array z."""
    if f.javascript is None:
        raise ValueError(f"'{f.name}' has no JavaScript spelling: the demo only shows gpunn's activations")
    return f"(z) => {f.javascript}" if f.by_column else f"(z) => z.map((z) => {f.javascript})"


def describe(net: Network, image_shape: tuple[int, int], classes: Sequence[str]) -> dict[str, Any]:
    """Everything that the page needs to know about the network besides its weights."""
    return {
        "name": net.name,
        "dataset": net.meta.get("dataset"),
        "accuracy": net.meta.get("test_accuracy"),
        "image_shape": image_shape,
        "digit": net.meta.get("digit", True),
        "classes": list(classes),
        "n_in": net.sizes[0],
        "layers": [{"n": layer.n, "f": layer.f.name} for layer in net.layers],
        "probabilities": net.layers[-1].f.gives_probabilities,
        "threshold": net.cost.threshold,
    }


def weights(net: Network) -> bytes:
    """w[1], b[1], … w[L], b[L] with batch normalisation folded in: little-endian float32, column-major."""
    folded = net.folded()
    pairs = zip(folded.weights, folded.biases, strict=True)
    return b"".join(np.asarray(x, "<f4").tobytes("F") for pair in pairs for x in pair)
