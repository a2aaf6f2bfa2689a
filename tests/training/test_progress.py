"""The progress bar: shown only on a terminal, and never blocking another process."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import numpy as np
import pytest

from gpunn import Network

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
    for part in ("100%", "examples/s", "epoch=2/2", "loss=", "accuracy="):
        assert part in last


@pytest.mark.parametrize(("stream", "verbose"), [(Terminal(), False), (io.StringIO(), True)])
def test_nothing_is_shown_without_a_terminal_or_verbose(
    monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, verbose: bool
) -> None:
    assert shown(stream, monkeypatch, verbose) == ""


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
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment, timeout=60)
    assert done.stdout == "2 epochs\n2 epochs\n1 thread\n"
