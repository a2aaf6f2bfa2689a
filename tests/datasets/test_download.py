"""Downloads from mirrors: a file is cached only if it is complete and right."""

from __future__ import annotations

import contextlib
import hashlib
import io
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from idx_files import LABELS, PIXELS, refused, write_folder

from gpunn.datasets import DataUnavailable, catalog, download, load
from gpunn.datasets.folder import FILES

pytestmark = pytest.mark.filterwarnings("ignore:.* is not .*MNIST")  # the files are made up

Serve = Callable[[Path], str]


class Quiet(SimpleHTTPRequestHandler):
    """A server without a log."""

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start a mirror of a folder, and return its address."""
    servers = []

    def start(folder: Path) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
        servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder whose files have the published checksums."""
    folder = write_folder(tmp_path / "good")
    sums = {name: hashlib.sha256((folder / f"{name}.gz").read_bytes()).hexdigest() for name in FILES}
    monkeypatch.setattr(download, "SHA256", dict.fromkeys(download.SHA256, sums))
    return folder


def cached(tmp_path: Path, name: str = "mnist") -> list[str]:
    """Return the names of the cached files."""
    folder = tmp_path / "cache" / name
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_a_dead_mirror_is_skipped(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    nowhere: str,
    serve: Serve,
    good: Path,
    name: str,
) -> None:
    monkeypatch.setitem(download.MIRRORS, name, (nowhere, serve(good)))
    np.testing.assert_array_equal(load(name).train.y, LABELS)
    assert cached(tmp_path, name) == sorted(f"{stem}.gz" for stem in FILES)
    assert capfd.readouterr() == ("", "")
    monkeypatch.setitem(download.MIRRORS, name, ())
    assert load(name).name == name  # from the cache


@pytest.mark.parametrize("fault", ["corrupt", "truncated", "missing"])
def test_a_bad_mirror_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serve: Serve, good: Path, fault: str
) -> None:
    bad = write_folder(tmp_path / "bad")
    victim = bad / f"{FILES[2]}.gz"
    if fault == "missing":
        victim.unlink()
    else:
        data = victim.read_bytes()
        victim.write_bytes(data[:-1] + b"\xff" if fault == "corrupt" else data[:-9])
    monkeypatch.setitem(download.MIRRORS, "mnist", (serve(bad),))
    reason = "HTTP 404" if fault == "missing" else "wrong SHA-256"
    message = refused(DataUnavailable, load, reason, f"{FILES[2]}.gz", tmp_path / "cache", "GPUNN_DATA")
    assert len(message) < 600
    assert cached(tmp_path) == sorted(f"{stem}.gz" for stem in FILES[:2])  # and nothing half-written
    monkeypatch.setitem(download.MIRRORS, "mnist", (serve(bad), serve(good)))
    np.testing.assert_array_equal(load().test.X, PIXELS.reshape(12, -1).T)


def test_a_connection_cut_short_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serve: Serve, good: Path
) -> None:
    """The server promises more bytes than it sends."""
    original = Quiet.send_header

    def promise_more(self: Any, key: str, value: str) -> None:
        original(self, key, "99999" if key == "Content-Length" else value)

    monkeypatch.setattr(Quiet, "send_header", promise_more)
    monkeypatch.setitem(download.MIRRORS, "mnist", (serve(good),))
    refused(DataUnavailable, load, "cannot download mnist", "127.0.0.1")
    assert cached(tmp_path) == []


def test_a_mirror_that_never_ends_fills_no_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serve: Serve, good: Path
) -> None:
    sent = []

    def endless(self: Any) -> None:
        self.send_response(200)
        self.end_headers()
        with contextlib.suppress(OSError):
            while True:
                sent.append(self.wfile.write(bytes(1 << 16)))

    monkeypatch.setattr(Quiet, "do_GET", endless)
    monkeypatch.setattr(download, "SIZES", {"mnist": (100_000, 1000, 1000, 1000)})
    monkeypatch.setitem(download.MIRRORS, "mnist", (serve(good),))
    refused(DataUnavailable, load, "more than the 100,000 bytes expected")
    assert cached(tmp_path) == []
    assert sum(sent) < 50_000_000  # what the operating system buffers


@pytest.mark.parametrize(
    ("limits", "words"),
    [({"STALLED": 0.1}, "stalled after "), ({"GRACE": 0.0, "SLOWEST": 1e12}, "too slow, with ")],
)
def test_a_mirror_that_drips_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serve: Serve, good: Path, limits: Any, words: str
) -> None:
    over = threading.Event()

    def drip(self: Any) -> None:
        self.send_response(200)
        self.end_headers()
        with contextlib.suppress(OSError):
            while not over.wait(0.05):
                self.wfile.write(b"\0")

    monkeypatch.setattr(Quiet, "do_GET", drip)
    for name, value in limits.items():
        monkeypatch.setattr(download, name, value)
    monkeypatch.setitem(download.MIRRORS, "mnist", (serve(good),))
    refused(DataUnavailable, load, words)
    over.set()
    assert cached(tmp_path) == []


def test_a_terminal_shows_progress(monkeypatch: pytest.MonkeyPatch, serve: Serve, good: Path) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    monkeypatch.setitem(download.MIRRORS, "mnist", (serve(good),))
    load()
    assert "100%" in terminal.getvalue()


def test_the_error_if_every_mirror_is_dead(tmp_path: Path) -> None:
    message = refused(DataUnavailable, load, "Connection refused", "--data-dir", "GPUNN_DATA", *FILES)
    assert isinstance(DataUnavailable(), OSError) and len(message) < 600
    assert cached(tmp_path) == []


def test_the_error_if_the_cache_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serve: Serve, good: Path
) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    monkeypatch.setitem(download.MIRRORS, "mnist", (serve(good),))
    refused(DataUnavailable, load, "cannot download mnist", tmp_path / "cache")


def test_mirrors_and_checksums_are_complete() -> None:
    assert set(download.SHA256) == set(download.MIRRORS) == set(catalog.CLASSES)
    for name, sums in download.SHA256.items():
        assert (
            tuple(sums) == FILES
            and len(download.SIZES[name]) == 4
            and all(len(bytes.fromhex(s)) == 32 for s in sums.values())
        )
