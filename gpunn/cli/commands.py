"""The commands of `gpunn`, with their help."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from gpunn.cli import options
from gpunn.cli.output import say
from gpunn.cli.usage import (
    BESIDE_RESUME,
    check_network_left_out,
    check_resume_alone,
    given_options,
    renamed,
    repeat_options,
)

HELP = """Train fully connected neural networks on a CPU or a CUDA GPU.

\b
Examples:
  gpunn train                    train on MNIST, in seconds
  gpunn train digits             train on small 8×8 digits, without a download
  gpunn train flowers.csv --target species
  gpunn sweep digits --grid learning_rate=0.03,0.1,0.3 --seeds 5
  gpunn evaluate gpunn-runs/digits-1
  gpunn predict gpunn-runs/mnist-1 photo.png
"""


class PlainHelp:
    """Help without the names of the arguments' types, without braces and without `<bool>`."""

    def get_params(self, ctx: Any) -> list[Any]:
        params: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for param in params:
            if param.param_type_name == "argument":
                param.display_type_rich = lambda ctx: None
            elif param.is_flag and param.metavar is None:
                param.metavar = ""
        return params

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        pieces: list[str] = super().collect_usage_pieces(ctx)  # type: ignore[misc]
        return [re.sub("[{}]", "", piece) for piece in pieces]


class Command(PlainHelp, TyperCommand):
    """A command with plain help."""


class Commands(PlainHelp, TyperGroup):
    """The group of commands.

    `train` and `sweep` get the options of their settings only when they are run: their help lists optimizers,
    costs and activations, and importing those would slow down `gpunn --help`.
    """

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        if name in COMPLETE:
            alone = _new_app()
            alone.command(cls=TrainCommand)(COMPLETE[name]())
            command = typer.main.get_command(alone)
        return name, command, rest


class TrainCommand(Command):
    """A command whose repeatable options take several values at once, as in `--drop x z`.

    Options of tables have their earlier names, too, which the help leaves out.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        from gpunn.tables.options import TableOptions
        from gpunn.training.option import former_names

        options = [param for param in self.params if param.param_type_name == "option"]
        return super().parse_args(ctx, repeat_options(renamed(args, former_names(TableOptions)), options))


def _new_app(completion: bool = False, **arguments: Any) -> typer.Typer:
    return typer.Typer(
        rich_markup_mode="rich",
        add_completion=completion,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        **arguments,
    )


app = _new_app(completion=True, cls=Commands, help=HELP)


def _print_version(wanted: bool) -> None:
    if wanted:
        from gpunn.version import __version__

        say(f"gpunn {__version__}")
        raise typer.Exit()


@app.callback()
def _top(
    version: Annotated[
        bool,
        typer.Option(
            "--version", metavar="", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    pass


def train(
    ctx: typer.Context,
    data: options.TrainingData = None,
    resume: options.Resume = None,
    start: options.From = None,
    data_dir: options.DataDir = None,
    output: options.Output = None,
    overwrite: options.Overwrite = False,
    plot: options.Plot = False,
    json: options.Json = False,
    debug: options.Debug = False,
    **chosen: Any,
) -> None:
    """Train a network on images or a table, test it and save it.

    Ctrl-C ends training and saves what was learnt so far.

    \b
    Examples:
      gpunn train
      gpunn train digits --hidden 128 64 --activation tanh
      gpunn train fashion-mnist --optimizer adam --epochs 20
      gpunn train ~/my-idx-files --device cuda --output runs/mine
      gpunn train flowers.csv --target species
      gpunn train flowers.csv --target species --ensemble 8
      gpunn train --checkpoint-every 1
      gpunn train --resume gpunn-runs/mnist-1    after a run was killed
      gpunn train --resume gpunn-runs/mnist-1 --epochs 20
      gpunn train digits --from gpunn-runs/digits-1
    """
    from gpunn.cli import training
    from gpunn.cli.fields import collect
    from gpunn.tables.options import TableOptions
    from gpunn.training.settings import Settings

    if resume:
        check_resume_alone(ctx, BESIDE_RESUME, "a run")
        raise typer.Exit(training.resume(resume, chosen["epochs"], data_dir, json, plot))
    if start:
        check_network_left_out(ctx)
    if chosen["hidden"] == [0]:
        chosen["hidden"] = []
    settings, table = collect(Settings, chosen), collect(TableOptions, chosen)
    given = given_options(ctx)
    asked = training.Request(data, settings, table, data_dir, output, json, plot, given)
    raise typer.Exit(training.train(replace(asked, start=start, overwrite=overwrite)))


@app.command("train", help=train.__doc__)
def _train_in_help() -> None:
    """Stand in for `train` in `gpunn --help`; `Commands` runs the command with all its options."""


def complete_train() -> Callable[..., None]:
    """Return `train` with an option for each field of `Settings` and `TableOptions`."""
    from gpunn.cli.fields import with_options
    from gpunn.tables.options import TableOptions
    from gpunn.training.settings import Settings

    return with_options(train, Settings, TableOptions)


def sweep(
    ctx: typer.Context,
    data: options.TrainingData = None,
    resume: options.ResumeSweep = None,
    data_dir: options.DataDir = None,
    output: options.SweepOutput = None,
    json: options.Json = False,
    debug: options.Debug = False,
    **chosen: Any,
) -> None:
    """Train networks over settings and random seeds at once, and compare them.

    Networks are compared on training examples that are held out. The best settings are then trained on all
    training examples, tested and saved as a run. Ctrl-C keeps the networks that are finished.

    \b
    Examples:
      gpunn sweep mnist --grid learning_rate=0.5,1,3 --seeds 22
      gpunn sweep digits --grid hidden=16,64,32-16 l2=0,1e-4 --folds 5
      gpunn sweep flowers.csv --target species --grid learning_rate=0.001..0.1 --draws 20
      gpunn sweep --resume gpunn-runs/mnist-sweep-1    after it was killed
    """
    from gpunn.cli import sweeping
    from gpunn.cli.fields import collect
    from gpunn.cli.grids import SweepOptions
    from gpunn.cli.training import Request
    from gpunn.tables.options import TableOptions
    from gpunn.training.settings import Settings

    if resume:
        check_resume_alone(ctx, ("resume", "data_dir", "json", "debug"), "a sweep")
        raise typer.Exit(sweeping.resume(resume, data_dir, json))
    if chosen["hidden"] == [0]:
        chosen["hidden"] = []
    settings, table = collect(Settings, chosen), collect(TableOptions, chosen)
    asked = Request(data, settings, table, data_dir, output, json, False, given_options(ctx))
    raise typer.Exit(sweeping.run(sweeping.SweepRequest(asked, collect(SweepOptions, chosen))))


@app.command("sweep", help=sweep.__doc__)
def _sweep_in_help() -> None:
    """Stand in for `sweep` in `gpunn --help`, as `_train_in_help` does for `train`."""


def complete_sweep() -> Callable[..., None]:
    """Return `sweep` with an option for each field of `Settings`, `TableOptions` and `SweepOptions`."""
    from gpunn.cli.fields import with_options
    from gpunn.cli.grids import SweepOptions
    from gpunn.tables.options import TableOptions
    from gpunn.training.settings import Settings

    return with_options(sweep, SweepOptions, Settings, TableOptions)


#: The commands whose options are made when they are run.
COMPLETE: dict[str, Callable[[], Callable[..., None]]] = {"train": complete_train, "sweep": complete_sweep}


@app.command(cls=Command)
def evaluate(
    model: options.ModelArg,
    data: options.TestData = None,
    device: options.Device = "auto",
    target: options.Targets = None,
    delimiter: options.Delimiter = None,
    header: options.Header = None,
    encoding: options.Encoding = None,
    sheet: options.Sheet = None,
    data_dir: options.DataDir = None,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Test a saved network.

    Classification: accuracy, balanced accuracy, ROC AUC, average precision, log loss, Brier score, confusion
    matrix, and precision and recall of each class.
    Regression: RMSE, MAE and R².

    \b
    Examples:
      gpunn evaluate gpunn-runs/digits-1
      gpunn evaluate gpunn-runs/mnist-1/model.safetensors mnist --json
      gpunn evaluate gpunn-runs/flowers-1 others.csv
    """
    from gpunn.cli import models
    from gpunn.tables.reading import Format

    format = Format(delimiter, header, target, encoding, sheet=sheet)
    models.evaluate(model, data, data_dir, format, device, json)


