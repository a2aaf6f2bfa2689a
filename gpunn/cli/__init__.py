"""The command line: runs a command, and reports every error in one line.

The commands are in `commands`. What they do is in modules that are imported only when a command runs, so that
`gpunn --help` is quick.
"""

from __future__ import annotations

import _thread
import errno
import io
import os
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import typer

from gpunn.cli.output import Failed, complain, warn

BAD_INPUT, FAILED, INTERRUPTED = 2, 1, 130
SOON = 0.05  # seconds
FULL_DISK = (errno.ENOSPC, errno.EDQUOT)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code.

    0: success. 1: the run failed. 2: bad input or usage. 130: interrupted by Ctrl-C.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    _repair_streams()
    try:
        from gpunn.cli import ranks
        from gpunn.cli.clusters import among_ranks
        from gpunn.cli.commands import app

        if "--mpi" not in arguments:  # with --mpi, the other ranks serve the first one instead
            ranks.hush()
        with warnings.catch_warnings(), _interrupts_kept(), among_ranks(arguments) as served:
            if served:
                return 0
            warnings.showwarning = _show_warning  # type: ignore[assignment]
            command = typer.main.get_command(app)
            code = command.main(arguments or ["--help"], "gpunn", standalone_mode=False)
        sys.stdout.flush()
        return int(code or 0)
    except BrokenPipeError:  # the reader has left: discard what is still buffered
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except Exception as error:
        if isinstance(error.__cause__, KeyboardInterrupt):  # Python wraps it while a class is made
            return INTERRUPTED
        if "--debug" in arguments:  # parsing may have failed before it saw this option
            traceback.print_exc()
        code, message = _explain(error)
        complain(message)
        return code


@contextmanager
def _interrupts_kept() -> Iterator[None]:
    """Raise Ctrl-C again if Python ignored it, as in a callback of the garbage collector."""
    others = sys.unraisablehook

    def hook(ignored: Any) -> None:
        if issubclass(ignored.exc_type, KeyboardInterrupt):
            again = threading.Timer(SOON, _thread.interrupt_main)  # here it would be ignored, too
            again.daemon = True
            again.start()
        else:
            others(ignored)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = others


def _repair_streams() -> None:
    """Replace streams that are closed, as by `>&-`, and let stdout print any file name."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _explain(error: Exception) -> tuple[int, str]:
    """Return the exit code and the message for an error."""
    from gpunn.core.backend import BackendError

    if hasattr(error, "format_message"):  # a usage error, whose class depends on typer's version
        from gpunn.cli.usage import explain_usage

        return BAD_INPUT, explain_usage(error)
    if isinstance(error, OSError) and error.strerror:
        code = FAILED if error.errno in FULL_DISK else BAD_INPUT
        return code, f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if isinstance(error, OSError) and _has_changed(error):
        return FAILED, str(error)
    if isinstance(error, ValueError | OSError | BackendError | ImportError):
        return BAD_INPUT, str(error)
    if isinstance(error, FloatingPointError | MemoryError | Failed):  # Diverged is a FloatingPointError
        return FAILED, str(error) or "out of memory"
    return FAILED, f"{type(error).__name__}: {error} (this is a bug; --debug shows the traceback)"


def _has_changed(error: OSError) -> bool:
    """Return whether a file has changed during a run."""
    from gpunn.tables.sources.dataset import DataChanged

    return isinstance(error, DataChanged)


def _show_warning(message: Warning | str, *_: Any) -> None:
    warn(message)
