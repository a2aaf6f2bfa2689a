"""Do the work of an iterator ahead, on a thread of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import Any, TypeVar

T = TypeVar("T")

AHEAD = 1  # items that wait; another is being made
PATIENCE = 0.1  # seconds after which the thread looks whether it is still wanted


def read_ahead(items: Iterator[T]) -> Iterator[T]:
    """Yield the items, while a thread makes the next ones.

    An error of the iterator is raised here. The thread ends with this iterator, however that ends.
    """
    queue: Queue[tuple[bool, Any]] = Queue(AHEAD)
    unwanted = Event()

    def put(entry: tuple[bool, Any]) -> None:
        while not unwanted.is_set():
            try:
                queue.put(entry, timeout=PATIENCE)
                return
            except Full:
                continue

    def work() -> None:
        try:
            for item in items:
                put((True, item))
                if unwanted.is_set():
                    return
            put((False, None))
        except BaseException as error:
            put((False, error))

    thread = Thread(target=work, name="gpunn-read-ahead", daemon=True)
    thread.start()
    try:
        while True:
            more, item = queue.get()
            if more:
                yield item
                del item
            elif item is None:
                return
            else:
                raise item
    finally:
        unwanted.set()
        with suppress(Empty):
            queue.get_nowait()
        thread.join()
