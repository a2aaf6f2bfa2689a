"""Charts that are drawn in several threads leave Matplotlib's settings as they were."""

from __future__ import annotations

import logging
import threading
import warnings

import matplotlib
from reporting import history

from gpunn.report.drawing import page_style
from gpunn.report.figures import curves, measured_lines


def test_threads_leave_the_settings_of_matplotlib() -> None:
    before = dict(matplotlib.rcParams), logging.getLogger("matplotlib").level, list(warnings.filters)
    lines, drawn = measured_lines(history(5), "loss"), []
    threads = [threading.Thread(target=lambda: drawn.append(curves(lines, "loss"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(drawn) == 4 and len(set(drawn)) == 1
    assert before == (
        dict(matplotlib.rcParams), logging.getLogger("matplotlib").level, list(warnings.filters)
    )  # fmt: skip


def test_a_second_thread_waits_for_the_first() -> None:
    """The order that restored the first thread's style for good: enter, enter, leave, leave."""
    size, entered = matplotlib.rcParams["font.size"], []

    def draw() -> None:
        with page_style():
            entered.append(matplotlib.rcParams["font.size"])

    thread = threading.Thread(target=draw)
    with page_style():
        thread.start()
        thread.join(0.05)
        assert not entered
    thread.join()
    assert len(entered) == 1 and matplotlib.rcParams["font.size"] == size
