"""Helpers for tests of the command line."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from gpunn import datasets
from gpunn.datasets import Dataset, DataUnavailable
from gpunn.datasets.folder import FILES

ROOT = Path(__file__).parents[2]
QUICK = ["--epochs", "2", "--hidden", "32", "--device", "cpu"]
DIGITS = datasets.load("digits")


def start_process(*arguments: object, **options: Any) -> subprocess.Popen[str]:
    """Start `gpunn` in a process whose warnings are errors."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
    command = [sys.executable, "-m", "gpunn", *map(str, arguments)]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=environment, **pipes, **options)


def wait_until(condition: Callable[[], bool], run: subprocess.Popen[str]) -> None:
    """Wait as long as the process runs; pytest's own time limit ends a wait that would never end."""
    while not condition():
        assert run.poll() is None, run.communicate()
        time.sleep(0.01)


def contents(folder: str | Path) -> dict[str, bytes]:
    """Return the contents of each file in a folder by its name."""
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def write_idx_folder(folder: Path) -> None:
    """Write a folder of IDX files: 30 images of 5×4 pixels for training and for test, in 3 classes."""
    folder.mkdir()
    images = np.random.default_rng(0).integers(0, 256, (30, 5, 4), np.uint8)
    for name in FILES:
        array = images if "images" in name else np.arange(30, dtype=np.uint8) % 3
        header = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
        (folder / name).write_bytes(header + array.tobytes())


def load_without_mnist(
    name: str = "mnist", data_dir: object = None, image_size: int | None = None
) -> Dataset:
    """Stand in for `datasets.load` on a machine that has no MNIST and is offline."""
    if name != "digits":
        raise DataUnavailable("cannot download mnist (offline): put the files in /somewhere")
    return DIGITS


def change_metadata(model: Path, copy: Path, **changes: str) -> None:
    """Write a copy of a safetensors file with other metadata, and without the digest of the old ones."""
    with safe_open(model, "numpy") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = {**file.metadata(), **changes}
    metadata.pop("digest", None)
    save_file(tensors, copy, metadata)
