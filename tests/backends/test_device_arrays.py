"""CuPy's arrays: used in place on the device, and fetched for the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from emulated import EmulatedDevice
from helpers import MakeBackend
from numpy.testing import assert_array_equal

import gpunn


class OnDevice(np.ndarray):
    """A stand-in for CuPy's array in the memory of the emulated device; it counts how often it is fetched."""

    fetched = 0

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {"data": (self.ctypes.data, False), "shape": self.shape, "version": 3}

    def astype(self, *args: Any, **how: Any) -> Any:  # type: ignore[override]
        return lend(super().astype(*args, **how))

    def get(self) -> np.ndarray:
        OnDevice.fetched += 1
        return np.array(self)


def lend(array: np.ndarray) -> Any:
    """Put the array into the device's memory."""
    EmulatedDevice.lent.append(array.view(OnDevice))
    return EmulatedDevice.lent[-1]


def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((60, 5)).astype(np.float32), rng.integers(0, 3, 60)


@pytest.fixture
def kind(backend: MakeBackend, monkeypatch: pytest.MonkeyPatch) -> str:
    """Choose the backend; a real device needs real arrays, so the stand-in is skipped there."""
    be = backend("float32")
    if be.name == "cuda" and not isinstance(be.device, EmulatedDevice):
        pytest.skip("stand-ins for CuPy's arrays are in the host's memory")
    monkeypatch.setattr(EmulatedDevice, "lent", [])
    return be.name


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_estimators_accept_them(kind: str, dtype: str) -> None:
    X, y = data()
    X = X.astype(dtype)
    given = {"random_state": 0, "max_iter": 3, "n_iter_no_change": np.inf, "batch_size": 20}
    here = gpunn.MLPClassifier(**given)
    there = gpunn.MLPClassifier(**given)
    OnDevice.fetched = 0
    with pytest.warns(UserWarning, match="not enough to converge"):
        here.fit(X, y)
    with pytest.warns(UserWarning, match="not enough to converge"):
        there.fit(lend(X), lend(y))
    assert OnDevice.fetched == 1 + (kind == "cpu")  # y, and on the CPU X
    assert_array_equal(here.coefs_[0], there.coefs_[0])
    assert_array_equal(here.predict_proba(X), there.predict_proba(lend(X)))
    assert OnDevice.fetched == 1 + 2 * (kind == "cpu")
    with pytest.raises(ValueError, match="X has 4 features, but MLPClassifier is expecting 5"):
        there.predict(lend(X[:, :4]))


def test_the_network_accepts_them(kind: str) -> None:
    X, y = data()
    nets = [gpunn.Network([5, 4, 3], seed=0) for _ in range(2)]
    nets[0].fit(X.T, y, epochs=2)
    nets[1].fit(lend(X).T, y, epochs=2)
    assert_array_equal(nets[0].theta, nets[1].theta)
    X[7, 2] = np.inf
    with pytest.raises(ValueError, match=r"X\[2, 7\] is inf"):
        nets[1].fit(lend(X).T, y)
