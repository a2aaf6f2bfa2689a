"""Folders of IDX files for tests, and a check of error messages."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpunn.datasets.folder import FILES
from gpunn.datasets.idx import ELEMENT_TYPES

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 4, 3), dtype=np.uint8)
LABELS = np.arange(12, dtype=np.uint8) % 3


def idx_bytes(array: np.ndarray, code: int = 0x08) -> bytes:
    """Write an array in the IDX format, with this code of the element type."""
    header = struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape)
    return header + array.astype(ELEMENT_TYPES[code]).tobytes()


def write_folder(
    folder: Path, images: np.ndarray = PIXELS, labels: np.ndarray = LABELS, suffix: str = ".gz"
) -> Path:
    """Write the four files of a data set whose training and test examples are the same."""
    folder.mkdir(parents=True, exist_ok=True)
    pack = gzip.compress if suffix == ".gz" else bytes
    for name in FILES:
        array = images if "images" in name else labels
        (folder / (name + suffix)).write_bytes(pack(idx_bytes(array)))
    return folder


def refused(kind: type[Exception], action: Callable[[], Any], *words: object) -> str:
    """Check that the action raises this kind of error in one line with these words; return the line."""
    with pytest.raises(kind) as caught:
        action()
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert str(word) in message, message
    return message
