"""`gpunn train`: load the data, build the network, fit it and save the run."""

from __future__ import annotations

import secrets
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from gpunn import backends
from gpunn.cli import ahead, ensembles, ranks, starting
from gpunn.cli.images import AUGMENTATION, DOWNLOADABLE, open_images
from gpunn.cli.job import Job, build_network, check_settings, chosen_metric, fit
from gpunn.cli.output import Failed, remark, say, warn
from gpunn.cli.reports import WINDOW, draw_curve, show_window, warn_on_error, write_report
from gpunn.cli.runs import MODEL, RUNS, check_output, keep, run_folder
from gpunn.cli.usage import refuse
from gpunn.cli.words import closing_words, describe
from gpunn.datasets.archives import is_archive
from gpunn.files.ensemble import is_ensemble
from gpunn.files.strict_json import dump_json
from gpunn.names import counted
from gpunn.network import Network
from gpunn.predictor import Predictor
from gpunn.sweeps.averaging import Trained, describe_failed
from gpunn.sweeps.ensemble import networks_of
from gpunn.tables.explaining import summary
from gpunn.tables.options import TableOptions
from gpunn.tables.reading import SUFFIXES, is_table
from gpunn.training.checkpoint_files import newest
from gpunn.training.history import best_epoch
from gpunn.training.loop import Diverged
from gpunn.training.option import from_kept
from gpunn.training.ranks import MpiRanks
from gpunn.training.settings import Settings
from gpunn.version import __version__

T = TypeVar("T")


