"""All reproductions, by name, in the order in which they run."""

from __future__ import annotations

from benchmarks.reproductions import (
    bias_trick,
    by_hand,
    capacity,
    gradient_check,
    initialisation,
    matrix_form,
    mlp_mnist,
    nielsen,
    preprocessing,
    rows,
    single_neuron,
    three_blue,
    wheat_seeds,
)
from benchmarks.reproductions.common import Reproduction

_ALL: list[Reproduction] = [
    single_neuron.REPRODUCTION,
    by_hand.REPRODUCTION,
    bias_trick.REPRODUCTION,
    rows.REPRODUCTION,
    gradient_check.REPRODUCTION,
    matrix_form.REPRODUCTION,
    initialisation.REPRODUCTION,
    preprocessing.REPRODUCTION,
    capacity.REPRODUCTION,
    wheat_seeds.REPRODUCTION,
    three_blue.REPRODUCTION,
    nielsen.reproduction(30, wanted=0.95),
    nielsen.reproduction(100, wanted=0.965),
    *mlp_mnist.REPRODUCTIONS,
]
REPRODUCTIONS = {reproduction.claim.name: reproduction for reproduction in _ALL}
