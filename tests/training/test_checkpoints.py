"""Checkpoints: an interrupted and resumed run is bitwise identical to an unbroken one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import MakeBackend
from resuming import X, Y, fit, interrupt_after, network, outcome

from gpunn import (
    Adam,
    AdamW,
    Dense,
    EarlyStopping,
    Nesterov,
    Network,
    Record,
    ReduceOnPlateau,
    RMSProp,
)
from gpunn.training.checkpoint_files import Checkpoints, newest, read
from gpunn.training.identity import fingerprint

SUPPORT = Path(__file__).parents[1] / "support"


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "sgd"},
        {"optimizer": "momentum", "schedule": "cosine"},
        {"optimizer": Nesterov(0.05, l2=0.01), "validation": (X, Y), "schedule": "plateau"},
        {"optimizer": Nesterov(0.05, clip_norm=0.5), "validation": 0.25},
        {"optimizer": Adam(0.01), "validation": 0.25, "stop": EarlyStopping(patience=2, min_delta=0.01)},
        {"optimizer": AdamW(0.01), "schedule": "one-cycle"},
        {"optimizer": RMSProp(0.01, l1=0.001), "stop": EarlyStopping("accuracy", 1, 1.0)},
    ],
    ids=lambda settings: "-".join(settings) + str(settings["optimizer"])[:7],
)
def test_a_resumed_run_equals_an_unbroken_one(
    backend: MakeBackend, tmp_path: Path, settings: dict[str, Any]
) -> None:
    whole = network()
    expected = outcome(whole, fit(whole, **settings))
    for broken in (1, 3, 4):
        net = network()
        history = fit(net, **settings, checkpoint=tmp_path, resume=True, on_epoch_end=interrupt_after(broken))
        assert history.stopped in ("interrupted", "early")
    again = network(seed=None)  # the seed is in the checkpoint
    assert outcome(again, fit(again, **settings, checkpoint=tmp_path, resume=True)) == expected
    done = network(None)
    assert outcome(done, fit(done, **settings, checkpoint=tmp_path, resume=True)) == expected


def test_ctrl_c_within_an_epoch_keeps_the_last_complete_one(tmp_path: Path) -> None:
    """Press Ctrl-C within the third epoch, with a checkpoint due only every hundred."""
    expected = outcome(whole := network(), fit(whole))
    net, progressed = network(), []

    def f(z: np.ndarray) -> np.ndarray:
        progressed.append(1)
        if len(progressed) == 8 * 2 + 4:
            raise KeyboardInterrupt
        return np.tanh(z)

    net = Network(6, [Dense(7, (f, lambda z: 1 - np.tanh(z) ** 2)), Dense(3, "softmax")], seed=0)
    history = fit(net, checkpoint=tmp_path, checkpoint_every=100)
    assert (history.stopped, len(history)) == ("interrupted", 2)
    assert [path.name for path in tmp_path.iterdir()] == ["epoch-000002.safetensors"]
    progressed.clear()
    again = Network(6, [Dense(7, (np.tanh, lambda z: 1 - np.tanh(z) ** 2)), Dense(3, "softmax")], seed=0)
    again_history = fit(again, checkpoint=tmp_path, checkpoint_every=100, resume=True)
    assert len(again_history) == 6
    assert again_history[1].loss == history[1].loss
    assert outcome(again, again_history)[1] == expected[1]


def test_checkpoint_every_and_keep(tmp_path: Path) -> None:
    fit(network(), epochs=8, checkpoint=tmp_path / "a" / "b", checkpoint_every=3, keep=2)
    left = sorted(path.name for path in (tmp_path / "a" / "b").iterdir())
    assert left == ["epoch-000006.safetensors", "epoch-000008.safetensors"]


def test_a_finished_run_can_be_resumed_for_more_epochs(tmp_path: Path) -> None:
    fit(network(), epochs=3, checkpoint=tmp_path)
    net, whole = network(), network()
    assert outcome(net, fit(net, checkpoint=tmp_path, resume=True)) == outcome(whole, fit(whole))


def test_checkpoints_do_not_change_the_result(backend: MakeBackend, tmp_path: Path) -> None:
    net, plain = network(), network()
    settings = {"optimizer": "adam", "validation": 0.2}
    assert outcome(net, fit(net, **settings, checkpoint=tmp_path)) == outcome(plain, fit(plain, **settings))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("how", [("random", 0), ("random", 1), ("fsync", 5), ("replace", 5), ("unlink", 5)])
def test_a_killed_and_resumed_run_is_bitwise_identical(tmp_path: Path, how: tuple[str, int]) -> None:
    """Kill the process at random moments and at each stage of writing a checkpoint."""
    command = [sys.executable, str(SUPPORT / "killing.py"), how[0], str(how[1]), str(tmp_path)]
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    result = json.loads(done.stdout)
    assert result["same"]
    assert result["killed"] >= (3 if how[0] == "random" else 1)
    assert result["writing"] >= (how[0] in ("fsync", "replace"))
    assert result["left"] == ["epoch-000019.safetensors", "epoch-000020.safetensors"]


SIGTERM = """
import signal, sys
from resuming import fit, network
def end(record):
    if record.epoch == 3:
        signal.raise_signal(signal.SIGTERM)
