"""Draw the figures of the reproductions as PNG, in Okabe and Ito's colours or from red to blue."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from benchmarks.charts import GRID, INK, SOFT, STYLE
from benchmarks.reproductions.points import Fit, Points

BLUE, ORANGE, GREEN, PURPLE = "#0072b2", "#d55e00", "#009e73", "#cc79a7"
COLOURS = (ORANGE, GREEN, PURPLE, BLUE)
WIDTHS = {"without": (1.8, 7, 1.8, 1.8), "with": (11, 7.5, 4.5, 1.6)}  # of lines that overlap
DIVERGING = "RdBu"  # red below zero, blue above; safe for colour-blind readers
TITLES = {"fontsize": 13, "fontweight": "bold", "x": 0.01, "ha": "left"}


def figure(width: float, height: float, title: str, note: str) -> Figure:
    """Make an empty figure, sized in inches, with a title above and a note below."""
    drawn = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    drawn.suptitle(title, color=INK, **TITLES)
    drawn.supxlabel(note, x=0.01, ha="left", fontsize=8, color=SOFT)
    return drawn


def save(drawn: Figure, path: Path, dpi: int = 120) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn.savefig(path, dpi=dpi)
    return path


def weights(w: np.ndarray, path: Path) -> Path:
    """Draw each row of w (n, 784) as an image of 28×28, all on the same scale."""
    with mpl.rc_context(STYLE):
        note = "784-16-16-10 after training; each image is a neuron of the first hidden layer"
        drawn = figure(7.5, 8.2, "What the first layer looks for", note)
        axes = drawn.subplots(4, 4).ravel()
        limit = float(np.quantile(np.abs(w), 0.99))
        for j, (ax, row) in enumerate(zip(axes, w, strict=True), start=1):
            image = ax.imshow(row.reshape(28, 28), cmap=DIVERGING, vmin=-limit, vmax=limit)
            ax.set_title(f"neuron {j}", fontsize=8, fontweight="normal", color=SOFT, pad=3)
            bare(ax)
        bar = drawn.colorbar(image, ax=axes, shrink=0.4, aspect=24, extend="both")
        bar.set_label("weight of the pixel", color=SOFT)
        bar.outline.set_visible(False)
        return save(drawn, path)


def runs(peaks: np.ndarray, wanted: float, title: str, path: Path) -> Path:
    """Draw a histogram of the runs' best test accuracies in percent, and the accuracy that is wanted.

    Runs far below the others share a bar at the left.
    """
    low = np.floor(10 * (np.quantile(peaks, 0.25) - 1)) / 10
    edges = np.arange(low, peaks.max() + 0.1, 0.1)
    counts, _ = np.histogram(peaks[peaks >= low], edges)
    below, reached = int(np.sum(peaks < low)), int(np.sum(peaks >= wanted))
    with mpl.rc_context(STYLE):
        note = f"best epoch of 30 on the 10,000 test digits; {reached} of {len(peaks)} reach {wanted:g} %"
        drawn = figure(7.5, 3.2, title, note)
        ax = drawn.subplots()
        ax.bar(edges[:-1], counts, 0.09, align="edge", color=BLUE)
        if below:
            ax.bar(low - 0.2, below, 0.09, align="edge", color=SOFT)
            words: dict[str, Any] = {"rotation": 90, "ha": "center", "va": "bottom", "color": SOFT}
            ax.text(low - 0.155, below, f" {below} below {low:.1f} %", **words)
        ax.axvline(wanted, color=ORANGE, linewidth=1.5)
        ax.set(xlabel="test accuracy, %", ylabel="runs")
        ax.spines[["top", "right"]].set_visible(False)
        return save(drawn, path)


def noise(images: np.ndarray, outputs: np.ndarray, path: Path) -> Path:
    """Draw images of noise (784, k) above the network's ten outputs for each (10, k)."""
    with mpl.rc_context(STYLE):
        note = "Uniformly random pixels and the outputs of 784-16-16-10, which was trained on MNIST only"
        drawn = figure(9, 4.6, "Noise and the network's answers", note)
        axes = drawn.subplots(2, images.shape[1], height_ratios=(1.5, 1))
        for ax, image in zip(axes[0], images.T, strict=True):
            ax.imshow(image.reshape(28, 28), cmap="gray", vmin=0, vmax=255)
            bare(ax)
        for k, (ax, a) in enumerate(zip(axes[1], outputs.T, strict=True)):
            best = int(a.argmax())
            bars = [BLUE if digit == best else "#b8c1cc" for digit in range(10)]
            ax.bar(range(10), a, color=bars)
            ax.set_title(f"“{best}”, {a[best]:.2f}", pad=3)
            ax.set_xticks(range(10))
            ax.set_ylim(0, 1)
            if k:
                ax.set_yticklabels([])
            frame(ax)
        return save(drawn, path)


