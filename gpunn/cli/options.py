"""The options of the command line: names, help, where it shows them, and for which data they are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

NETWORK, TRAINING, TABLES = "Network", "Training", "Tables"
DOWNLOADED = "data sets that are downloaded (mnist, fashion-mnist)"


def refuse(options: Sequence[str], data: str, kind: str) -> None:
    """ValueError if there are any, which are for another kind of data."""
    if options:
        raise ValueError(f"--{options[0].replace('_', '-')} is for {kind}, and {data} is none")


def _of_network(help: str, default: str | bool = True, metavar: str | None = None) -> typer.models.OptionInfo:
    """An option on the panel of the network; `default` says in words what None means."""
    return typer.Option(help=help, show_default=default, metavar=metavar, rich_help_panel=NETWORK)


def _of_training(help: str, default: str | bool = True, least: int | None = None) -> typer.models.OptionInfo:
    return typer.Option(help=help, show_default=default, min=least, rich_help_panel=TRAINING)


# train

Hidden = Annotated[
    list[int] | None,
    _of_network("Neurons of each hidden layer; 0 for no hidden layer.", "512; tables 128", "N …"),
]
Activation = Annotated[
    str,
    _of_network("Of the hidden layers: sigmoid, tanh, relu, leaky-relu, elu, gelu, softplus, exp, identity."),
]
OutputActivation = Annotated[
    str | None, _of_network("The same, or softmax.", "softmax; identity for regression")
]
Cost = Annotated[
    str | None,
    _of_network(
        "quadratic, cross-entropy, binary-cross-entropy, mae, huber, quantile, poisson or hinge; "
        "huber(2.0) and quantile(0.9) have parameters.",
        "what suits the output",
    ),
]
Init = Annotated[
    str | None,
    _of_network("First weights: normal, scaled, glorot, he, zeros.", "what suits each activation"),
]
Dropout = Annotated[
    float | None, _of_network("Share of each hidden layer's outputs dropped in training.", "0; tables 0.1")
]
InputDropout = Annotated[float, _of_network("Share of the inputs dropped in training.")]
BatchNorm = Annotated[
    bool, typer.Option("--batch-norm", help="Normalise the hidden layers' batches.", rich_help_panel=NETWORK)
]

Optimizer = Annotated[
    str | None, _of_training("sgd, momentum, nesterov, rmsprop, adam or adamw.", "nesterov; tables adam")
]
LearningRate = Annotated[float | None, _of_training("Step size η.", "0.1; rmsprop, adam, adamw 0.001")]
Schedule = Annotated[
    str | None,
    _of_training(
        "How η changes: constant, step, exponential, cosine, warmup, one-cycle, plateau.", "constant"
    ),
]
L2 = Annotated[float | None, _of_training("Weight decay λ.", "0; adamw 0.01")]
L1 = Annotated[float, _of_training("λ of Σ|w|, which makes weights 0.")]
MaxNorm = Annotated[float | None, _of_training("Greatest length of a neuron's incoming weights.", "no bound")]
ClipNorm = Annotated[float | None, _of_training("Greatest length of the gradient.", "no bound")]
ClassWeight = Annotated[
    str | None,
    _of_training("balanced: a class weighs m / (classes · its examples).", "all alike"),
]
LabelSmoothing = Annotated[float, _of_training("ε of the targets (1 − ε) one-hot + ε / classes.")]
Shift = Annotated[float, _of_training("Augmentation: shift the images by up to so many pixels.")]
Rotate = Annotated[float, _of_training("Augmentation: turn them by up to so many degrees.")]
Scale = Annotated[float, _of_training("Augmentation: scale them by up to this; 0.15 is 0.85 to 1.15.")]
Elastic = Annotated[float, _of_training("Augmentation: bend them; α of elastic distortion, such as 36.")]
Epochs = Annotated[
    int | None, _of_training("Passes over the examples.", "10; digits 20; tables up to 200", least=1)
]
BatchSize = Annotated[
    int | None, _of_training("Examples in a mini-batch.", "128; digits 16; tables by their rows", least=1)
]
Patience = Annotated[
    int | None,
    _of_training(
        "Stop when that many epochs brought no better accuracy (tables: loss) on a held-out tenth of the "
        "training data; 0 for never.",
        "never; tables 20",
        least=0,
    ),
]
CheckpointEvery = Annotated[
    int | None, _of_training("Keep a checkpoint after every so many epochs.", "none", least=1)
]
TensorBoard = Annotated[
    bool,
    typer.Option("--tensorboard", help="Write each epoch for TensorBoard too.", rich_help_panel=TRAINING),
]
Seed = Annotated[int, _of_training("Of the first weights and the shuffling.", least=0)]


def _of_tables(help: str, default: str | bool = False, metavar: str | None = None) -> typer.models.OptionInfo:
    return typer.Option(help=help, show_default=default, metavar=metavar, rich_help_panel=TABLES)


Target = Annotated[
    str | None,
    _of_tables("The column to predict; of a .npy file, the .npy file with it.", "y of a .npz file", "NAME"),
]
Task = Annotated[
    str | None, _of_tables("classification or regression.", "texts and up to 20 whole numbers are classes")
]
Test = Annotated[str | None, _of_tables("A table to test on, instead of held-out rows.", metavar="FILE")]
HeldOut = Annotated[float | None, _of_tables("Share of the rows that is held out to test on.", "0.2")]
Folds = Annotated[
    int | None,
    typer.Option(
        "--cv",
        help="Test by cross-validation in so many parts, then train on all rows.",
        show_default=False,
        min=2,
        rich_help_panel=TABLES,
    ),
]
Targets = Annotated[
    Path | None,
    _of_tables("Of a .npy file: the .npy file with what is to be predicted.", metavar="FILE"),
]
Category = Annotated[
    list[str] | None,
    _of_tables("Take this column as categories, though it looks like numbers.", metavar="NAME"),
]
Ignore = Annotated[list[str] | None, _of_tables("Leave this column out.", metavar="NAME")]
Impute = Annotated[str | None, _of_tables("What missing numbers become: median or mean.", "median")]
Delimiter = Annotated[
    str | None,
    _of_tables("What divides the columns of a CSV file.", ", ; tab or |, as its first line has it"),
]
Header = Annotated[
    bool | None,
    typer.Option(
        "--header/--no-header",
        help="Whether the first line names the columns; without, they are 1, 2, ….",
        show_default="unless it is all numbers",
        rich_help_panel=TABLES,
    ),
]

Precision = Annotated[str, typer.Option(help="float32, float64, or on CUDA tf32 or bf16.")]
Output = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Where model.safetensors, report.html, run.json and history.jsonl go.",
        show_default="gpunn-runs/DATA-1, then -2, …",
    ),
]
Plot = Annotated[
    bool,
    typer.Option("--plot", help="Draw the learning curve in a window; without a display, as curve.png."),
]

Resume = Annotated[
    Path | None,
    typer.Option(
        metavar="RUN",
        help="Go on from the newest checkpoint in that run's folder, with its settings.",
        show_default=False,
    ),
]

# several commands

DATA = "mnist, fashion-mnist, digits, a folder of IDX files, or a table (.csv, .parquet, .npz, .npy)."
TrainingData = Annotated[
    str | None, typer.Argument(help=DATA, show_default="mnist, or digits where that cannot be had")
]
TestData = Annotated[str | None, typer.Argument(help=DATA, show_default="what the model was trained on")]
Model = Annotated[Path, typer.Argument(help="A model.safetensors, or the folder of the run that holds it.")]
Files = Annotated[
    list[Path],
    typer.Argument(
        metavar="FILE",
        help="Pictures (PNG, JPEG, …) of any size, or .npy arrays with an example a column; "
        "bytes are taken as pixels and scaled by 1/255. For a model of tables: a table.",
    ),
]
Predictions = Annotated[
    Path | None,
    typer.Option(
        "-o", "--output", metavar="FILE", help="Where a table's predictions go.", show_default="here"
    ),
]
Runs = Annotated[
    list[Path], typer.Argument(metavar="RUN", help="The folder of a run, or one that holds those of several.")
]
Page = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Where the page goes.",
        show_default="report.html in the run's folder; of several gpunn-runs/comparison.html",
    ),
]
OnnxFile = Annotated[Path, typer.Argument(metavar="FILE.onnx", help="Where to write it.")]
DemoModel = Annotated[
    Path | None,
    typer.Argument(
        metavar="MODEL",
        help="A model.safetensors, or the folder of the run that holds it.",
        show_default="the newest run under gpunn-runs",
    ),
]
Port = Annotated[
    int, typer.Option(help="Where the page is served.", show_default="a free one", min=0, max=65535)
]
Browser = Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N; auto takes a GPU that works.")]
DataDir = Annotated[
    Path | None,
    typer.Option(
        help="Where the files of mnist or fashion-mnist are; else in $GPUNN_DATA, else downloaded once.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
