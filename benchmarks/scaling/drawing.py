"""Draw the predicted speed-ups, with the assumptions of the model in the picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter

from benchmarks.charts import INK, SOFT, STYLE
from benchmarks.scaling.model import EXTRA, FIXED, LINKS, MEMORY, SHARE

COLOURS = ["#0072b2", "#d55e00", "#009e73"]
WAYS: dict[str, tuple[Any, str]] = {
    "same_mini_batch": ("-", "one GPU's mini-batch, shared by all"),
    "same_share": (":", "that mini-batch on each GPU, so n times as large in all"),
}


def draw(predicted: list[dict[str, Any]], path: Path) -> list[Path]:
    """Write the chart beside the JSON file at `path`, as PNG and SVG, and return their paths."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 6.6))
        figure.suptitle(
            "Predicted speed-up of data-parallel training over one H200", x=0.07, ha="left", fontsize=12
        )
        panels = figure.subplots(1, len(LINKS), sharey=True)
        for k, (ax, link) in enumerate(zip(panels, LINKS, strict=True)):
            panel(ax, predicted, k)
            ax.set_title(f"{link.name}, {link.bandwidth / 1e9:g} GB/s each way")
        panels[0].set_ylabel("times the examples/s of one GPU")
        nets = [
            Line2D([], [], color=c, label=row["title"]) for c, row in zip(COLOURS, predicted, strict=True)
        ]
        ways = [Line2D([], [], color=SOFT, linestyle=d, label=words) for d, words in WAYS.values()]
        for handles, x in ((nets, 0.06), (ways, 0.56)):
            figure.legend(handles=handles, loc="lower left", bbox_to_anchor=(x, 0.2), frameon=False)
        figure.text(0.07, 0.015, assumptions(), fontsize=7.5, color=SOFT, va="bottom", linespacing=1.45)
        figure.subplots_adjust(left=0.07, right=0.985, top=0.88, bottom=0.4, wspace=0.06)
        written = []
        for suffix in ("png", "svg"):
            written.append(path.with_suffix(f".{suffix}"))
            metadata = {"Date": None} if suffix == "svg" else None  # the same bytes every time
            figure.savefig(written[-1], dpi=160, metadata=metadata)
    return written


def panel(ax: Axes, predicted: list[dict[str, Any]], link: int) -> None:
    """Draw the lines of every network on one kind of link."""
    for row, colour in zip(predicted, COLOURS, strict=True):
        found = row["links"][link]
        for way, (dashes, _) in WAYS.items():
            ax.plot(found["ranks"], found[way], dashes, color=colour, marker="o", markersize=3)
    ax.axhline(1, color=INK, linewidth=0.8)
    ax.set_xscale("log", base=2)
    ax.set_yscale("log", base=2)
    ax.set_xticks(predicted[0]["links"][link]["ranks"])
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    ax.set_xlabel("GPUs, one rank each")
    ax.grid(color="#e4e7eb", linewidth=0.6)
    ax.spines[["top", "right"]].set_visible(False)


def assumptions() -> str:
    """Say what the model assumes."""
    nvlink, net = LINKS
    return (
        "A model, not a measurement: no step of two GPUs has been timed. One GPU's step: "
        "benchmarks/results/nvidia-h200.json (measured).\n"
        "Sum of N bytes on n ranks: the least of a ring, base + 2 (n − 1) α + 2 (n − 1)/n · N/β, and a tree, "
        "base + 2 log₂ n α + 2 N/β; LL (β/4) or Simple.\n"
        f"base, α in µs, from NCCL's src/graph/tuning.cc: {nvlink.name} ring {pairs(nvlink.ring)}, tree "
        f"{pairs(nvlink.tree)}; {net.name} ring {pairs(net.ring)}, tree {pairs(net.tree)} (LL; Simple).\n"
        f"β: {SHARE:.0%} of data sheets ({nvlink.source}; {net.source}). Every GPU on the same kind of link. "
        "No overlap of the sum with the step.\n"
        f"A smaller mini-batch: {FIXED} bytes a parameter at {MEMORY / 1e12:g} TB/s stay, the rest is in "
        "proportion, so gains are upper bounds; 784-128-10: along its measured sizes.\n"
        f"Several ranks: {EXTRA} bytes a parameter more, since the gradient has a buffer of its own."
    )


def pairs(of: tuple[tuple[float, float], tuple[float, float]]) -> str:
    """Write base and α of both protocols."""
    return "; ".join(f"{base:g}, {alpha:g}" for base, alpha in of)
