"""Describe the machine and the software that produced the results."""

from __future__ import annotations

import platform
import subprocess
import sys
from importlib import metadata
from typing import Any

from threadpoolctl import threadpool_info

PACKAGES = [
    "gpunn", "numpy", "scipy", "scikit-learn", "torch", "jax", "jaxlib", "skorch", "thinc",
    "cupy-cuda12x", "cupy-cuda13x", "nvmath-python", "xgboost", "lightgbm", "catboost", "pytabkit",
]  # fmt: skip


def cpu() -> dict[str, Any]:
    """Return the CPU's name and the number of cores that this process may use."""
    from gpunn.backends.host.pool import cores
    from gpunn.cli import system

    return {"cpu": system.cpu_name(), "cores": cores()}


def gpu() -> dict[str, str] | None:
    """Return the name and driver of the first GPU that nvidia-smi lists."""
    query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    name, driver = answer.splitlines()[0].split(", ")
    return {"name": name, "driver": driver}


def versions() -> dict[str, str]:
    """Return the versions of Python and of the installed packages."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            if package == "gpunn":
                found[package] = "not installed, run from its source"
    return found


def threads() -> list[dict[str, Any]]:
    """Describe the thread pools of the libraries that this process has loaded."""
    keys = ("internal_api", "version", "num_threads", "architecture")
    pools = [{key: pool[key] for key in keys if pool.get(key)} for pool in threadpool_info()]
    torch = sys.modules.get("torch")
    return pools + ([{"internal_api": "torch", "num_threads": torch.get_num_threads()}] if torch else [])


def describe() -> dict[str, Any]:
    """Describe this machine and its installed packages."""
    return cpu() | {
        "gpu": gpu(),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": versions(),
    }
