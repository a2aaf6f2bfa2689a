"""Start what a training needs later in threads of its own, while its data are read."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from threading import Thread
from typing import Any

from gpunn import backends
from gpunn.datasets.catalog import NAMES
from gpunn.report import drawing
from gpunn.tables.reading import is_table

Task = Callable[[], Any]


def prepare(data: str | None, device: str) -> Task:
    """Try the CUDA device, if it may be used, and import what the report is drawn with.

    Files are unpacked, and CUDA starts, without holding Python's lock, so imports beside them cost no time.
    An error is silent here: it is met again, and told, when what could not be prepared is needed.

    Args:
        data: name of a data set, or path of a folder or table. Nothing is prepared for a missing file.
        device: auto, cpu, cuda or cuda:N.

    Returns:
        A function that waits until everything is ready.
    """
    threads = [Thread(target=_quietly, args=(task,)) for task in _tasks(data, device)]
    for thread in threads:
        thread.start()

    def wait() -> None:
        for thread in threads:
            thread.join()

    return wait


def _tasks(data: str | None, device: str) -> list[Task]:
    if data is not None and data not in NAMES and not os.path.exists(os.path.expanduser(data)):
        return []
    kind, _, index = device.partition(":")
    tasks: list[Task] = []
    if kind in ("auto", "cuda") and (not index or index.isdecimal()):
        tasks.append(partial(backends.explain_cuda, int(index or 0)))  # which keeps its answer
    if data is None or not is_table(data):  # a table is read by Python itself
        tasks.append(drawing.preload)
    return tasks


def _quietly(task: Task) -> None:
    with suppress(Exception):
        task()
