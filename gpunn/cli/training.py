"""`gpunn train`: load, build, fit, keep."""

from __future__ import annotations

import itertools
import json
import os
import shlex
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from gpunn import Augmentation, Dense, EarlyStopping, History, Network, __version__, backends, datasets
from gpunn.callbacks import JsonLines, TensorBoard
from gpunn.checkpoint import newest
from gpunn.datasets import Dataset, DataUnavailable
from gpunn.history import Callback
from gpunn.inputs import check_smoothing, check_weights, check_y
from gpunn.names import look_up
from gpunn.optimizers import OPTIMIZERS, Optimizer

RUNS = Path("gpunn-runs")
HELD_OUT = 0.1  # of the training examples, where they decide when to stop: the test examples must not
USUAL = {"epochs": 10, "batch_size": 128}
USUAL_FOR = {"digits": {"epochs": 20, "batch_size": 16}}  # 1,437 examples: few steps in an epoch
DTYPES = {"float32": "float32", "float64": "float64", "tf32": "float32", "bf16": "float32"}


@dataclass(frozen=True)
class Settings:
    """What was asked for; None where that depends on the rest."""

    hidden: list[int]
    activation: str
    output_activation: str
    cost: str | None
    init: str | None
    dropout: float
    input_dropout: float
    batch_norm: bool
    optimizer: str
    learning_rate: float | None
    schedule: str | None
    l2: float | None
    l1: float
    max_norm: float | None
    clip_norm: float | None
    class_weight: str | None
    label_smoothing: float
    shift: float
    rotate: float
    scale: float
    elastic: float
    epochs: int | None
    batch_size: int | None
    patience: int | None
    checkpoint_every: int | None
    tensorboard: bool
    seed: int
    device: str
    precision: str


def train(
    data: str | None,
    settings: Settings,
    data_dir: Path | None,
    output: Path | None,
    as_json: bool,
    resume: bool = False,
) -> int:
    """Train a network and keep it; the exit code."""
    optimizer = build_optimizer(settings)
    check_writable(output or RUNS)
    dataset = load(data, data_dir)
    net = build_network(settings, dataset)
    check_targets(settings, dataset, net)
    settings = complete(settings, dataset, net, optimizer)
    be = backends.choose(settings.device, net.dtype, settings.precision)
    if not as_json:
        print(describe(settings, dataset, net, be.description), flush=True)
    net.meta = describe_data(settings, dataset)
    where = str(data_dir.absolute()) if data_dir else None
    net.meta["resume"] = {"data_dir": where, "settings": asdict(settings)}
    with run_folder(output, dataset) as folder:
        history = net.fit(
            dataset.train.X,
            dataset.train.y,
            epochs=settings.epochs or 0,
            batch_size=settings.batch_size or 0,
            optimizer=optimizer,
            schedule=settings.schedule,
            augmentation=build_augmentation(settings, dataset),
            validation=HELD_OUT if settings.patience else (dataset.test.X, dataset.test.y),
            stop=EarlyStopping("validation_accuracy", settings.patience) if settings.patience else None,
            checkpoint=folder / "checkpoints" if settings.checkpoint_every else None,
            checkpoint_every=settings.checkpoint_every or 1,
            resume=resume,
            class_weight=settings.class_weight,
            label_smoothing=settings.label_smoothing,
            device=settings.device,
            precision=settings.precision,
            verbose=True,
            on_epoch_end=callbacks(settings, folder),
        )
        result = {"device": be.name, **summarise(settings, dataset, net, history)}
        net.meta = describe_for_later(settings, dataset, result)
        model = folder / "model.safetensors"
        net.save(model)
    result["model"] = str(model)
    print(json.dumps(result) if as_json else closing_words(result, data_dir))
    return 130 if history.interrupted else 0


def resume(run: Path, data_dir: Path | None, as_json: bool) -> int:
    """Go on with a run from its newest checkpoint, with its settings; the exit code."""
    saved = newest(run / "checkpoints")
    meta = saved.state["meta"] if saved else {}
    if "resume" not in meta:
        raise ValueError(f"{run} holds no checkpoint of gpunn train: begin one with --checkpoint-every")
    kept = meta["resume"]
    data_dir = data_dir or (Path(kept["data_dir"]) if kept["data_dir"] else None)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*going on from")  # said above
        return train(meta["dataset"], Settings(**kept["settings"]), data_dir, run, as_json, resume=True)


# before


def load(name: str | None, data_dir: Path | None) -> Dataset:
    """The data set; where none is named and MNIST cannot be had, the digits."""
    try:
        return datasets.load(name or "mnist", data_dir)
    except DataUnavailable as error:
        if name:
            raise
        print(f"gpunn: training the embedded digits, since there is no MNIST: {error}", file=sys.stderr)
        return datasets.load("digits")


def build_optimizer(settings: Settings) -> Optimizer:
    make = look_up(OPTIMIZERS, settings.optimizer, "optimizer")
    chosen = {
        name: getattr(settings, name) for name in ("learning_rate", "l2", "l1", "max_norm", "clip_norm")
    }
    optimizer: Optimizer = make(**{name: value for name, value in chosen.items() if value is not None})
    return optimizer


def build_network(settings: Settings, dataset: Dataset) -> Network:
    chosen = settings.activation, settings.init, settings.dropout, settings.batch_norm
    layers = [Dense(n, *chosen) for n in settings.hidden]
    layers.append(Dense(len(dataset.classes), settings.output_activation, settings.init))
    return Network(
        len(dataset.train.X),
        layers,
        settings.cost,
        settings.seed,
        look_up(DTYPES, settings.precision, "precision"),
        input_dropout=settings.input_dropout,
    )


