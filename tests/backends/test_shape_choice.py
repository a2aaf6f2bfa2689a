"""The resident kernel's shape, chosen by estimate."""

from __future__ import annotations

import pytest

from gpunn.backends.cuda.shape_choice import best_shapes, microseconds, quicker_than_a_graph
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
        ((64, 100, 10), 200, 2, LARGE, False),  # scikit-learn's default needs several blocks
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
    able = best_shapes(Task(sizes, m, states, 4, packed, True), room, 1)
    assert bool(able and quicker_than_a_graph(able[0])) is chosen
    assert all(shape.shared_bytes <= room for shape in able)


def test_many_networks_share_a_multiprocessor() -> None:
    task = Task((64, 32, 10), 32, 0, 4, 1, True)
    alone, together = (best_shapes(task, LARGE, each)[0] for each in (1, 8))
    assert alone.resident == 1 < together.resident
    assert microseconds(together, 8) < microseconds(alone, 8)


@pytest.mark.parametrize("most", [(8, 1), (1, 16)], ids=["cluster", "grid"])
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
def test_the_choice_of_several_blocks(
    sizes: tuple[int, ...], m: int, states: int, shared_out: str, most: tuple[int, int]
) -> None:
    packed = 4 if sizes[0] == 784 else 1
    shape, *_ = best_shapes(Task(sizes, m, states, 4, packed, True), LARGE, 1, *most)
    assert quicker_than_a_graph(shape)
    assert shape.shared_out == shared_out
    assert shape.grid is (most[1] > 1 and shape.blocks > 1)


@pytest.mark.parametrize("most", [(8, 1), (1, 16)], ids=["cluster", "grid"])
def test_no_blocks_are_quicker_than_a_graph_for_many_examples_of_a_wide_network(
    most: tuple[int, int],
) -> None:
    able = best_shapes(Task((784, 512, 10), 128, 0, 4, 4, True), LARGE, 1, *most)
    assert not able or not quicker_than_a_graph(able[0])


def test_scikit_learns_default_shape() -> None:
    """A cluster's estimate is below 15 µs, and no other is close enough for a trial."""
    (cluster,) = best_shapes(Task((64, 100, 10), 200, 2, 4, 1, True), LARGE, 1, 8)
    assert microseconds(cluster, 1) < 15


def test_close_estimates_are_left_to_the_clock() -> None:
    able = best_shapes(Task((784, 30, 10), 10, 0, 4, 4, True), LARGE, 1, 8, 132)
    assert len({shape.way for shape in able}) == len(able) == 3
