"""Every kernel compiles for every architecture that is sold, without a GPU and without spilling."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import gpunn
from gpunn.backends import kernels

ARCHITECTURES = (75, 80, 90, 100, 120)
IDENTITY, SIGMOID = gpunn.ACTIVATIONS["identity"], gpunn.ACTIVATIONS["sigmoid"]
SOURCES = {
    "all": "",
    **{f.name: kernels.activation_source(f) for f in gpunn.ACTIVATIONS.values() if f.cuda},
    **{c.name: kernels.cost_source(c, IDENTITY) for c in gpunn.COSTS.values() if c.cuda},
    "binary-cross-entropy of z": kernels.cost_source(gpunn.COSTS["binary-cross-entropy"], SIGMOID),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", SOURCES)
def test_nvcc_compiles_without_spilling(tmp_path: Path, name: str, dtype: str) -> None:
    if not (nvcc := shutil.which("nvcc")):
        pytest.skip("no nvcc")
    source = tmp_path / "kernels.cu"
    source.write_text(kernels.preamble(np.dtype(dtype)) + SOURCES[name] + kernels.KERNELS, encoding="utf-8")
    command = [nvcc, "-std=c++17", "-cubin", "-arch=sm_90", "-Xptxas=-v", "-Werror=all-warnings"]
    done = subprocess.run(
        [*command, "-o", str(tmp_path / "out"), str(source)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    spills = [line for line in done.stderr.splitlines() if "spill" in line]
    assert spills
    assert all("0 bytes spill stores, 0 bytes spill loads" in line for line in spills)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_nvrtc_compiles_for_every_architecture(architecture: int) -> None:
    nvrtc = pytest.importorskip("cupy_backends.cuda.libs.nvrtc", reason="cupy is not installed")
    try:
        nvrtc.getVersion()
    except Exception as error:  # whatever the loader raises
        pytest.skip(f"no NVRTC: {error}")
    for name, extra in SOURCES.items():
        program = nvrtc.createProgram(
            kernels.preamble(np.dtype("float32")) + extra + kernels.KERNELS, name, [], []
        )
        nvrtc.compileProgram(program, ["--std=c++17", f"--gpu-architecture=sm_{architecture}"])
        assert nvrtc.getCUBIN(program)