def build_augmentation(settings: Settings, dataset: Dataset) -> Augmentation | None:
    chosen = settings.shift, settings.rotate, settings.scale, settings.elastic
    return Augmentation(dataset.image_shape, *chosen) if any(chosen) else None


def callbacks(settings: Settings, folder: Path) -> list[Callback]:
    """What writes down each epoch."""
    watching: list[Callback] = [JsonLines(folder / "history.jsonl")]
    return [*watching, TensorBoard(folder)] if settings.tensorboard else watching


def check_targets(settings: Settings, dataset: Dataset, net: Network) -> None:
    """Find out before the work whether the classes can be weighed and smoothed so."""
    m, n_out = len(dataset.train.y), net.sizes[-1]
    y = check_y(dataset.train.y, m, n_out)
    check_weights(None, settings.class_weight, y, m, n_out)
    check_smoothing(settings.label_smoothing, y, net.cost)


def complete(settings: Settings, dataset: Dataset, net: Network, optimizer: Any) -> Settings:
    """The settings with nothing left open."""
    usual = USUAL_FOR.get(dataset.name, USUAL)
    return replace(
        settings,
        cost=net.cost.name,
        learning_rate=optimizer.learning_rate,
        l2=optimizer.l2,
        epochs=usual["epochs"] if settings.epochs is None else settings.epochs,
        batch_size=usual["batch_size"] if settings.batch_size is None else settings.batch_size,
    )


def describe(settings: Settings, dataset: Dataset, net: Network, device: str) -> str:
    """One line: what is trained on what, and where."""
    return (
        f"{dataset.name}, {dataset.train.X.shape[1]:,} examples: "
        f"{net.name}, {net.parameters:,} parameters, {settings.optimizer}, on {device}"
    )


def check_writable(folder: Path) -> None:
    """Find out before the work whether the folder could be written, leaving nothing behind."""
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise ValueError(
            f"cannot write to {folder} ({error.strerror}): choose a folder with --output"
        ) from error


# after


def summarise(settings: Settings, dataset: Dataset, net: Network, history: History) -> dict[str, Any]:
    """What came out. The test is of the weights that are saved, even if Ctrl-C came within an epoch."""
    test_loss, test_accuracy = net.evaluate(dataset.test.X, dataset.test.y)
    return {
        "dataset": dataset.name,
        "device_description": history.device,
        "network": net.name,
        "parameters": net.parameters,
        "epochs": len(history),
        "interrupted": history.interrupted,
        "stopped": history.stopped,
        "train_loss": history[-1].loss if len(history) else None,
        "test_loss": test_loss,
        "test_accuracy": test_accuracy,
        "seconds": history.seconds,
        "examples_per_second": history.examples_per_second,
        "seed": settings.seed,
        "settings": asdict(settings),
    }


def describe_for_later(settings: Settings, dataset: Dataset, result: dict[str, Any]) -> dict[str, Any]:
    """What `gpunn evaluate` and `gpunn predict` need to know of the model."""
    figures = "test_accuracy", "test_loss", "epochs", "stopped", "seconds", "device_description"
    return {**describe_data(settings, dataset), **{name: result[name] for name in figures}}


def describe_data(settings: Settings, dataset: Dataset) -> dict[str, Any]:
    """The same as far as it is known before training."""
    return {
        "dataset": dataset.name if dataset.name in datasets.NAMES else os.path.abspath(dataset.name),
        "image_shape": dataset.image_shape,
        "classes": dataset.classes,
        "digit": dataset.name != "fashion-mnist",
        "settings": asdict(settings),
        "gpunn": __version__,
    }


@contextmanager
def run_folder(output: Path | None, dataset: Dataset) -> Iterator[Path]:
    """The folder of a run, made if need be; gone again if nothing came of the run."""
    folder = output or new_folder(RUNS, Path(dataset.name).resolve().name)
    made = output is None or not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield folder
    finally:
        with suppress(OSError):  # not empty
            if made:
                folder.rmdir()
            if output is None:
                RUNS.rmdir()


def new_folder(parent: Path, name: str) -> Path:
    """Make NAME-1, or whichever number is free."""
    parent.mkdir(parents=True, exist_ok=True)
    for n in itertools.count(1):
        try:
            folder = parent / f"{name}-{n}"
            folder.mkdir()
            return folder
        except FileExistsError:
            continue
    raise AssertionError("count does not end")


def closing_words(result: dict[str, Any], data_dir: Path | None) -> str:
    model, dataset = shlex.quote(result["model"]), shlex.quote(result["dataset"])
    where = f" --data-dir {shlex.quote(str(data_dir))}" if data_dir else ""
    epochs = f"{result['epochs']} epoch{'' if result['epochs'] == 1 else 's'}"
    if result["stopped"]:
        how = "interrupted" if result["interrupted"] else "stopped early"
        epochs = f"{how} after {epochs}"
    return (
        f"test accuracy {result['test_accuracy']:.2%}, {epochs} in {result['seconds']:.3g} s, "
        f"{result['examples_per_second']:,.0f} examples/s\n"
        f"saved {result['model']}; now try\n"
        f"  gpunn evaluate {model} {dataset}{where}\n"
        f"  gpunn predict {model} image.png\n"
        f"  gpunn demo {model}"
    )
