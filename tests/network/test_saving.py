"""Model files and pickles: what is saved is read back, and bad files are refused."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from small_network import small

from gpunn import Dense, Network


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_round_trip_is_exact(tmp_path: Path, dtype: str) -> None:
    net = small(dtype=dtype, meta={"classes": ["a", "b", "c"]})
    net.save(tmp_path / "m.safetensors")
    again = Network.load(tmp_path / "m.safetensors")
    assert repr(again) == repr(net)
    assert again.meta == net.meta
    for mine, theirs in zip(net.weights + net.biases, again.weights + again.biases, strict=True):
        assert mine.tobytes() == theirs.tobytes()
    assert [p.name for p in tmp_path.iterdir()] == ["m.safetensors"]


def test_plain_safetensors_reads_it(tmp_path: Path) -> None:
    net = small()
    net.save(tmp_path / "m.safetensors")
    tensors = load_file(tmp_path / "m.safetensors")
    assert tensors.keys() == {"w1", "b1", "w2", "b2"}
    assert np.array_equal(tensors["w1"], net.weights[0])


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    small().save(path)
    whole = path.read_bytes()
    for content in (b"", b"hello", whole[:-1], whole[:20], whole[::-1]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"m\.safetensors is not a readable model"):
            Network.load(path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    path = tmp_path / "m.safetensors"
    with pytest.raises(ValueError, match="does not exist"):
        Network.load(path)
    save_file({"w1": np.zeros(3)}, path)
    with pytest.raises(ValueError, match="a safetensors file, but not a gpunn model"):
        Network.load(path)
    save_file({"w1": np.zeros(3)}, path, {"format": "gpunn", "version": "99"})
    with pytest.raises(ValueError, match="has version 99, but this gpunn reads version 1"):
        Network.load(path)
    save_file({"w1": np.zeros(3)}, path, {"format": "gpunn", "version": "1", "network": "{}"})
    with pytest.raises(ValueError, match="does not describe a network"):
        Network.load(path)


def test_a_failed_write_leaves_the_good_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.safetensors"
    small(0).save(path)
    good = path.read_bytes()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        small(1).save(path)
    assert path.read_bytes() == good
    assert [p.name for p in tmp_path.iterdir()] == ["m.safetensors"]


def test_a_custom_activation_cannot_be_saved(tmp_path: Path) -> None:
    net = Network(5, [Dense(3, (np.sin, np.cos)), Dense(2, "softmax")], seed=0)
    with pytest.raises(ValueError, match="'custom' is your own"):
        net.save(tmp_path / "m.safetensors")
    assert not list(tmp_path.iterdir())


def test_networks_can_be_pickled() -> None:
    net = small()
    copy = pickle.loads(pickle.dumps(net))
    assert repr(copy) == repr(net)
    assert np.array_equal(copy.theta, net.theta)
    copy.weights[0][:] = 0  # the copy has its own θ, and views of it
    assert not copy.theta[: copy.weights[0].size].any()
    assert net.weights[0].any()
