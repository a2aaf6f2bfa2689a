"""Run a command line in a process with limits, forked or new, and collect all that it does."""

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
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.attack.progress import Watch

ROOT = Path(__file__).parents[2]
CPU = 10  # seconds of CPU time; wall-clock time says little on a loaded machine
MEMORY = 2 << 30  # bytes
ADDRESS_SPACE = 16 << 30  # bytes; a larger allocation fails at once
ESCAPED = 70  # exit code if an exception escapes the command line
KEPT = 1 << 20  # bytes of each stream
UNIT = 1 if sys.platform == "darwin" else 1024  # bytes, of the largest resident memory
ENDED: dict[int, tuple[int, resource.struct_rusage]] = {}  # processes that ended before they were waited for


@dataclass(frozen=True)
class Outcome:
    """The end of a process.

    Attributes:
        code: the exit code, or None if a signal ended the process.
        ended_by: the signal that ended it, or 0.
        cpu: seconds of CPU time.
        memory: the largest resident memory in bytes.
        hung: whether it had to be killed.
        fresh: whether it was a new interpreter, not a fork.
    """

    arguments: tuple[str, ...]
    code: int | None
    ended_by: int
    out: str
    err: str
    cpu: float
    memory: int
    hung: bool = False
    fresh: bool = False


@dataclass(frozen=True)
class Process:
    """A running process, with the pipes that it writes to."""

    pid: int
    arguments: tuple[str, ...]
    out: int
    err: int
    fresh: bool

    def wait(self) -> Outcome:
        """Read all output and wait for the end; a process that hangs is killed."""
        texts, watch, hung = {self.out: bytearray(), self.err: bytearray()}, Watch(self.pid), False
        with selectors.DefaultSelector() as selector:
            for pipe in texts:
                selector.register(pipe, selectors.EVENT_READ)
            while selector.get_map():
                ready = selector.select(1.0)
                for key, _ in ready:
                    if chunk := os.read(key.fd, 1 << 16):
                        texts[key.fd] += chunk[: max(0, KEPT - len(texts[key.fd]))]
                    else:
                        selector.unregister(key.fd)
                if not ready and not hung and watch.hangs():
                    os.kill(self.pid, signal.SIGKILL)
                    hung = True
        status, used = ENDED.pop(self.pid) if self.pid in ENDED else os.wait4(self.pid, 0)[1:]
        out, err = (bytes(texts[pipe]).decode(errors="replace") for pipe in (self.out, self.err))
        os.close(self.out)
        os.close(self.err)
        ended_by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        code = None if ended_by else os.WEXITSTATUS(status)
        cpu, memory = used.ru_utime + used.ru_stime, used.ru_maxrss * UNIT
        return Outcome(self.arguments, code, ended_by, out, err, cpu, memory, hung, self.fresh)

    def wait_until_stopped(self) -> bool:
        """Wait until the process stops itself, and return True; False if it ended or hangs."""
        watch = Watch(self.pid)
        while True:
            pid, status, used = os.wait4(self.pid, os.WUNTRACED | os.WNOHANG)
            if pid and os.WIFSTOPPED(status):
                return True
            if pid:
                ENDED[pid] = status, used
            if pid or watch.hangs():
                return False
            time.sleep(0.002)

    def go_on(self) -> None:
        """Let a stopped process continue."""
        os.kill(self.pid, signal.SIGCONT)


def start(
    arguments: Sequence[object],
    folder: Path,
    prepare: Callable[[], object] | None = None,
    *,
    file_size: int | None = None,
    stdin: Path | None = None,
    fresh: bool = False,
) -> Process:
    """Start a process that runs `gpunn` with these arguments in a folder.

    Args:
        prepare: called in the process before the command.
        file_size: the largest file that it may write, as on a full disk.
        stdin: its standard input; nothing if None.
        fresh: start a new interpreter with `python -m gpunn` instead of forking this process.
    """
    words = tuple(map(str, arguments))
    (out, out_end), (err, err_end) = os.pipe(), os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    if pid := os.fork():
        os.close(out_end)
        os.close(err_end)
        return Process(pid, words, out, err, fresh)
    code = ESCAPED
    try:
        _connect(folder, stdin or Path(os.devnull), out_end, err_end)
        _limit(file_size)
        if fresh:
            search = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
            command = [sys.executable, "-m", "gpunn", *words]
            os.execve(sys.executable, command, {**os.environ, "PYTHONPATH": search})
        if prepare:
            prepare()
        code = run_here(words)
        sys.stdout.flush()
    except KeyboardInterrupt:  # after the command
        code = 130
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def run(arguments: Sequence[object], folder: Path, prepare: Callable[[], object] | None = None) -> Outcome:
    """Run a command line and wait for its end."""
    return start(arguments, folder, prepare).wait()


def run_here(arguments: Sequence[str]) -> int:
    """Run the command line as `python -m gpunn` does, in this process."""
    try:
        from gpunn.cli import main

        return main(arguments)
    except KeyboardInterrupt:
        return 130


def _connect(folder: Path, stdin: Path, out: int, err: int) -> None:
    """Enter the folder, and connect the standard streams."""
    os.chdir(folder)
    for source, target in ((os.open(stdin, os.O_RDONLY), 0), (out, 1), (err, 2)):
        os.dup2(source, target)
    os.closerange(3, 256)
    sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)), encoding="utf-8")
    sys.stdout = io.TextIOWrapper(io.FileIO(1, "w", closefd=False), encoding="utf-8")
    error = io.FileIO(2, "w", closefd=False)
    sys.stderr = io.TextIOWrapper(error, encoding="utf-8", errors="backslashreplace", line_buffering=True)


def _limit(file_size: int | None) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # as Python does: the write fails with EFBIG
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU, CPU + 5))
    with suppress(ValueError):  # macOS has no such limit
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    if file_size is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))


def build_once() -> None:
    """Let forked processes share the commands, which each would build anew from the options."""
    import typer

    from gpunn.cli.commands import Commands

    built, resolve = dict[str, Any](), Commands.resolve_command

    def resolve_once(self: Any, ctx: Any, args: list[str]) -> Any:
        if args[0] not in built:
            built[args[0]] = resolve(self, ctx, args)[1]
        return args[0], built[args[0]], args[1:]

    vars(typer.main)["get_command"] = cache(typer.main.get_command)
    setattr(Commands, "resolve_command", resolve_once)  # noqa: B010


def leave_out_charts() -> None:
    """Let the reports of this process have empty charts, which take most of the time of a short training."""
    from gpunn.report import figures

    vars(figures)["svg"] = lambda draw, label, height=0: f'<svg aria-label="{label}"></svg>'
