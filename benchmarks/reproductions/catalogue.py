"""All reproductions by name, in the order in which they run."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.reproductions import (
    bias_trick,
    by_hand,
    capacity,
    ciresan,
    committee,
    dropout,
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
from gpunn.names import look_up

_ALL: list[Reproduction] = [
    nielsen.reproduction(30, wanted=95, seeds=132),
    nielsen.reproduction(100, wanted=96.5, seeds=12),
    matrix_form.REPRODUCTION,
    single_neuron.REPRODUCTION,
    three_blue.REPRODUCTION,
    by_hand.REPRODUCTION,
    wheat_seeds.REPRODUCTION,
    capacity.REPRODUCTION,
    initialisation.REPRODUCTION,
    initialisation.NORMALISED_REPRODUCTION,
    preprocessing.REPRODUCTION,
    preprocessing.NETWORK_REPRODUCTION,
    dropout.REPRODUCTION,
    gradient_check.REPRODUCTION,
    bias_trick.REPRODUCTION,
    rows.REPRODUCTION,
    *mlp_mnist.REPRODUCTIONS,
    committee.REPRODUCTION,
    ciresan.REPRODUCTION,
]
REPRODUCTIONS = {reproduction.claim.name: reproduction for reproduction in _ALL}


def named(name: str, known: Mapping[str, Reproduction]) -> list[Reproduction]:
    """Return the reproduction of this name and those that it is a prefix of, as nielsen is of nielsen-30.

    Raises ValueError, with the closest match, for an unknown name.
    """
    found = [one for other, one in known.items() if f"{other}-".startswith(f"{name}-")]
    return found or [look_up(known, name, "reproduction")]
