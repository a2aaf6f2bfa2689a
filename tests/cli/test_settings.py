"""The options of `gpunn train` are the fields of `Settings` and `TableOptions`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import numpy as np
import pytest
import typer
from command_line import ROOT
from reporting import RunCommand

from gpunn import ACTIVATIONS, COSTS, INITIALIZERS, Network, datasets
from gpunn.cli import images
from gpunn.cli.fields import collect, with_options
from gpunn.core.optimizers import OPTIMIZERS
from gpunn.names import listed
from gpunn.training import schedules
from gpunn.training.option import Option, option_name
from gpunn.training.settings import DTYPES, Settings, takers


@pytest.mark.parametrize(
    ("hidden", "name"), [(["128", "64"], "64-128-64-10"), (["0"], "64-10"), (["7"], "64-7-10")]
)
def test_hidden_takes_any_number_of_layers(gpunn_: RunCommand, hidden: list[str], name: str) -> None:
    code, out, _ = gpunn_("train", "--hidden", *hidden, "digits", "--epochs", 1, "--json")
    assert code == 0
    assert json.loads(out)["network"] == name


GIVEN = {
    "activation": "tanh",
    "output_activation": "sigmoid",
    "cost": "quadratic",
    "init": "scaled",
    "dropout": 0.25,
    "input_dropout": 0.125,
    "optimizer": "adam",
    "learning_rate": 0.002,
    "beta1": 0.8,
    "beta2": 0.99,
    "schedule": "cosine",
    "l2": 0.01,
    "l1": 0.001,
    "max_norm": 5.0,
    "clip_norm": 2.0,
    "class_weight": "balanced",
    "label_smoothing": 0.1,
    "shift": 1.0,
    "rotate": 5.0,
    "scale": 0.05,
    "elastic": 2.0,
    "epochs": 1,
    "batch_size": 50,
    "patience": 3,
    "metric": "log_loss",
    "checkpoint_every": 1,
    "seed": 5,
    "device": "cpu",
    "precision": "float64",
    "threads": 2,
}


def test_every_setting_arrives(gpunn_: RunCommand) -> None:
    options = [word for name, value in GIVEN.items() for word in (option_name(name), value)]
    code, out, _ = gpunn_("train", "digits", "--hidden", 9, *options, "--batch-norm", "--json")
    result = json.loads(out)
    assert code == 0
    only_pictures = {"image_size": None}  # refused for the digits
    assert result["settings"] == {
        **GIVEN,
        **only_pictures,
        "hidden": [9],
        "batch_norm": True,
        "tensorboard": False,
        "ensemble": 1,  # of several networks, none keeps checkpoints
    }
    assert result["settings"].keys() == asdict(Settings()).keys()
    net = Network.load(result["model"])
    assert net.dtype == np.float64
    assert net.cost.name == "quadratic"
    assert [layer.f.name for layer in net.layers] == ["tanh", "sigmoid"]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_setting_goes_to_the_optimizers_that_have_it_and_to_no_other(optimizer: str) -> None:
    """The optimizer's own fields decide which settings it takes."""
    numbers = {name: value for name, value in GIVEN.items() if takers(name)}
    assert numbers.keys() >= {"learning_rate", "l2", "l1", "max_norm", "clip_norm", "beta1", "beta2"}
    for name, value in numbers.items():
        settings = Settings(optimizer=optimizer, **{name: value})
        if hasattr(OPTIMIZERS[optimizer](), name):
            assert getattr(settings.build_optimizer(), name) == value
        else:
            with pytest.raises(ValueError, match=f"^{option_name(name)} applies to .*, not to {optimizer}$"):
                settings.build_optimizer()


def test_a_setting_that_the_optimizer_lacks_is_refused(refused: Callable[..., None]) -> None:
    refused(
        ["train", "digits", "--beta1", 0.8], f"--beta1 applies to {listed(takers('beta1'))}, not to nesterov"
    )
    refused(["train", "digits", "--optimizer", "adam", "--beta2", 1], "beta2 must be in [0, 1), not 1.0")


def test_learning_rate_and_decay_of_the_optimizer_are_kept(gpunn_: RunCommand) -> None:
    chosen = ["--optimizer", "adamw", "--epochs", 1, "--hidden", 0, "--json"]
    settings = json.loads(gpunn_("train", "digits", *chosen)[1])["settings"]
    assert (settings["learning_rate"], settings["l2"], settings["beta1"]) == (0.001, 0.01, None)


