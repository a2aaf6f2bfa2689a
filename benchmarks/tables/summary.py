"""Summarise the runs: mean scores, ranks, and wins and losses by a paired test."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.tables.contestants import BOOSTING, RECIPE
from benchmarks.tables.runs import Run
from benchmarks.tables.scores import ranked_by
from benchmarks.tables.sets import SETS, chosen_on

LEVEL = 0.05  # of the paired test
Scores = dict[str, dict[str, dict[tuple[int, int], float]]]  # set → contestant → (repeat, fold) → score


def summarise(runs: Iterable[Run]) -> dict[str, Any]:
    """Return, for the sets that settings were chosen on, for those reported, and for all, what came out."""
    runs, chosen = list(runs), chosen_on()
    scores = compared(runs)
    halves = {
        "chosen on": [name for name in scores if name in chosen],
        "reported": [name for name in scores if name not in chosen],
        "all": list(scores),
    }
    return {
        "mean_scores": {name: means(found) for name, found in scores.items()},
        **{half: _half({name: scores[name] for name in names}) for half, names in halves.items()},
        "cpu_seconds": _seconds(runs),
    }


def compared(runs: Sequence[Run]) -> Scores:
    """Return the scores that rank, of the splits that every contestant of a set has finished.

    A contestant that failed on a split has the lowest score of the others there.
    """
    contestants = {run["contestant"] for run in runs}
    found: Scores = {}
    for chosen in SETS:
        measure = ranked_by(chosen)
        of_set = [run for run in runs if run["set"] == chosen.name]
        done = {name: {} for name in sorted(contestants)}  # type: dict[str, dict[tuple[int, int], float]]
        for run in of_set:
            done[run["contestant"]][run["repeat"], run["fold"]] = run.get(measure, np.nan)
        common = set.intersection(*(set(splits) for splits in done.values())) if done else set()
        if common:
            found[chosen.name] = _without_failures(done, sorted(common))
    return found


def _without_failures(
    done: Mapping[str, Mapping[tuple[int, int], float]], common: Sequence[tuple[int, int]]
) -> dict[str, dict[tuple[int, int], float]]:
    worst = {split: np.nanmin([splits[split] for splits in done.values()]) for split in common}
    return {
        name: {s: float(worst[s]) if np.isnan(splits[s]) else splits[s] for s in common}
        for name, splits in done.items()
    }


def means(found: Mapping[str, Mapping[tuple[int, int], float]]) -> dict[str, float]:
    """Return the mean score of each contestant on a set."""
    return {name: float(np.mean(list(splits.values()))) for name, splits in found.items()}


def ranks(found: Mapping[str, Mapping[tuple[int, int], float]]) -> dict[str, float]:
    """Return the rank of each contestant on a set, 1 for the best mean score."""
    mean = means(found)
    return dict(zip(mean, stats.rankdata([-round(m, 6) for m in mean.values()]).tolist(), strict=True))


def _half(scores: Scores) -> dict[str, Any]:
    """Return the mean ranks, and how the recipe compares with each contestant."""
    by_set = {name: ranks(found) for name, found in scores.items()}
    names = sorted({name for found in by_set.values() for name in found})
    mean = {name: float(np.mean([found[name] for found in by_set.values()])) for name in names}
    against = {n: _against(scores, n) for n in names if n != RECIPE and RECIPE in names}
    return {
        "sets": list(scores),
        "mean_rank": dict(sorted(mean.items(), key=lambda item: item[1])),
        "against": against,
        "ahead_of_boosting": against.get(BOOSTING, {}).get("ahead"),
    }


def _against(scores: Scores, other: str) -> dict[str, int]:
    """Count the sets on which the recipe's mean is ahead, and its wins, ties and losses by a paired test."""
    counts = {"ahead": 0, "wins": 0, "ties": 0, "losses": 0}
    for found in scores.values():
        ours, theirs = (np.array(list(found[name].values())) for name in (RECIPE, other))
        difference = ours - theirs
        counts["ahead"] += bool(difference.mean() > 0)
        if p_value(difference) >= LEVEL:
            counts["ties"] += 1
        else:
            counts["wins" if difference.mean() > 0 else "losses"] += 1
    return counts


def p_value(difference: np.ndarray, ratio: float = 1.0) -> float:
    """Return the p-value of differences (J,) in a corrected resampled t-test, two-sided.

    t = mean / √((1/J + ratio) · variance): Nadeau and Bengio 2003, section 3; the splits of one table are not
    independent.

    Args:
        difference: (J,), between two contestants, one for each split.
        ratio: of test rows to training rows, 1 in twofold cross-validation.
    """
    J = len(difference)
    if J < 2 or (difference == difference[0]).all():
        return 1.0 if J < 2 or difference[0] == 0 else 0.0
    t = difference.mean() / np.sqrt((1 / J + ratio) * difference.var(ddof=1))
    return float(2 * stats.t.sf(abs(t), J - 1))


def _seconds(runs: Sequence[Run]) -> dict[str, dict[str, float]]:
    """Return the median and the largest CPU time of each contestant's runs."""
    names = sorted({run["contestant"] for run in runs})
    spent = {name: [run["cpu_seconds"] for run in runs if run["contestant"] == name] for name in names}
    return {name: {"median": float(np.median(s)), "largest": max(s)} for name, s in spent.items()}
