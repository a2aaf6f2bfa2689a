"""The good files that trials damage, and the commands that are disturbed."""

from __future__ import annotations

import csv
import gc
import gzip
import io
import mmap
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.attack import sandbox
from benchmarks.attack.moments import Length, count_operations
from gpunn.datasets.folder import FILES
from gpunn.network import Network

CPU_ONLY = ["--device", "cpu"]
QUICK = ["--epochs", "1", "--hidden", "4", *CPU_ONLY, "--json"]
TRAIN_TABLE = ["--target", "kind", *QUICK]
SWEEP = ["--grid", "learning_rate=0.01,0.1", "--seeds", "2", *TRAIN_TABLE]
TRAIN_IMAGES = ["--epochs", "3", "--hidden", "8", "--batch-size", "10", "--seed", "1", *CPU_ONLY, "--json"]
OUTPUTS = {"predict": "out.csv", "export": "out.onnx", "report": "out.html"}  # of commands that write a file
QUIET_REPORT = ["--no-browser", "--output", "page.html"]


@dataclass(frozen=True)
class Material:
    """The folder of good files, which no trial may change.

    Attributes:
        lengths: how long the commands of `disturbed_commands` run.
    """

    folder: Path
    lengths: dict[str, Length] = field(default_factory=dict)

    def path(self, name: str) -> Path:
        return self.folder / name

    def theta(self, name: str = "images") -> bytes:
        """Return the parameters of a good run, which every resumed run must reach."""
        return Network.load(self.folder / name).theta.tobytes()

    def disturbed_commands(self) -> dict[str, list[object]]:
        """Return the commands that are killed, sent signals or given a full disk; each writes files."""
        train = ["train", self.path("idx"), *TRAIN_IMAGES, "--output", "run", "--overwrite"]
        predict = ["predict", self.path("table"), self.path("new.csv"), "-o", "out.csv"]
        return {
            "train": [*train, "--checkpoint-every", "1"],
            "sweep": ["sweep", self.path("fruit.csv"), *SWEEP, "--output", "sweep"],
            "predict": predict,
            "export": ["export", self.path("images"), "out.onnx"],
            "report": ["report", self.path("images"), "--no-browser", "--output", "out.html"],
        }


def make(folder: Path) -> Material:
    """Make the good files, with what the extra `test` installs.

    The commands run in this process, so that every process that it forks starts with their imports.
    """
    folder.mkdir()
    _write_tables(folder)
    _write_images(folder)
    good = Material(folder)
    for arguments in (
        ["train", folder / "idx", *TRAIN_IMAGES, "--checkpoint-every", "1", "--output", "images"],
        ["train", folder / "classes", *TRAIN_IMAGES, "--output", "pictures"],
        ["train", "fruit.csv", *TRAIN_TABLE, "--output", "table"],
        ["sweep", folder / "fruit.csv", *SWEEP, "--output", "sweep"],
    ):
        _run_here(arguments, folder)
    with tempfile.TemporaryDirectory(prefix="gpunn-attack-") as scratch:
        for arguments in _reading(good):
            _run_here(arguments, Path(scratch))
    sandbox.build_once()
    for command in good.disturbed_commands().values():  # once more, with the shared commands
        with tempfile.TemporaryDirectory(prefix="gpunn-attack-") as scratch:
            _run_here(command, Path(scratch))
    gc.freeze()  # a collection in a forked process would copy all that it shares with this one
    return good


def _reading(good: Material) -> Iterator[list[object]]:
    """Yield a command for each kind of input."""
    yield from (command for name, command in good.disturbed_commands().items() if name in OUTPUTS)
    for name in ("new.parquet", "new.xlsx", "small.npz"):
        yield ["predict", good.path("table"), good.path(name)]
    for name in ("columns.npy", "L.png", "RGB.jpg", "RGB.tif", "P.gif", "L.bmp", "RGB.webp"):
        if good.path(name).exists():
            yield ["predict", good.path("images"), good.path(name)]
    yield ["predict", good.path("pictures"), good.path("L.png"), "--json"]
    yield ["evaluate", good.path("images"), good.path("keras.npz"), *CPU_ONLY]
    yield ["evaluate", good.path("table"), good.path("fruit.csv"), *CPU_ONLY]
    yield ["report", good.path("images"), good.path("pictures"), *QUIET_REPORT]


def _run_here(arguments: Sequence[object], folder: Path) -> None:
    """Run a command in this process and in a folder."""
    old, said = os.getcwd(), io.StringIO()
    os.chdir(folder)
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(said):
            code = sandbox.run_here(list(map(str, arguments)))
    finally:
        os.chdir(old)
    if code != 0:
        raise SystemExit(f"cannot prepare: gpunn {' '.join(map(str, arguments))}: {said.getvalue()}")


