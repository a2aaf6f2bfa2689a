"""Fixtures shared by all tests."""

from __future__ import annotations

import os

# Beside busy processes, the spinning threads of BLAS take up to ten times as long as one thread. The variable
# is read when NumPy is imported, and processes that tests start inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import shutil
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import emulated
import numpy as np
import pytest
import reporting
from helpers import MakeBackend, need_cuda
from hypothesis import HealthCheck, settings

import gpunn
from gpunn import backends, cli
from gpunn.backends import Host
from gpunn.backends.cuda import algorithms, resident
from gpunn.backends.cuda.backend import Cuda
from gpunn.backends.host.compiled import compiler
from gpunn.backends.host.compiled.source import source
from gpunn.backends.host.pool import cores
from gpunn.core.backend import Backend
from gpunn.report import driving, figures, sweep_figures
from gpunn.training import loop

# No test depends on the speed of the machine: examples may take any time to generate and to run.
settings.register_profile(
    "any speed",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("any speed")

MOST_WORKERS = 8  # each imports the libraries and sets up the shared fixtures anew

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Run the whole suite on every core. A selection runs in one process; -n, -s and --pdb work as usual."""
    plugins, given = config.pluginmanager, config.args_source is pytest.Config.ArgsSource.ARGS
    selected = given or any(config.getoption(name, None) for name in ("keyword", "markexpr", "lf", "usepdb"))
    # pytest-benchmark warns that it is disabled beside workers, and warnings are errors
    able = plugins.hasplugin("xdist") and not plugins.hasplugin("benchmark")
    able = able and "PYTEST_XDIST_WORKER" not in os.environ  # a worker starts no workers
    if able and not selected and config.option.numprocesses is None and config.option.capture != "no":
        config.option.numprocesses, config.option.dist = min(cores(), MOST_WORKERS), "worksteal"


@pytest.fixture(scope="session", autouse=True)
def compiled_kernels() -> None:
    """Compile the CPU's kernels before any test: a command that has to wait for them tells its user."""
    for dtype in ("float32", "float64"):
        with suppress(compiler.CannotCompile):
            compiler.build(source(np.dtype(dtype)))


def use_on_cpu(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the CPU compute with compiled kernels or with NumPy."""
    if kind == "compiled" and not emulated.COMPILER:
        pytest.skip("no C++ compiler")
    monkeypatch.setenv(compiler.VARIABLE, "1" if kind == "compiled" else "0")


@pytest.fixture(params=["compiled", "numpy"])
def on_cpu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU with compiled kernels, and with NumPy."""
    use_on_cpu(request.param, monkeypatch)


@pytest.fixture(params=["cpu-compiled", "cpu-numpy", "emulated", "cuda"])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeBackend]:
    """Every backend in turn, by dtype; the public API uses it whatever device it asks for."""
    kind = request.param
    devices = []

    def make(dtype: str = "float32") -> Backend:
        if kind.startswith("cpu"):
            return Host(dtype)
        if kind == "cuda":
            monkeypatch.setattr(resident, "best_shapes", lambda *_: ())  # which has tests of its own
            return backends_choose("cuda", dtype)
        devices.append(emulated.EmulatedDevice())
        return Cuda(devices[-1], dtype)

    backends_choose = backends.choose
    if kind == "cuda":
        need_cuda()
    if kind == "emulated" and not emulated.COMPILER:
        pytest.skip("no C++ compiler for the emulated device")
    if kind.startswith("cpu-"):
        use_on_cpu(kind.removeprefix("cpu-"), monkeypatch)
    monkeypatch.setattr(backends, "choose", lambda device, dtype, *_: make(np.dtype(dtype).name))
    yield make
    for device in devices:
        device.check()


@pytest.fixture
def gpunn_(capsys: pytest.CaptureFixture[str]) -> reporting.RunCommand:
    """Runs the command line in process: (exit code, stdout, stderr)."""

    def run(*arguments: object) -> tuple[int, str, str]:
        code = cli.main([str(a) for a in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture(autouse=True)
def no_window(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect the pages that would have been opened in the browser, and open none."""
    opened: list[str] = []
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.setattr(webbrowser, "open", opened.append)
    return opened


@pytest.fixture(autouse=True)
def empty_charts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave charts empty except in tests/report: they take most of the time of a short run."""

    def empty(draw: object, label: str, height: int = 0) -> str:
        return f'<svg aria-label="{label}"></svg>'

    if "report" not in request.path.parts:
        for module in (driving, figures, sweep_figures):
            monkeypatch.setattr(module, "svg", empty)


@pytest.fixture(autouse=True)
def first_algorithms(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take cuBLASLt's first algorithms, so that no test writes to the user's cache or times products."""
    monkeypatch.setenv(algorithms.VARIABLE, algorithms.FIRST)


@pytest.fixture
def interrupt(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Press Ctrl-C within that epoch."""
    run_epoch = loop.Training.run_epoch

    def at(wanted: int) -> None:
        def broken(training: loop.Training, epoch: int, progress: Any) -> gpunn.Record:
            if epoch == wanted:
                raise KeyboardInterrupt
            return run_epoch(training, epoch, progress)

        monkeypatch.setattr(loop.Training, "run_epoch", broken)

    return at


@pytest.fixture(scope="session")
def folder_of_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tables, and in gpunn-runs with a run of each kind."""
    pytest.importorskip("pyarrow")
    folder = tmp_path_factory.mktemp("report")
    reporting.write_tables(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, arguments in reporting.KINDS.items():
            command = ["train", *arguments, "--device", "cpu", "--output", f"gpunn-runs/{name}", "--json"]
            assert cli.main(command) == 0
    return folder


@pytest.fixture
def runs(folder_of_runs: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Its runs; it is the working directory."""
    monkeypatch.chdir(folder_of_runs)
    return folder_of_runs / "gpunn-runs"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A Chromium without a window, driven by Playwright."""
    playwright = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM:
        pytest.skip("no Chromium: install one, such as apt-get install chromium")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS, timeout=0)
        open_context = browser.new_context

        def new_context(**options: Any) -> Any:
            context = open_context(**options)
            context.set_default_timeout(0)  # wait as long as it takes: pytest has a limit for each test
            return context

        browser.new_context = new_context
        browser.new_page = lambda: new_context().new_page()
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def mnist() -> gpunn.datasets.Dataset:
    """MNIST where it lies already; never downloaded by a test."""
    folder = os.environ.get("GPUNN_DATA")
    if not folder or not any(Path(folder).glob("**/train-images*")):
        pytest.skip("MNIST is not at hand: set GPUNN_DATA to the folder that holds its four files")
    return gpunn.datasets.load("mnist", data_dir=folder)


@pytest.fixture(scope="session")
def digits() -> gpunn.datasets.Dataset:
    """The embedded 8×8 digits."""
    return gpunn.datasets.load("digits")
