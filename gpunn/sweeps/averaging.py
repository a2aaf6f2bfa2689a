"""Train a network, or several that differ in their random seed alone, to be averaged."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from gpunn.network import Network
from gpunn.sweeps.ensemble import Ensemble
from gpunn.sweeps.outcome import TRAINED, Outcome, kept_record
from gpunn.sweeps.preparing import Asked, Prepared, prepare
from gpunn.sweeps.progress import NetworkEnd, OnNetworkEnd
from gpunn.sweeps.result import SweepResult
from gpunn.training.fit_options import FitOptions, Validation
from gpunn.training.history import MEASURES, History, Record
from gpunn.training.loop import Diverged
from gpunn.training.stopping import EarlyStopping
from gpunn.training.streamed import Stream


@dataclass(frozen=True)
class Trained:
    """A network or an ensemble after its training.

    Attributes:
        history: the history of the network, or the mean of the networks'.
        members: for an ensemble, the history of each network by its seed.
        failed: for an ensemble, why networks are left out, by their seeds.
    """

    predictor: Network | Ensemble
    history: History
    members: Mapping[int, History] = field(default_factory=dict)
    failed: Mapping[int, str] = field(default_factory=dict)


def train(
    net: Network,
    n: int,
    X: Any,
    y: Any,
    options: FitOptions,
    validation: Callable[[int], Validation],
    on_network_end: OnNetworkEnd | None = None,
) -> Trained:
    """Train a network, or n networks at once: it, and others with the seeds after its own.

    Each network equals the one that is trained by itself with its seed, as in `gpunn.sweep`.

    Args:
        options: the options of `fit`; for several networks, `checkpoint` and `resume` are as in
            `gpunn.sweep`.
        validation: returns the validation set for a seed.
        on_network_end: called with each of several networks that is finished.

    Raises:
        Diverged: if all networks diverge.
        KeyboardInterrupt: if Ctrl-C comes before the first of several networks is finished.
    """
    assert net.seed is not None
    if n == 1:
        return Trained(net, net.fit(X, y, options, validation=validation(net.seed)))
    seeds = range(net.seed, net.seed + n)
    if isinstance(X, Stream):
        start = time.monotonic()
        from gpunn.sweeps import in_turn

        found = in_turn.train(net, seeds, X, options, validation, on_network_end)
        return _gather_outcomes(found, options.stop, time.monotonic() - start)
    from gpunn.sweeps import sweep  # and joblib, which one network does without

    prepared = _prepare(net, seeds, X, y, options, validation)
    earlier, start = 0.0, time.monotonic()

    def on_end(end: NetworkEnd) -> object:
        nonlocal earlier
        earlier += 0.0 if end.examples else end.seconds  # of an earlier run
        return on_network_end(end) if on_network_end else None

    try:
        result = sweep.train(prepared, options, on_network_end=on_end)
    except RuntimeError as error:  # no network could be trained, which is no matter of the seed
        raise ValueError(str(error)) from None
    return _gather(result, options.stop, time.monotonic() - start + earlier)


def _prepare(
    net: Network, seeds: Sequence[int], X: Any, y: Any, options: FitOptions, validation: Callable[[int], Any]
) -> Prepared:
    """Prepare a sweep over the seeds. Rows to hold out are chosen for each seed anew."""
    kind = net.layers, net.cost, net.dtype, net.dropout[0]
    asked = Asked(*kind, None, None, seeds, folds=None, halving=None, metric=None, random_state=0)
    first = validation(seeds[0])
    prepared = prepare(X, y, asked, replace(options, validation=first), here=True)
    if not isinstance(first, np.ndarray):
        return prepared
    by_seed = {seed: validation(seed) for seed in seeds}
    return replace(prepared, data=replace(prepared.data, by_seed=by_seed))


def _gather(result: SweepResult, stop: EarlyStopping | None, seconds: float) -> Trained:
    """Put the networks that were trained together."""
    rows = list(result.table)
    trained = [row for row in rows if row["status"] in TRAINED]
    failed = {row["seed"]: row["message"] for row in rows if row["status"] in ("diverged", "failed")}
    networks = [result.network(row["network"]) for row in trained]
    members = {row["seed"]: result.history(row["network"]) for row in trained}
    return _averaged(networks, members, failed, stop, seconds, interrupted=result.interrupted)


def _gather_outcomes(
    found: Sequence[tuple[Network, Outcome]], stop: EarlyStopping | None, seconds: float
) -> Trained:
    """Put the networks that were trained in turn together."""
    good = [(net, outcome) for net, outcome in found if outcome.trained]
    failed = {_seed(net): outcome.message for net, outcome in found if outcome.status == "diverged"}
    interrupted = any(outcome.status == "interrupted" for _, outcome in found)
    members = {_seed(net): outcome.history for net, outcome in good}
    return _averaged([net for net, _ in good], members, failed, stop, seconds, interrupted=interrupted)


def _averaged(
    networks: Sequence[Network],
    members: dict[int, History],
    failed: dict[int, str],
    stop: EarlyStopping | None,
    seconds: float,
    *,
    interrupted: bool,
) -> Trained:
    """Average networks. Raises KeyboardInterrupt or Diverged if there are none."""
    if not networks:
        raise KeyboardInterrupt if interrupted else Diverged(next(iter(failed.values())))
    for net in networks:
        net.meta = {"seed": net.seed}
    history = mean_history(list(members.values()), stop, seconds)
    if interrupted:
        history.stopped = "interrupted"
    return Trained(Ensemble(networks), history, members, failed)


def _seed(net: Network) -> int:
    assert net.seed is not None
    return net.seed


def mean_history(histories: Sequence[History], stop: EarlyStopping | None, seconds: float) -> History:
    """Average the epochs of networks that were trained at once, in so many seconds of wall-clock time.

    A network that has stopped counts with the epoch whose weights it kept, or the mean would jump. The
    seconds of an epoch are its share of the wall-clock time.
    """
    spent = sum(history.seconds for history in histories) or 1.0
    kept = [kept_record(history.records, stop) for history in histories]
    records = []
    for epoch in range(max(map(len, histories))):
        running = [history[epoch] for history in histories if epoch < len(history)]
        stopped = [own for own, history in zip(kept, histories, strict=True) if epoch >= len(history)]
        records.append(_mean(running, stopped, seconds / spent))
    early = any(history.stopped == "early" for history in histories)
    first = histories[0]
    return History(first.device, records, "early" if early else "", first.algorithms)


def _mean(running: Sequence[Record], stopped: Sequence[Record], share: float) -> Record:
    """Average an epoch of several networks. share: wall-clock time by the networks' own time."""
    measured = {name: _mean_of(getattr(r, name) for r in (*running, *stopped)) for name in MEASURES}
    spent = sum(record.seconds for record in running) or 1e-9
    examples = sum(record.seconds * record.examples_per_second for record in running)
    values: dict[str, Any] = {**measured, "seconds": share * spent}
    numbers = {record.threads for record in running}
    values["threads"] = numbers.pop() if len(numbers) == 1 else None
    return Record(running[0].epoch, **values, examples_per_second=examples / (share * spent))


def _mean_of(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def describe_failed(seed: int, why: str) -> str:
    """Say why a network of an ensemble is left out."""
    return f"the ensemble is without the network of seed {seed}: {why}"
