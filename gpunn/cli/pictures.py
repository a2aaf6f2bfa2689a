"""The pictures that `gpunn predict` reads, and the pictures that the network sees."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

from gpunn.cli.output import remark
from gpunn.datasets.decoding import SEEN, is_picture
from gpunn.datasets.images import read_marks
from gpunn.inspection.metrics import probabilities
from gpunn.predictor import Predictor

MARK = ("Software", "gpunn predict --show")
SHOWN_SIDE = 224  # pixels
SURE = 0.9  # probability


def expand_folders(files: Iterable[Path]) -> Iterator[Path]:
    """Yield the files, and for a folder the pictures in it by name, without those that --show wrote.

    A folder without pictures is yielded itself, to be refused where files are read.
    """
    for file in files:
        inside = sorted(path for path in file.iterdir() if is_picture(path)) if file.is_dir() else []
        yield from inside or [file]


def read_digits(net: Predictor, file: Path, shape: tuple[int, int], device: str) -> np.ndarray:
    """Read the digits on a picture as X (n_in, m), and say so if one is as wide as several.

    A wide mark is cut into several digits if the network is sure of each of them, and less sure of the whole.
    """
    marks, found = read_marks(file, shape), []
    for mark in marks:
        parts = [mark.whole] if mark.parts is None else [mark.whole, mark.parts]
        sure = [_least_sure(net, X, device) for X in parts]
        found.append(parts[-1] if sure[-1] > max(SURE, sure[0]) else mark.whole)
    for mark, X in zip(marks, found, strict=True):
        if mark.wide:
            n = X.shape[1]
            read = (
                f"{n} digits that touch" if n > 1 else "one digit; if it is several, leave gaps between them"
            )
            remark(f"{file}: a mark as wide as several digits was read as {read}")
    return np.concatenate(found, axis=1)


def _least_sure(net: Predictor, X: np.ndarray, device: str) -> float:
    """Return the probability of the least certain of the examples X (n_in, m); 0 without probabilities."""
    p = probabilities(net, net.forward(X, device=device))
    return 0.0 if p is None else float(p.max(axis=0).min())


def show(file: Path, X: np.ndarray, shape: tuple[int, int] | None, channels: int | None) -> Path:
    """Write what the network saw of a picture beside it, enlarged, and return the path.

    X: the examples (height·width·channels, m) on the picture, drawn side by side. No file is replaced, except
    for one that an earlier call wrote.
    """
    assert shape  # X was read as images of this height and width
    examples = [x.reshape((*shape, 3) if channels == 3 else shape) for x in X.T]
    picture = Image.fromarray(np.concatenate(examples, axis=1))
    times = max(1, SHOWN_SIDE // shape[0])
    picture = picture.resize((picture.width * times, picture.height * times), Image.Resampling.NEAREST)
    info = PngImagePlugin.PngInfo()
    info.add_text(*MARK)
    path = next(path for path in _names(file) if not path.exists() or _is_ours(path))
    picture.save(path, "PNG", pnginfo=info)
    return path


def _names(file: Path) -> Iterator[Path]:
    """Yield photo.jpg.seen.png, photo.jpg-2.seen.png, …"""
    for k in itertools.count(1):
        yield file.with_name(f"{file.name}{f'-{k}' if k > 1 else ''}{SEEN}.png")


def _is_ours(path: Path) -> bool:
    try:
        with Image.open(path, formats=("PNG",)) as image:
            return image.info.get(MARK[0]) == MARK[1]
    except (OSError, ValueError, SyntaxError):
        return False