@dataclass(frozen=True)
class Request:
    """A training as it was asked for on the command line.

    Attributes:
        options: options to repeat in the command that trains the same network again.
        resumed: metadata of the checkpoint to continue from.
        start: the model whose weights to start from.
        overwrite: whether the run may replace another run in its folder.
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
    start: Path | None = None
    overwrite: bool = False

    def echo(self, *lines: str) -> None:
        """Print lines, unless the output is to be JSON only."""
        if not self.as_json:
            say(*lines)

    def described(self) -> str:
        """Describe the request in words that are the same in every process."""
        return " ".join([self.data or "", *self.options, str(self.output or ""), str(self.start or "")])

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
    return train_on(ranks.started(), asked)


def train_on(several: MpiRanks | None, asked: Request) -> int:
    """Train on several ranks, or on this process alone; an error during training ends all ranks."""
    with several.guard(Diverged) if several else nullcontext(), ExitStack() as stack:
        if several:
            several.check_same({"command": asked.described(), "version of gpunn": __version__})
            asked = replace(asked, table=ranks.with_equal_memory(asked.data, asked.table, several))
        once, together = (several.from_first, several.together) if several else (call, call)
        rights = {"resumed": asked.resumed is not None, "overwrite": asked.overwrite}
        once(lambda: check_output(asked.output or RUNS, **rights))
        ready = together(lambda: make_ready(asked, several=several is not None))
        ready.say(asked)
        begin = partial(run_folder, asked.output, ready.job.folder, **rights)
        folder = once(lambda: stack.enter_context(begin()))
        for line in ready.job.rehearse(ready.settings):
            asked.echo(line)
        result = train_and_save(asked, ready, folder, several)
    if result is None:  # another rank has the result
        return 0
    say(dump_json(result) if asked.as_json else closing_words(result, ready.job))
    if result.get("curve") == WINDOW:
        show_window()
    return 130 if result["interrupted"] else 0


def call(do: Callable[[], T]) -> T:
    """Call a function and return its result, as a single process does."""
    return do()


@dataclass(frozen=True)
class Ready:
    """Everything that a training needs, once it has been checked.

    device: the name of the backend. description: that of the device. remarks: further lines to print.
    """

    settings: Settings
    job: Job
    net: Network
    device: str
    description: str
    remarks: Sequence[str] = ()

    def say(self, asked: Request) -> None:
        """Print what is to be trained on what."""
        described = describe(self.settings, self.job, self.net, self.description)
        asked.echo(*self.job.words, described, *self.job.describe_training(self.settings), *self.remarks)


def make_ready(asked: Request, several: bool) -> Ready:
    """Load the data, build the network, and check that all of it fits. several: ranks train together."""
    if asked.start and asked.settings.networks > 1:
        raise ValueError("--from starts from the weights of one network: leave out --ensemble")
    start = starting.load(asked.start) if asked.start else None
    if start:
        asked = replace(asked, **starting.data_of(start, asked.data, asked.table))
    ready = ahead.prepare(asked.data, asked.settings.device)
    job = open_data(asked, start.meta if start else {})
    settings = asked.settings.with_network(start) if start else asked.settings
    remarks: list[str] = []
    if not asked.resumed:  # whose defaults may have been others
        settings, usual = usual_settings(settings, job, several), usual_settings(settings, job, False)
        if settings.networks < usual.networks:
            remarks.append(f"mpiexec trains one network; a single process averages {usual.networks} here")
    if several:
        ranks.check(settings, asked.table.cv)
    optimizer = settings.build_optimizer()
    net = build_network(settings, len(job.X), job.n_out)
    if start:
        starting.copy_weights(start, net, str(asked.start), job.name)
    settings.check_metric()
    check_settings(settings, job, net)
    settings = settings.with_choices(net.cost.name, optimizer)
    ready()
    be = backends.choose(settings.device, net.dtype, settings.precision)
    return Ready(settings, job, net, be.name, be.description, remarks)


def usual_settings(settings: Settings, job: Job, several: bool) -> Settings:
    """Return the settings with the defaults for this job. several: ranks train together."""
    return settings.with_defaults(job.usual | ({"ensemble": 1} if several else {}))


def train_and_save(
    asked: Request, ready: Ready, folder: Path, several: MpiRanks | None = None
) -> dict[str, Any] | None:
    """Train and test a network, save the run in its folder and return its results; None but on rank 0."""
    settings, job, net = ready.settings, ready.job, ready.net
    net.meta = {**job.meta(), "settings": asdict(settings), "gpunn": __version__}
    net.meta["resume"] = asked.for_resuming(settings)
    if net.meta.get("table", {}).get("streamed"):  # with the memory and the rows that this run was given
        net.meta["resume"]["table"] = net.meta["table"]["options"]
    trained = fit(net, job, settings, folder, several, resume=bool(asked.resumed), quiet=asked.as_json)
    if several:
        several.apart = True
        if several.rank > 0:
            return None
    for seed, why in trained.failed.items():
        warn(describe_failed(seed, why))
    learnt, history, job = trained.predictor, trained.history, job.adjusted(trained, settings)
    learnt.meta = model_metadata(job, summarise(settings, job, trained, {}))
    try:
        keep(folder, learnt, history)
    except OSError as error:
        raise save_elsewhere(learnt, folder, error) from error
    with model_is_saved(folder / MODEL):
        tested, outputs = job.test(learnt)
        result = {"device": ready.device, **summarise(settings, job, trained, tested)}
        learnt.meta = model_metadata(job, result)
        with warn_on_error("record of its test in the model"):
            learnt.save(folder / MODEL)
        result["model"] = str(folder / MODEL)
        if not history.interrupted:
            with warn_on_error("list of what drives it"):
                job = job.explained(learnt, settings)
                result |= summary(job.explanation) if job.explanation else {}
        result["report"] = write_report(folder, job, trained, outputs, result, asked.options)
        drawn = draw_curve(folder, history, f"{learnt.name} on {job.name}") if asked.plot else None
    if not history.interrupted:
        ensembles.remove(folder)
    return result | ({"curve": drawn} if drawn else {})


def save_elsewhere(net: Predictor, folder: Path, error: OSError) -> Exception:
    """Save a model whose folder cannot be written in the folder for temporary files; return what to raise."""
    path = Path(tempfile.gettempdir()) / f"gpunn-{folder.name}-{secrets.token_hex(4)}.safetensors"
    try:
        net.save(path)
    except OSError:
        return error
    return Failed(f"{error.filename}: {error.strerror}; the model is saved in {path} instead")


@contextmanager
def model_is_saved(model: Path) -> Iterator[None]:
    """Say that the model is saved if something goes wrong in this block, such as the test."""
    try:
        yield
    except KeyboardInterrupt:
        remark(f"interrupted; the model is saved in {model}")
        raise
    except (ValueError, ArithmeticError, MemoryError, OSError) as error:
        why = str(error) or type(error).__name__
        raise Failed(f"the model is saved in {model}, but its test failed: {why}") from error


def resume(run: Path, epochs: int | None, data_dir: Path | None, as_json: bool, plot: bool) -> int:
    """Continue a run from its newest checkpoint, with its settings, and return the exit code.

    epochs: the number of epochs in all, if it is to change. Raises ValueError if more are done already.
    """
    several = ranks.started()
    read = partial(request_to_resume, run, epochs, data_dir, as_json, plot)
    asked = several.from_first(read) if several else read()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*resuming from")  # the user asked for it
        return train_on(several, asked)


def request_to_resume(
    run: Path, epochs: int | None, data_dir: Path | None, as_json: bool, plot: bool
) -> Request:
    """Read what was asked for in a run that is to go on."""
    saved = newest(run / "checkpoints")
    meta = saved.state["meta"] if saved else ensembles.read_request(run)
    if "resume" not in meta:
        raise ValueError(why_not_resumed(run))
    kept = meta["resume"]
    data_dir = data_dir or (Path(kept["data_dir"]) if kept["data_dir"] else None)
    settings, table = from_kept(Settings, kept["settings"]), from_kept(TableOptions, kept["table"])
    options = list(kept["options"])
    if saved:
        settings = replace(settings, ensemble=1)  # which gpunn 0.1.0 does not say
    if epochs and saved:
        if epochs < (done := len(saved.state["records"])):
            raise ValueError(
                f"{run} has trained for {counted(done, 'epoch')}: choose --epochs {done} or more"
            )
        settings, options = replace(settings, epochs=epochs), with_epochs(options, epochs)
    elif epochs and epochs != settings.epochs:
        raise ValueError(
            f"networks of {run} are trained for {counted(settings.epochs or 0, 'epoch')} already: leave out "
            "--epochs"
        )
    return Request(meta["dataset"], settings, table, data_dir, run, as_json, plot, options, meta)


def why_not_resumed(run: Path) -> str:
    """Say why a run cannot be resumed."""
    if is_ensemble(run):
        return f"{run} has a whole ensemble: there is nothing to resume"
    return f"{run} has no checkpoint to resume from: train with --checkpoint-every to save checkpoints"


def with_epochs(options: Sequence[str], epochs: int) -> list[str]:
    """Set --epochs among options that are to be repeated."""
    kept = [
        word
        for before, word in zip(["", *options], options, strict=False)
        if "--epochs" not in (before, word)
    ]
    return [*kept, "--epochs", str(epochs)]


def open_data(asked: Request, earlier: dict[str, Any] | None = None) -> Job:
    """Open the images or the table to train on. earlier: the metadata of a model whose weights are copied.

    Raises ValueError if options were chosen that only apply to the other kind of data.
    """
    data = asked.data
    if data and is_table(data) and not is_archive(data):
        refuse(
            [name for name in (*AUGMENTATION, "image_size") if getattr(asked.settings, name)], "images", data
        )
        refuse(["data_dir"] if asked.data_dir else [], DOWNLOADABLE, data)
        from gpunn.cli.tables import open_job  # imports preprocessing

        known, going_on = asked.resumed or earlier or {}, asked.resumed is not None
        return open_job(data, asked.settings, asked.table, known, resumed=going_on)
    refuse(asked.table.chosen(), f"tables ({', '.join(SUFFIXES)})", data or "mnist")
    return open_images(data, asked.data_dir, asked.settings)


# what is saved


def summarise(settings: Settings, job: Job, trained: Trained, tested: Mapping[str, Any]) -> dict[str, Any]:
    """Summarise a training for JSON. best_epoch: the epoch whose weights early stopping chose."""
    net, history, members = trained.predictor, trained.history, {}
    metric, _ = chosen_metric(job, settings)
    if trained.members and tested:
        each = [job.test(network)[0] for network in networks_of(net)]
        members = {"members": ensembles.figures(trained.members, each, settings, metric)}
    chosen = (
        settings.patience and not trained.members
    )  # the networks of an ensemble choose epochs of their own
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
        "best_epoch": best_epoch(history, metric) if chosen else None,
        **tested,
        **members,
        "seconds": history.seconds,
        "examples_per_second": history.examples_per_second,
        **({"ranks": history.ranks} if history.ranks > 1 else {}),
        "seed": settings.seed,
        "settings": asdict(settings),
    }


def model_metadata(job: Job, result: dict[str, Any]) -> dict[str, Any]:
    """Return what the model file says about the network: data, training and test scores."""
    figures = "epochs", "stopped", "seconds", "device_description", "ranks", "settings"
    kept = {name: value for name, value in result.items() if name in figures or name.startswith("test_")}
    return {**job.meta(), **kept, "gpunn": __version__}
