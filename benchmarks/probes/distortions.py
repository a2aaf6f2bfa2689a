"""The cost of data augmentation on the device, beside the step that learns from the images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

import gpunn
from benchmarks.nets import DEEP, MIDDLE, WIDE, Net
from benchmarks.probes.probe import MakeBackend, Probe, Row, label
from benchmarks.probes.timeline import seconds_a_step
from benchmarks.steps import training_step
from gpunn.backends.cuda.backend import Cuda
from gpunn.core.pass_equations import Distort
from gpunn.core.plan import chunk_steps

SHAPE = (28, 28)
RECORD = replace(DEEP, batch_size=256, precision="tf32")  # as it was trained to 0.41 % on an H200
NETS: Sequence[tuple[Net, str | None]] = [  # with the largest share that it should have on an H200
    (RECORD, "≤ 15 %"),
    (replace(RECORD, batch_size=1024), "≤ 15 %"),
    (replace(WIDE, precision="tf32"), None),
    (MIDDLE, None),
]
AFFINE = {"shift": 1.5, "rotate": 13.0, "scale": 0.15}
KINDS: Mapping[str, Mapping[str, float]] = {
    "shifted, rotated and scaled": AFFINE,
    "and bent": {**AFFINE, "elastic": 40.0},
}


def measure(make: MakeBackend) -> Iterator[Row]:
    """Yield a row for each network and each kind of distortion."""
    for net, target in NETS:
        be = make(net.precision)
        step = seconds_a_step(be, be.lower(training_step(be, net)))
        for kind, limits in KINDS.items():
            m = net.batch_size * chunk_steps(be, net.batch_size, net.sizes[0])
            yield row(net, kind, m, distorting(be, limits, m) / m, step / net.batch_size, target)


def distorting(be: Cuda, limits: Mapping[str, float], m: int) -> float:
    """Return the seconds that it takes to distort m images in place."""
    n = SHAPE[0] * SHAPE[1]
    examples, p = be.data.examples(np.zeros((n, m), np.uint8), None, None), be.data.new_pass(m)
    be.data.start_pass(p, np.arange(m))
    x = be.memory.inputs(examples, m, 0.0)
    return seconds_a_step(be, be.lower([Distort(gpunn.Augmentation(SHAPE, **limits), x, p)]))


def row(net: Net, kind: str, m: int, image: float, example: float, target: str | None) -> Row:
    """Return a row of the table, from the seconds of an image and those of an example in a step."""
    times = {
        "ns an image": 1e9 * image,
        "ns an example": 1e9 * example,
        "% of the step": 100 * image / example,
    }
    return {"network": label(net), "images are": kind, "images": m, **times, "target": target}


PROBE = Probe(
    "distortions",
    "data augmentation beside the step",
    {
        "network": "the network, its mini-batch and its precision",
        "images are": "how they are distorted",
        "images": "how many are distorted in a launch",
        "ns an image": "nanoseconds that distorting an image takes",
        "ns an example": "nanoseconds of the training step for each of its examples, without distortions",
        "% of the step": "the first by the second",
        "target": "the share that an H200 should not exceed",
    },
    measure,
)
