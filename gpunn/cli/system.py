"""`gpunn info`: versions, CPU, its compiler, BLAS, CUDA devices and data sets of this machine."""

from __future__ import annotations

import json
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from gpunn.cli.output import say

PACKAGES = {
    "NumPy": ["numpy"],
    "SciPy": ["scipy"],
    "scikit-learn": ["scikit-learn"],
    "pyarrow": ["pyarrow"],
    "CuPy": ["cupy-cuda13x", "cupy-cuda12x", "cupy-cuda11x", "cupy"],
}


def show(as_json: bool) -> None:
    """Print the facts about this machine, as JSON or one in each line."""
    found = system_facts()
    if as_json:
        say(json.dumps(found))
        return
    lines = [(name, number or "not installed") for name, number in found["versions"].items()]
    lines.append(("CPU", f"{found['cpu']}, {found['cores']} cores for this process"))
    lines.append(("CPU kernels", found["kernels"] or f"none: {found['no_kernels']}"))
    for blas in found["blas"]:
        used = " (used by gpunn)" if blas["used"] else ""
        lines.append((f"BLAS of {blas['of']}", f"{blas['name']}, {blas['threads']} threads{used}"))
    lines.append(("CUDA", ", ".join(found["cuda"]) or f"none: {found['no_cuda']}"))
    mnist = found["mnist"] or f"not found; searched {', '.join(found['mnist_folders'])}"
    lines.append(("MNIST", mnist))
    width = max(len(name) for name, _ in lines)
    for name, value in lines:
        say(f"{name:<{width}}  {value}")


def system_facts() -> dict[str, Any]:
    """Return the facts about this machine."""
    from gpunn import backends
    from gpunn.backends.host.pool import cores
    from gpunn.datasets import catalog
    from gpunn.version import __version__

    folders = catalog.folders("mnist")
    kernels, no_kernels = cpu_kernels()
    return {
        "versions": {
            "gpunn": __version__,
            "Python": platform.python_version(),
            **{name: installed(distributions) for name, distributions in PACKAGES.items()},
        },
        "cpu": cpu_name(),
        "cores": cores(),
        "kernels": kernels,
        "no_kernels": no_kernels,
        "blas": blas(),
        "cuda": backends.cuda_devices(),
        "no_cuda": backends.explain_cuda(),
        "mnist": next((str(folder) for folder in folders if has_mnist(folder)), None),
        "mnist_folders": [str(folder) for folder in folders],
    }


def installed(distributions: list[str]) -> str | None:
    """Return the version of the first of these distributions that is installed."""
    for name in distributions:
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return None


def cpu_name() -> str:
    """Return the model of the CPU, as in "AMD EPYC 7B13"."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def cpu_kernels() -> tuple[str | None, str | None]:
    """Say which compiler the CPU kernels are compiled by, or why none can be used."""
    import numpy as np

    from gpunn.backends.host.compiled import compiler
    from gpunn.backends.host.compiled.source import source

    try:
        found = compiler.build(source(np.dtype("float32")))
    except compiler.CannotCompile as error:
        return None, str(error)
    return "; ".join([f"compiled by {found.compiler.version}", *found.failures]), None


def blas() -> list[dict[str, Any]]:
    """List the BLAS libraries that are loaded; gpunn uses SciPy's."""
    import scipy.linalg.blas  # noqa: F401  # loads the BLAS of SciPy, and of NumPy
    from threadpoolctl import threadpool_info

    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    return [
        {
            "of": (of := blas_owner(pool["filepath"], alone=len(pools) == 1)),
            "used": "SciPy" in of,
            "name": f"{pool['internal_api']} {pool['version'] or ''}".strip(),
            "threads": pool["num_threads"],
        }
        for pool in pools
    ]


def blas_owner(library: str, alone: bool) -> str:
    """Return the package that a BLAS belongs to: each wheel brings its own, other builds share one."""
    if alone:
        return "NumPy and SciPy"
    folders = [part.lower() for part in Path(library).parts]
    return next((of for of in ("NumPy", "SciPy") if f"{of.lower()}.libs" in folders), "unknown")


def has_mnist(folder: Path) -> bool:
    """Whether all four files of MNIST are in the folder."""
    from gpunn.datasets.folder import FILES, find_files

    return len(find_files(folder)) == len(FILES)
