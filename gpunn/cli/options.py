"""Arguments and options of the commands, except for the settings of `gpunn train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gpunn.cli.fields import number_parser

TABLES = "Tables"


def _flag(name: str, help: str) -> Any:
    return typer.Option(f"--{name}", metavar="", help=help)


# train

DATA = (
    "mnist, fashion-mnist, digits, a folder of pictures or IDX files, or a table "
    "(.csv, .parquet, .npz, .npy)."
)
TrainingData = Annotated[
    str | None, typer.Argument(metavar="DATA", help=DATA, show_default="mnist; digits if it is unavailable")
]
SeveralData = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="DATA",
        help=f"{DATA[:-1]}; or Parquet files: several paths, a folder, a pattern or a URL such as s3://….",
        show_default="mnist; digits if it is unavailable",
    ),
]
Resume = Annotated[
    Path | None,
    typer.Option(
        metavar="RUN",
        help="Continue the run in this folder from its newest checkpoint, with its settings. With --epochs, "
        "make it longer or shorter.",
        show_default=False,
    ),
]
From = Annotated[
    Path | None,
    typer.Option(
        "--from",
        metavar="MODEL",
        help="Start from the network and the weights of this model instead of from random weights.",
        show_default=False,
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Folder for model.safetensors, report.html, run.json and history.jsonl.",
        show_default="gpunn-runs/DATA-1, then -2, …",
    ),
]
Overwrite = Annotated[bool, _flag("overwrite", "Replace the run that the folder of --output holds.")]
Plot = Annotated[bool, _flag("plot", "Show the learning curve in a window, or save curve.png if none opens.")]

# sweep

ResumeSweep = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Continue the sweep in this folder, without training finished networks again.",
        show_default=False,
    ),
]
SweepOutput = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Folder for sweep.html, sweep.csv, the networks, and the run of the best settings.",
        show_default="gpunn-runs/DATA-sweep-1, then -2, …",
    ),
]

Dask = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Train on the workers of a Dask scheduler: its address, such as tcp://10.0.0.1:8786, or the "
        "path of its scheduler file.",
        show_default="on this machine",
    ),
]
Mpi = Annotated[
    bool,
    _flag("mpi", "Train on the other MPI ranks: mpiexec -n 9 gpunn sweep … --mpi trains on eight."),
]

# evaluate, predict and export

TestData = Annotated[
    str | None, typer.Argument(metavar="DATA", help=DATA, show_default="what the model was trained on")
]
ModelArg = Annotated[
    Path, typer.Argument(metavar="MODEL", help="A model.safetensors file, or the folder of its run.")
]
Targets = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="For a .npy file: the .npy file of its targets.", rich_help_panel=TABLES
    ),
]
Delimiter = Annotated[
    str | None,
    typer.Option(
        metavar="CHAR",
        help="Character that separates the columns of a CSV file, or whitespace for runs of blanks.",
        show_default="detected: , ; tab or |",
        rich_help_panel=TABLES,
    ),
]
Encoding = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Encoding of a CSV file, such as cp1252.",
        show_default="detected: UTF-8, UTF-16 or cp1252",
        rich_help_panel=TABLES,
    ),
]
Sheet = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Sheet of an Excel file.",
        show_default="the first one, or as in training",
        rich_help_panel=TABLES,
    ),
]
Memory = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="Memory that Parquet files may take, such as 2G; larger ones are read in parts.",
        show_default="half of the free memory",
        rich_help_panel=TABLES,
    ),
]
Header = Annotated[
    bool | None,
    typer.Option(
        "--header/--no-header",
        metavar="",
        help="Whether the first line names the columns.",
        show_default="detected",
        rich_help_panel=TABLES,
    ),
]
Files = Annotated[
    list[Path],
    typer.Argument(
        metavar="FILE",
        help="Images (PNG, JPEG, …) of any size, folders of them, or .npy arrays with one example per "
        "column; bytes are pixels and are scaled by 1/255. For a model of a table: one table.",
    ),
]
Predictions = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--output",
        metavar="FILE",
        help="Where to write the predictions for a table. Classes are written as they are, even if a "
        "spreadsheet would take a name such as =1+1 for a formula.",
        show_default="standard output",
    ),
]
Show = Annotated[
    bool, _flag("show", "Write what the network sees of photo.jpg to photo.jpg.seen.png, beside it.")
]
OverwriteInput = Annotated[bool, _flag("overwrite", "Let --output replace the table itself.")]
OnnxFile = Annotated[Path, typer.Argument(metavar="FILE.onnx", help="Where to write the ONNX model.")]

# report

Runs = Annotated[
    list[Path], typer.Argument(metavar="RUN", help="Folder of a run, or a folder that holds several runs.")
]
Page = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Where to write the page.",
        show_default="report.html in the run's folder; for several runs gpunn-runs/comparison.html",
    ),
]
Browser = Annotated[
    bool, typer.Option("--browser/--no-browser", metavar="", help="Open the page in the browser.")
]

# demo

DemoModel = Annotated[
    Path | None,
    typer.Argument(
        metavar="MODEL",
        help="A model.safetensors file, or the folder of its run.",
        show_default="the newest run in gpunn-runs",
    ),
]
Port = Annotated[
    int,
    typer.Option(
        metavar="N", help="Port to serve the page on.", show_default="any free port", min=0, max=65535
    ),
]

# several commands

Device = Annotated[
    str,
    typer.Option(metavar="DEVICE", help="Device: auto, cpu, cuda or cuda:N; auto uses a GPU if one works."),
]
Threads = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Threads on the CPU.",
        show_default="$GPUNN_THREADS, or one or all of them, whichever is quicker",
        parser=number_parser(int, least=1),
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Folder with the files of mnist or fashion-mnist.",
        show_default="$GPUNN_DATA, or downloaded once",
    ),
]
Json = Annotated[bool, _flag("json", "Print one JSON object and nothing else.")]
Debug = Annotated[bool, _flag("debug", "Show the traceback of an error.")]
