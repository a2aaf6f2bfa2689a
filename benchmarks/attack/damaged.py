"""Trials with damaged inputs: a good file is damaged, and a command reads it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.attack import sandbox
from benchmarks.attack.damage import damage
from benchmarks.attack.material import TRAIN_TABLE, Material, digest
from benchmarks.attack.rules import judge, leftovers
from gpunn.network import Network

Command = Sequence[object]
NO_CUDA = ["--device", "cpu"]
QUICK = ["--epochs", "1", "--hidden", "4", *NO_CUDA, "--json"]
Found = Iterator[tuple[sandbox.Outcome, list[str]]]


@dataclass(frozen=True)
class Door:
    """A kind of input.

    Attributes:
        sources: good files, of which a trial damages one.
        name: the name of the damaged file in the folder of the trial.
        commands: commands that read it, given the folder of the good files.
        copied: a folder of the material that the damaged file lies in.
        checked: whether damage must be noticed, unless the output is that of the good file.
    """

    sources: Sequence[str]
    name: str
    commands: Callable[[Material], Sequence[Command]]
    copied: str | None = None
    checked: bool = False


def _reports(good: Material) -> Sequence[Command]:
    quiet = ["--no-browser", "--output", "page.html"]
    return [["report", "images", *quiet], ["report", "images", good.path("table"), *quiet]]


DOORS: dict[str, Door] = {
    "model": Door(
        ["images/model.safetensors"],
        "m.safetensors",
        lambda good: [
            ["predict", "m.safetensors", good.path("digits.npy")],
            ["evaluate", "m.safetensors", "digits", *NO_CUDA],
            ["export", "m.safetensors", "m.onnx"],
        ],
        checked=True,
    ),
    "table model": Door(
        ["table/model.safetensors"],
        "m.safetensors",
        lambda good: [
            ["predict", "m.safetensors", good.path("new.csv")],
            ["evaluate", "m.safetensors", good.path("fruit.csv"), *NO_CUDA],
        ],
        checked=True,
    ),
    "checkpoint": Door(
        ["images/checkpoints/epoch-000003.safetensors"],
        "images/checkpoints/epoch-000003.safetensors",
        lambda good: [["train", "--resume", "images", "--json"]],
        "images",
    ),
    "run.json": Door(["images/run.json"], "images/run.json", _reports, "images"),
    "history.jsonl": Door(["images/history.jsonl"], "images/history.jsonl", _reports, "images"),
    "CSV": Door(
        ["fruit.csv", "new.csv"],
        "bad.csv",
        lambda good: [
            ["predict", good.path("table"), "bad.csv"],
            ["evaluate", good.path("table"), "bad.csv", *NO_CUDA],
            ["train", "bad.csv", *TRAIN_TABLE, "--output", "out"],
        ],
    ),
    "Parquet": Door(
        ["fruit.parquet", "new.parquet"],
        "bad.parquet",
        lambda good: [
            ["predict", good.path("table"), "bad.parquet"],
            ["train", "bad.parquet", *TRAIN_TABLE, "--output", "out"],
        ],
    ),
    "npz": Door(
        ["fruit.npz", "small.npz"],
        "bad.npz",
        lambda good: [
            ["train", "bad.npz", *TRAIN_TABLE, "--output", "out"],
            ["predict", good.path("table"), "bad.npz"],
        ],
    ),
    "npy": Door(
        ["digits.npy"],
        "bad.npy",
        lambda good: [
            ["predict", good.path("images"), "bad.npy"],
            ["train", "bad.npy", *TRAIN_TABLE, "--target", "0", "--output", "out"],
        ],
    ),
    "IDX": Door(
        ["idx/train-images-idx3-ubyte", "idx/train-labels-idx1-ubyte"],
        "idx/train-images-idx3-ubyte",
        lambda good: [
            ["train", "idx", "--epochs", "1", "--hidden", "4", *NO_CUDA, "--json", "--output", "out"]
        ],
        "idx",
    ),
    "IDX, gzip": Door(
        ["idx.gz"],
        "idx/train-images-idx3-ubyte.gz",
        lambda good: [
            ["train", "idx", "--epochs", "1", "--hidden", "4", *NO_CUDA, "--json", "--output", "out"]
        ],
        "idx",
    ),
    "PNG": Door(["L.png", "RGBA.png"], "bad.png", lambda good: [["predict", good.path("images"), "bad.png"]]),
}


def attempt(
    kind: str, good: Material, folder: Path, rng: Random
) -> Iterator[tuple[sandbox.Outcome, list[str]]]:
    """Damage a file, run a command that reads it, and yield its outcome with the rules that it broke."""
    door = DOORS[kind]
    source = good.path(rng.choice([name for name in door.sources if good.path(name).exists()]))
    other = rng.choice([path for path in sorted(good.folder.iterdir()) if path.is_file()]).read_bytes()
    whole = source.read_bytes()
    if door.copied:
        shutil.copytree(good.path(door.copied), folder / door.copied)
    if kind == "IDX, gzip":
        (folder / "idx" / "train-images-idx3-ubyte").unlink()
    path, damaged = folder / door.name, damage(whole, rng, other)
    path.write_bytes(damaged)
    before = digest(folder)
    outcome = sandbox.run(rng.choice(door.commands(good)), folder)
    broken = [*judge(outcome, [path.name, *(["idx"] if door.copied == "idx" else [])]), *leftovers(folder)]
    if kind == "checkpoint":
        broken += _judge_resumed(outcome, good, folder)
    else:
        _remove_outputs(folder)
        broken += ["an input was changed"] if digest(folder) != before else []
    if door.checked and outcome.code == 0 and _means_something_else(whole, damaged, path, folder):
        broken.append("damage was not noticed")
    yield outcome, broken


def _remove_outputs(folder: Path) -> None:
    shutil.rmtree(folder / "out", ignore_errors=True)
    shutil.rmtree(folder / "gpunn-runs", ignore_errors=True)
    for name in ("page.html", "m.onnx"):
        (folder / name).unlink(missing_ok=True)


def _judge_resumed(outcome: sandbox.Outcome, good: Material, folder: Path) -> Iterator[str]:
    """Yield a rule if the resumed run does not reach the weights of the run that was never damaged."""
    if outcome.code == 0 and Network.load(folder / "images").theta.tobytes() != good.theta():
        yield "the resumed run differs"
    elif outcome.code != 0:
        yield "not resumed from the older checkpoint"


def _means_something_else(whole: bytes, damaged: bytes, path: Path, folder: Path) -> bool:
    """Whether a damaged model that was accepted differs from the good one."""
    found = []
    for content in (whole, damaged):
        path.write_bytes(content)
        net = Network.load(path)
        described: Any = repr(net), net.theta.tobytes(), net.meta
        found.append(described)
    return bool(found[0] != found[1])
