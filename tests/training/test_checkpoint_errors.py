"""Checkpoints that are refused or damaged, and writes that fail."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from resuming import X, Y, fit, interrupt_after, network, outcome
from safetensors.numpy import save_file
from scipy.sparse import csc_array

import gpunn
from gpunn import (
    Dense,
    EarlyStopping,
    Network,
)
from gpunn.training import checkpoint_files


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


def test_a_new_run_needs_an_empty_folder(tmp_path: Path) -> None:
    fit(network(), checkpoint=tmp_path)
    with pytest.raises(ValueError, match="already holds checkpoints: resume that run, or choose another"):
        fit(network(), checkpoint=tmp_path)


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"batch_size": 9}, "batch size: 8 there, 9 here"),
        ({"optimizer": "adam"}, "optimizer: Adam"),
        ({"schedule": "cosine"}, "schedule: None there, cosine over 6 epochs here"),
        ({"validation": 0.5}, "validation: None there, 0.5 here"),
        ({"stop": EarlyStopping("loss")}, "early stopping: None there"),
    ],
)
def test_other_settings_cannot_resume_a_run(tmp_path: Path, settings: dict[str, Any], name: str) -> None:
    fit(network(), checkpoint=tmp_path)
    with pytest.raises(ValueError, match=rf"epoch-000006\.safetensors belongs to a run with another {name}"):
        fit(network(), checkpoint=tmp_path, resume=True, **settings)


def test_other_networks_and_data_cannot_resume_a_run(tmp_path: Path) -> None:
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


@pytest.mark.parametrize("generator", ["generator", "first_generator"])
def test_a_state_that_cannot_be_restored_names_the_file(tmp_path: Path, generator: str) -> None:
    fit(network(), checkpoint=tmp_path)
    path = max(tmp_path.glob("*.safetensors"))
    saved = checkpoint_files.read(path)
    saved.state[generator]["bit_generator"] = "PCG65"
    path.write_bytes(checkpoint_files.pack_state(saved.tensors, saved.state))
    with pytest.raises(ValueError, match=rf"{path.name} cannot be restored: state must be for a PCG64"):
        fit(network(), checkpoint=tmp_path, resume=True)


def test_resume_needs_a_folder() -> None:
    with pytest.raises(ValueError, match="resume needs the folder"):
        fit(network(), resume=True)


@pytest.mark.parametrize("settings", [{"checkpoint_every": 0}, {"keep": 0}, {"keep": 1.5}])
def test_counts_that_are_refused(tmp_path: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be a whole number of at least 1"):
        fit(network(), checkpoint=tmp_path, **settings)


@pytest.mark.parametrize("how", ["empty", "short", "a bit in the middle", "header", "another file"])
def test_a_damaged_checkpoint_is_skipped_with_a_warning(tmp_path: Path, how: str) -> None:
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


def test_damaged_checkpoints_do_not_count_towards_keep(tmp_path: Path) -> None:
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


def test_all_checkpoints_damaged(tmp_path: Path) -> None:
    fit(network(), checkpoint=tmp_path)
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(
        ValueError, match=r"no checkpoint in .* can be resumed: .*000006.* not a readable"
    ) as e:
        fit(network(), checkpoint=tmp_path, resume=True)
    assert "\n" not in str(e.value)


def test_weights_that_overflowed_are_not_saved(tmp_path: Path) -> None:
    net = Network(6, [Dense(3, "identity")], "quadratic", seed=0)
    with pytest.raises(gpunn.Diverged):
        net.fit(
            X, np.ones((3, 60)), epochs=1, batch_size=60, optimizer=gpunn.SGD(1e39),
            device="cpu", checkpoint=tmp_path,
        )  # fmt: skip
    assert not list(tmp_path.iterdir())


def full(*_: Any) -> None:
    raise OSError(28, "No space left on device")


def test_a_full_disk_leaves_the_existing_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fit(network(), epochs=3, checkpoint=tmp_path)
    files = {path: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr("os.fsync", full)
    net, whole = network(), network()
    with pytest.warns(UserWarning, match="No space left") as warned:
        history = fit(net, checkpoint=tmp_path, resume=True)
    path = tmp_path / "epoch-000004.safetensors"
    line = f"{path}: No space left on device; training goes on, the last checkpoint is of epoch 3"
    assert [str(w.message) for w in warned] == [line]
    assert outcome(net, history) == outcome(whole, fit(whole))
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == files


def test_checkpoints_go_on_when_the_disk_has_space_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.fsync", full)

    def make_space(record: gpunn.Record) -> None:
        if record.epoch == 3:
            monkeypatch.undo()

    with pytest.warns(UserWarning, match="No space left on device; training goes on, without a checkpoint"):
        fit(network(), checkpoint=tmp_path, on_epoch_end=make_space)
    assert sorted(path.name[6:12] for path in tmp_path.iterdir()) == ["000005", "000006"]
    with pytest.raises(OSError, match="Not a directory"):
        fit(network(), checkpoint=tmp_path / "epoch-000006.safetensors" / "folder")
