"""The commands of `gpunn`, with their help."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from gpunn.cli import options
from gpunn.cli.output import say
from gpunn.cli.plain import Command, PlainHelp, new_app
from gpunn.cli.training_commands import COMPLETE, TrainCommand, sweep, train

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


class Commands(PlainHelp, TyperGroup):
    """The group of commands.

    `train` and `sweep` get the options of their settings only when they are run: their help lists optimizers,
    costs and activations, and importing those would slow down `gpunn --help`.
    """

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        if name in COMPLETE:
            alone = new_app()
            alone.command(cls=TrainCommand)(COMPLETE[name]())
            command = typer.main.get_command(alone)
        return name, command, rest


app = new_app(completion=True, cls=Commands, help=HELP)


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


@app.command("train", help=train.__doc__)
def _train_in_help() -> None:
    """Stand in for `train` in `gpunn --help`; `Commands` runs the command with all its options."""


@app.command("sweep", help=sweep.__doc__)
def _sweep_in_help() -> None:
    """Stand in for `sweep` in `gpunn --help`, as `_train_in_help` does for `train`."""


@app.command(cls=Command)
def evaluate(
    model: options.ModelArg,
    data: options.TestData = None,
    device: options.Device = "auto",
    threads: options.Threads = None,
    target: options.Targets = None,
    delimiter: options.Delimiter = None,
    header: options.Header = None,
    encoding: options.Encoding = None,
    sheet: options.Sheet = None,
    memory: options.Memory = None,
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
    from gpunn.backends.host.threads import using
    from gpunn.cli import models
    from gpunn.tables.reading import Format

    format = Format(delimiter, header, target, encoding, sheet=sheet, memory=memory)
    with using(threads):
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
    threads: options.Threads = None,
    delimiter: options.Delimiter = None,
    header: options.Header = None,
    encoding: options.Encoding = None,
    sheet: options.Sheet = None,
    memory: options.Memory = None,
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
    from gpunn.backends.host.threads import using
    from gpunn.cli import models
    from gpunn.tables.reading import Format

    format = Format(delimiter, header, encoding=encoding, sheet=sheet, memory=memory)
    with using(threads):
        status = models.predict(model, files, format, device, json, output, overwrite, show)
    raise typer.Exit(status)


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
    """Show versions, CPU, its compiler, BLAS, CUDA devices and the folder of MNIST."""
    from gpunn.cli import system

    system.show(json)
