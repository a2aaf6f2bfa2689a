"""Run a command line in a forked process with limits, and collect all that it does."""

from __future__ import annotations

import io
import os
import resource
import selectors
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

CPU = 10  # seconds of CPU time; wall-clock time says little on a loaded machine
WALL = 120  # seconds until a process that waits for something counts as hanging
MEMORY = 2 << 30  # bytes
ADDRESS_SPACE = 16 << 30  # bytes; a larger allocation fails at once
ESCAPED = 70  # exit code if an exception escapes the command line


@dataclass(frozen=True)
class Outcome:
    """The end of a process.

    Attributes:
        code: the exit code, or None if a signal ended the process.
        ended_by: the signal that ended it, or 0.
        cpu: seconds of CPU time.
        memory: the largest resident memory in bytes.
        hung: whether it had to be killed.
    """

    arguments: tuple[str, ...]
    code: int | None
    ended_by: int
    out: str
    err: str
    cpu: float
    memory: int
    hung: bool = False


@dataclass(frozen=True)
class Process:
    """A running process, with the pipes that it writes to."""

    pid: int
    arguments: tuple[str, ...]
    out: int
    err: int

    def wait(self, *, number: int = 0, after: float | None = None) -> Outcome:
        """Wait for the end, and send a signal after some seconds if the process still runs."""
        texts, start, hung = {self.out: bytearray(), self.err: bytearray()}, time.monotonic(), False
        with selectors.DefaultSelector() as selector:
            for pipe in texts:
                selector.register(pipe, selectors.EVENT_READ)
            while selector.get_map():
                passed = time.monotonic() - start
                due = WALL if after is None else after
                for key, _ in selector.select(max(0.0, due - passed)):
                    if chunk := os.read(key.fd, 1 << 16):
                        texts[key.fd] += chunk[: max(0, (1 << 20) - len(texts[key.fd]))]
                    else:
                        selector.unregister(key.fd)
                if after is not None and time.monotonic() - start >= after:
                    os.kill(self.pid, number)
                    after = None
                elif time.monotonic() - start > WALL:
                    os.kill(self.pid, signal.SIGKILL)
                    hung = True
        _, status, used = os.wait4(self.pid, 0)
        out, err = (bytes(texts[pipe]).decode(errors="replace") for pipe in (self.out, self.err))
        os.close(self.out)
        os.close(self.err)
        ended_by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        code = None if ended_by else os.WEXITSTATUS(status)
        memory = used.ru_maxrss * 1024
        return Outcome(self.arguments, code, ended_by, out, err, used.ru_utime + used.ru_stime, memory, hung)


def start(
    arguments: Sequence[object],
    folder: Path,
    prepare: Callable[[], object] | None = None,
    file_size: int | None = None,
) -> Process:
    """Fork a process that runs `gpunn` with these arguments in a folder.

    Args:
        prepare: called in the process before the command.
        file_size: the largest file that it may write, as on a full disk.
    """
    words = tuple(map(str, arguments))
    (out, out_end), (err, err_end) = os.pipe(), os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    if pid := os.fork():
        os.close(out_end)
        os.close(err_end)
        return Process(pid, words, out, err)
    code = ESCAPED
    try:
        _limit(folder, out_end, err_end, file_size)
        if prepare:
            prepare()
        code = _run(words)
        sys.stdout.flush()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def run(arguments: Sequence[object], folder: Path) -> Outcome:
    """Run a command line and wait for its end."""
    return start(arguments, folder).wait()


def _limit(folder: Path, out: int, err: int, file_size: int | None) -> None:
    """Enter the folder, connect the pipes and set the limits."""
    os.chdir(folder)
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (out, 1), (err, 2)):
        os.dup2(source, target)
    os.closerange(3, 256)
    sys.stdin = io.TextIOWrapper(io.FileIO(0, closefd=False), encoding="utf-8")
    sys.stdout = io.TextIOWrapper(io.FileIO(1, "w", closefd=False), encoding="utf-8")
    sys.stderr = io.TextIOWrapper(io.FileIO(2, "w", closefd=False), encoding="utf-8", line_buffering=True)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # as Python does: the write fails with EFBIG
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU, CPU + 5))
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    if file_size is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))


def _run(arguments: Sequence[str]) -> int:
    """Run the command line as `python -m gpunn` does."""
    try:
        from gpunn.cli import main

        return main(arguments)
    except KeyboardInterrupt:
        return 130


def warm_up() -> None:
    """Import what the commands import, so that every process forks with it."""
    import matplotlib.figure
    import PIL.Image  # noqa: F401

    from gpunn.cli import commands, deploy, models, table_models, training
    from gpunn.datasets import images
    from gpunn.report import compare, page, window

    assert commands and deploy and models and table_models and training and images
    assert compare and page and window and matplotlib
    for optional in ("onnx", "pyarrow.parquet", "jsonschema", "gpunn.export"):
        try:
            __import__(optional)
        except ImportError:
            continue


@cache
def has_option(command: str, option: str) -> bool:
    """Whether a command has an option."""
    import typer

    from gpunn.cli.commands import app, complete_train

    if command == "train":
        alone = typer.Typer()
        alone.command()(complete_train())
        found: Any = typer.main.get_command(alone)
    else:
        found = cast(Any, typer.main.get_command(app)).commands[command]
    return any(option in parameter.opts for parameter in found.params)


def pause(seconds: float) -> None:
    """Wait between the starts of two processes."""
    time.sleep(seconds)
