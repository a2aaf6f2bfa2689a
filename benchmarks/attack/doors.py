"""The doors of the command line: kinds of input, with the commands that read them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.attack.material import CPU_ONLY, QUICK, QUIET_REPORT, SWEEP, TRAIN_TABLE, Material

Command = Sequence[object]
TO_OUT = ["--output", "out"]
TRAIN_ARRAYS = ["--task", "classification", *QUICK, *TO_OUT]


@dataclass(frozen=True)
class Door:
    """A kind of input.

    Attributes:
        sources: patterns of good files, of which a trial damages one.
        commands: commands that read the damaged file, given the good files and its path.
        name: the path of the damaged file in the folder of the trial; None for its source's name.
        copied: a folder of good files that the damaged file lies in.
        named: what a refusal must name: one of these, or the file.
        checked: whether damage must be noticed, unless the model is still the same.
        piped: whether the file is standard input.
        share: trials per round.
    """

    sources: Sequence[str]
    commands: Callable[[Material, str], Sequence[Command]]
    name: str | None = None
    copied: str | None = None
    named: Sequence[str] = ()
    checked: bool = False
    piped: bool = False
    share: int = 3


def _read_table(good: Material, file: str) -> Sequence[Command]:
    """Return the commands that read a table."""
    return [
        ["predict", good.path("table"), file],
        ["evaluate", good.path("table"), file, *CPU_ONLY],
        ["train", file, *TRAIN_TABLE, *TO_OUT],
    ]


def _read_run(good: Material, file: str) -> Sequence[Command]:
    """Return the commands that read a run's folder, images."""
    return [["report", "images", *QUIET_REPORT], ["report", "images", good.path("table"), *QUIET_REPORT]]


DOORS: dict[str, Door] = {
    "model": Door(
        ["images/model.safetensors"],
        lambda good, file: [
            ["predict", file, good.path("columns.npy")],
            ["evaluate", file, good.path("idx"), *CPU_ONLY],
            ["export", file, "m.onnx"],
        ],
        checked=True,
        share=5,
    ),
    "model of a table": Door(
        ["table/model.safetensors"],
        lambda good, file: [
            ["predict", file, good.path("new.csv")],
            ["evaluate", file, good.path("fruit.csv"), *CPU_ONLY],
            ["export", file, "m.onnx"],
        ],
        checked=True,
        share=5,
    ),
    "model of pictures": Door(
        ["pictures/model.safetensors"],
        lambda good, file: [
            ["predict", file, good.path("L.png")],
            ["evaluate", file, good.path("classes"), *CPU_ONLY],
        ],
        checked=True,
    ),
    "--from": Door(
        ["images/model.safetensors", "table/model.safetensors"],
        lambda good, file: [
            ["train", "--from", file, "--epochs", "1", *CPU_ONLY, "--json", *TO_OUT],
            ["train", good.path("idx"), "--from", file, "--epochs", "1", *CPU_ONLY, "--json", *TO_OUT],
        ],
        checked=True,
    ),
    "checkpoint": Door(
        ["images/checkpoints/epoch-000003.safetensors"],
        lambda good, file: [["train", "--resume", "images", "--json"]],
        "images/checkpoints/epoch-000003.safetensors",
        "images",
        share=1,
    ),
    "--resume": Door(
        ["images/history.jsonl", "images/run.json", "images/model.safetensors"],
        lambda good, file: [["train", "--resume", "images", "--json"]],
        copied="images",
        named=["images"],
        share=1,
    ),
    "sweep": Door(["fruit.csv"], lambda good, file: [["sweep", file, *SWEEP, *TO_OUT]], share=2),
    "sweep --resume": Door(
        ["sweep/sweep.json", "sweep/sweep.csv", "sweep/networks/*", "sweep/best/*"],
        lambda good, file: [["sweep", "--resume", "sweep", "--json"]],
        copied="sweep",
        named=["sweep"],
        share=2,
    ),
    "run.json": Door(["images/run.json"], _read_run, copied="images"),
    "history.jsonl": Door(["images/history.jsonl"], _read_run, copied="images"),
    "CSV": Door(["fruit.csv", "new.csv"], _read_table, share=6),
    "CSV of the test rows": Door(
        ["fruit.csv"],
        lambda good, file: [["train", good.path("fruit.csv"), "--test", file, *TRAIN_TABLE, *TO_OUT]],
        share=1,
    ),
    "CSV, gzip": Door(["fruit.csv.gz", "new.csv.gz"], _read_table),
    "standard input": Door(
        ["fruit.csv", "new.csv", "fruit.csv.gz"],
        lambda good, file: _read_table(good, "-"),
        named=["standard input"],
        piped=True,
    ),
    "Parquet": Door(["fruit.parquet", "new.parquet"], _read_table, share=4),
    "Excel": Door(["fruit.xlsx", "new.xlsx"], _read_table, share=4),
    "npz of columns": Door(["fruit.npz", "small.npz"], _read_table, share=4),
    "npz of images": Door(
        ["keras.npz", "keras.small.npz"],
        lambda good, file: [
            ["train", file, *QUICK, *TO_OUT],
            ["evaluate", good.path("images"), file, *CPU_ONLY],
        ],
    ),
    "npy": Door(
        ["columns.npy"],
        lambda good, file: [["predict", good.path("images"), file]],
    ),
    "npy of features": Door(
        ["features.npy"],
        lambda good, file: [["train", file, "--target", good.path("targets.npy"), *TRAIN_ARRAYS]],
    ),
    "npy of targets": Door(
        ["targets.npy"],
        lambda good, file: [["train", good.path("features.npy"), "--target", file, *TRAIN_ARRAYS]],
    ),
    "IDX": Door(
        ["idx/train-images-idx3-ubyte", "idx/train-labels-idx1-ubyte", "idx/t10k-images-idx3-ubyte"],
        lambda good, file: [
            ["train", "idx", *QUICK, *TO_OUT],
            ["train", "mnist", "--data-dir", "idx", *QUICK, *TO_OUT],
            ["evaluate", good.path("images"), "idx", *CPU_ONLY],
        ],
        copied="idx",
        named=["idx"],
    ),
    "IDX, gzip": Door(
        ["images.gz"],
        lambda good, file: [
            ["train", "idx", *QUICK, *TO_OUT],
            ["evaluate", good.path("images"), "idx", *CPU_ONLY],
        ],
        "idx/train-images-idx3-ubyte.gz",
        "idx",
        named=["idx"],
    ),
    "pictures": Door(
        ["L.png", "RGBA.png", "P.png", "1.png", "RGB.jpg", "L.bmp", "P.gif", "RGB.tif", "RGB.webp"],
        lambda good, file: [
            ["predict", good.path("images"), file],
            ["predict", good.path("pictures"), file, "--json"],
            ["predict", good.path("images"), file, "--show"],
        ],
        share=6,
    ),
    "folders of pictures": Door(
        ["classes/apple/0.png"],
        lambda good, file: [
            ["train", "classes", *QUICK, *TO_OUT],
            ["evaluate", good.path("pictures"), "classes", *CPU_ONLY],
            ["predict", good.path("pictures"), "classes/apple"],
        ],
        copied="classes",
    ),
}