@app.command(cls=Command)
def report(
    runs: options.Runs,
    output: options.Page = None,
    browser: options.Browser = True,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Write and open the report of a run, or compare several runs.

    \b
    Examples:
      gpunn report gpunn-runs/mnist-1
      gpunn report gpunn-runs/mnist-1 gpunn-runs/mnist-2
      gpunn report gpunn-runs        all runs in this folder
    """
    from gpunn.cli import reports

    reports.report(runs, output, browser, json)


@app.command(cls=Command)
def predict(
    model: options.ModelArg,
    files: options.Files,
    output: options.Predictions = None,
    overwrite: options.OverwriteInput = False,
    show: options.Show = False,
    device: options.Device = "cpu",
    delimiter: options.Delimiter = None,
    header: options.Header = None,
    encoding: options.Encoding = None,
    sheet: options.Sheet = None,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Predict the class of each image, or the target of each table row.

    Each digit on a photograph is predicted, from left to right and line by line.

    \b
    Examples:
      gpunn predict gpunn-runs/mnist-1 photo.png scan.jpg
      gpunn predict gpunn-runs/mnist-1 photos --show    all pictures in a folder
      gpunn predict gpunn-runs/mnist-1 examples.npy --json
      gpunn predict gpunn-runs/flowers-1 new.csv -o predictions.csv
    """
    from gpunn.cli import models
    from gpunn.tables.reading import Format

    format = Format(delimiter, header, encoding=encoding, sheet=sheet)
    raise typer.Exit(models.predict(model, files, format, device, json, output, overwrite, show))


@app.command(cls=Command)
def export(
    model: options.ModelArg,
    file: options.OnnxFile,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Export a saved network to an ONNX file.

    The ONNX model takes rows of pixels or the columns of a table, and returns outputs and labels.

    \b
    Examples:
      gpunn export gpunn-runs/mnist-1 digits.onnx
    """
    from gpunn.cli import deploy

    deploy.export(model, file, json)


@app.command(cls=Command)
def demo(
    model: options.DemoModel = None,
    port: options.Port = 0,
    browser: options.Browser = True,
    debug: options.Debug = False,
) -> None:
    """Draw digits in the browser for a saved network to classify.

    The page is served on 127.0.0.1 only, and the network runs in the browser. Ctrl-C stops the server.

    \b
    Examples:
      gpunn demo
      gpunn demo gpunn-runs/mnist-1 --port 8000 --no-browser
    """
    from gpunn.cli import deploy

    deploy.demo(model, port, browser)


@app.command(cls=Command)
def info(json: options.Json = False, debug: options.Debug = False) -> None:
    """Show versions, CPU, BLAS, CUDA devices and the folder of MNIST."""
    from gpunn.cli import system

    system.show(json)
