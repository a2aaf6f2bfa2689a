"""The command line: what it prints, what it keeps, and one line for every error."""

from __future__ import annotations

import json
import os
import re
import select
import shlex
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import save_file

import gpunn
from gpunn import ACTIVATIONS, COSTS, INITIALIZERS, Dense, Network, backends, cli, datasets
from gpunn.cli import images, runs, training
from gpunn.core.optimizers import OPTIMIZERS
from gpunn.files import model as model_file
from gpunn.files import writing
from gpunn.training import loop, schedules
from gpunn.training.settings import DTYPES

ROOT = Path(__file__).parents[2]
QUICK = ["--epochs", "2", "--hidden", "32", "--device", "cpu"]


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def refused(gpunn_):
    """The exit code is as given, and stderr one line that holds these words."""

    def check(arguments, *words, code=2):
        got, out, err = gpunn_(*arguments)
        assert got == code
        assert out == "" or code == 1
        assert err.startswith("gpunn: error: "), err
        assert err.count("\n") == 1, err
        for word in words:
            assert str(word) in err, err

    return check


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """A run folder with a network trained on the digits."""
    folder = tmp_path_factory.mktemp("cli") / "run"
    assert cli.main(["train", "digits", *QUICK, "--json", "--output", str(folder)]) == 0
    return folder


def process(*arguments, **options):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
    command = [sys.executable, "-m", "gpunn", *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=environment, **pipes, **options)


# train


def test_training_says_what_how_well_and_where(gpunn_):
    code, out, err = gpunn_("train", "digits", *QUICK)
    assert (code, err) == (0, "")
    first, second, *rest = out.splitlines()
    assert first == "digits, 1,437 examples: 64-32-10, 2,410 parameters, nesterov, on cpu"
    assert re.fullmatch(r"test accuracy \d\d\.\d\d%, 2 epochs in [\d.]+ s, [\d,]+ examples/s", second)
    assert rest[0] == "report gpunn-runs/digits-1/report.html"
    assert rest[1] == "saved gpunn-runs/digits-1/model.safetensors; now try"
    for line in rest[2:]:
        program, *arguments = shlex.split(line)
        assert program == "gpunn"
        if arguments[0] == "evaluate":
            assert gpunn_(*arguments)[0] == 0


def test_every_run_gets_a_folder_of_its_own(gpunn_):
    for n in (1, 2):
        gpunn_("train", "digits", *QUICK)
        kept = ["history.jsonl", "model.safetensors", "report.html", "run.json"]
        assert sorted(os.listdir(f"gpunn-runs/digits-{n}")) == kept
    history = Path("gpunn-runs/digits-2/history.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in history] == [1, 2]


def contents(folder):
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def test_a_run_that_fails_leaves_the_earlier_one_whole(gpunn_, refused, monkeypatch):
    assert gpunn_("train", "digits", *QUICK, "--output", "run")[0] == 0
    before, one_epoch = contents("run"), loop.one_epoch

    def diverge(learner, lessons, epoch, *rest):
        if epoch == 2:
            raise gpunn.Diverged("the cost became inf")
        return one_epoch(learner, lessons, epoch, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "one_epoch", diverge)
        refused(["train", "digits", *QUICK, "--seed", 1, "--output", "run"], "inf", code=1)
    after = contents("run")
    assert after.pop("history.new.jsonl").count(b"\n") == 1  # of the one that failed
    assert after == before
    assert gpunn_("train", "digits", *QUICK, "--seed", 1, "--output", "run")[0] == 0
    after = contents("run")
    assert after.keys() == before.keys()
    assert not [name for name in before if before[name] == after[name]]


def test_a_full_disk_leaves_the_earlier_run_whole(gpunn_, monkeypatch):
    assert gpunn_("train", "digits", *QUICK, "--output", "run")[0] == 0
    before = contents("run")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Network, "save", full)
    assert gpunn_("train", "digits", *QUICK, "--seed", 1, "--output", "run")[0] == 1
    after = contents("run")
    assert after.pop("history.new.jsonl").count(b"\n") == 2
    assert after == before


