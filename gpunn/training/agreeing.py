"""Ranks agree on data, network and options before they train together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from gpunn import backends
from gpunn.core.inputs import CheckedExamples
from gpunn.names import counted
from gpunn.training.fit_options import FitOptions
from gpunn.training.identity import describe_run
from gpunn.training.ranks import MpiRanks
from gpunn.training.trainable import Trainable
from gpunn.version import __version__

SAMPLED = 1024  # examples of a file in memory that each rank compares


def agree(net: Trainable, given: CheckedExamples | None, options: FitOptions, ranks: MpiRanks) -> None:
    """Raise ValueError on every rank unless all of them train the same, and each has something to do."""
    ranks.check_same({"version of gpunn": __version__, "number of epochs": str(options.epochs)})
    ranks.check_same(ranks.together(lambda: describe(net, given, options)))
    if given and given.X.shape[1] < ranks.size:
        few = counted(given.X.shape[1], "example")
        ranks.fail(f"{few} cannot be shared by {ranks.size} ranks: start at most one for each example")
    if options.batch_size < ranks.size:
        ranks.fail(
            f"mini-batches of {options.batch_size} cannot be shared by {ranks.size} ranks: use larger "
            "mini-batches or fewer ranks"
        )


def describe(net: Trainable, given: CheckedExamples | None, options: FitOptions) -> dict[str, str]:
    """Describe a run as `describe_run` does; of a file that is mapped into memory, read a sample only."""
    if given and is_mapped(given.X):
        m = given.X.shape[1]
        sample = given.X[:, np.unique(np.linspace(0, m - 1, SAMPLED).astype(int))]
        given = replace(given, X=np.asfortranarray(sample))
        return {"number of examples": str(m)} | describe_run(net, given, options)
    return describe_run(net, given, options)


def is_mapped(array: Any) -> bool:
    """Whether an array is a view of a file that is mapped into memory."""
    while array is not None and not isinstance(array, np.memmap):
        array = getattr(array, "base", None)
    return array is not None


def part_to_read(X: Any, ranks: MpiRanks) -> slice:
    """Return the examples that this rank reads to check them: its share if they lie in a mapped file."""
    if not is_mapped(X) or X.ndim != 2:
        return slice(None)
    return slice(*(X.shape[1] * k // ranks.size for k in (ranks.rank, ranks.rank + 1)))


def start_alike(net: Trainable, options: FitOptions, ranks: MpiRanks) -> None:
    """Give every rank the weights, the random generator and the optimizer's state of rank 0."""
    theta, state = ranks.from_first(lambda: (net.theta, net.rng.bit_generator.state))
    net.theta[:], net.rng.bit_generator.state = theta, state
    if options.optimizer_state is not None:
        earlier = ranks.from_first(lambda: dict(options.optimizer_state or {}))
        options.optimizer_state.clear()
        options.optimizer_state.update(earlier)


def share_machine(options: FitOptions, ranks: MpiRanks) -> FitOptions:
    """Give each rank of a machine a GPU or some of the cores, unless the options say which."""
    gpu, threads = f"cuda:{ranks.local()}", options.threads or ranks.threads()
    if options.device == "cuda" or (options.device == "auto" and not backends.explain_cuda()):
        options = replace(options, device=gpu)
    return replace(options, threads=threads)
