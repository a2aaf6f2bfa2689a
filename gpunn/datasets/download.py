"""Download MNIST and Fashion-MNIST from their public mirrors, and check each file against its SHA-256.

pooch is imported only for a download, because it imports a tqdm that warns in notebooks without ipywidgets.
"""

import io
import logging
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import platformdirs

from gpunn.datasets.dataset import DataUnavailable

TIMEOUT = 10  # seconds without an answer
PART, STALLED = 1 << 14, 60.0  # bytes, and the seconds in which as many must arrive
SLOWEST, GRACE = 10_000, 60.0  # bytes a second over a whole file, after these seconds
POLL = 0.25  # seconds

MIRRORS = {
    "mnist": (
        "https://ossci-datasets.s3.amazonaws.com/mnist",
        "https://storage.googleapis.com/cvdf-datasets/mnist",
    ),
    "fashion-mnist": (
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets",
    ),
}

# Sizes of the .gz files in bytes.
SIZES = {
    "mnist": (9_912_422, 28_881, 1_648_877, 4_542),
    "fashion-mnist": (26_421_880, 29_515, 4_422_102, 5_148),
}

# Checksums of the .gz files; those of Fashion-MNIST are published by TensorFlow Datasets.
SHA256 = {
    "mnist": {
        "train-images-idx3-ubyte": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "train-labels-idx1-ubyte": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "t10k-images-idx3-ubyte": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "t10k-labels-idx1-ubyte": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    },
    "fashion-mnist": {
        "train-images-idx3-ubyte": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "train-labels-idx1-ubyte": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "t10k-images-idx3-ubyte": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "t10k-labels-idx1-ubyte": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    },
}


def cache_folder(name: str) -> Path:
    """Return the folder of the user's cache that holds the downloaded files of a data set."""
    return Path(platformdirs.user_cache_dir("gpunn")) / name


def download(name: str, stems: Sequence[str], folder: Path) -> None:
    """Download STEM.gz for each stem of a data set to the folder, from the first mirror that works.

    A file appears in the folder only once it is complete and its SHA-256 is right.

    Raises DataUnavailable if every mirror fails.
    """
    reasons = []
    for mirror in MIRRORS[name]:
        try:
            for stem in stems:
                most = SIZES[name][list(SHA256[name]).index(stem)]
                _retrieve(f"{mirror}/{stem}.gz", SHA256[name][stem], most, folder)
            return
        except (OSError, ValueError) as error:  # pooch: a wrong checksum is a ValueError
            reasons.append(f"{urlsplit(mirror).netloc}: {_reason(error)}")
    raise DataUnavailable(
        f"cannot download {name} ({'; '.join(reasons)}): put {', '.join(f'{stem}.gz' for stem in stems)} "
        f"in {folder}, or in any folder given with --data-dir or GPUNN_DATA"
    )


class Bounded(io.FileIO):
    """A file that refuses to grow beyond a size: a mirror that never ends would fill the disk.

    Attributes:
        written: its size.
    """

    def __init__(self, path: str, most: int) -> None:
        super().__init__(path, "w")
        self.most, self.written = most, 0

    def write(self, data: Any) -> int:
        """Write bytes. Raises ValueError, without writing them, if the file would be too large."""
        self.written += len(data)
        if self.written > self.most:
            raise ValueError(f"more than the {self.most:,} bytes expected")
        return super().write(data)


def _watch(fetch: Callable[[], None], file: Bounded) -> None:
    """Run a download in a thread of its own, which is abandoned if it stalls.

    Raises what it raises, and TimeoutError if no PART arrives within STALLED seconds, or if the file takes
    GRACE seconds longer than at SLOWEST bytes a second. A socket's time-out is not enough: each byte begins
    it anew.
    """
    ended: SimpleQueue[BaseException | None] = SimpleQueue()

    def run() -> None:
        try:
            fetch()
            ended.put(None)
        except BaseException as error:
            ended.put(error)

    Thread(target=run, daemon=True).start()
    begun = moved = time.monotonic()
    seen, longest = 0, GRACE + file.most / SLOWEST
    while True:
        try:
            error = ended.get(timeout=POLL)
            break
        except Empty:
            now = time.monotonic()
        if file.written > seen:
            seen, moved = file.written, now
        if now - moved > STALLED:
            raise TimeoutError(f"stalled after {seen:,} bytes, for {STALLED:g} s")
        if now - begun > longest:
            raise TimeoutError(f"too slow, with {seen:,} of {file.most:,} bytes in {longest:.0f} s")
    try:
        if error:
            raise error
    finally:
        del error  # its traceback refers to this frame, and to the connection


def _retrieve(url: str, sha256: str, most: int, folder: Path) -> None:
    """Download a file of at most this many bytes."""
    import pooch

    terminal = sys.stderr is not None and sys.stderr.isatty()
    http = pooch.HTTPDownloader(progressbar=terminal, chunk_size=PART, timeout=TIMEOUT)

    def download_bounded(url: str, path: str, registry: Any) -> None:
        with Bounded(path, most) as file:
            _watch(partial(http, url, file, registry), file)

    with _quiet(pooch.get_logger()):
        pooch.retrieve(url, f"sha256:{sha256}", url.rsplit("/", 1)[1], folder, downloader=download_bounded)


@contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    """Log warnings only."""
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def _reason(error: Exception) -> str:
    """Shorten an error of requests or pooch, which can have several hundred characters, to a few words."""
    response = getattr(error, "response", None)
    if response is not None:
        return f"HTTP {response.status_code}"
    if "hash" in str(error):
        return "wrong SHA-256"
    system = re.search(r"\[\w+ -?\d+\] ([^:'\")]+)", str(error))  # [Errno 111] Connection refused
    words = system[1] if system else str(error).rsplit(": ", 1)[-1].strip(" '\")>")
    return words[:80] or type(error).__name__
