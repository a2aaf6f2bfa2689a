"""Every error is one line and an exit code."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import QUICK, change_metadata
from reporting import RunCommand

from gpunn import backends, datasets
from gpunn.cli import training
from gpunn.files import model as model_file


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["trian"], ["trian", "train"]),
        (["train", "--epoch", "3"], ["--epoch", "--epochs"]),
        (["train", "--lr", "0.1"], ["No such option: --lr. Did you mean --learning-rate?"]),
        (["train", "--bs", "8"], ["--batch-size"]),
        (["train", "--wd", "1e-4"], ["--l2"]),
        (["train", "--hidden-layers", "3"], ["--hidden"]),
        (["train", "--sep", ";"], ["--delimiter"]),
        (["evaluate", "x", "--label", "y"], ["No such option: --label"]),
        (["train", "digits", "--cost", "mse"], ["did you mean 'quadratic' (½ Σ (a − y)²)?"]),
        (["train", "--epochs", "many"], ["--epochs", "a whole number of 1 or more, not 'many'"]),
        (["train", "--learning-rate", "small"], ["--learning-rate", "a number, not 'small'"]),
        (["train", "--hidden", "128,64"], ["--hidden", "a whole number, not '128,64'"]),
        (["train", "--resume", "nowhere", "--seed", "3"], ["--resume", "leave out --seed"]),
        (["train", "digits", "--resume", "nowhere"], ["--resume", "leave out the data"]),
        (["train", "--resume", "nowhere"], ["nowhere has no checkpoint", "--checkpoint-every"]),
        (["train", "digits", "more"], ["more"]),
        (["train", "digit"], ["digit", "digits"]),
        (["train", "digits", "--activation", "rleu"], ["rleu", "did you mean 'relu'"]),
        (["train", "digits", "--output-activation", "sotfmax"], ["did you mean 'softmax'"]),
        (["train", "digits", "--cost", "quadratc"], ["did you mean 'quadratic'"]),
        (["train", "digits", "--optimizer", "adma"], ["did you mean 'adam'"]),
        (["train", "digits", "--init", "glorott"], ["did you mean 'glorot'"]),
        (["train", "digits", "--schedule", "cosin"], ["did you mean 'cosine'"]),
        (["train", "digits", "--precision", "float16"], ["float16", "float32"]),
        (["train", "digits", "--device", "gpu"], ["gpu", "cuda"]),
        (["train", "digits", "--epochs", "0"], ["--epochs"]),
        (["train", "digits", "--batch-size", "-1"], ["--batch-size"]),
        (["train", "digits", "--learning-rate", "0"], ["learning_rate"]),
        (["train", "digits", "--learning-rate", "nan"], ["learning_rate"]),
        (["train", "digits", "--l2", "-1"], ["l2"]),
        (["train", "digits", "--cost", "huber(0)"], ["huber's delta"]),
        (["train", "digits", "--class-weight", "balancd"], ["--class-weight must be balanced or NAME=W"]),
        (["train", "digits", "--label-smoothing", "1"], ["label_smoothing", "[0, 1)"]),
        (["train", "digits", "--label-smoothing", "0.1", "--cost", "hinge"], ["hinge", "label_smoothing"]),
        (["train", "digits", "--seed", "-1"], ["--seed"]),
        (["train", "digits", "--hidden", "64", "0"], ["neuron", "0"]),
        (["train", "digits", "--hidden"], ["--hidden"]),
        (["train", "digits", "--dropout", "0.999999"], ["dropout 0.999999 would drop everything"]),
        (["train", "digits", "--input-dropout", "0.999999"], ["dropout 0.999999 would drop everything"]),
        (["train", "~no-such-user/x"], ["~no-such-user/x"]),
        (["train", "mnist", "--data-dir", "~no-such-user/x"], ["~no-such-user/x"]),
        (["train", "./nowhere"], ["nowhere"]),
        (["train", "mnist", "--data-dir", "nowhere"], ["nowhere"]),
        (["train", "fashion-mnist", "--data-dir", "nowhere"], ["nowhere"]),
        (
            ["train", "digits", "--data-dir", "."],
            ["--data-dir only applies to downloadable", "not to digits"],
        ),
        (["train", "digits", "--target", "species"], ["--target only applies to tables", "not to digits"]),
        (["train", "mnst", "--data-dir", "."], ["did you mean 'mnist'"]),
        (["evaluate"], ["argument"]),
        (["evaluate", "nowhere"], ["nowhere"]),
        (["predict", "nowhere"], ["FILE"]),
    ],
)
def test_bad_input_is_one_line_and_exits_with_2(
    refused: Callable[..., None], tmp_path: Path, arguments: list[str], words: list[str]
) -> None:
    refused(arguments, *words)
    assert os.listdir(tmp_path) == []


def test_the_error_says_why_there_is_no_cuda(
    refused: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backends, "explain_cuda", lambda index=0: "the driver is asleep")
    refused(["train", "digits", "--device", "cuda"], "the driver is asleep")
    refused(["train", "digits", "--precision", "tf32"], "tf32", "CUDA")


def test_a_model_without_permission_is_not_reported_missing(
    refused: Callable[..., None], model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(model_file.Path, "open", forbidden)
    refused(["evaluate", model], "model.safetensors cannot be read: Permission denied")


def test_running_out_of_memory_exits_with_1(
    refused: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fit(*args, **kwargs):
        raise MemoryError

    monkeypatch.setattr(training, "build_network", fit)
    refused(["train", "digits", *QUICK], "memory", code=1)


def test_a_bug_is_reported_as_a_bug(
    refused: Callable[..., None], gpunn_: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "train", lambda *args: {}["key"])
    refused(["train", "digits"], "KeyError", "--debug", code=1)
    code, _, err = gpunn_("train", "digits", "--debug")
    assert code == 1
    assert "Traceback" in err
    assert err.splitlines()[-1].startswith("gpunn: error: ")


def test_debug_shows_the_traceback(gpunn_: RunCommand) -> None:
    code, _, err = gpunn_("train", "digits", "--activation", "rleu", "--debug")
    assert code == 2
    assert "Traceback" in err


def test_a_warning_is_one_line(gpunn_: RunCommand) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        code, _, err = gpunn_("train", "digits", *QUICK, "--init", "zeros")
    assert code == 0
    assert re.fullmatch(r"gpunn: warning: .* zeros: .*\n", err)


def test_ctrl_c_before_training_exits_with_130(gpunn_: RunCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(datasets, "load", load)
    assert gpunn_("train", "digits") == (130, "", "")


def test_files_that_are_not_models_are_refused(
    refused: Callable[..., None], model: Path, tmp_path: Path
) -> None:
    change_metadata(model / "model.safetensors", Path("other.safetensors"), format="pt")
    refused(["evaluate", "other.safetensors"], "other.safetensors", "not a gpunn model")
    change_metadata(model / "model.safetensors", Path("newer.safetensors"), version="7")
    refused(["evaluate", "newer.safetensors"], "newer.safetensors", "version 7")
    change_metadata(model / "model.safetensors", Path("strange.safetensors"), meta="[1]")
    refused(["evaluate", "strange.safetensors"], "strange.safetensors", "not a readable model")
    whole = (model / "model.safetensors").read_bytes()
    for content in (b"", whole[:100], whole[:-1], b"\xff" * 50):
        (tmp_path / "damaged").write_bytes(content)
        refused(["predict", "damaged", "x.png"], "damaged")


def test_options_for_other_models_are_refused(refused: Callable[..., None], model: Path) -> None:
    tables = f"only applies to tables, not to the images that {model} was trained on"
    refused(["evaluate", model, "--delimiter", ";"], f"--delimiter {tables}")
    refused(["evaluate", model, "--target", "y.npy"], f"--target {tables}")
    refused(["predict", model, "x.png", "--no-header"], f"--header {tables}")
    refused(["predict", model, "x.png", "-o", "x.csv"], "--output only applies to models of tables")
    refused(
        ["evaluate", model, "--data-dir", "."], "--data-dir only applies to downloadable", "not to digits"
    )
