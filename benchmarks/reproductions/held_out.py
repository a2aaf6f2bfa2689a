"""The choice of what the sources leave open: `python -m benchmarks.reproductions.held_out [NAME …]`.

Every candidate learns from nine tenths of the training images and is judged by the last tenth; the test
images play no part. What is found is written down, and a test holds the recipes to it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.reproductions import mlp_mnist, three_blue
from benchmarks.reproductions.common import mnist
from gpunn.names import look_up

RESULTS = Path(__file__).parent.parent / "results" / "held-out.json"
SEARCHES = three_blue.SEARCHES | mlp_mnist.SEARCHES


def plain(candidate: Mapping[str, Any]) -> dict[str, Any]:
    """A candidate as JSON has it."""
    return json.loads(json.dumps(dict(candidate), default=asdict))


def best(trials: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The candidate with the least error, the first of several."""
    return min(trials, key=lambda trial: trial["error in percent"])["settings"]


def main(names: Sequence[str]) -> None:
    """Try them all, and write after each search."""
    console, train = Console(highlight=False), mnist().train
    for name in names or SEARCHES:
        recipe, search = look_up(SEARCHES, name, "search")
        trials = []
        with console.status(name) as status:
            for candidate in search.candidates():
                error = search.error(recipe, candidate, train, status.update)
                trials.append({"settings": plain(candidate), "error in percent": round(100 * error, 2)})
                console.print(name, trials[-1])
        known = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}
        RESULTS.write_text(json.dumps(known | {name: trials}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
