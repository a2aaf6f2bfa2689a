"""Going on: `--resume` with another number of epochs, and `--from` with a model's weights."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import get_type_hints

import numpy as np
import pytest
from command_line import QUICK, write_idx_folder
from reporting import RunCommand

from gpunn import Dense, Network
from gpunn.training.settings import NETWORK, Settings

TRAIN = ["train", "digits", "--hidden", "16", "--device", "cpu", "--json"]


def theta(run: str) -> bytes:
    return Network.load(run).theta.tobytes()


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--patience", 9, "--dropout", 0.2],
        ["--optimizer", "adam", "--schedule", "plateau"],
        ["--schedule", "constant"],
    ],
)
def test_a_lengthened_run_is_bitwise_that_of_so_many_epochs(gpunn_: RunCommand, options: list[str]) -> None:
    assert gpunn_(*TRAIN, *options, "--epochs", 5, "--output", "whole")[0] == 0
    assert gpunn_(*TRAIN, *options, "--epochs", 3, "--checkpoint-every", 1, "--output", "run")[0] == 0
    code, out, err = gpunn_("train", "--resume", "run", "--epochs", 5, "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["settings"]["epochs"] == json.loads(out)["epochs"] == 5
    assert theta("run") == theta("whole")
    command = json.loads(Path("run/run.json").read_text())["command"]
    assert command.count("--epochs") == 1
    assert command.endswith("--epochs 5")


def test_a_run_is_shortened_to_what_is_done(gpunn_: RunCommand, refused: Callable[..., None]) -> None:
    assert gpunn_(*TRAIN, "--epochs", 3, "--checkpoint-every", 1, "--output", "run")[0] == 0
    before = theta("run")
    refused(
        ["train", "--resume", "run", "--epochs", 2], "run has trained for 3 epochs: choose --epochs 3 or more"
    )
    assert gpunn_("train", "--resume", "run", "--epochs", 3)[0] == 0
    assert theta("run") == before


def test_a_schedule_over_other_epochs_is_told(gpunn_: RunCommand) -> None:
    schedule = ["--schedule", "cosine", "--checkpoint-every", 1]
    assert gpunn_(*TRAIN, *schedule, "--epochs", 2, "--output", "run")[0] == 0
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        code, out, err = gpunn_("train", "--resume", "run", "--epochs", 3, "--json")
    assert code == 0
    assert json.loads(out)["epochs"] == 3
    changed = "the schedule was cosine over 2 epochs and is cosine over 3 epochs from now on"
    assert err == (f"gpunn: warning: {changed}, so the result will differ from that of an unbroken run\n")


def test_training_goes_on_from_a_model(gpunn_: RunCommand) -> None:
    shape = ["--activation", "tanh", "--cost", "quadratic", "--output-activation", "sigmoid", "--batch-norm"]
    assert gpunn_(*TRAIN, *shape, "--epochs", 8, "--output", "first")[0] == 0
    before = json.loads(Path("first/run.json").read_text())["result"]
    code, out, err = gpunn_("train", "--from", "first", "--epochs", 1, "--json", "--output", "second")
    assert (code, err) == (0, "")
    after = json.loads(out)
    assert after["dataset"] == "digits"  # the model names its data
    for name in NETWORK:
        assert after["settings"][name] == before["settings"][name]
    assert after["train_loss"] < 2 * before["train_loss"]
    fresh = json.loads(gpunn_(*TRAIN, *shape, "--epochs", 1)[1])
    assert after["train_loss"] < fresh["train_loss"] / 2
    assert "--from first" in json.loads(Path("second/run.json").read_text())["command"]


def test_the_weights_are_those_of_the_model(gpunn_: RunCommand) -> None:
    assert gpunn_(*TRAIN, "--batch-norm", "--epochs", 1, "--output", "first")[0] == 0
    still = ["--learning-rate", 1e-30, "--optimizer", "sgd", "--epochs", 1, "--json"]
    assert gpunn_("train", "digits", "--from", "first", *still, "--output", "second")[0] == 0
    for ours, theirs in zip(Network.load("first").weights, Network.load("second").weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_table_goes_on_with_its_options(gpunn_: RunCommand) -> None:
    rows = [f"{k % 7},{k % 5},{'no' if k < 30 else 'yes'}" for k in range(60)]
    Path("t.csv").write_text("\n".join(["a,b,y", *rows]) + "\n")
    arguments = ["t.csv", "--target", "y", "--held-out", 0.3, "--epochs", 2, "--device", "cpu"]
    first = json.loads(gpunn_("train", *arguments, "--ensemble", 1, "--json", "--output", "first")[1])
    second = json.loads(gpunn_("train", "--from", "first", "--epochs", 2, "--json")[1])
    assert (second["network"], second["settings"]["ensemble"]) == (first["network"], 1)
    assert (second["target"], second["test_examples"]) == ("y", first["test_examples"])
    assert second["settings"]["dropout"] == 0.15
    Path("new.csv").write_text(
        "\n".join(["b,y,a", *(f"{k % 3},{'yn'[k % 2]},{k}" for k in range(40))]) + "\n"
    )
    assert gpunn_("train", "new.csv", "--target", "y", "--from", "first", "--output", "third")[0] == 0
    columns = [Network.load(name).meta["table"]["columns"] for name in ("first", "third")]
    assert columns[0] == columns[1]  # the weights are of use with the features that they were learnt with


def test_another_shape_is_refused(
    gpunn_: RunCommand, refused: Callable[..., None], model: Path, tmp_path: Path
) -> None:
    write_idx_folder(tmp_path / "shapes")
    line = f"{model} has 64 inputs and 10 outputs, but shapes needs 20 and 3"
    refused(["train", "shapes", "--from", model, "--epochs", 1], line)
    refused(["train", "digits", "--from", model, "--hidden", 5], "--from takes the network", "--hidden")
    refused(["train", "digits", "--from", "nowhere"], "nowhere does not exist")
    mixed = [Dense(9, "tanh"), Dense(9, "relu"), Dense(10, "softmax")]
    Network(64, mixed, seed=0).save("mixed.safetensors")
    refused(["train", "digits", *QUICK[:2], "--from", "mixed.safetensors"], "the hidden layers of mixed")


def test_the_settings_of_the_network_are_those_of_its_panel() -> None:
    hints = get_type_hints(Settings, include_extras=True)
    assert tuple(name for name, hint in hints.items() if hint.__metadata__[0].panel == "Network") == NETWORK
