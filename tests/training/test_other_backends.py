"""A run that goes on with another backend: a checkpoint means the same to all of them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import emulated
import numpy as np
import pytest
from resuming import X, Y

from gpunn import Dense, History, Network, backends
from gpunn.backends.cuda.backend import Cuda
from gpunn.core.backend import Backend
from gpunn.training import checkpoint

BACKENDS = ("NumPy", "compiled", "emulated", "compiled", "NumPy", "emulated", "NumPy")

needs_compiler = pytest.mark.skipif(not emulated.COMPILER, reason="no C++ compiler")


def fit(net: Network, optimizer: str, **settings: object) -> History:
    return net.fit(X, Y, **{"epochs": 6, "batch_size": 8, "optimizer": optimizer, "device": "cpu"} | settings)


def use(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train on that backend from now on."""
    monkeypatch.setenv("GPUNN_COMPILED", "0" if kind == "NumPy" else "1")

    def choose(device: str, dtype: np.dtype, *_: object) -> Backend:
        name = np.dtype(dtype).name
        return Cuda(emulated.EmulatedDevice(), name) if kind == "emulated" else backends.Host(name)

    monkeypatch.setattr(backends, "choose", choose)


def network() -> Network:
    return Network(6, [Dense(7, "tanh"), Dense(3, "softmax")], seed=0, dtype="float64")


@needs_compiler
@pytest.mark.parametrize("optimizer", ["nesterov", "rmsprop", "adam", "adamw", "lion"])
def test_a_run_goes_on_with_another_backend(
    optimizer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three epochs and three more are six epochs, but for rounding."""
    whole = network()
    use("NumPy", monkeypatch)
    fit(whole, optimizer)
    for k, (first, then) in enumerate(pairwise(BACKENDS)):
        folder = tmp_path / str(k)
        use(first, monkeypatch)
        fit(network(), optimizer, epochs=3, checkpoint=folder)
        use(then, monkeypatch)
        fit(net := network(), optimizer, checkpoint=folder, resume=True)
        np.testing.assert_allclose(net.theta, whole.theta, rtol=1e-9, atol=1e-11)


def test_moments_of_version_1_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Version 1 of the file kept Adam's moments in another form; the other optimizers can go on."""
    for optimizer in ("adam", "rmsprop"):
        with monkeypatch.context() as patch:
            patch.setattr(checkpoint, "VERSION", "1")
            fit(network(), optimizer, epochs=3, checkpoint=tmp_path / optimizer)
    message = r"000003\.safetensors has Adam's moments in the form of gpunn 0\.1: finish this run"
    with pytest.raises(ValueError, match=message) as refused:
        fit(network(), "adam", checkpoint=tmp_path / "adam", resume=True)
    assert "\n" not in str(refused.value)
    fit(whole := network(), "rmsprop")
    fit(net := network(), "rmsprop", checkpoint=tmp_path / "rmsprop", resume=True)
    assert net.theta.tobytes() == whole.theta.tobytes()
