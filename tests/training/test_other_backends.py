"""A run that goes on with another backend: a checkpoint means the same to all of them."""

from __future__ import annotations

import re
import warnings
from itertools import pairwise
from pathlib import Path

import emulated
import numpy as np
import pytest
from resuming import X, Y

from gpunn import Adam, Dense, History, Network, backends
from gpunn.backends.cuda.backend import Cuda
from gpunn.cli import reports
from gpunn.core.backend import Backend
from gpunn.training import checkpoint_files
from gpunn.training.identity import describe

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
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "the run so far was computed by")
            fit(net := network(), optimizer, checkpoint=folder, resume=True)
        np.testing.assert_allclose(net.theta, whole.theta, rtol=1e-9, atol=1e-11)


@needs_compiler
def test_a_history_says_what_computed_and_a_resumed_run_what_is_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use("compiled", monkeypatch)
    computed = fit(network(), "sgd", epochs=2, checkpoint=tmp_path).algorithms["CPU"]
    assert re.fullmatch(r"compiled kernels [0-9a-f]{12}", computed)
    assert fit(network(), "sgd", epochs=3, checkpoint=tmp_path, resume=True).algorithms == {"CPU": computed}
    use("NumPy", monkeypatch)
    line = (
        f"the run so far was computed by {computed}, and goes on with NumPy and BLAS, so the result may "
        "differ in the last bits from that of an unbroken run"
    )
    with pytest.warns(UserWarning, match=f"^{line}$") as warned:
        history = fit(network(), "sgd", checkpoint=tmp_path, resume=True)
    assert len(warned) == 1
    assert history.algorithms == {"CPU": "NumPy and BLAS"}
    assert reports.versions(history)["computed by"] == "NumPy and BLAS"


@pytest.mark.parametrize("steps", [1, 65, 66, 140])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_moments_of_version_1(
    device: str, steps: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the CPU, m was kept divided by 0.9ᵏ and v by 0.999ᵏ; m was multiplied out every 65 steps."""
    m, v = (1, 1) if device == "cuda" else (0.9 ** ((steps - 1) % 65), 0.999 ** (steps - 1))
    pace = 0.1 if device == "cuda" else 0.0
    tensors = {
        "optimizer.m": np.full(2, 3 / m),
        "optimizer.v": np.full(2, 4 / v),
        "optimizer.steps": np.array([steps, pace, pace]),
    }
    state: dict[str, object] = {"generator": {}, "first_generator": {}, "meta": {}}
    described = {"optimizer": describe(Adam())}
    monkeypatch.setattr(checkpoint_files, "VERSION", "1")
    path = tmp_path / "epoch-000001.safetensors"
    path.write_bytes(checkpoint_files.pack_state(tensors, {**state, "records": [], "what": described}))
    read = checkpoint_files.read(path).tensors
    np.testing.assert_allclose([read["optimizer.m"], read["optimizer.v"]], [[3, 3], [4, 4]], rtol=1e-12)
