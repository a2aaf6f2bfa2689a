"""SIGTERM during training."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def sigterm_as_ctrl_c(wanted: bool) -> Iterator[None]:
    """Raise KeyboardInterrupt on SIGTERM inside this block, if wanted.

    On exit the signal is raised again, so that the process still terminates. Does nothing outside the main
    thread or if SIGTERM already has a handler.
    """
    default = signal.SIG_DFL
    in_main = threading.current_thread() is threading.main_thread()
    if not (wanted and in_main and signal.getsignal(signal.SIGTERM) is default):
        yield
        return
    received = False

    def interrupt_once(*_: Any) -> None:
        nonlocal received
        if not received:
            received = True
            raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt_once)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, default)
        if received:
            signal.raise_signal(signal.SIGTERM)