def measure(good: Material, folder: Path) -> None:
    """Measure how long each of the disturbed commands runs."""
    counter = mmap.mmap(-1, 8)
    for name, command in good.disturbed_commands().items():
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            outcome = sandbox.start(command, Path(scratch), lambda: count_operations(counter)).wait()
            size = max((path.stat().st_size for path in Path(scratch).rglob("*")), default=0)
        if outcome.code != 0:
            raise SystemExit(f"cannot prepare: {outcome.err}")
        good.lengths[name] = Length(int.from_bytes(counter[:8], "little"), outcome.cpu, size)


# tables


def _write_tables(folder: Path) -> None:
    rng = np.random.default_rng(0)
    kind, day = rng.integers(0, 3, 60), rng.integers(0, 7, 60)
    size, weight = kind + rng.normal(0, 0.5, 60), 100 * rng.random(60)
    header = ["size", "weight", "day", "kind"]
    rows = [
        [f"{s:.3f}", f"{w:.1f}", f"day {d}", f"kind {k}"]
        for s, w, d, k in zip(size, weight, day, kind, strict=True)
    ]
    for name, kept in (("fruit.csv", 4), ("new.csv", 3)):
        with open(folder / name, "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(row[:kept] for row in [header, *rows])
        content = (folder / name).read_bytes()
        (folder / f"{name}.gz").write_bytes(gzip.compress(content, mtime=0))
    arrays: dict[str, Any] = {"size": size, "weight": weight, "day": [row[2] for row in rows], "kind": kind}
    np.savez(folder / "fruit.npz", **arrays)
    np.savez_compressed(folder / "small.npz", **arrays)
    np.save(folder / "features.npy", np.stack([size, weight], axis=1))
    np.save(folder / "targets.npy", kind)
    columns: dict[str, Any] = {name: [row[k] for row in rows] for k, name in enumerate(header)}
    columns |= {"size": size, "weight": weight}
    _write_parquet(folder, columns)
    _write_excel(folder, columns)


def _write_parquet(folder: Path, columns: dict[str, Any]) -> None:
    import pyarrow
    from pyarrow import parquet

    for name, keep in (("fruit.parquet", 4), ("new.parquet", 3)):
        parquet.write_table(pyarrow.table({n: columns[n] for n in list(columns)[:keep]}), folder / name)


def _write_excel(folder: Path, columns: dict[str, Any]) -> None:
    import openpyxl

    for name, keep in (("fruit.xlsx", 4), ("new.xlsx", 3)):
        book = openpyxl.Workbook()
        book.active.append(list(columns)[:keep])
        for row in zip(*list(columns.values())[:keep], strict=True):
            book.active.append(list(row))
        book.save(folder / name)


# images


def _write_images(folder: Path) -> None:
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (30, 5, 4), np.uint8), np.arange(30, dtype=np.uint8) % 3
    np.save(folder / "columns.npy", images[:5].reshape(5, 20).T)
    for suffix, save in (("npz", np.savez), ("small.npz", np.savez_compressed)):
        save(folder / f"keras.{suffix}", x_train=images, y_train=labels, x_test=images, y_test=labels)
    (folder / "idx").mkdir()
    for name in FILES:
        array = images if "images" in name else labels
        sizes = b"".join(n.to_bytes(4, "big") for n in array.shape)
        content = bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()
        (folder / "idx" / name).write_bytes(content)
        if name in FILES[:2]:
            kind = "images" if "images" in name else "labels"
            (folder / f"{kind}.gz").write_bytes(gzip.compress(content, mtime=0))
    _write_pictures(folder, rng)


def _write_pictures(folder: Path, rng: np.random.Generator) -> None:
    from PIL import Image

    for k, name in enumerate(("apple", "pear", "plum")):
        (folder / "classes" / name).mkdir(parents=True)
        for n in range(4):
            pixels = rng.integers(80 * k, 80 * k + 60, (6, 6), np.uint8)
            Image.fromarray(pixels).save(folder / "classes" / name / f"{n}.png")
    digit = np.full((40, 30), 250, np.uint8)
    digit[8:32, 13:17] = 20
    picture = Image.fromarray(digit)
    for name, mode in (
        ("L.png", "L"), ("RGBA.png", "RGBA"), ("P.png", "P"), ("1.png", "1"), ("RGB.jpg", "RGB"),
        ("L.bmp", "L"), ("P.gif", "P"), ("RGB.tif", "RGB"), ("RGB.webp", "RGB"),
    ):  # fmt: skip
        try:
            picture.convert(mode).save(folder / name)
        except (KeyError, OSError):  # a Pillow without this format
            (folder / name).unlink(missing_ok=True)
