"""`gpunn train`: load the data, build the network, fit it and save the run."""

from __future__ import annotations

import json
import shlex
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gpunn import backends
from gpunn.cli.images import DOWNLOADABLE, open_images
from gpunn.cli.job import Job, build_network, check_settings, fit
from gpunn.cli.reports import WINDOW, draw_curve, show_window, write_report
from gpunn.cli.runs import MODEL, RUNS, check_output, keep, run_folder
from gpunn.cli.tables import open_job
from gpunn.cli.usage import refuse
from gpunn.names import counted
from gpunn.network import Network
from gpunn.tables.loading import TableOptions
from gpunn.tables.reading import is_table
from gpunn.training.checkpoint import newest
from gpunn.training.history import History, as_loss
from gpunn.training.option import from_kept
from gpunn.training.settings import Settings
from gpunn.version import __version__


def train(
    data: str | None,
    settings: Settings,
    table: TableOptions,
    data_dir: Path | None,
    output: Path | None,
    as_json: bool,
    options: Sequence[str],
    plot: bool = False,
    resumed: dict[str, Any] | None = None,
) -> int:
    """Train a network, save the run and return the exit code.

    Args:
        options: options to repeat in the command that trains the same network again.
        plot: draw the learning curve.
        resumed: metadata of the checkpoint to continue from.
    """
    check_output(output or RUNS, resumed is not None)
    job = open_data(data, settings, table, data_dir, resumed)
    settings = settings.with_defaults(job.usual)
    optimizer = settings.build_optimizer()
    net = build_network(settings, len(job.X), job.n_out)
    check_settings(settings, job, net)
    settings = settings.with_choices(net.cost.name, optimizer)
    be = backends.choose(settings.device, net.dtype, settings.precision)
    echo(as_json, *job.words, describe(settings, job, net, be.description))
    with run_folder(output, job.folder) as folder:
        for line in job.rehearse(settings):
            echo(as_json, line)
        net.meta = {**job.meta(), "settings": asdict(settings), "gpunn": __version__}
        net.meta["resume"] = resume_metadata(settings, table, data_dir, options)
        history = fit(net, job, settings, folder, resumed is not None)
        tested, outputs = job.test(net)
        result = {"device": be.name, **summarise(settings, job, net, history, tested)}
        net.meta = model_metadata(job, result)
        keep(folder, net, history)
        result["model"] = str(folder / MODEL)
        result["report"] = write_report(folder, job, net, outputs, history, result, options)
        drawn = plot and draw_curve(folder, history, f"{net.name} on {job.name}")
        result |= {"curve": drawn} if drawn else {}
    print(json.dumps(result) if as_json else closing_words(result, job), flush=True)
    if drawn == WINDOW:
        show_window()
    return 130 if history.interrupted else 0


def resume(run: Path, data_dir: Path | None, as_json: bool, plot: bool) -> int:
    """Continue a run from its newest checkpoint, with its settings, and return the exit code."""
    saved = newest(run / "checkpoints")
    meta = saved.state["meta"] if saved else {}
    if "resume" not in meta:
        raise ValueError(
            f"{run} has no checkpoint to resume from: train with --checkpoint-every to save checkpoints"
        )
    kept = meta["resume"]
    data_dir = data_dir or (Path(kept["data_dir"]) if kept["data_dir"] else None)
    settings, table = from_kept(Settings, kept["settings"]), from_kept(TableOptions, kept["table"])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*resuming from")  # the user asked for it
        return train(meta["dataset"], settings, table, data_dir, run, as_json, kept["options"], plot, meta)


def open_data(
    data: str | None,
    settings: Settings,
    table: TableOptions,
    data_dir: Path | None,
    resumed: dict[str, Any] | None,
) -> Job:
    """Open the images or the table of this name.

    Raises ValueError if options were chosen that apply to the other kind of data only.
    """
    if data and is_table(data):
        image_options = ("shift", "rotate", "scale", "elastic")
        refuse([name for name in image_options if getattr(settings, name)], "images", data)
        refuse(["data_dir"] if data_dir else [], DOWNLOADABLE, data)
        return open_job(Path(data), settings, table, resumed)
    refuse(table.chosen(), "tables (.csv, .parquet, .npz, .npy)", data or "mnist")
    return open_images(data, data_dir)


# what is printed and saved


def resume_metadata(
    settings: Settings, table: TableOptions, data_dir: Path | None, options: Sequence[str]
) -> dict[str, Any]:
    """Return what a checkpoint must hold so that the run can be resumed."""
    return {
        "data_dir": str(data_dir.absolute()) if data_dir else None,
        "settings": asdict(settings),
        "table": asdict(table.absolute()),
        "options": list(options),
    }


def echo(as_json: bool, *lines: str) -> None:
    """Print lines, unless the output is to be JSON only."""
    if not as_json:
        print(*lines, sep="\n", flush=True)


def describe(settings: Settings, job: Job, net: Network, device: str) -> str:
    """Describe a training in one line: data, network, optimizer and device."""
    return (
        f"{job.name}, {counted(job.X.shape[1], 'example')}: "
        f"{net.name}, {net.parameters:,} parameters, {settings.optimizer}, on {device}"
    )


def summarise(
    settings: Settings, job: Job, net: Network, history: History, tested: Mapping[str, Any]
) -> dict[str, Any]:
    """Summarise a training for JSON. best_epoch: the epoch whose weights early stopping chose."""
    best = (
        min(history, key=lambda record: as_loss(record, job.metric))
        if settings.patience and len(history)
        else None
    )
    return {
        "dataset": job.name,
        "device_description": history.device,
        "network": net.name,
        "parameters": net.parameters,
        "epochs": len(history),
        "interrupted": history.interrupted,
        "stopped": history.stopped,
        "train_loss": history[-1].loss if len(history) else None,
        "train_examples": job.X.shape[1],
        "best_epoch": best and best.epoch,
        **tested,
        "seconds": history.seconds,
        "examples_per_second": history.examples_per_second,
        "seed": settings.seed,
        "settings": asdict(settings),
    }


def model_metadata(job: Job, result: dict[str, Any]) -> dict[str, Any]:
    """Return what the model file says about the network: data, training and test scores."""
    figures = "epochs", "stopped", "seconds", "device_description", "settings"
    kept = {name: value for name, value in result.items() if name in figures or name.startswith("test_")}
    return {**job.meta(), **kept, "gpunn": __version__}


def closing_words(result: dict[str, Any], job: Job) -> str:
    """Describe the result of a training, the files written and the commands to try next."""
    epochs = counted(result["epochs"], "epoch")
    if result["stopped"]:
        how = "interrupted" if result["interrupted"] else "stopped early"
        epochs = f"{how} after {epochs}"
    drawn = [f"{name} {result[name]}" for name in ("report", "curve") if result.get(name)]
    return "\n".join(
        [
            f"{job.describe_result(result)}{epochs} in {result['seconds']:.3g} s, "
            f"{result['examples_per_second']:,.0f} examples/s",
            *drawn,
            f"saved {result['model']}; now try",
            *(f"  {command}" for command in job.next_steps(shlex.quote(result["model"]))),
        ]
    )
