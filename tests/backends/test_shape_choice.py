"""The resident kernel's shape, chosen by estimate."""

from __future__ import annotations

import pytest

from gpunn.backends.cuda.shape_choice import best_shape, microseconds, quicker_than_a_graph
from gpunn.backends.cuda.shapes import Task

LARGE, SMALL = 227 << 10, 64 << 10  # shared memory of a block on an H200 and on a T4


@pytest.mark.parametrize(
    ("sizes", "m", "states", "room", "chosen"),
    [
        ((784, 30, 10), 10, 0, LARGE, True),  # the book's
        ((784, 30, 10), 10, 2, LARGE, True),  # with Adam
        ((784, 16, 16, 10), 100, 0, LARGE, True),  # 3Blue1Brown's
        ((64, 32, 10), 32, 0, LARGE, True),
        ((64, 32, 10), 32, 0, SMALL, True),
        ((20, 64, 3), 200, 0, LARGE, True),
        ((64, 100, 10), 200, 2, LARGE, True),  # scikit-learn's default
        ((2, 3, 1), 1, 0, LARGE, True),
        ((64, 32, 10), 32, 0, 0, False),
        ((784, 100, 10), 10, 0, LARGE, False),
        ((784, 128, 10), 128, 0, LARGE, False),
        ((784, 1024, 1024, 10), 128, 0, LARGE, False),
        ((784, 30, 10), 1024, 0, LARGE, False),  # more work than a block can do quickly
    ],
)
def test_the_choice(sizes: tuple[int, ...], m: int, states: int, room: int, chosen: bool) -> None:
    packed = 4 if sizes[0] == 784 else 1
    shape = best_shape(Task(sizes, m, states, 4, packed, True), room, 1)
    assert bool(shape and quicker_than_a_graph(shape)) is chosen
    assert shape is None or shape.shared_bytes <= room


def test_many_networks_share_a_multiprocessor() -> None:
    task = Task((64, 32, 10), 32, 0, 4, 1, True)
    alone, together = (best_shape(task, LARGE, each) for each in (1, 8))
    assert alone and together
    assert alone.resident == 1 < together.resident
    assert microseconds(together, 8) < microseconds(alone, 8)


@pytest.mark.parametrize(
    ("sizes", "m", "states", "shared_out"),
    [
        ((784, 30, 10), 10, 0, "inputs"),
        ((784, 100, 10), 10, 0, "inputs"),  # it does not fit on one multiprocessor
        ((784, 64, 32, 10), 32, 0, "inputs"),
        ((64, 100, 10), 200, 2, "examples"),  # scikit-learn's default
        ((20, 64, 3), 200, 0, "examples"),
        ((64, 32, 10), 32, 0, "nothing"),  # the exchange would take longer than it saves
    ],
)
def test_the_choice_of_a_cluster(sizes: tuple[int, ...], m: int, states: int, shared_out: str) -> None:
    packed = 4 if sizes[0] == 784 else 1
    shape = best_shape(Task(sizes, m, states, 4, packed, True), LARGE, 1, 8)
    assert shape and quicker_than_a_graph(shape)
    found = "nothing" if shape.cluster == 1 else "inputs" if shape.first_in_registers else "examples"
    assert found == shared_out


def test_no_cluster_is_quicker_than_a_graph_for_many_examples_of_a_wide_network() -> None:
    shape = best_shape(Task((784, 128, 10), 128, 0, 4, 4, True), LARGE, 1, 8)
    assert shape is None or not quicker_than_a_graph(shape)


def test_scikit_learns_default_shape() -> None:
    """A cluster's estimate is below 15 µs, where one block takes twice as long."""
    task = Task((64, 100, 10), 200, 2, 4, 1, True)
    one, cluster = (best_shape(task, LARGE, 1, blocks) for blocks in (1, 8))
    assert one and cluster
    assert 2 * microseconds(cluster, 1) < microseconds(one, 1)
    assert microseconds(cluster, 1) < 15
