"""`gpunn train`: load the data, build the network, fit it and save the run."""

from __future__ import annotations

import shlex
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gpunn import backends
from gpunn.cli.images import AUGMENTATION, DOWNLOADABLE, open_images
from gpunn.cli.job import Job, build_network, check_settings, fit
from gpunn.cli.reports import WINDOW, draw_curve, show_window, write_report
from gpunn.cli.runs import MODEL, RUNS, check_output, keep, run_folder
from gpunn.cli.tables import open_job
from gpunn.cli.usage import refuse
from gpunn.files.strict_json import dump_json
from gpunn.names import counted
from gpunn.network import Network
from gpunn.tables.options import TableOptions
from gpunn.tables.reading import SUFFIXES, is_table
from gpunn.training.checkpoint import newest
from gpunn.training.history import History, as_loss
from gpunn.training.option import from_kept
from gpunn.training.settings import Settings
from gpunn.version import __version__


@dataclass(frozen=True)
class Request:
    """A training as it was asked for on the command line.

    Attributes:
        options: options to repeat in the command that trains the same network again.
        resumed: metadata of the checkpoint to continue from.
    """

    data: str | None
    settings: Settings
    table: TableOptions
    data_dir: Path | None
    output: Path | None
    as_json: bool
    plot: bool
    options: Sequence[str]
    resumed: dict[str, Any] | None = None

    def echo(self, *lines: str) -> None:
        """Print lines, unless the output is to be JSON only."""
        if not self.as_json:
            print(*lines, sep="\n", flush=True)

    def for_resuming(self, settings: Settings) -> dict[str, Any]:
        """Return what a checkpoint must hold so that the run can be resumed with these settings."""
        return {
            "data_dir": str(self.data_dir.absolute()) if self.data_dir else None,
            "settings": asdict(settings),
            "table": asdict(self.table.absolute()),
            "options": list(self.options),
        }


def train(asked: Request) -> int:
    """Train a network, save the run and return the exit code."""
    check_output(asked.output or RUNS, asked.resumed is not None)
    job = open_data(asked)
    settings = asked.settings.with_defaults(job.usual)
    optimizer = settings.build_optimizer()
    net = build_network(settings, len(job.X), job.n_out)
    check_settings(settings, job, net)
    settings = settings.with_choices(net.cost.name, optimizer)
    be = backends.choose(settings.device, net.dtype, settings.precision)
    asked.echo(*job.words, describe(settings, job, net, be.description))
    with run_folder(asked.output, job.folder) as folder:
        for line in job.rehearse(settings):
            asked.echo(line)
        result = train_and_save(asked, settings, job, net, be.name, folder)
    print(dump_json(result) if asked.as_json else closing_words(result, job), flush=True)
    if result.get("curve") == WINDOW:
        show_window()
    return 130 if result["interrupted"] else 0


def train_and_save(
    asked: Request, settings: Settings, job: Job, net: Network, device: str, folder: Path
) -> dict[str, Any]:
    """Train and test a network, save the run in its folder and return its results."""
    net.meta = {**job.meta(), "settings": asdict(settings), "gpunn": __version__}
    net.meta["resume"] = asked.for_resuming(settings)
    history = fit(net, job, settings, folder, asked.resumed is not None)
    tested, outputs = job.test(net)
    result = {"device": device, **summarise(settings, job, net, history, tested)}
    net.meta = model_metadata(job, result)
    keep(folder, net, history)
    result["model"] = str(folder / MODEL)
    result["report"] = write_report(folder, job, net, outputs, history, result, asked.options)
    drawn = draw_curve(folder, history, f"{net.name} on {job.name}") if asked.plot else None
    return result | ({"curve": drawn} if drawn else {})


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
        return train(
            Request(meta["dataset"], settings, table, data_dir, run, as_json, plot, kept["options"], meta)
        )


def open_data(asked: Request) -> Job:
    """Open the images or the table to train on.

    Raises ValueError if options were chosen that only apply to the other kind of data.
    """
    data = asked.data
    if data and is_table(data):
        refuse([name for name in AUGMENTATION if getattr(asked.settings, name)], "images", data)
        refuse(["data_dir"] if asked.data_dir else [], DOWNLOADABLE, data)
        return open_job(Path(data), asked.settings, asked.table, asked.resumed)
    refuse(asked.table.chosen(), f"tables ({', '.join(SUFFIXES)})", data or "mnist")
    return open_images(data, asked.data_dir)


# what is printed and saved


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