fit(network(), checkpoint=sys.argv[1], checkpoint_every=50, epochs=6, on_epoch_end=end)
print("not reached")
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM to catch")
def test_sigterm_saves_a_checkpoint_and_ends_the_process(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(SUPPORT), *sys.path])}
    command = [sys.executable, "-c", SIGTERM, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGTERM, "", "")
    net, whole = network(), network()
    history = fit(net, checkpoint=tmp_path, checkpoint_every=50, resume=True)
    assert outcome(net, history) == outcome(whole, fit(whole))


def test_the_content_of_a_checkpoint(tmp_path: Path) -> None:
    net = network()
    net.meta = {"classes": ["a", "b", "c"]}
    fit(net, epochs=2, optimizer="adam", checkpoint=tmp_path)
    saved = newest(tmp_path)
    assert saved is not None and saved.path.name == "epoch-000002.safetensors"
    assert saved.tensors.keys() == {"theta", "optimizer.m", "optimizer.v", "optimizer.steps"}
    assert saved.tensors["theta"].tobytes() == net._theta.flat.tobytes()
    assert saved.tensors["optimizer.steps"][0] == 2 * 8
    assert saved.state["meta"] == net.meta
    assert newest(tmp_path / "nowhere") is None
    with pytest.raises(ValueError, match="not a readable checkpoint"):
        read(tmp_path / "nowhere")
    assert Checkpoints(tmp_path).files() == [tmp_path / f"epoch-00000{n}.safetensors" for n in (1, 2)]


def test_a_plateau_object_may_be_reused(tmp_path: Path) -> None:
    plateau = ReduceOnPlateau(patience=1, metric="loss")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(network(), epochs=2, schedule=plateau, checkpoint=tmp_path)
        assert len(fit(network(), schedule=plateau, checkpoint=tmp_path, resume=True)) == 6


class Halving:
    """A custom schedule that halves the learning rate after every epoch with a higher loss."""

    def __init__(self) -> None:
        self.factor, self.loss = 1.0, float("inf")

    def __call__(self, progress: float) -> float:
        return self.factor

    def observe(self, record: Record) -> None:
        self.factor, self.loss = self.factor / (2 if record.loss > self.loss else 1.1), record.loss

    def state(self) -> tuple[dict[str, Any], None]:
        return {"factor": self.factor, "loss": self.loss}, None

    def restore(self, values: dict[str, Any], array: None) -> None:
        self.factor, self.loss = values["factor"], values["loss"]


def test_a_custom_schedule_that_follows_the_records_is_resumed(tmp_path: Path) -> None:
    whole, net = network(), network()
    expected = outcome(whole, fit(whole, schedule=Halving()))
    fit(net, schedule=Halving(), checkpoint=tmp_path, on_epoch_end=interrupt_after(3))
    again = network()
    assert outcome(again, fit(again, schedule=Halving(), checkpoint=tmp_path, resume=True)) == expected
    without = network()
    fit(without, schedule=lambda progress: 1.0)
    assert not np.array_equal(whole.theta, without.theta)


def test_fingerprints_do_not_depend_on_the_memory_layout() -> None:
    assert fingerprint(X, Y) == fingerprint(np.asfortranarray(X), Y, None)
    assert fingerprint(X, Y) != fingerprint(X.astype(np.int16), Y)


def test_the_command_line_resumes_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from gpunn import cli

    def train(*arguments: str) -> dict[str, Any]:
        code = cli.main(["train", *arguments, "--json"])
        captured = capsys.readouterr()
        assert (code, captured.err) == (0, "")
        return dict(json.loads(captured.out))

    monkeypatch.chdir(tmp_path)
    settings = ["digits", "--hidden", "16", "--device", "cpu", "--epochs", "4"]
    settings += ["--checkpoint-every", "1", "--patience", "9"]
    train(*settings, "--output", "whole")
    broken = train(*settings)
    run = Path(broken["model"]).parent
    assert run == Path("gpunn-runs/digits-1")
    for path in [run / "model.safetensors", run / "checkpoints" / "epoch-000004.safetensors"]:
        path.unlink()
    resumed = train("--resume", str(run))
    assert (resumed["epochs"], resumed["model"]) == (4, broken["model"])
    assert resumed["settings"] == broken["settings"]
    mine, theirs = Network.load(run), Network.load("whole")
    assert mine._theta.flat.tobytes() == theirs._theta.flat.tobytes()
    assert cli.main(["train", "--resume", str(run), "--seed", "9"]) == 2
    assert "leave out --seed" in capsys.readouterr().err
    assert cli.main(["train", "--resume", "nowhere"]) == 2
    assert "nowhere has no checkpoint" in capsys.readouterr().err
