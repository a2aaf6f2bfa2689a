"""Choose settings that the sources leave open: `python -m benchmarks.reproductions.held_out [NAME …]`.

Every candidate is trained on nine tenths of the training images and evaluated on the last tenth. The test
images are not used. The errors are written to held-out.json, and a test checks that the recipes use the best
candidates.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.reproductions import mlp_mnist, three_blue
from benchmarks.reproductions.common import mnist
from gpunn.names import look_up

RESULTS = Path(__file__).parent.parent / "results" / "held-out.json"
SEARCHES = three_blue.SEARCHES | mlp_mnist.SEARCHES


def plain(candidate: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a candidate to plain JSON values."""
    return json.loads(json.dumps(dict(candidate), default=asdict))


def best(trials: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the first of the candidates with the smallest error."""
    return min(trials, key=lambda trial: trial["error in percent"])["settings"]


def main(names: Sequence[str]) -> None:
    """Run the searches and write the errors after each search."""
    train = mnist().train
    for name in names or SEARCHES:
        recipe, search = look_up(SEARCHES, name, "search")
        trials = []
        with tqdm(search.candidates(), leave=False, disable=None) as bar:
            for candidate in bar:
                error = search.error(recipe, candidate, train, bar.set_description)
                trials.append({"settings": plain(candidate), "error in percent": round(100 * error, 2)})
                bar.write(f"{name} {trials[-1]}")
        known = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}
        RESULTS.write_text(json.dumps(known | {name: trials}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
