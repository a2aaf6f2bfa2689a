"""The good files that are damaged: models, runs, tables, arrays, images."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.attack import sandbox
from gpunn.datasets import load
from gpunn.datasets.folder import FILES
from gpunn.network import Network

TRAIN_TABLE = ["--target", "kind", "--epochs", "1", "--hidden", "4", "--device", "cpu", "--json"]
TRAIN_IMAGES = ["--epochs", "3", "--hidden", "8", "--device", "cpu", "--json", "--seed", "1"]


@dataclass(frozen=True)
class Material:
    """The folder of good files, which no trial may change."""

    folder: Path

    def path(self, name: str) -> Path:
        return self.folder / name

    def digest(self) -> str:
        """Return a checksum of all good files."""
        return digest(self.folder)

    def theta(self) -> bytes:
        """Return the parameters of the run with checkpoints, which every resumed run must reach."""
        return Network.load(self.folder / "images").theta.tobytes()


def digest(folder: Path) -> str:
    """Return a checksum of all files in a folder, with their names."""
    checksum = hashlib.blake2b(digest_size=16)
    for path in sorted(folder.rglob("*")):
        checksum.update(str(path.relative_to(folder)).encode(errors="surrogateescape"))
        if path.is_file():
            checksum.update(path.read_bytes())
    return checksum.hexdigest()


def make(folder: Path) -> Material:
    """Make the good files; those that need a missing library are left out."""
    folder.mkdir()
    _write_tables(folder)
    _write_images(folder)
    run = ["--checkpoint-every", "1", "--output", "images"]
    for arguments in (
        ["train", "digits", *TRAIN_IMAGES, *run],
        ["train", "fruit.csv", *TRAIN_TABLE, "--output", "table"],
    ):
        outcome = sandbox.run(arguments, folder)
        if outcome.code != 0:
            raise SystemExit(f"cannot prepare: gpunn {' '.join(arguments)}: {outcome.err}")
    return Material(folder)


def _write_tables(folder: Path) -> None:
    rng = np.random.default_rng(0)
    kind, day = rng.integers(0, 3, 120), rng.integers(0, 7, 120)
    size, weight = kind + rng.normal(0, 0.5, 120), 100 * rng.random(120)
    header = ["size", "weight", "day", "kind"]
    rows = [
        [f"{s:.3f}", f"{w:.1f}", f"day {d}", f"kind {k}"]
        for s, w, d, k in zip(size, weight, day, kind, strict=True)
    ]
    for name, kept in (("fruit.csv", 4), ("new.csv", 3)):
        with open(folder / name, "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(row[:kept] for row in [header, *rows])
    np.savez(folder / "fruit.npz", size=size, weight=weight, kind=kind)
    np.savez_compressed(folder / "small.npz", size=size, weight=weight, kind=kind)
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        return
    columns: dict[str, Any] = {name: [row[k] for row in rows] for k, name in enumerate(header)}
    columns |= {"size": size, "weight": weight}
    for name, keep in (("fruit.parquet", 4), ("new.parquet", 3)):
        parquet.write_table(pyarrow.table({n: columns[n] for n in header[:keep]}), folder / name)


def _write_images(folder: Path) -> None:
    from PIL import Image

    digits = load("digits").test
    np.save(folder / "digits.npy", digits.X[:, :5])
    for mode in ("L", "RGBA"):
        Image.fromarray(digits.X[:, 3].reshape(8, 8)).resize((40, 40)).convert(mode).save(
            folder / f"{mode}.png"
        )
    (folder / "idx").mkdir()
    images = np.random.default_rng(0).integers(0, 256, (30, 5, 4), np.uint8)
    for name in FILES:
        array = images if "images" in name else np.arange(30, dtype=np.uint8) % 3
        sizes = b"".join(n.to_bytes(4, "big") for n in array.shape)
        content = bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()
        (folder / "idx" / name).write_bytes(content)
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as file:
        file.write((folder / "idx" / FILES[0]).read_bytes())
    (folder / "idx.gz").write_bytes(packed.getvalue())
