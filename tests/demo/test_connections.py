"""The demo's server: clients that hang up, stay idle or come in numbers leave it quiet and reachable."""

from __future__ import annotations

import socket
import struct
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress

import pytest

from gpunn import Dense, Network, demo


@pytest.fixture
def server() -> Iterator[demo.Server]:
    net = Network(64, [Dense(10, "softmax")], seed=0)
    with demo.Server(net, (8, 8), list("0123456789")) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def connect(server: demo.Server, content: bytes = b"") -> socket.socket:
    connection = socket.create_connection(server.server_address[:2])
    connection.sendall(content)
    return connection


def reset(connection: socket.socket) -> None:
    """Close a connection with a reset instead of an orderly end."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def answers(server: demo.Server) -> bool:
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(server.url) as response:
        return b"<title>gpunn demo</title>" in response.read()


def wait_until_idle(server: demo.Server) -> None:
    while server.connections:
        time.sleep(0.01)


def test_a_client_that_hangs_up_is_no_traceback(
    server: demo.Server, capfd: pytest.CaptureFixture[str]
) -> None:
    for content in (
        b"",
        b"GET / HT",
        b"GET /page.js HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"\0\xff" * 40_000,
    ):
        connection = connect(server)
        with suppress(ConnectionError):  # refused before all of it was read
            connection.sendall(content)
        reset(connection)
    assert answers(server)
    wait_until_idle(server)
    assert capfd.readouterr() == ("", "")


def test_an_idle_connection_is_closed(server: demo.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo.Handler, "timeout", 0.05)
    for content in (b"", b"GET / HTTP/1.1\r\nHost: "):
        with connect(server, content) as connection:
            assert connection.recv(100) == b""
    wait_until_idle(server)


def test_too_many_connections_end_the_oldest(server: demo.Server) -> None:
    idle = [connect(server) for _ in range(demo.MOST + 3)]
    assert answers(server)
    for connection in idle[:3]:
        assert connection.recv(100) == b""
    assert len(server.connections) <= demo.MOST
    for connection in idle:
        connection.close()
    wait_until_idle(server)


def test_errors_of_the_server_itself_are_shown(
    server: demo.Server, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(handler: demo.Handler) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(demo.Handler, "do_GET", broken)
    with connect(server, b"GET / HTTP/1.0\r\n\r\n") as connection:
        assert connection.recv(100) == b""
    wait_until_idle(server)
    assert "RuntimeError: broken" in capfd.readouterr().err
