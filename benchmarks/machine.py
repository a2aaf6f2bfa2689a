"""What the numbers were measured on."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_info

from gpunn import backends

PACKAGES = [
    "gpunn", "numpy", "scipy", "scikit-learn", "torch", "jax", "jaxlib", "skorch", "thinc",
    "cupy-cuda12x", "cupy-cuda13x", "nvmath-python",
]  # fmt: skip


def explain_cuda() -> str:
    """Why gpunn cannot compute on CUDA here; "" where it can."""
    explain = getattr(backends, "explain_cuda", None)
    return str(explain()) if explain else "this gpunn has no CUDA backend"


def gpu() -> dict[str, str] | None:
    """The first GPU's name and driver, as nvidia-smi has them."""
    query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    name, driver = answer.splitlines()[0].split(", ")
    return {"name": name, "driver": driver}


def cpu_model() -> str:
    """The CPU's name."""
    try:
        names = re.findall(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        names = []
    return str(names[0]) if names else platform.processor() or platform.machine()


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def versions() -> dict[str, str]:
    """Of what is installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            if package == "gpunn":
                found[package] = "not installed, run from its source"
    return found


def threads() -> list[dict[str, Any]]:
    """The thread pools of the libraries that this process has loaded."""
    keys = ("internal_api", "version", "num_threads", "architecture")
    pools = [{key: pool[key] for key in keys if pool.get(key)} for pool in threadpool_info()]
    torch = sys.modules.get("torch")
    return pools + ([{"internal_api": "torch", "num_threads": torch.get_num_threads()}] if torch else [])


def describe() -> dict[str, Any]:
    """This machine and what is installed on it."""
    return {
        "cpu": cpu_model(),
        "cores": cores(),
        "gpu": gpu(),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": versions(),
    }
