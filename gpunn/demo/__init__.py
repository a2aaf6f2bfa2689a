"""A page on which a person draws a digit and watches a network look at it.

The page (`page/`, plain HTML, CSS and JavaScript) fetches the network once and computes it in the browser;
the server only hands out files from memory, on 127.0.0.1.
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

from gpunn.network import Network

TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript"}
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'self'; img-src data:",  # nothing from anywhere else
    "X-Content-Type-Options": "nosniff",
}


class Server(socketserver.ThreadingTCPServer):
    """Serves the page of one network, which takes images (height, width), at `url`; port 0 takes a free one.

    A context manager; `serve_forever` answers until `shutdown`. OSError where the port cannot be had.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(
        self, net: Network, image_shape: tuple[int, int], classes: Sequence[str], port: int = 0
    ) -> None:
        self.contents = {
            **page(),
            "/network.json": ("application/json", json.dumps(describe(net, image_shape, classes)).encode()),
            "/weights": ("application/octet-stream", weights(net)),
        }
        super().__init__(("127.0.0.1", port), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/"


class Handler(BaseHTTPRequestHandler):
    """Answers GET for the server's contents, and nothing else."""

    server: Server

    def do_GET(self) -> None:
        if self.headers.get("Host", "").partition(":")[0] not in ("127.0.0.1", "localhost"):
            self.send_error(HTTPStatus.FORBIDDEN)  # another site's name that was made to lead here
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
        """Not a word: the terminal is the person's."""


def page() -> dict[str, tuple[str, bytes]]:
    """The page's files, by path: (content type, content)."""
    found = {}
    for file in files("gpunn.demo").joinpath("page").iterdir():
        path = "/" if file.name == "index.html" else f"/{file.name}"
        found[path] = (f"{TYPES[file.name.rpartition('.')[2]]}; charset=utf-8", file.read_bytes())
    return found


def describe(net: Network, image_shape: tuple[int, int], classes: Sequence[str]) -> dict[str, Any]:
    """What the page needs to know of a network besides its weights."""
    return {
        "name": net.name,
        "dataset": net.meta.get("dataset"),
        "accuracy": net.meta.get("test_accuracy"),
        "image_shape": image_shape,
        "digit": net.meta.get("digit", True),
        "classes": list(classes),
        "n_in": net.sizes[0],
        "layers": [{"n": layer.n, "f": layer.f.name} for layer in net.layers],
        "probabilities": net.layers[-1].f.values == (0, 1),
        "threshold": net.cost.threshold,
    }


def weights(net: Network) -> bytes:
    """w[1], b[1], … w[L], b[L] without batch normalisation: little-endian float32, column-major."""
    folded = net.folded()
    pairs = zip(folded.weights, folded.biases, strict=True)
    return b"".join(np.asarray(x, "<f4").tobytes("F") for pair in pairs for x in pair)
