"""The choice of a device: the messages if there is no CUDA, and the fallback to the CPU."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest

import gpunn
from gpunn import backends
from gpunn.backends import BackendError, Host

NO_CUDA = pytest.mark.skipif(not backends.explain_cuda(), reason="this machine has a CUDA device")


def test_the_cpu_is_always_there() -> None:
    assert isinstance(backends.choose("cpu", "float64"), Host)
    assert backends.choose("cpu", np.dtype("float32")).memory.dtype == np.float32


@NO_CUDA
def test_auto_falls_back_and_says_why() -> None:
    be = backends.choose("auto", "float32")
    assert isinstance(be, Host)
    why = backends.explain_cuda().partition(": pip install")[0]
    assert why
    assert be.description == f"cpu ({why})"


@NO_CUDA
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_cuda_without_a_device_is_an_error_with_the_reason(device: str) -> None:
    with pytest.raises(BackendError, match=r"no CUDA device: ."):
        gpunn.Network(2, [gpunn.Dense(2)]).fit(np.ones((2, 3)), [0, 1, 0], device=device)


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_tensor_core_precisions_need_cuda(precision: str) -> None:
    with pytest.raises(BackendError, match=f"precision {precision} needs a CUDA device"):
        backends.choose("cpu", "float32", precision)


@pytest.mark.parametrize("device", ["gpu", "cpu:0", "auto:1", "cuda:", "cuda:x", ""])
def test_an_unknown_device(device: str) -> None:
    with pytest.raises(ValueError, match="unknown device"):
        backends.choose(device, "float32")


def test_without_cupy() -> None:
    code = (
        "import sys; sys.modules['cupy'] = None; from gpunn import backends; "
        "print(backends.explain_cuda(), backends.cuda_devices())"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.startswith("cupy is not installed: pip install")
    assert done.stdout.endswith(" []\n")


@pytest.mark.skipif(find_spec("cupy") is None, reason="cupy is not installed")
@NO_CUDA
def test_cupy_on_a_machine_without_a_driver() -> None:
    """The real wheel gives the reason."""
    assert re.match(
        "no NVIDIA driver|no CUDA device answers|the NVIDIA driver knows", backends.explain_cuda()
    )
    assert "\n" not in backends.explain_cuda()
    assert backends.cuda_devices() == []
