"""The structure of the package, and the memory and work of training."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import gpunn
from gpunn.backends import Host
from gpunn.core import plan

PACKAGE = Path(gpunn.__file__).parent


def test_imports_point_down_without_circles() -> None:
    """Check the contracts of `[tool.importlinter]` in pyproject.toml, lazy imports included."""
    pytest.importorskip("importlinter")
    done = subprocess.run(["lint-imports"], cwd=PACKAGE.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_every_public_name_resolves() -> None:
    """Resolve each name of the stub, to the object that its module defines."""
    stub = (PACKAGE / "__init__.pyi").read_text(encoding="utf-8")
    names = re.findall(r"^from \.(\S*) import (\w+) as \w+$", stub, re.MULTILINE)
    assert sorted(name for _, name in names) == sorted(gpunn.__all__)
    for module, name in names:
        home = importlib.import_module(f"gpunn.{module}".rstrip("."))
        expected = getattr(home, name, None) or importlib.import_module(f"{home.__name__}.{name}")
        assert getattr(gpunn, name) is expected


def test_large_libraries_are_imported_only_when_needed() -> None:
    """Resolve all public names but the estimators without them."""
    code = (
        "import sys, gpunn; estimators = {'MLPClassifier', 'MLPRegressor', 'SweepSearchCV'}\n"
        "[getattr(gpunn, name) for name in set(gpunn.__all__) - estimators]\n"
        "gpunn.datasets.catalog.folders('mnist')\n"
        "sys.exit(sum(m in sys.modules for m in ('cupy', 'sklearn', 'matplotlib', 'PIL', 'pooch')))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_module_can_be_imported_first() -> None:
    """Import each in a package that is not loaded yet, so that no import order is needed.

    That imports make no circles is enough, except where a room's __init__ imports modules.
    """
    code = (
        "import sys, importlib\n"
        "for name in sys.argv[1:]:\n"
        "    for loaded in [module for module in sys.modules if module.split('.')[0] == 'gpunn']:\n"
        "        del sys.modules[loaded]\n"
        "    importlib.import_module(f'gpunn.{name}')"
    )
    rooms = [
        path.parent for path in PACKAGE.rglob("__init__.py") if "\nfrom gpunn" in path.read_text("utf-8")
    ]
    modules = [path.relative_to(PACKAGE).with_suffix("") for room in rooms for path in room.glob("*.py")]
    names = [".".join(path.parts).removesuffix(".__init__") for path in modules]
    assert {"backends", "datasets", "estimators.classifier"} < set(names)
    subprocess.run([sys.executable, "-c", code, *names], check=True)


@pytest.mark.parametrize("optimizer", [gpunn.SGD(0.1, l2=1e-3), gpunn.Nesterov(0.1), gpunn.Adam()])
def test_a_step_allocates_nothing(optimizer: gpunn.SGD | gpunn.Adam) -> None:
    net = gpunn.Network(64, [gpunn.Dense(512, "relu"), gpunn.Dense(10, "softmax")], seed=0)
    X = np.random.default_rng(0).integers(0, 256, (64, 512), dtype=np.uint8)
    model, be = net.bind(Host("float32")), Host("float32")
    p = be.data.new_pass(512)
    update = optimizer.bind(be, model.theta)
    stages = plan.bind(model, be.data.examples(X, np.arange(512) % 10, None), p, 512, 256, update=update)
    plan.run(be, stages)
    be.data.start_pass(p, np.arange(512))
    tracemalloc.start()
    plan.run(be, stages)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    hidden = 512 * 256 * 4  # one matrix of the hidden layer; NumPy's reductions allocate some 20 kB
    assert peak < hidden / 10, f"{peak} bytes"


def test_work_grows_linearly() -> None:
    """Sixteen times the examples make at most sixteen times the calls: one may take many steps."""
    net, be, calls = gpunn.Network(20, [gpunn.Dense(10), gpunn.Dense(2)], seed=0), Host(), []
    for m in (4_096, 65_536):
        model = net.bind(be)
        update = gpunn.SGD().bind(be, model.theta)
        examples = be.data.examples(np.zeros((20, m), np.uint8), np.zeros(m, int), None)
        stages = plan.bind(model, examples, be.data.new_pass(m), m, 32, update=update)
        assert sum(stage.m * stage.times for stage in stages) == m
        calls.append(sum(len(stage.calls) * stage.times for stage in stages))
    assert calls[1] <= 16 * calls[0]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_peak_memory_is_little_more_than_the_data() -> None:
    code = """
import numpy as np, gpunn
def peak(field):
    return int(next(line for line in open("/proc/self/status") if line.startswith(field)).split()[1]) * 1024
net = gpunn.Network(784, [gpunn.Dense(30), gpunn.Dense(10)], seed=0)
warm = np.zeros((784, 100), np.uint8, order="F")
net.fit(warm, np.zeros(100), epochs=1, batch_size=10, device="cpu")
before = peak("VmRSS")
X = np.random.default_rng(0).integers(0, 256, (120_000, 784), dtype=np.uint8).T
net.fit(X, np.zeros(120_000), epochs=1, batch_size=10, device="cpu")
print((peak("VmHWM") - before) / X.nbytes)
"""
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, env=environment)
    assert float(done.stdout) < 1.3
