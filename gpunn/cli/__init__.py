"""The command line: its commands, and what an error looks like.

What the options mean is in `options`, what the commands do in `training`, `models`, `deploy` and
`system`, which are imported only when they run, so that `gpunn --help` is quick.
"""

from __future__ import annotations

import errno
import io
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from gpunn.cli import options

BAD_INPUT, FAILED, INTERRUPTED = 2, 1, 130
FULL_DISK = (errno.ENOSPC, errno.EDQUOT)
APART = ("data", "output", "plot", "json", "debug")  # what of a training does not change what is trained

HELP = """Train fully connected networks by matrix-based back-propagation, on a CPU or a CUDA GPU.

\b
Examples:
  gpunn train                    MNIST, in seconds
  gpunn train digits             the 8×8 digits that need no download
  gpunn train flowers.csv --target species
  gpunn evaluate gpunn-runs/digits-1
  gpunn predict gpunn-runs/mnist-1 photo.png
"""

app = typer.Typer(
    help=HELP,
    rich_markup_mode="rich",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code: 0, 1 for a run that failed, 2 for bad input, 130 for Ctrl-C."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # it was closed before, as by >&-
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file's name may be any bytes
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning  # type: ignore[assignment]
            command = typer.main.get_command(app)
            code = command.main(arguments or ["--help"], "gpunn", standalone_mode=False)
        sys.stdout.flush()
        return int(code or 0)
    except BrokenPipeError:  # nobody reads on: what is still in the buffer goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except Exception as error:
        if "--debug" in arguments:  # typer may not have come to parse it
            traceback.print_exc()
        code, message = _explain(error)
        print("gpunn: error:", " ".join(message.split()), file=sys.stderr)
        return code


def _explain(error: Exception) -> tuple[int, str]:
    """The exit code and the line for an error."""
    from gpunn.core.backend import BackendError

    if hasattr(error, "format_message"):  # typer's own, whichever class its version calls it
        return BAD_INPUT, error.format_message()
    if isinstance(error, OSError) and error.strerror:
        code = FAILED if error.errno in FULL_DISK else BAD_INPUT
        return code, f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if isinstance(error, ValueError | OSError | BackendError | ImportError):
        return BAD_INPUT, str(error)
    if isinstance(error, FloatingPointError | MemoryError):  # Diverged is one of the first
        return FAILED, str(error) or "out of memory"
    return FAILED, f"{type(error).__name__}: {error} (this is a bug; --debug shows where)"


def _show_warning(message: Warning | str, *_: Any) -> None:
    print("gpunn: warning:", message, file=sys.stderr)


class ManyNumbers(TyperCommand):
    """A command whose `--hidden` takes any number of whole numbers, which typer's options cannot."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, repeat_option("--hidden", args))


def repeat_option(option: str, args: Sequence[str]) -> list[str]:
    """`--hidden 128 64 digits` as `--hidden 128 --hidden 64 digits`."""
    spread: list[str] = []
    for arg in args:
        if arg.isdecimal() and len(spread) > 1 and spread[-2] == option and spread[-1].isdecimal():
            spread.append(option)
        spread.append(arg)
    return spread


def _print_version(wanted: bool) -> None:
    if wanted:
        from gpunn.version import __version__

        print("gpunn", __version__)
        raise typer.Exit()


@app.callback()
def _top(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    pass


def _given(ctx: typer.Context) -> list[str]:
    """The options that were given and have to be given again to train the same."""
    found: list[str] = []
    for option in ctx.command.params:
        source, value = ctx.get_parameter_source(option.name or ""), ctx.params.get(option.name or "")
        if not source or source.name != "COMMANDLINE" or option.name in APART:
            continue
        if isinstance(value, bool):
            found.append((option.opts if value else option.secondary_opts)[0])
            continue
        for each in value if isinstance(value, list | tuple) else [value]:
            found += [option.opts[0], str(each)]
    return found


def _check_alone(ctx: typer.Context) -> None:
    """ValueError where options stand beside --resume that the run has settled."""
    for name in ctx.params:
        source = ctx.get_parameter_source(name)
        if (
            source
            and source.name == "COMMANDLINE"
            and name not in ("resume", "data_dir", "plot", "json", "debug")
        ):
            raise ValueError(f"--resume takes the settings of its run: leave out {name.replace('_', '-')}")


@app.command(cls=ManyNumbers)
def train(
    ctx: typer.Context,
    data: options.TrainingData = None,
    hidden: options.Hidden = None,
    activation: options.Activation = "relu",
    output_activation: options.OutputActivation = None,
    cost: options.Cost = None,
    init: options.Init = None,
    dropout: options.Dropout = None,
    input_dropout: options.InputDropout = 0.0,
    batch_norm: options.BatchNorm = False,
    optimizer: options.Optimizer = None,
    learning_rate: options.LearningRate = None,
    schedule: options.Schedule = None,
    l2: options.L2 = None,
    l1: options.L1 = 0.0,
    max_norm: options.MaxNorm = None,
    clip_norm: options.ClipNorm = None,
    class_weight: options.ClassWeight = None,
    label_smoothing: options.LabelSmoothing = 0.0,
    shift: options.Shift = 0.0,
    rotate: options.Rotate = 0.0,
    scale: options.Scale = 0.0,
    elastic: options.Elastic = 0.0,
    epochs: options.Epochs = None,
    batch_size: options.BatchSize = None,
    patience: options.Patience = None,
    checkpoint_every: options.CheckpointEvery = None,
    tensorboard: options.TensorBoard = False,
    resume: options.Resume = None,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    precision: options.Precision = "float32",
    target: options.Target = None,
    task: options.Task = None,
    test: options.Test = None,
    held_out: options.HeldOut = None,
    cv: options.Folds = None,
    category: options.Category = None,
    ignore: options.Ignore = None,
    impute: options.Impute = None,
    delimiter: options.Delimiter = None,
    header: options.Header = None,
    data_dir: options.DataDir = None,
    output: options.Output = None,
    plot: options.Plot = False,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Train a network on images or on a table, test it, and save it.

    Ctrl-C ends training and saves what was learnt so far.

    \b
    Examples:
      gpunn train
      gpunn train digits --hidden 128 64 --activation tanh
      gpunn train fashion-mnist --optimizer adam --epochs 20
      gpunn train ~/my-idx-files --device cuda --output runs/mine
      gpunn train flowers.csv --target species
      gpunn train --checkpoint-every 1, and once it was killed: gpunn train --resume gpunn-runs/mnist-1
    """
    from gpunn.cli import training
    from gpunn.tables.loading import TableOptions
    from gpunn.training.settings import Settings

    if resume:
        _check_alone(ctx)
        raise typer.Exit(training.resume(resume, data_dir, json, plot))
    table = TableOptions(
        target=target,
        task=task,
        test=test,
        held_out=held_out,
        cv=cv,
        category=tuple(category or ()),
        ignore=tuple(ignore or ()),
        impute=impute,
        delimiter=delimiter,
        header=header,
    )
    settings = Settings(
        hidden=[] if hidden == [0] else hidden,
        activation=activation,
        output_activation=output_activation,
        cost=cost,
        init=init,
        dropout=dropout,
        input_dropout=input_dropout,
        batch_norm=batch_norm,
        optimizer=optimizer,
        learning_rate=learning_rate,
        schedule=schedule,
        l2=l2,
        l1=l1,
        max_norm=max_norm,
        clip_norm=clip_norm,
        class_weight=class_weight,
        label_smoothing=label_smoothing,
        shift=shift,
        rotate=rotate,
        scale=scale,
        elastic=elastic,
        epochs=epochs,
        batch_size=batch_size,
        patience=patience,
        checkpoint_every=checkpoint_every,
        tensorboard=tensorboard,
        seed=seed,
        device=device,
        precision=precision,
    )
    raise typer.Exit(training.train(data, settings, table, data_dir, output, json, _given(ctx), plot))


@app.command()
def evaluate(
    model: options.Model,
    data: options.TestData = None,
    device: options.Device = "auto",
    target: options.Targets = None,
    delimiter: options.Delimiter = None,
    header: options.Header = None,
    data_dir: options.DataDir = None,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Test a saved network: accuracy, confusion matrix, precision and recall; RMSE, MAE and R² of numbers.

    \b
    Examples:
      gpunn evaluate gpunn-runs/digits-1
      gpunn evaluate gpunn-runs/mnist-1/model.safetensors mnist --json
      gpunn evaluate gpunn-runs/flowers-1 others.csv
    """
    from gpunn.cli import models
    from gpunn.tables.reading import Format

    models.evaluate(model, data, data_dir, Format(delimiter, header, target), device, json)


@app.command()
def report(
    runs: options.Runs,
    output: options.Page = None,
    browser: options.Browser = True,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Write the report of a run and open it; of several runs, the page that compares them.

    \b
    Examples:
      gpunn report gpunn-runs/mnist-1
      gpunn report gpunn-runs/mnist-1 gpunn-runs/mnist-2
      gpunn report gpunn-runs        all that are there
    """
    from gpunn.cli import reports

    reports.report(runs, output, browser, json)


@app.command()
def predict(
    model: options.Model,
    files: options.Files,
    output: options.Predictions = None,
    device: options.Device = "cpu",
    delimiter: options.Delimiter = None,
    header: options.Header = None,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Say what is on pictures, or of the rows of a table: a line each.

    \b
    Examples:
      gpunn predict gpunn-runs/mnist-1 photo.png scan.jpg
      gpunn predict gpunn-runs/mnist-1 examples.npy --json
      gpunn predict gpunn-runs/flowers-1 new.csv -o predictions.csv
    """
    from gpunn.cli import models
    from gpunn.tables.reading import Format

    raise typer.Exit(models.predict(model, files, Format(delimiter, header), device, json, output))


@app.command()
def export(
    model: options.Model,
    file: options.OnnxFile,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Write a saved network as an ONNX file: rows of pixels or numbers in, outputs and labels out.

    \b
    Examples:
      gpunn export gpunn-runs/mnist-1 digits.onnx
    """
    from gpunn.cli import deploy

    deploy.export(model, file, json)


@app.command()
def demo(
    model: options.DemoModel = None,
    port: options.Port = 0,
    browser: options.Browser = True,
    debug: options.Debug = False,
) -> None:
    """Draw digits for a saved network on a page in the browser, and see what it sees.

    The page is served on 127.0.0.1 alone; the network runs in the browser. Ctrl-C ends it.

    \b
    Examples:
      gpunn demo
      gpunn demo gpunn-runs/mnist-1 --port 8000 --no-browser
    """
    from gpunn.cli import deploy

    deploy.demo(model, port, browser)


@app.command()
def info(json: options.Json = False, debug: options.Debug = False) -> None:
    """Show versions, BLAS, CPU, CUDA devices (or why there are none), and where MNIST is looked for."""
    from gpunn.cli import system

    system.show(json)
