"""Trials with the demo's server: a damaged request, and then a good one, which must be answered."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

from benchmarks.attack import sandbox
from benchmarks.attack.damage import damage_bytes
from benchmarks.attack.material import Material
from benchmarks.attack.progress import Watch
from benchmarks.attack.rules import Step, judge, leftovers
from benchmarks.attack.sandbox import Process

PATHS = ("/", "/network.json", "/weights", "/page.js", "/../run.json", "/%2e%2e/run.json", "//", "/?x=%00")
METHODS = ("GET", "GET", "GET", "POST", "HEAD", "OPTIONS", "BREW", "")
HEADERS = (
    "Host: 127.0.0.1", "Host: example.org", "Content-Length: 9999999999", "Content-Length: -1",
    "Transfer-Encoding: chunked", "Connection: keep-alive", "Upgrade: websocket", "Cookie: " + "x" * 70_000,
    "Range: bytes=0-99999999999",
)  # fmt: skip
GOOD = b"GET /network.json HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n"


def attempt(good: Material, folder: Path, rng: Random) -> Iterator[Step]:
    """Start the demo, send it a damaged request and a good one, and stop it with Ctrl-C."""
    command = ["demo", good.path("images"), "--no-browser"]
    process = sandbox.start(command, folder)
    broken, said = [], _first_line(process)
    if ":" in said:
        port = int(said.rpartition("127.0.0.1:")[2].partition("/")[0])
        _send(port, _request(rng), rng)
        if not _ask(process, port):
            broken.append("a good request is not answered")
    else:
        broken.append("the demo does not start")
    os.kill(process.pid, signal.SIGINT)
    outcome = process.wait()
    if outcome.code not in (0, 130):
        broken.append("Ctrl-C does not end the demo")
    outcome = replace(outcome, out=said + outcome.out)
    yield Step(outcome, [*broken, *judge(outcome), *leftovers(folder)])


def _request(rng: Random) -> bytes:
    """Return a request, damaged more often than not."""
    headers = rng.sample(HEADERS, rng.randint(0, 3))
    lines = [f"{rng.choice(METHODS)} {rng.choice(PATHS)} HTTP/{rng.choice(['1.0', '1.1', '2', '9.9', 'x'])}"]
    content = "\r\n".join([*lines, *headers, "", rng.choice(["", "body"])]).encode()
    return content if rng.random() < 0.2 else damage_bytes(content, rng, b"\x16\x03\x01\x02\x00\x01\x00" * 9)


def _first_line(process: Process) -> str:
    """Read the line in which the demo says its address; "" if it ends or hangs."""
    text, watch = bytearray(), Watch(process.pid)
    with selectors.DefaultSelector() as selector:
        selector.register(process.out, selectors.EVENT_READ)
        while not text.endswith(b"\n"):
            if selector.select(1.0):
                if not (chunk := os.read(process.out, 1 << 12)):
                    return ""
                text += chunk
            elif watch.hangs():
                return ""
    return text.decode(errors="replace")


def _send(port: int, content: bytes, rng: Random) -> None:
    """Send bytes, and hang up in one of several ways."""
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.setblocking(False)  # a server that does not read the rest must not hold up the trial
        try:
            client.send(content)
            end = rng.choice(["close", "half", "reset"])
            if end == "half":
                client.shutdown(socket.SHUT_WR)
            elif end == "reset":
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except OSError:
            pass  # it hung up first


def _ask(process: Process, port: int) -> bool:
    """Whether the server answers a good request."""
    watch, answer = Watch(process.pid), bytearray()
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(GOOD)
        client.settimeout(1.0)
        while not watch.hangs():
            try:
                if not (chunk := client.recv(1 << 16)):
                    break
            except TimeoutError:
                continue
            except OSError:
                return False
            answer += chunk
    return answer.startswith(b"HTTP/1.0 200") and answer.endswith(b"}")
