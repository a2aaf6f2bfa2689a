"""Checkpoints: an interrupted and resumed run is bitwise identical to an unbroken one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import MakeBackend
from safetensors.numpy import save_file
from scipy.sparse import csc_array

import gpunn
from gpunn import (
    Adam,
    AdamW,
    Dense,
    EarlyStopping,
    History,
    Nesterov,
    Network,
    Record,
    ReduceOnPlateau,
    RMSProp,
)
from gpunn.training.checkpoint import Checkpoints, newest, read
from gpunn.training.identity import fingerprint

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (6, 60), dtype=np.uint8)
Y = RNG.integers(0, 3, 60)
HERE = Path(__file__).parent
SUPPORT = HERE.parent / "support"


def network(seed: int | None = 0) -> Network:
    return Network(6, [Dense(7, "tanh"), Dense(3, "softmax")], seed=seed)


def outcome(net: Network, history: History) -> list[object]:
    """Return everything that must be equal: the weights, the generator, and the measurements."""
    measured = [(r.epoch, r.loss, r.accuracy, r.validation_loss, r.validation_accuracy) for r in history]
    return [net._theta.flat.tobytes(), str(net.rng.bit_generator.state), measured, history.stopped]


def interrupt_after(epoch: int) -> Callable[[Record], None]:
    def check(record: Record) -> None:
        if record.epoch == epoch:
            raise KeyboardInterrupt

    return check


def fit(net: Network, **settings: Any) -> History:
    return net.fit(X, Y, **{"epochs": 6, "batch_size": 8, "device": "cpu", **settings})


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


def hidden(seed: int | None = 0, input_dropout: float = 0.0, **settings: Any) -> Network:
    layers = [Dense(4, "tanh", **settings), Dense(3, "softmax")]
    return Network(6, layers, seed=seed, input_dropout=input_dropout)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (hidden(1), "seed: 0 there, 1 here"),
        (hidden(init="he"), "first weights: glorot, glorot there, he, glorot here"),
        (hidden(dropout=0.5), r"dropout: \(0.0, 0.0\) there, \(0.0, 0.5\) here"),
        (hidden(input_dropout=0.1), "dropout"),
        (hidden(batch_norm=True), "batch normalisation"),
    ],
)
def test_another_network_cannot_resume_a_run(tmp_path: Path, other: Network, said: str) -> None:
    first = hidden()
    fit(first, checkpoint=tmp_path)
    for again in (hidden(), hidden(None)):
        fit(again, checkpoint=tmp_path, resume=True)
        assert np.array_equal(again.theta, first.theta)
    with pytest.raises(ValueError, match=f"belongs to a run with another {said}"):
        fit(other, checkpoint=tmp_path, resume=True)


def test_another_order_cannot_resume_a_run(tmp_path: Path) -> None:
    fit(network(), checkpoint=tmp_path)
    with pytest.raises(ValueError, match="another order: True there, False here"):
        fit(network(), checkpoint=tmp_path, resume=True, shuffle=False)


def test_another_sparse_validation_set_cannot_resume_a_run(tmp_path: Path) -> None:
    held = csc_array(X[:, :9] / 255), Y[:9]
    fit(network(), checkpoint=tmp_path, validation=held)
    fit(network(), checkpoint=tmp_path, validation=held, resume=True)
    with pytest.raises(ValueError, match="another validation"):
        fit(network(), checkpoint=tmp_path, validation=(held[0][:, :8], Y[:8]), resume=True)


class TestErrors:
    def test_a_new_run_needs_an_empty_folder(self, tmp_path: Path) -> None:
        fit(network(), checkpoint=tmp_path)
        with pytest.raises(ValueError, match="already holds checkpoints: resume that run, or choose another"):
            fit(network(), checkpoint=tmp_path)

    @pytest.mark.parametrize(
        ("settings", "name"),
        [
            ({"batch_size": 9}, "batch size: 8 there, 9 here"),
            ({"optimizer": "adam"}, "optimizer: SGD"),
            ({"schedule": "cosine"}, "schedule: None there, cosine over 6 epochs here"),
            ({"validation": 0.5}, "validation: None there, 0.5 here"),
            ({"stop": EarlyStopping("loss")}, "early stopping: None there"),
        ],
    )
    def test_other_settings(self, tmp_path: Path, settings: dict[str, Any], name: str) -> None:
        fit(network(), checkpoint=tmp_path)
        with pytest.raises(
            ValueError, match=rf"epoch-000006\.safetensors belongs to a run with another {name}"
        ):
            fit(network(), checkpoint=tmp_path, resume=True, **settings)

    def test_other_networks_and_data(self, tmp_path: Path) -> None:
        fit(network(), checkpoint=tmp_path)
        settings: dict[str, Any] = {"batch_size": 8, "device": "cpu", "checkpoint": tmp_path, "resume": True}
        with pytest.raises(ValueError, match=r"another network: Network\(6, "):
            Network(6, [Dense(3, "softmax")], seed=0).fit(X, Y, **settings)
        changed = X.copy()
        changed[3, 17] ^= 1
        for data in [(changed, Y), (X, np.roll(Y, 1)), (X / 255, Y), (X[:, :50], Y[:50])]:
            with pytest.raises(ValueError, match=r"another data set: uint8 \(6, 60\), int64 \(60,\) ") as e:
                network().fit(*data, **settings)
            assert "\n" not in str(e.value)

    def test_no_folder(self) -> None:
        with pytest.raises(ValueError, match="resume needs the folder"):
            fit(network(), resume=True)

    @pytest.mark.parametrize("settings", [{"checkpoint_every": 0}, {"keep": 0}, {"keep": 1.5}])
    def test_numbers(self, tmp_path: Path, settings: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match="must be a whole number of at least 1"):
            fit(network(), checkpoint=tmp_path, **settings)


class TestDamage:
    @pytest.mark.parametrize("how", ["empty", "short", "a bit in the middle", "header", "another file"])
    def test_a_damaged_checkpoint_is_skipped_with_a_warning(self, tmp_path: Path, how: str) -> None:
        fit(network(), epochs=4, checkpoint=tmp_path)
        path = tmp_path / "epoch-000004.safetensors"
        content = bytearray(path.read_bytes())
        if how == "another file":
            save_file({"theta": np.zeros(3)}, path)
        else:
            middle, header = len(content) - 100, content.index(b"loss")
            if "bit" in how or how == "header":
                content[header if how == "header" else middle] ^= 4
            path.write_bytes(content[: {"empty": 0, "short": -1}.get(how)])
        net, whole = network(), network()
        with pytest.warns(UserWarning, match=r"epoch-000004.*; resuming from epoch-000003\.safetensors"):
            history = fit(net, checkpoint=tmp_path, resume=True)
        assert outcome(net, history) == outcome(whole, fit(whole))

    def test_damaged_checkpoints_do_not_count_towards_keep(self, tmp_path: Path) -> None:
        fit(network(), checkpoint=tmp_path, checkpoint_every=3, keep=2)
        (tmp_path / "epoch-000006.safetensors").write_bytes(b"")
        settings = {"checkpoint": tmp_path, "checkpoint_every": 3, "keep": 1, "resume": True}
        with pytest.warns(UserWarning, match=r"epoch-000006.*; resuming from epoch-000003"):
            fit(network(), **settings, on_epoch_end=interrupt_after(4))
        net, whole = network(), network()
        with pytest.warns(UserWarning, match=r"epoch-000006.*; resuming from epoch-000004"):
            history = fit(net, **settings)
        assert outcome(net, history) == outcome(whole, fit(whole))
        assert [path.name for path in tmp_path.iterdir()] == ["epoch-000006.safetensors"]

    def test_all_checkpoints_damaged(self, tmp_path: Path) -> None:
        fit(network(), checkpoint=tmp_path)
        for path in tmp_path.iterdir():
            path.write_bytes(path.read_bytes()[:100])
        with pytest.raises(
            ValueError, match=r"every checkpoint in .* is damaged: .*000006.* not a readable"
        ) as e:
            fit(network(), checkpoint=tmp_path, resume=True)
        assert "\n" not in str(e.value)

    def test_weights_that_overflowed_are_not_saved(self, tmp_path: Path) -> None:
        net = Network(6, [Dense(3, "identity")], "quadratic", seed=0)
        with pytest.raises(gpunn.Diverged):
            net.fit(
                X, np.ones((3, 60)), epochs=1, batch_size=60, optimizer=gpunn.SGD(1e39),
                device="cpu", checkpoint=tmp_path,
            )  # fmt: skip
        assert not list(tmp_path.iterdir())

    def test_a_full_disk_leaves_the_existing_checkpoints(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fit(network(), epochs=3, checkpoint=tmp_path)
        files = {path: path.read_bytes() for path in tmp_path.iterdir()}

        def full(*_: Any) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space left"):
            fit(network(), checkpoint=tmp_path, resume=True)
        assert {path: path.read_bytes() for path in tmp_path.iterdir()} == files


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("how", [("random", 0), ("random", 1), ("fsync", 5), ("replace", 5), ("unlink", 5)])
def test_a_killed_and_resumed_run_is_bitwise_identical(tmp_path: Path, how: tuple[str, int]) -> None:
    """Kill the process at random moments and at each stage of writing a checkpoint."""
    command = [sys.executable, str(SUPPORT / "killing.py"), how[0], str(how[1]), str(tmp_path)]
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment, timeout=120)
    result = json.loads(done.stdout)
    assert result["same"]
    assert result["killed"] >= (3 if how[0] == "random" else 1)
    assert result["writing"] >= (how[0] in ("fsync", "replace"))
    assert result["left"] == ["epoch-000039.safetensors", "epoch-000040.safetensors"]


SIGTERM = """
import signal, sys
from test_checkpoints import X, Y, fit, network
def end(record):
    if record.epoch == 3:
        signal.raise_signal(signal.SIGTERM)
fit(network(), checkpoint=sys.argv[1], checkpoint_every=50, epochs=6, on_epoch_end=end)
print("not reached")
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM to catch")
def test_sigterm_saves_a_checkpoint_and_ends_the_process(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE), *sys.path])}
    command = [sys.executable, "-c", SIGTERM, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
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
    assert cli.main(["train", "--resume", str(run), "--epochs", "9"]) == 2
    assert "leave out --epochs" in capsys.readouterr().err
    assert cli.main(["train", "--resume", "nowhere"]) == 2
    assert "nowhere has no checkpoint" in capsys.readouterr().err
