"""`gpunn` as a process: Ctrl-C, pipes and closed streams."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command_line import QUICK, ROOT, start_process, wait_until

from gpunn import Network, cli

INTERRUPTED_IMPORT = """
import runpy, sys
module = sys.argv.pop(1)
class CtrlC:
    def find_spec(self, name, *_):
        if name == module:
            raise KeyboardInterrupt
sys.meta_path.insert(0, CtrlC())
assert "numpy" not in sys.modules
runpy.run_module("gpunn", run_name="__main__")
"""


@pytest.mark.parametrize("module", ["typer", "numpy", "gpunn.cli.training", "gpunn.training.loop"])
def test_ctrl_c_during_imports_exits_with_130(module: str) -> None:
    command = [sys.executable, "-c", INTERRUPTED_IMPORT, module]
    command += ["train", "digits", *QUICK]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_ctrl_c_while_a_class_is_made_exits_with_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Python before 3.12 raises RuntimeError from KeyboardInterrupt if `__set_name__` is interrupted."""

    def interrupted(*_: object) -> None:
        raise RuntimeError("Error calling __set_name__") from KeyboardInterrupt()

    monkeypatch.setattr("gpunn.cli.system.show", interrupted)
    assert cli.main(["info"]) == 130
    assert capsys.readouterr() == ("", "")


def test_ctrl_c_that_python_ignores_comes_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Python ignores exceptions in callbacks of the garbage collector, and prints them."""
    signal.signal(signal.SIGINT, signal.default_int_handler)

    class Thing:
        def __del__(self) -> None:
            raise KeyboardInterrupt

    def interrupted(*_: object) -> None:
        Thing()
        while True:
            time.sleep(0.01)

    monkeypatch.setattr("gpunn.cli.system.show", interrupted)
    hook = sys.unraisablehook
    assert cli.main(["info"]) == 130
    assert capsys.readouterr() == ("", "") and sys.unraisablehook == hook


def test_ctrl_c_saves_what_was_learnt(request: pytest.FixtureRequest) -> None:
    # a parent process in the background may ignore Ctrl-C, and its children inherit that
    signal.signal(signal.SIGINT, signal.default_int_handler)
    run = start_process("train", "digits", "--epochs", 100_000, "--output", "run", "--device", "cpu")
    request.addfinalizer(run.kill)
    assert run.stdout.readline().startswith("digits, ")
    history = Path("run/history.jsonl")
    wait_until(lambda: history.exists() and history.read_bytes().count(b"\n") >= 5, run)
    run.send_signal(signal.SIGINT)
    out, err = run.communicate()
    assert (run.returncode, err) == (130, "")
    assert "interrupted after" in out
    assert "gpunn evaluate run/model.safetensors digits" in out
    assert Network.load("run").meta["test_accuracy"] > 0.5
    assert Network.load("run").meta["stopped"] == "interrupted"


def test_json_on_stdout_and_nothing_else() -> None:
    run = start_process("train", "digits", *QUICK, "--json")
    out, err = run.communicate()
    assert (run.returncode, err) == (0, "")
    assert out.count("\n") == 1
    assert json.loads(out)["dataset"] == "digits"


def test_a_reader_that_leaves_is_not_an_error(model: Path) -> None:
    run = start_process("evaluate", model)
    run.stdout.close()
    assert run.stderr.read() == ""
    run.stderr.close()
    assert run.wait() == cli.FAILED


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_streams_are_not_an_error(closed: str) -> None:
    if sys.platform == "win32":
        pytest.skip("no POSIX shell")
    arguments = ["train", "digits", *QUICK, "--init", "zeros", "--output", "run"]
    command = shlex.join([sys.executable, "-m", "gpunn", *arguments])
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(f"{command} {closed}", shell=True, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (done.stdout == "") == closed.startswith(">")
    assert done.stderr.startswith("gpunn: warning: ") == (closed == ">&-")
    assert done.stderr.count("\n") <= 1
    assert Network.load("run").meta["epochs"] == 2