def test_nothing_stays_of_an_earlier_run(gpunn_, monkeypatch):
    assert gpunn_("train", "digits", *QUICK, "--plot", "--output", "run")[0] == 0
    assert {"curve.png", "report.html", "run.json"} < contents("run").keys()
    monkeypatch.setattr(images.ImageJob, "findings", lambda *_: {}["key"])
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        code, _, err = gpunn_("train", "digits", *QUICK, "--output", "run")
    assert code == 0
    assert "there is no report" in err
    assert sorted(contents("run")) == ["history.jsonl", "model.safetensors"]


def test_only_one_process_at_a_time_trains_in_a_folder(gpunn_, refused):
    if sys.platform == "win32":
        pytest.skip("no lock there")
    Path("run").mkdir()
    with runs.locked(Path("run")):
        refused(["train", "digits", *QUICK, "--json", "--output", "run"], "another process trains in run")
    assert not contents("run")
    assert gpunn_("train", "digits", *QUICK, "--output", "run")[0] == 0


def test_checkpoints_are_never_those_of_another_run(gpunn_, refused):
    assert gpunn_("train", "digits", *QUICK, "--checkpoint-every", 1, "--output", "run")[0] == 0
    before = Path("run/model.safetensors").read_bytes()
    refused(
        ["train", "digits", *QUICK, "--seed", 1, "--output", "run"], "run holds the checkpoints", "--resume"
    )
    assert Path("run/model.safetensors").read_bytes() == before
    assert gpunn_("train", "--resume", "run")[0] == 0


def test_images_are_augmented(gpunn_):
    chosen = ["--shift", 1, "--rotate", 10, "--scale", 0.1, "--elastic", 8]
    code, out, err = gpunn_("train", "digits", *QUICK, *chosen, "--json")
    assert (code, err) == (0, "")
    plain = json.loads(gpunn_("train", "digits", *QUICK, "--json")[1])
    result = json.loads(out)
    assert result["settings"]["rotate"] == 10
    assert result["train_loss"] > plain["train_loss"]  # what it is shown is harder
    code, _, err = gpunn_("train", "digits", *QUICK, "--scale", 1)
    assert (code, err) == (2, "gpunn: error: augmentation: scale must be in [0, 1), not 1.0\n")


def test_tensorboard_finds_the_run(gpunn_):
    pytest.importorskip("tensorboardX")
    assert gpunn_("train", "digits", *QUICK, "--tensorboard", "--output", "run")[0] == 0
    assert sum("tfevents" in name for name in os.listdir("run")) == 1


def test_tensorboard_without_an_epoch_says_and_leaves_nothing():
    pytest.importorskip("tensorboardX")
    rate = ["--learning-rate", "1e30", "--activation", "identity", "--output-activation", "identity"]
    run = process("train", "digits", *QUICK, *rate, "--tensorboard", "--output", "run")
    err = run.communicate(timeout=60)[1]
    assert run.returncode == 1
    assert err.startswith("gpunn: error: the cost became ")
    assert err.count("\n") == 1
    assert not os.path.exists("run")


def test_json_is_one_object(gpunn_):
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


def test_the_same_seed_trains_the_same_network(gpunn_):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        gpunn_("train", "digits", *QUICK, "--seed", seed, "--output", name)
    a, b, c = (Network.load(name).weights for name in "abc")
    assert all(map(np.array_equal, a, b))
    assert not any(map(np.array_equal, a, c))


@pytest.mark.parametrize(
    ("hidden", "name"), [(["128", "64"], "64-128-64-10"), (["0"], "64-10"), (["7"], "64-7-10")]
)
def test_hidden_takes_any_number_of_layers(gpunn_, hidden, name):
    code, out, _ = gpunn_("train", "--hidden", *hidden, "digits", "--epochs", 1, "--json")
    assert code == 0
    assert json.loads(out)["network"] == name


