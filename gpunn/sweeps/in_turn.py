"""Train networks that differ in their random seed alone one after another, on examples that are streamed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from gpunn.network import Network
from gpunn.sweeps.members import Member
from gpunn.sweeps.outcome import Outcome
from gpunn.sweeps.progress import NetworkEnd, OnNetworkEnd
from gpunn.sweeps.scoring import Metric
from gpunn.sweeps.store import Store
from gpunn.training.fit_options import FitOptions
from gpunn.training.identity import describe_run
from gpunn.training.loop import Diverged
from gpunn.training.streamed import Stream


def train(
    net: Network,
    seeds: Sequence[int],
    stream: Stream,
    options: FitOptions,
    validation: Callable[[int], Any],
    on_network_end: OnNetworkEnd | None = None,
) -> list[tuple[Network, Outcome]]:
    """Train a network for each seed; return the networks and their outcomes, up to Ctrl-C.

    options: those of `fit`; `checkpoint` is the folder of the networks that are finished.
    """
    store = _open_store(net, stream, options, validation(seeds[0]))
    metric = Metric(options.stop.metric if options.stop else "loss")
    found: list[tuple[Network, Outcome]] = []
    for k, seed in enumerate(seeds):
        each, member = _like(net, seed), Member(k, 0, {}, seed, None)
        known = store.find(member, options.epochs) if store else None
        outcome = known or _train(each, stream, options, validation(seed))
        if known and known.theta is not None:
            each.theta[:], each.learnt_labels = known.theta, known.learnt_labels
        elif store:
            store.keep(member, options.epochs, outcome)
        found.append((each, outcome))
        examples = 0 if known else stream.shape[1] * len(outcome.history)
        score = metric.of(outcome, options.stop)
        if on_network_end:
            end = member, outcome.status, score, k + 1, len(seeds), examples, outcome.seconds, metric
            on_network_end(NetworkEnd(*end))
        if outcome.status == "interrupted":
            break
    return found


def _open_store(net: Network, stream: Stream, options: FitOptions, validation: Any) -> Store | None:
    if options.checkpoint is None:
        return None
    about = describe_run(net, None, replace(options, validation=validation))
    about |= {"data set": stream.description}
    return Store(Path(options.checkpoint), about, resume=options.resume)


def _train(net: Network, stream: Stream, options: FitOptions, validation: Any) -> Outcome:
    """Train one network. If it diverges, that is its outcome; any other error is raised."""
    alone = replace(options, checkpoint=None, resume=False, validation=validation)
    start, examples = time.monotonic(), cast(Any, stream)
    try:
        history = net.fit(examples, None, alone)
    except Diverged as error:
        return Outcome("diverged", seconds=time.monotonic() - start, message=str(error))
    status = {"": "done", "callback": "done"}.get(history.stopped, history.stopped)
    return Outcome(status, history, net.theta.copy(), time.monotonic() - start, net.learnt_labels)


def _like(net: Network, seed: int) -> Network:
    """Return a new network of the same kind with another seed."""
    first = net.dropout[0]
    return Network(net.sizes[0], net.layers, cost=net.cost, seed=seed, dtype=net.dtype, input_dropout=first)
