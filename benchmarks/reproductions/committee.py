"""The committee of simple networks of Meier et al., whose members see digits in different styles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np

import gpunn
from benchmarks.reproductions.common import Claim, Finding, Progress, Reproduction, mnist, no_progress, spread
from benchmarks.reproductions.held_out_search import (
    Candidate,
    Runs,
    SuccessiveHalving,
    device_name,
    error_of,
    networks_folder,
    train_all,
    where,
)
from benchmarks.reproductions.mlp_mnist import TABLE
from benchmarks.reproductions.styles import Sources, of_width, restyle, upright
from gpunn.datasets.dataset import Split

SIZES = (800, 10)
STYLES: Mapping[str, Sources | None] = {
    "as they are": None,
    "10 pixels wide": of_width(10),
    "14 pixels wide": of_width(14),
    "18 pixels wide": of_width(18),
    "upright": upright,
}
SEARCH = SuccessiveHalving(
    Candidate(batch_size=128),
    {
        "shift": (1.0, 1.5, 2.0),
        "rotate": (7.5, 10.0, 13.0),
        "scale": (0.075, 0.1, 0.15),
        "elastic": (30.0, 40.0, 50.0),
        "learning_rate": (0.05, 0.1, 0.2),
        "schedule": ("cosine", "one-cycle"),
        "batch_size": (128, 256),
        "dropout": (0.0, 0.1, 0.2),
    },
    count=18,
    rounds=(8, 24, 72),
)
MEMBERS, COMMITTEES, EPOCHS = 25, 5, 100
ERROR = 0.39  # percent
CLAIM = Claim(
    f"committee-{MEMBERS}",
    f"A committee of {MEMBERS} networks of 800 hidden units has a test error of {ERROR} % on MNIST.",
    f"{TABLE}: committee of 25 NN 784-800-10 [elastic distortions, width normalization, deslanting]; Meier, "
    "Cireşan, Gambardella and Schmidhuber 2011, Better Digit Recognition with a Committee of Simple Neural "
    "Nets",
    f"the median test error of {COMMITTEES} committees is at most {ERROR} %, with {SEARCH.names()} chosen "
    "for one network on a held-out tenth of the training images",
    {
        "sizes": SIZES,
        "members": MEMBERS,
        "styles": list(STYLES),
        "search": SEARCH.settings(),
        "epochs": EPOCHS,
        "committees": COMMITTEES,
    },
)


def measure(folder: Path | None = None, progress: Progress = no_progress) -> Finding:
    """Choose the settings for one network, train all members, and measure the committees' errors."""
    data = mnist()
    runs = Runs(folder and folder / f"{CLAIM.name}-runs.json", {"claim": CLAIM.name, **CLAIM.settings})
    chosen = SEARCH.best(SIZES, data.train, runs, progress)
    device = {"device": where()["device"]}
    outputs, seconds, alone = np.zeros((COMMITTEES, 10, len(data.test.y))), 0.0, []
    with networks_folder(folder, CLAIM.name, resume=runs.resumed) as kept:
        for name, sources in STYLES.items():
            progress(f"networks for digits {name}")
            train, test = (in_style(split, sources) for split in (data.train, data.test))
            own = kept / name.replace(" ", "-")
            each, result = members(chosen, train, own)
            seconds += sum(result.table.column("seconds"))
            outputs += [group.forward(test.X, **device) for group in each]
            alone += [error_of(group.networks[0].forward(test.X, **device), test.y) for group in each]
    errors = np.array([error_of(output, data.test.y) for output in outputs])
    runs.keep(part="final", settings=asdict(chosen), epochs=EPOCHS, seconds=seconds, errors=errors.tolist())
    runs.end()
    measured = (
        f"{spread(errors, '{:.2f} %')} after {EPOCHS} epochs, one member of each style alone "
        f"{spread(np.array(alone), '{:.2f} %')}; {seconds / COMMITTEES:,.0f} s a committee on {device_name()}"
    )
    found = {"settings": asdict(chosen), "errors in percent": errors.tolist(), "members in percent": alone}
    return Finding(measured, bool(np.median(errors) <= ERROR), found)


def in_style(split: Split, sources: Sources | None) -> Split:
    """Return the images in a style."""
    return Split(restyle(split.X, sources), split.y) if sources else split


def members(chosen: Candidate, train: Split, folder: Path) -> tuple[list[gpunn.Ensemble], gpunn.SweepResult]:
    """Train one style's members of all committees at once; return them by committee, and the sweep."""
    size = MEMBERS // len(STYLES)
    seeds = size * COMMITTEES
    result = train_all(SIZES, [chosen], EPOCHS, train, seeds=seeds, checkpoint=folder, resume=True)
    groups = [range(k * size, (k + 1) * size) for k in range(COMMITTEES)]
    return [gpunn.Ensemble([result.network(k) for k in group]) for group in groups], result


REPRODUCTION = Reproduction(CLAIM, measure, long=True)