def test_every_setting_arrives(gpunn_):
    given = {"activation": "tanh", "output-activation": "sigmoid", "cost": "quadratic", "init": "scaled"}
    given |= {"dropout": 0.25, "input-dropout": 0.125}
    given |= {
        "optimizer": "adam",
        "learning-rate": 0.002,
        "schedule": "cosine",
        "l2": 0.01,
        "l1": 0.001,
        "max-norm": 5.0,
        "clip-norm": 2.0,
        "class-weight": "balanced",
        "label-smoothing": 0.1,
        "shift": 1.0,
        "rotate": 5.0,
        "scale": 0.05,
        "elastic": 2.0,
        "epochs": 1,
        "batch-size": 50,
        "patience": 3,
        "checkpoint-every": 1,
        "seed": 5,
    }
    given |= {"device": "cpu", "precision": "float64"}
    options = [word for name, value in given.items() for word in (f"--{name}", value)]
    code, out, _ = gpunn_("train", "digits", "--hidden", 9, *options, "--batch-norm", "--json")
    result = json.loads(out)
    assert code == 0
    assert result["settings"] == {
        "hidden": [9],
        "batch_norm": True,
        "tensorboard": False,
        **{k.replace("-", "_"): v for k, v in given.items()},
    }
    net = Network.load(result["model"])
    assert net.dtype == np.float64
    assert net.cost.name == "quadratic"
    assert [layer.f.name for layer in net.layers] == ["tanh", "sigmoid"]


def test_a_folder_of_idx_files_can_be_trained_evaluated_and_shown(gpunn_, tmp_path):
    write_idx_folder(tmp_path / "shapes")
    assert gpunn_("train", "shapes/", *QUICK)[0] == 0
    assert os.path.isfile("gpunn-runs/shapes-1/model.safetensors")
    assert gpunn_("evaluate", "gpunn-runs/shapes-1")[0] == 0
    assert "/shapes" in gpunn_("evaluate", "gpunn-runs/shapes-1", "--json")[1]


def write_idx_folder(folder):
    folder.mkdir()
    images = np.random.default_rng(0).integers(0, 256, (30, 5, 4), np.uint8)
    for name in datasets.folder.FILES:
        array = images if "images" in name else np.arange(30, dtype=np.uint8) % 3
        header = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
        (folder / name).write_bytes(header + array.tobytes())


def no_mnist(name="mnist", data_dir=None):
    if name != "digits":
        raise datasets.DataUnavailable("cannot download mnist (offline): put the files in /somewhere")
    return DIGITS


DIGITS = datasets.load("digits")


def test_without_mnist_the_digits_are_trained(gpunn_, monkeypatch):
    monkeypatch.setattr(datasets, "load", no_mnist)
    code, out, err = gpunn_("train", *QUICK)
    assert code == 0
    assert out.startswith("digits, ")
    assert err.count("\n") == 1
    assert "digits" in err
    assert "/somewhere" in err


def test_mnist_that_was_asked_for_is_not_replaced(refused, monkeypatch, tmp_path):
    monkeypatch.setattr(datasets, "load", no_mnist)
    refused(["train", "mnist", *QUICK], "offline", "/somewhere")
    assert os.listdir(tmp_path) == []


def test_why_the_cpu_is_used(gpunn_, monkeypatch):
    monkeypatch.setattr(backends, "explain_cuda", lambda index=0: "the driver is asleep")
    _, out, _ = gpunn_("train", "digits", "--epochs", 1, "--device", "auto")
    assert out.splitlines()[0].endswith("on cpu (the driver is asleep)")


