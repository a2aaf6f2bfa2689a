"""The deep network of Cireşan et al., trained on distorted digits."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np

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

SIZES = (2500, 2000, 1500, 1000, 500, 10)
SEARCH = SuccessiveHalving(
    Candidate(),
    {
        "shift": (1.0, 1.5, 2.0),
        "rotate": (10.0, 13.0, 16.0),
        "scale": (0.1, 0.15, 0.2),
        "elastic": (30.0, 40.0, 50.0),
        "learning_rate": (0.05, 0.1, 0.2),
        "schedule": ("cosine", "one-cycle"),
        "batch_size": (256, 512),
        "dropout": (0.0, 0.1, 0.2),
    },
    count=18,
    rounds=(15, 45, 135),
)
EPOCHS, SEEDS = 500, 5
MEDIAN, BEST = 0.40, 0.35  # percent
CLAIM = Claim(
    "ciresan",
    "A network of 2500, 2000, 1500, 1000 and 500 hidden units, trained on digits that are distorted anew in "
    "every epoch, has a test error of 0.35 % on MNIST.",
    "Cireşan, Meier, Gambardella and Schmidhuber 2010, Deep, Big, Simple Neural Nets Excel on Handwritten "
    "Digit Recognition",
    f"the median test error of {SEEDS} runs is at most {MEDIAN:.2f} % and the smallest at most {BEST:.2f} %, "
    f"with {SEARCH.names()} chosen on a held-out tenth of the training images",
    {"sizes": SIZES, "search": SEARCH.settings(), "epochs": EPOCHS, "seeds": SEEDS},
)


def measure(folder: Path | None = None, progress: Progress = no_progress) -> Finding:
    """Choose the settings, train on all training images, and measure the test error after the last epoch."""
    data = mnist()
    runs = Runs(folder and folder / "ciresan-runs.json", {"claim": CLAIM.name, **CLAIM.settings})
    chosen = SEARCH.best(SIZES, data.train, runs, progress)
    progress(f"{SEEDS} networks for {EPOCHS} epochs")
    with networks_folder(folder, CLAIM.name, resume=runs.resumed) as kept:
        result = train_all(SIZES, [chosen], EPOCHS, data.train, seeds=SEEDS, checkpoint=kept, resume=True)
        nets = [result.network(seed) for seed in range(SEEDS)]
        outputs = [net.forward(data.test.X, device=where()["device"]) for net in nets]
    errors, seconds = [error_of(a, data.test.y) for a in outputs], result.table.column("seconds")
    for seed, error in enumerate(errors):
        own = {"settings": asdict(chosen), "epochs": EPOCHS, "seed": seed, "seconds": round(seconds[seed], 2)}
        runs.keep(part="final", **own, **{"test error in percent": error})
    runs.end()
    found = f"{spread(np.array(errors), '{:.2f} %')} after {EPOCHS} epochs"
    measured = f"{found}, {np.median(seconds):,.0f} s a network on {device_name()}"
    passed = bool(np.median(errors) <= MEDIAN and min(errors) <= BEST)
    return Finding(measured, passed, {"settings": asdict(chosen), "errors in percent": errors})


REPRODUCTION = Reproduction(CLAIM, measure, long=True)