def regions(
    data: Mapping[str, Points], fits: Mapping[str, Mapping[str, Fit]], reach: float, path: Path
) -> Path:
    """Draw decision regions, with a row for each point set and a column for each network."""
    with mpl.rc_context(STYLE):
        note = "2-n-2 networks, with their training accuracy and mean contour length in sides of the square"
        drawn = figure(14, 5.6, "Decision regions by hidden units and L2", note)
        columns = len(next(iter(fits.values())))
        for axes, (name, found) in zip(drawn.subplots(len(data), columns), fits.items(), strict=True):
            X, second = data[name]
            for ax, (title, fit) in zip(axes, found.items(), strict=True):
                region(ax, X, second, fit, reach)
                if name == next(iter(fits)):
                    ax.set_title(title, loc="center", fontsize=10, pad=4)
                ax.set_xlabel(f"{fit.accuracy:.1%}, {fit.length:.2f}", fontsize=9, color=SOFT)
            axes[0].set_ylabel(name, fontsize=10, fontweight="bold")
        return save(drawn, path, dpi=90)


def region(ax: Any, X: np.ndarray, second: np.ndarray, fit: Fit, reach: float) -> None:
    """Draw the output as a colour, the decision boundary as a line, and the training points."""
    square = (-reach, reach, -reach, reach)
    ax.imshow(fit.regions, origin="lower", extent=square, cmap=DIVERGING, vmin=-0.35, vmax=1.35)
    if fit.regions.min() < 0.5 < fit.regions.max():
        ax.contour(fit.regions, levels=[0.5], extent=square, colors=INK, linewidths=1.1)
    for value, colour, marker in ((0, "#8c2d04", "o"), (1, "#08306b", "^")):
        ax.scatter(*X[:, second == value], s=9, c=colour, marker=marker, linewidths=0.3, edgecolors="white")
    ax.set_xlim(-reach, reach)
    ax.set_ylim(-reach, reach)
    bare(ax)


def deviations(found: Mapping[tuple[str, str], Sequence[float]], normed: str, path: Path) -> Path:
    """Draw the activations' standard deviation by layer, with a panel for each activation function."""
    with mpl.rc_context(STYLE):
        note = "Ten layers of 500 units, 1,000 inputs of N(0, 1), before any training; logarithmic scale"
        title = f"Standard deviation of the activations by layer, {normed} batch normalisation"
        drawn = figure(10, 4.6, title, note)
        axes = drawn.subplots(1, 2, sharey=True)
        for ax, f in zip(axes, ("tanh", "relu"), strict=True):
            lines = {name: by_depth for (g, name), by_depth in found.items() if g == f}
            for (name, by_depth), colour, width in zip(lines.items(), COLOURS, WIDTHS[normed], strict=True):
                depths, marker = range(1, len(by_depth) + 1), "o" if width < 2 else ""
                ax.plot(
                    depths, by_depth, color=colour, linewidth=width, marker=marker, markersize=5, label=name
                )
            ax.set_yscale("log")
            ax.set_ylim(1e-9, 3)
            ax.set_xticks(range(1, 11))
            ax.set_xlabel("layer", color=SOFT)
            ax.set_title("ReLU" if f == "relu" else f)
            frame(ax)
        axes[0].legend(frameon=False, title="weights", alignment="left")
        return save(drawn, path)


def costs(found: Mapping[str, Sequence[float]], target: float, path: Path) -> Path:
    """Draw the training cost by epoch, each line at its best learning rate."""
    with mpl.rc_context(STYLE):
        note = "One linear neuron on the Wisconsin breast cancer table, each line at its best learning rate"
        drawn = figure(8, 4.6, "Training cost by preprocessing", note)
        ax = drawn.subplots()
        dashes: Iterable[Any] = (":", (0, (1, 1)), "--", "-")
        for (name, by_epoch), colour, dash in zip(found.items(), COLOURS, dashes, strict=True):
            ax.plot(range(len(by_epoch)), by_epoch, color=colour, linestyle=dash, linewidth=2, label=name)
        ax.axhline(target, color=INK, linewidth=0.8)
        at: Any = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
        words = "5 % above the least-squares cost"
        ax.annotate(words, (0.01, target), (0, -11), fontsize=8, color=SOFT, **at)
        ax.set_xscale("symlog", linthresh=1)
        ax.set_xlim(0, max(map(len, found.values())))
        ax.set_yscale("log")
        ax.set_xlabel("epochs", color=SOFT)
        ax.legend(frameon=False, loc="center right", bbox_to_anchor=(1, 0.28))
        frame(ax)
        return save(drawn, path)


def frame(ax: Any) -> None:
    """Draw a light grid without a box."""
    ax.grid(axis="y", color=GRID, linewidth=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(which="both", length=0)


def bare(ax: Any) -> None:
    """Remove the ticks and the box."""
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