# what goes wrong


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["trian"], ["trian", "train"]),
        (["train", "--epoch", "3"], ["--epoch", "--epochs"]),
        (["train", "--epochs", "many"], ["--epochs"]),
        (["train", "digits", "more"], ["more"]),
        (["train", "digit"], ["digit", "digits"]),
        (["train", "digits", "--activation", "rleu"], ["rleu", "did you mean 'relu'"]),
        (["train", "digits", "--output-activation", "sotfmax"], ["did you mean 'softmax'"]),
        (["train", "digits", "--cost", "quadratc"], ["did you mean 'quadratic'"]),
        (["train", "digits", "--optimizer", "adma"], ["did you mean 'adam'"]),
        (["train", "digits", "--init", "glorott"], ["did you mean 'glorot'"]),
        (["train", "digits", "--precision", "float16"], ["float16", "float32"]),
        (["train", "digits", "--device", "gpu"], ["gpu", "cuda"]),
        (["train", "digits", "--epochs", "0"], ["--epochs"]),
        (["train", "digits", "--batch-size", "-1"], ["--batch-size"]),
        (["train", "digits", "--learning-rate", "0"], ["learning_rate"]),
        (["train", "digits", "--learning-rate", "nan"], ["learning_rate"]),
        (["train", "digits", "--l2", "-1"], ["l2"]),
        (["train", "digits", "--cost", "huber(0)"], ["huber's delta"]),
        (["train", "digits", "--class-weight", "balancd"], ["class_weight", "'balanced'"]),
        (["train", "digits", "--label-smoothing", "1"], ["label_smoothing", "[0, 1)"]),
        (["train", "digits", "--label-smoothing", "0.1", "--cost", "hinge"], ["hinge", "label_smoothing"]),
        (["train", "digits", "--seed", "-1"], ["--seed"]),
        (["train", "digits", "--hidden", "64", "0"], ["neuron", "0"]),
        (["train", "digits", "--hidden"], ["--hidden"]),
        (["train", "./nowhere"], ["nowhere"]),
        (["train", "mnist", "--data-dir", "nowhere"], ["nowhere"]),
        (["train", "fashion-mnist", "--data-dir", "nowhere"], ["nowhere"]),
        (["train", "digits", "--data-dir", "."], ["--data-dir is for", "digits is none"]),
        (["train", "mnst", "--data-dir", "."], ["did you mean 'mnist'"]),
        (["evaluate"], ["argument"]),
        (["evaluate", "nowhere"], ["nowhere"]),
        (["predict", "nowhere"], ["FILE"]),
    ],
)
def test_bad_input_is_one_line_and_2(refused, tmp_path, arguments, words):
    refused(arguments, *words)
    assert os.listdir(tmp_path) == []


def test_no_cuda_says_why(refused, monkeypatch):
    monkeypatch.setattr(backends, "explain_cuda", lambda index=0: "the driver is asleep")
    refused(["train", "digits", "--device", "cuda"], "the driver is asleep")
    refused(["train", "digits", "--precision", "tf32"], "tf32", "CUDA")


def test_an_unwritable_output_is_found_before_training(refused, monkeypatch, tmp_path):
    monkeypatch.setattr(Network, "fit", lambda *args, **kwargs: pytest.fail("trained"))
    (tmp_path / "file").touch()
    refused(["train", "digits", "--output", "file/run"], "file/run", "--output")
    refused(["train", "digits", "--output", "file"], "file", "--output")
    (tmp_path / "gpunn-runs").touch()
    refused(["train", "digits"], "gpunn-runs", "--output")
    assert sorted(os.listdir(tmp_path)) == ["file", "gpunn-runs"]


def test_a_run_that_cannot_be_written_is_not_resumed(gpunn_, refused, monkeypatch):
    assert gpunn_("train", "digits", *QUICK, "--checkpoint-every", 1, "--output", "run")[0] == 0

    def read_only(*_, **__):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(runs.tempfile, "TemporaryFile", read_only)
    line = "cannot write to run (Read-only file system): a run is resumed where it is"
    refused(["train", "--resume", "run"], line)


def test_a_disk_that_fills_is_a_run_that_failed(refused, monkeypatch, tmp_path):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing.os, "fsync", full)
    refused(["train", "digits", *QUICK, "--json"], "gpunn-runs/digits-1/history.jsonl: No space left", code=1)
    assert os.listdir(tmp_path) == []