@dataclass(frozen=True)
class Recipe:
    """A dataclass with a field of each kind."""

    layers: Annotated[list[int] | None, Option("Cake", "Layers.", metavar="N …")] = None
    flour: Annotated[float, Option("Cake", "Cups.")] = 1.5
    eggs: Annotated[int | None, Option("Cake", "Eggs.", "as many as there are", least=2)] = None
    icing: Annotated[bool, Option("Topping", "Ice it.")] = False
    candles: Annotated[bool | None, Option("Topping", "Light it.", "on birthdays")] = None
    fruit: Annotated[tuple[str, ...], Option("Topping", "Fruit; may be repeated.")] = ()


@pytest.fixture
def bake() -> Callable[..., Recipe]:
    """Read a recipe from the command line."""
    app, made = typer.Typer(add_completion=False), []

    def command(**arguments: Any) -> None:
        made.append(collect(Recipe, arguments))

    app.command()(with_options(command, Recipe))

    def run(*arguments: str) -> Recipe:
        typer.main.get_command(app).main(list(arguments), "bake", standalone_mode=False)
        return made.pop()

    return run


def test_any_dataclass_becomes_options(bake: Callable[..., Recipe]) -> None:
    assert bake() == Recipe()
    words = "--layers 3 --layers 2 --flour 2 --eggs 2 --icing --no-candles --fruit plum --fruit fig"
    assert bake(*words.split()) == Recipe([3, 2], 2.0, 2, True, False, ("plum", "fig"))
    assert bake("--candles") == Recipe(candles=True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--eggs 1", "Invalid value for '--eggs': expected a whole number of 2 or more, not '1'"),
        ("--eggs 2.5", "Invalid value for '--eggs': expected a whole number of 2 or more, not '2.5'"),
        ("--flour little", "Invalid value for '--flour': expected a number, not 'little'"),
    ],
)
def test_a_value_out_of_range_is_refused(bake: Callable[..., Recipe], words: str, message: str) -> None:
    with pytest.raises(typer.BadParameter) as caught:
        bake(*words.split())
    assert caught.value.format_message() == message


def test_help_shows_panels_and_defaults(
    bake: Callable[..., Recipe], capsys: pytest.CaptureFixture[str]
) -> None:
    with suppress(IndexError):  # nothing was baked
        bake("--help")
    out = capsys.readouterr().out
    for words in ("─ Cake ─", "─ Topping ─", "[default: 1.5]", "as many as there are", "--no-candles", "N …"):
        assert words in out


def test_help_names_all_the_choices(gpunn_: RunCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    out = gpunn_("train", "--help")[1]
    choices = [*OPTIMIZERS, *schedules.SCHEDULES, *COSTS, *INITIALIZERS, *datasets.NAMES, *DTYPES]
    for name in (*choices, *(name.replace(" ", "-") for name in ACTIVATIONS)):
        assert name in out, name


NEW_ENTRIES = """
from gpunn import cli
from gpunn.core.optimizers import OPTIMIZERS, Adam
from gpunn.functions.activations import ACTIVATIONS
from gpunn.functions.costs import COSTS
from gpunn.functions.initializers import INITIALIZERS
from gpunn.training.schedules import SCHEDULES
for table in (ACTIVATIONS, COSTS, INITIALIZERS, SCHEDULES):
    table["invented"] = next(iter(table.values()))
OPTIMIZERS["novel"] = lambda **settings: Adam(**{"beta1": 0.95, **settings})
cli.main(["train", "--help"])
"""


def test_a_new_entry_appears_in_the_help_by_itself() -> None:
    command = [sys.executable, "-c", NEW_ENTRIES]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    out = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    assert out.count("invented") == 4
    assert ", novel). [default: (0.9; novel 0.95)]" in out


def test_help_names_the_real_defaults(gpunn_: RunCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    out, digits = gpunn_("train", "--help")[1], images.USUAL_FOR["digits"]
    for name in ("epochs", "batch_size"):
        assert f"{images.USUAL[name]}; digits {digits[name]}" in out
    assert "0.1; rmsprop, adam, adamw 0.001" in out
    assert "0; adamw 0.01" in out
