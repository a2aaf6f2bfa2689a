"""`gpunn train`: what it prints, and what it saves."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from command_line import QUICK, load_without_mnist, start_process, write_idx_folder
from reporting import RunCommand

from gpunn import Network, backends, datasets


def test_training_prints_the_network_its_score_and_where_it_is(gpunn_: RunCommand) -> None:
    code, out, err = gpunn_("train", "digits", *QUICK)
    assert (code, err) == (0, "")
    first, *epochs, second = out.partition("\nreport ")[0].splitlines()
    rest = out.splitlines()[1 + len(epochs) + 1 :]
    assert first == "digits, 1,437 examples: 64-32-10, 2,410 parameters, nesterov, on cpu"
    assert [line.partition(":")[0] for line in epochs] == ["epoch 1/2", "epoch 2/2"]
    assert re.fullmatch(r"test accuracy \d\d\.\d\d%, 2 epochs in [\d.]+ s, [\d,]+ examples/s", second)
    assert rest[0] == "report gpunn-runs/digits-1/report.html"
    assert rest[1] == "saved gpunn-runs/digits-1/model.safetensors; now try"
    for line in rest[2:]:
        program, *arguments = shlex.split(line)
        assert program == "gpunn"
        if arguments[0] == "evaluate":
            assert gpunn_(*arguments)[0] == 0


def test_every_run_gets_a_folder_of_its_own(gpunn_: RunCommand) -> None:
    for n in (1, 2):
        gpunn_("train", "digits", *QUICK)
        kept = ["history.jsonl", "model.safetensors", "report.html", "run.json"]
        assert sorted(os.listdir(f"gpunn-runs/digits-{n}")) == kept
    history = Path("gpunn-runs/digits-2/history.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in history] == [1, 2]


def test_images_are_augmented(gpunn_: RunCommand) -> None:
    chosen = ["--shift", 1, "--rotate", 10, "--scale", 0.1, "--elastic", 8]
    code, out, err = gpunn_("train", "digits", *QUICK, *chosen, "--json")
    assert (code, err) == (0, "")
    plain = json.loads(gpunn_("train", "digits", *QUICK, "--json")[1])
    result = json.loads(out)
    assert result["settings"]["rotate"] == 10
    assert result["train_loss"] > plain["train_loss"]  # augmented images are harder to fit
    code, _, err = gpunn_("train", "digits", *QUICK, "--scale", 1)
    assert (code, err) == (2, "gpunn: error: augmentation: scale must be in [0, 1), not 1.0\n")


def test_tensorboard_logs_are_in_the_folder_of_the_run(gpunn_: RunCommand) -> None:
    pytest.importorskip("tensorboardX")
    assert gpunn_("train", "digits", *QUICK, "--tensorboard", "--output", "run")[0] == 0
    assert sum("tfevents" in name for name in os.listdir("run")) == 1


def test_a_first_epoch_that_diverges_leaves_no_tensorboard_log() -> None:
    pytest.importorskip("tensorboardX")
    rate = ["--learning-rate", "1e30", "--activation", "identity", "--output-activation", "identity"]
    run = start_process("train", "digits", *QUICK, *rate, "--tensorboard", "--output", "run")
    err = run.communicate()[1]
    assert run.returncode == 1
    assert err.startswith("gpunn: error: the cost became ")
    assert err.count("\n") == 1
    assert not os.path.exists("run")


def test_json_is_one_object(gpunn_: RunCommand) -> None:
    code, out, err = gpunn_("train", "digits", *QUICK, "--seed", 3, "--json")
    result = json.loads(out)
    assert (code, err) == (0, "")
    expected = {"dataset": "digits", "device": "cpu", "network": "64-32-10", "parameters": 2410, "epochs": 2}
    assert {**result, **expected, "seed": 3, "interrupted": False} == result
    assert result["settings"]["learning_rate"] == 0.1
    assert result["settings"]["cost"] == "cross-entropy"
    assert 0 < result["train_loss"] < 1
    assert result["test_accuracy"] > 0.9
    assert result["seconds"] > 0
    assert result["examples_per_second"] > 0
    net = Network.load(result["model"])
    test = datasets.load("digits").test
    assert net.evaluate(test.X, test.y)[1] == result["test_accuracy"] == net.meta["test_accuracy"]


def test_the_same_seed_trains_the_same_network(gpunn_: RunCommand) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        gpunn_("train", "digits", *QUICK, "--seed", seed, "--output", name)
    a, b, c = (Network.load(name).weights for name in "abc")
    assert all(map(np.array_equal, a, b))
    assert not any(map(np.array_equal, a, c))


def test_a_folder_of_idx_files_can_be_trained_and_evaluated(gpunn_: RunCommand, tmp_path: Path) -> None:
    write_idx_folder(tmp_path / "shapes")
    assert gpunn_("train", "shapes/", *QUICK)[0] == 0
    assert os.path.isfile("gpunn-runs/shapes-1/model.safetensors")
    assert gpunn_("evaluate", "gpunn-runs/shapes-1")[0] == 0
    assert "/shapes" in gpunn_("evaluate", "gpunn-runs/shapes-1", "--json")[1]


def test_the_digits_replace_an_unavailable_mnist(gpunn_: RunCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "load", load_without_mnist)
    code, out, err = gpunn_("train", *QUICK)
    assert code == 0
    assert out.startswith("digits, ")
    assert err.count("\n") == 1
    assert "digits" in err
    assert "/somewhere" in err


def test_an_mnist_that_was_asked_for_is_not_replaced(
    refused: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(datasets, "load", load_without_mnist)
    refused(["train", "mnist", *QUICK], "offline", "/somewhere")
    assert os.listdir(tmp_path) == []


def test_training_says_why_the_cpu_is_used(gpunn_: RunCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "explain_cuda", lambda index=0: "the driver is asleep")
    _, out, _ = gpunn_("train", "digits", "--epochs", 1, "--device", "auto")
    assert out.splitlines()[0].endswith("on cpu (the driver is asleep)")


@pytest.mark.parametrize("seed", range(3))
def test_the_defaults_learn_the_digits(gpunn_: RunCommand, seed: int) -> None:
    result = json.loads(gpunn_("train", "digits", "--seed", seed, "--json")[1])
    assert result["test_accuracy"] >= 0.96


def test_the_defaults_learn_mnist(gpunn_: RunCommand, mnist: datasets.Dataset) -> None:
    """Two of the epochs are enough to see it."""
    result = json.loads(gpunn_("train", "--epochs", 2, "--json")[1])
    assert result["network"] == "784-512-10"
    assert result["test_accuracy"] >= 0.97