def test_a_model_that_may_not_be_read_is_there(refused, model, monkeypatch):
    def forbidden(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(model_file.Path, "open", forbidden)
    refused(["evaluate", model], "model.safetensors cannot be read: Permission denied")


def test_a_run_that_diverges_is_1_and_leaves_nothing(refused, tmp_path):
    rate = ["--learning-rate", "1e30", "--activation", "identity", "--output-activation", "identity"]
    refused(["train", "digits", *QUICK, *rate], "epoch", "smaller learning rate", code=1)
    assert os.listdir(tmp_path) == []


def test_running_out_of_memory_is_1(refused, monkeypatch):
    def fit(*args, **kwargs):
        raise MemoryError

    monkeypatch.setattr(training, "build_network", fit)
    refused(["train", "digits", *QUICK], "memory", code=1)


def test_a_bug_is_named(refused, gpunn_, monkeypatch):
    monkeypatch.setattr(training, "train", lambda *args: {}["key"])
    refused(["train", "digits"], "KeyError", "--debug", code=1)
    code, _, err = gpunn_("train", "digits", "--debug")
    assert code == 1
    assert "Traceback" in err
    assert err.splitlines()[-1].startswith("gpunn: error: ")


def test_a_traceback_only_with_debug(gpunn_):
    code, _, err = gpunn_("train", "digits", "--activation", "rleu", "--debug")
    assert code == 2
    assert "Traceback" in err


def test_a_warning_is_one_line(gpunn_):
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        code, _, err = gpunn_("train", "digits", *QUICK, "--init", "zeros")
    assert code == 0
    assert re.fullmatch(r"gpunn: warning: .* zeros: .*\n", err)


def test_ctrl_c_before_training_is_130(gpunn_, monkeypatch):
    def load(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(datasets, "load", load)
    assert gpunn_("train", "digits") == (130, "", "")


# models that are none


def with_metadata(model, path, **changes):
    """A copy of the model, its metadata changed."""
    with safe_open(model / "model.safetensors", "numpy") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = {**file.metadata(), **changes}
    save_file(tensors, path, metadata)


def test_models_of_others(refused, model, tmp_path):
    with_metadata(model, "other.safetensors", format="pt")
    refused(["evaluate", "other.safetensors"], "other.safetensors", "not a gpunn model")
    with_metadata(model, "newer.safetensors", version="7")
    refused(["evaluate", "newer.safetensors"], "newer.safetensors", "version 7")
    with_metadata(model, "strange.safetensors", meta="[1]")
    refused(["evaluate", "strange.safetensors"], "strange.safetensors", "not a readable model")
    whole = (model / "model.safetensors").read_bytes()
    for content in (b"", whole[:100], whole[:-1], b"\xff" * 50):
        (tmp_path / "damaged").write_bytes(content)
        refused(["predict", "damaged", "x.png"], "damaged")


def test_a_model_without_meta_still_predicts_arrays(gpunn_, refused, model):
    with_metadata(model, "bare.safetensors", meta="{}")
    np.save("x.npy", DIGITS.test.X[:, 0])
    Image.new("L", (8, 8)).save("x.png")
    assert gpunn_("predict", "bare.safetensors", "x.npy")[0] == 0
    refused(["predict", "bare.safetensors", "x.png"], "x.png", "bare.safetensors")
    refused(["evaluate", "bare.safetensors"], "bare.safetensors", "data set")
    assert gpunn_("evaluate", "bare.safetensors", "digits")[0] == 0


# evaluate


def test_evaluate_agrees_with_training(gpunn_, model):
    result = json.loads(gpunn_("evaluate", model, "--json")[1])
    matrix = np.array(result["confusion_matrix"])
    assert result["dataset"] == "digits"
    assert result["examples"] == matrix.sum() == 360
    assert result["accuracy"] == pytest.approx(matrix.trace() / 360)
    assert result["accuracy"] == Network.load(model).meta["test_accuracy"]
    assert [row["support"] for row in result["classes"]] == matrix.sum(axis=1).tolist()
    recall = matrix.diagonal() / matrix.sum(axis=1)
    assert [row["recall"] for row in result["classes"]] == pytest.approx(recall.tolist())
    again = json.loads(gpunn_("evaluate", model / "model.safetensors", "digits", "--json")[1])
    assert {**again, "model": str(model)} == result


def test_the_tables_are_aligned_and_fit_60_columns(gpunn_, model, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    code, out, err = gpunn_("evaluate", model)
    lines = out.splitlines()
    assert (code, err) == (0, "")
    assert "\x1b" not in out
    assert max(map(len, lines[1:])) <= 60
    assert sum(bool(re.fullmatch(r"\d( +\d+){10}", line.strip())) for line in lines) == 10
    assert sum(bool(re.fullmatch(r"\d +[\d.]+% +[\d.]+% +\d+", line.strip())) for line in lines) == 10


def test_a_matrix_that_is_too_wide_becomes_a_list(gpunn_, model, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    out = gpunn_("evaluate", model)[1]
    assert "most frequent confusions" in out
    assert " taken for " in out


def test_a_data_set_of_other_images_is_refused(refused, model, tmp_path):
    write_idx_folder(tmp_path / "shapes")
    refused(["evaluate", model, "shapes/"], "64", "20", "shapes")


def test_options_for_other_models_are_refused(refused, model):
    said = f"and what {model} was trained on is none"
    refused(["evaluate", model, "--delimiter", ";"], "--delimiter is for tables", said)
    refused(["evaluate", model, "--target", "y.npy"], "--target is for tables", said)
    refused(["predict", model, "x.png", "--no-header"], "--header is for tables", said)
    refused(["evaluate", model, "--data-dir", "."], "--data-dir is for", "digits is none")


# export


def test_export_says_in_a_line_what_goes_in(gpunn_, monkeypatch):
    pytest.importorskip("onnx")
    pytest.importorskip("pyarrow")
    X = np.random.default_rng(0).standard_normal((40, 12))
    columns = ['"in\ntwo lines"', *(f"c{k}" for k in range(1, 12))]
    np.savetxt("t.csv", X, delimiter=",", header=",".join(columns), comments="")
    options = ["--target", "c11", "--task", "regression", "--epochs", 1, "--output", "run"]
    assert gpunn_("train", "t.csv", *options)[0] == 0
    code, out, err = gpunn_("export", "run", "m.onnx")
    named = ", ".join(f"{name} float32 (N, 1)" for name in ["in two lines", *(f"c{k}" for k in range(1, 8))])
    assert (code, err) == (0, "")
    assert out == f"saved m.onnx: {named}, … (11 in all) → prediction float32 (N, 1)\n"
    assert len(json.loads(gpunn_("export", "run", "m.onnx", "--json")[1])["inputs"]) == 11


# predict


def test_predict_prints_a_line_each(gpunn_, model):
    np.save("four.npy", DIGITS.test.X[:, :4])
    Image.fromarray(DIGITS.test.X[:, 0].reshape(8, 8)).save("a digit.png")
    code, out, err = gpunn_("predict", model, "four.npy", "a digit.png")
    assert (code, err) == (0, "")
    assert re.fullmatch(r"(four\.npy\[\d\]  \d  [ \d.]{6}%\n){4}a digit\.png  \d  [ \d.]{6}%\n", out)
    found = json.loads(gpunn_("predict", model, "four.npy", "--json")[1])["predictions"]
    outputs = Network.load(model).forward(DIGITS.test.X[:, :4])
    assert [p["label"] for p in found] == [str(k) for k in outputs.argmax(axis=0)]
    assert [p["probability"] for p in found] == pytest.approx(outputs.max(axis=0).tolist())


def test_a_bad_file_does_not_hide_the_good_ones(gpunn_, model):
    np.save("good.npy", DIGITS.test.X[:, 0])
    np.save("nan.npy", np.full(64, np.nan, np.float32))
    np.save("short.npy", np.zeros(63))
    Path("text.png").write_text("not a picture")
    bad = ["nan.npy", "short.npy", "text.png", "missing.jpg"]
    code, out, err = gpunn_("predict", model, *bad, "good.npy")
    assert code == 2
    assert out.startswith("good.npy  ")
    assert out.count("\n") == 1
    assert [name for name, line in zip(bad, err.splitlines(), strict=True) if name in line] == bad


def test_class_names_and_outputs_that_are_no_probabilities(gpunn_):
    meta = {"classes": ["cat", "dog"]}
    Network(3, [Dense(1, "tanh")], "quadratic", 0, meta=meta).save("one")
    Network(3, [Dense(1, "sigmoid")], seed=0, meta=meta).save("two")
    np.save("x.npy", np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]))
    for name, has_probability in (("one", False), ("two", True)):
        found = json.loads(gpunn_("predict", name, "x.npy", "--json")[1])["predictions"]
        assert {p["label"] for p in found} <= {"cat", "dog"}
        assert all((p["probability"] is not None) == has_probability for p in found)
        assert all(p["probability"] >= 0.5 for p in found if has_probability)


# info, help, version


def test_info(gpunn_, monkeypatch, tmp_path):
    monkeypatch.setattr(backends, "explain_cuda", lambda index=0: "the driver is asleep")
    monkeypatch.setattr(backends, "cuda_devices", lambda: [])
    monkeypatch.setenv("GPUNN_DATA", str(tmp_path))
    code, out, err = gpunn_("info")
    assert (code, err) == (0, "")
    for word in (
        "NumPy",
        "SciPy",
        "scikit-learn",
        "BLAS",
        "used by gpunn",
        "the driver is asleep",
        str(tmp_path),
    ):
        assert word in out
    found = json.loads(gpunn_("info", "--json")[1])
    assert found["versions"]["NumPy"] == np.__version__
    assert sum(blas["used"] for blas in found["blas"]) <= 1
    monkeypatch.setattr(backends, "cuda_devices", lambda: ["cuda:0 (Tesla)"])
    assert "cuda:0 (Tesla)" in gpunn_("info")[1]


def test_info_finds_mnist(gpunn_, monkeypatch, tmp_path):
    write_idx_folder(tmp_path / "mnist")
    monkeypatch.setenv("GPUNN_DATA", str(tmp_path))
    assert json.loads(gpunn_("info", "--json")[1])["mnist"] == str(tmp_path / "mnist")


def test_version(gpunn_):
    assert gpunn_("--version") == (0, f"gpunn {gpunn.__version__}\n", "")


def test_help_at_every_level(gpunn_):
    assert gpunn_() == gpunn_("--help")
    for command in ([], ["train"], ["evaluate"], ["predict"], ["report"], ["export"], ["demo"], ["info"]):
        code, out, err = gpunn_(*command, "--help")
        assert (code, err) == (0, "")
        assert "Usage: gpunn" in out
        assert "Examples" in out or command == ["info"]
        assert max(map(len, out.splitlines())) <= 80


def test_help_names_all_the_choices(gpunn_, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    out = gpunn_("train", "--help")[1]
    choices = [*OPTIMIZERS, *schedules.SCHEDULES, *COSTS, *INITIALIZERS, *datasets.NAMES, *DTYPES]
    for name in (*choices, *(name.replace(" ", "-") for name in ACTIVATIONS)):
        assert name in out, name


def test_help_names_the_real_defaults(gpunn_, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    out, digits = gpunn_("train", "--help")[1], images.USUAL_FOR["digits"]
    for name in ("epochs", "batch_size"):
        assert f"{images.USUAL[name]}; digits {digits[name]}" in out
    rates = {name: make().learning_rate for name, make in OPTIMIZERS.items()}
    assert {name for name, rate in rates.items() if rate == 0.1} == {"sgd", "momentum", "nesterov"}
    assert {name for name, rate in rates.items() if rate == 0.001} == {"rmsprop", "adam", "adamw"}
    assert "0.1; rmsprop, adam, adamw 0.001" in out


def test_help_imports_little():
    code = (
        "import sys, gpunn; before = set(sys.modules); from gpunn import cli; cli.main(['train', '--help']);"
        "print([m for m in set(sys.modules) - before if m.startswith(('scipy', 'sklearn', 'gpunn'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert set(eval(done.stdout.splitlines()[-1])) == {"gpunn.cli", "gpunn.cli.options"}


INTERRUPTED_IMPORT = """
import runpy, sys
module = sys.argv.pop(1)
class CtrlC:
    def find_spec(self, name, *_):
        if name == module:
            raise KeyboardInterrupt
sys.meta_path.insert(0, CtrlC())
assert "numpy" not in sys.modules
runpy.run_module("gpunn", run_name="__main__")
"""


@pytest.mark.parametrize("module", ["typer", "numpy", "gpunn.cli.training", "scipy.linalg"])
def test_ctrl_c_while_something_is_imported_is_130(module):
    command = [sys.executable, "-c", INTERRUPTED_IMPORT, module]
    command += ["train", "digits", *QUICK]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_all_names_are_there_when_they_are_asked_for():
    code = (
        "import sys, gpunn; before = {'numpy', 'scipy', 'typer'} & set(sys.modules)\n"
        "found = [getattr(gpunn, name) for name in [*gpunn.__all__, '__version__', 'optimizers']]\n"
        "from gpunn import *; print(before, set(gpunn.__all__) <= set(dir(gpunn)), hasattr(gpunn, 'nothing'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == "set() True False\n"


# as a process


def test_ctrl_c_saves_what_was_learnt(request):
    # a parent in the background may ignore Ctrl-C, and its children inherit that
    signal.signal(signal.SIGINT, signal.default_int_handler)
    run = process("train", "digits", "--epochs", 100_000, "--output", "run", "--device", "cpu")
    request.addfinalizer(run.kill)
    assert select.select([run.stdout], [], [], 60)[0]
    assert run.stdout.readline().startswith("digits, ")
    with pytest.raises(subprocess.TimeoutExpired):
        run.wait(timeout=1)
    run.send_signal(signal.SIGINT)
    out, err = run.communicate(timeout=60)
    assert (run.returncode, err) == (130, "")
    assert "interrupted after" in out
    assert "gpunn evaluate run/model.safetensors digits" in out
    assert Network.load("run").meta["test_accuracy"] > 0.5
    assert Network.load("run").meta["stopped"] == "interrupted"


def test_json_on_stdout_and_nothing_else():
    run = process("train", "digits", *QUICK, "--json")
    out, err = run.communicate(timeout=60)
    assert (run.returncode, err) == (0, "")
    assert out.count("\n") == 1
    assert json.loads(out)["dataset"] == "digits"


def test_a_reader_that_leaves_is_no_error(model):
    run = process("evaluate", model)
    run.stdout.close()
    assert run.stderr.read() == ""
    run.stderr.close()
    assert run.wait(timeout=60) == cli.FAILED


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_streams_are_no_error(closed):
    if sys.platform == "win32":
        pytest.skip("no such shell")
    arguments = ["train", "digits", *QUICK, "--init", "zeros", "--output", "run"]
    command = shlex.join([sys.executable, "-m", "gpunn", *arguments])
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(f"{command} {closed}", shell=True, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (done.stdout == "") == closed.startswith(">")
    assert done.stderr.startswith("gpunn: warning: ") == (closed == ">&-")
    assert done.stderr.count("\n") <= 1
    assert Network.load("run").meta["epochs"] == 2


# how good the defaults are


@pytest.mark.parametrize("seed", range(3))
def test_the_defaults_learn_the_digits(gpunn_, seed):
    result = json.loads(gpunn_("train", "digits", "--seed", seed, "--json")[1])
    assert result["test_accuracy"] >= 0.96


@pytest.mark.long
def test_the_defaults_learn_mnist(gpunn_, mnist):
    result = json.loads(gpunn_("train", "--json")[1])
    assert result["network"] == "784-512-10"
    assert result["test_accuracy"] >= 0.98
