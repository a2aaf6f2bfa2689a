"""The progress of a run: a bar on a terminal, otherwise lines, and neither blocks another process."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from gpunn import Network, Record
from gpunn.training.progress import EpochLines

X, Y = np.zeros((4, 30)), np.zeros(30, int)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch, verbose: bool) -> str:
    monkeypatch.setattr("sys.stderr", stream)
    Network([4, 3], seed=0).fit(X, Y, epochs=2, verbose=verbose)
    return stream.getvalue()


def test_a_terminal_shows_the_last_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    last = shown(Terminal(), monkeypatch, verbose=True).split("\r")[-1]
    for part in ("100%", "00:00 left", "examples/s", "epoch=2/2", "loss=", "accuracy="):
        assert part in last


@pytest.mark.parametrize("stream", [Terminal(), io.StringIO()])
def test_nothing_is_shown_unless_verbose(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO) -> None:
    assert shown(stream, monkeypatch, verbose=False) == ""


LINE = r"epoch {}/2: loss \d\.\d{{4}}, accuracy [\d.]+%, [\d,]+ examples/s{}"


def test_a_file_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    first, last = shown(io.StringIO(), monkeypatch, verbose=True).splitlines()
    assert re.fullmatch(LINE.format(1, r", \d\d:\d\d left"), first)
    assert re.fullmatch(LINE.format(2, ""), last)


def test_a_notebook_gets_lines_on_stdout(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Notebooks show stderr on a red ground."""
    kernel = SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=object()))
    monkeypatch.setitem(sys.modules, "IPython", kernel)
    assert shown(io.StringIO(), monkeypatch, verbose=True) == ""
    assert [line.partition(":")[0] for line in capsys.readouterr().out.splitlines()] == [
        "epoch 1/2",
        "epoch 2/2",
    ]


def test_an_ipython_terminal_is_no_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: object()))
    assert "epoch 2/2" in shown(io.StringIO(), monkeypatch, verbose=True)


def record(epoch: int) -> Record:
    return Record(epoch, 0.5, None, 0.25, 0.975, 1.0, 1234.5)


def test_quick_epochs_have_a_line_every_few_seconds() -> None:
    times, lines = iter([0.0, *(0.5 * epoch for epoch in range(1, 11))]), []
    show = EpochLines(10, lines.append, clock=lambda: next(times))
    for epoch in range(1, 11):
        show(record(epoch))
    assert [line.partition(":")[0] for line in lines] == [f"epoch {epoch}/10" for epoch in (1, 5, 9, 10)]
    measured = "loss 0.5000, validation loss 0.2500, validation accuracy 97.50%, 1,234 examples/s"
    assert lines[1] == f"epoch 5/10: {measured}, 00:02 left"


def test_the_time_left_of_a_resumed_run_counts_its_own_epochs() -> None:
    times, lines = iter([100.0, 160.0]), []
    EpochLines(10, lines.append, clock=lambda: next(times))(record(6))
    assert lines[0].endswith(", 04:00 left")


KILLED_WITH_LOCKS = """
import os, signal, sys, threading
from test_progress import X, Y, Network, Terminal
from gpunn.training.progress import Bar, tqdm
locks = tqdm.get_lock(), Bar.get_lock()
if not (pid := os.fork()):
    for lock in locks:
        lock.acquire()
    os.kill(os.getpid(), signal.SIGKILL)
os.waitpid(pid, 0)
for sys.stderr in (sys.stderr, Terminal()):
    print(len(Network([4, 3], seed=0).fit(X, Y, epochs=2, verbose=True)), "epochs")
print(threading.active_count(), "thread")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_process_killed_while_drawing_blocks_no_other() -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *sys.path])}
    command = [sys.executable, "-c", KILLED_WITH_LOCKS]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    assert done.stdout == "2 epochs\n2 epochs\n1 thread\n"
