"""A page on which a person draws a digit and watches the network's layers respond.

The page (`page/`, plain HTML, CSS and JavaScript) fetches the network once and computes it in the browser.
The server only serves files from memory, on 127.0.0.1. It holds a bounded number of connections, closes idle
ones, and is quiet: the terminal belongs to the user.
"""

from __future__ import annotations

import socket
import socketserver
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from importlib.resources import files
from typing import Any

import numpy as np

from gpunn.files.strict_json import dump_json
from gpunn.functions.activations import Activation
from gpunn.network import Network

TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript"}
TIMEOUT = 10  # seconds that a connection may be idle
MOST = 32  # connections at a time
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'self'; img-src data:",  # allow nothing from other hosts
    "X-Content-Type-Options": "nosniff",
}


class Server(socketserver.ThreadingTCPServer):
    """Serve the page of one network, which takes images (height, width), at `url`.

    Use it as a context manager; `serve_forever` answers requests until `shutdown`. Port 0 means a free port.
    If there are too many connections, the oldest is closed, so that slow clients never lock out a new one.
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
            "/network.json": ("application/json", dump_json(describe(net, image_shape, classes)).encode()),
            "/weights": ("application/octet-stream", weights(net)),
        }
        self.connections: dict[int, socket.socket] = {}  # by file descriptor, the oldest first
        self.lock = threading.Lock()
        super().__init__(("127.0.0.1", port), Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer a request in its own thread, after closing the oldest connection if there are too many."""
        with self.lock:
            self.connections[request.fileno()] = request
            if len(self.connections) > MOST:
                _hang_up(self.connections.pop(next(iter(self.connections))))
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self.lock:
            number = request.fileno()
            if self.connections.get(number) is request:
                del self.connections[number]
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that hang up or are too slow; print the traceback of any other error."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/"


def _hang_up(connection: socket.socket) -> None:
    """End a connection; the thread that serves it then closes it."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class Handler(BaseHTTPRequestHandler):
    """Answer GET requests for the server's contents, and no other requests."""

    server: Server
    timeout = TIMEOUT

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
