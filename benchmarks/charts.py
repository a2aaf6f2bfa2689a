"""Draw the results: examples per second of every contestant, by network and by batch size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

INK, SOFT, GRID = "#1f2933", "#6b7785", "#e4e7eb"
OURS, PEER, FLOOR = "#0072b2", "#b8c1cc", "#ffffff"  # the blue of Okabe and Ito's palette among greys
LINES = {
    "GEMM floor": "#6b7785",
    "gpunn CPU": "#0072b2",
    "gpunn CUDA": "#009e73",
    "JAX": "#d55e00",
    "JAX CUDA": "#e69f00",
    "PyTorch": "#cc79a7",
    "PyTorch CUDA": "#000000",
}
FLOORS = {
    "GEMM floor": "GEMM floor: a step's matrix products alone",
    "CUDA floor": "CUDA floor: the least time that arithmetic, memory or separate kernel launches allow",
}
STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": GRID,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "xtick.color": SOFT,
    "ytick.color": INK,
    "svg.fonttype": "none",
    "svg.hashsalt": "gpunn",
}


def draw(results: dict[str, Any], path: Path) -> list[Path]:
    """Write the charts beside the JSON file at `path`, as PNG and SVG, and return their paths."""
    nets, sweep = results["nets"], results["sweep"]
    with mpl.rc_context(STYLE):
        figures = {"networks": networks(nets, _note(results, nets))}
        if sweep:
            figures["batch-sizes"] = batch_sizes(sweep, _note(results, sweep))
        written = []
        for name, figure in figures.items():
            for suffix in ("png", "svg"):
                written.append(path.with_name(f"{path.stem}-{name}.{suffix}"))
                metadata = {"Date": None} if suffix == "svg" else None  # the same bytes every time
                figure.savefig(written[-1], dpi=160, metadata=metadata)
    return written


def networks(blocks: list[dict[str, Any]], note: str) -> Figure:
    """Draw a panel of horizontal bars for each network, the fastest contestant first."""
    tallest = max(len(_speeds(block)) for block in blocks)
    rows, columns = (len(blocks) + 1) // 2, min(2, len(blocks))
    figure = _figure(0.9 + rows * (0.9 + 0.27 * tallest), "Training examples per second", note)
    panels = figure.subfigures(rows, columns, squeeze=False).ravel()
    for panel, block in zip(panels, blocks, strict=False):
        panel.suptitle(_title(block), x=0.02, ha="left", fontsize=10, fontweight="bold")
        _bars(panel.subplots(), block)
    return figure


def _title(block: dict[str, Any]) -> str:
    if block["title"].partition(" ")[2].startswith("networks"):
        return str(block["title"])
    precision = block.get("precision", "float32")  # older results lack it
    suffix = "" if precision == "float32" else f", {precision}"
    return f"{block['net']}, batch {block['batch_size']:,}{suffix}"


def _bars(ax: Axes, block: dict[str, Any]) -> None:
    speeds = sorted(_speeds(block).items(), key=lambda item: item[1])
    names, rates = [name for name, _ in speeds], [rate for _, rate in speeds]
    bars = ax.barh(names, rates, 0.72, color=[_fill(name) for name in names])
    for bar, name, rate in zip(bars, names, rates, strict=True):
        if "floor" in name:
            bar.set(edgecolor=SOFT, linestyle=(0, (3, 2)), linewidth=1)
        at = (rate, bar.get_y() + bar.get_height() / 2)
        ax.annotate(
            _short(rate), at, (4, 0), textcoords="offset points", va="center", fontweight=_weight(name)
        )
    for label in ax.get_yticklabels():
        label.set_fontweight(_weight(label.get_text()))
    ax.set_xscale("log")
    ax.set_xlim(min(rates) / 3, max(rates) * 4)
    _frame(ax, "x")


def batch_sizes(blocks: list[dict[str, Any]], note: str) -> Figure:
    """Draw a line of examples/s by batch size for each contestant, labelled at its end."""
    title = f"Training examples per second by batch size, {blocks[0]['net']}"
    figure = _figure(5.2, title, note)
    ax = figure.subplots()
    sizes = [block["batch_size"] for block in blocks]
    ends = {}
    for name in _speeds(blocks[-1]):
        rates = [_speeds(block).get(name, float("nan")) for block in blocks]
        colour = LINES.get(name, SOFT)
        width, marker = (2.6, 5.0) if name.startswith("gpunn") else (1.6, 3.5)
        dashes = "--" if name == "GEMM floor" else "-"
        ax.plot(sizes, rates, dashes, color=colour, linewidth=width, marker="o", markersize=marker)
        ends[name] = rates[-1]
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ax.set_xticks(sizes, [f"{size:,}" for size in sizes])
    ax.set_xlabel("mini-batch size")
    _label_ends(ax, sizes[-1], ends)
    _frame(ax, "y")
    return figure


def _label_ends(ax: Axes, x: float, ends: dict[str, float]) -> None:
    """Write each name at the end of its line, with enough space between neighbouring names."""
    low, high = ax.get_ylim()
    gap = (high / low) ** 0.05
    at = float("inf")
    for name, rate in sorted(ends.items(), key=lambda item: -item[1]):
        at = min(rate, at / gap)
        ax.annotate(
            f"{name}  {_short(rate)}",
            (x, at),
            (9, 0),
            textcoords="offset points",
            va="center",
            color=LINES.get(name, SOFT),
            fontweight=_weight(name),
            annotation_clip=False,
        )


def _frame(ax: Axes, axis: Any) -> None:
    scale = ax.xaxis if axis == "x" else ax.yaxis
    scale.set_major_formatter(_tick)
    scale.set_minor_formatter(NullFormatter())
    ax.grid(axis=axis, color=GRID, linewidth=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(which="both", length=0)


def _figure(height: float, title: str, note: str) -> Figure:
    """Make an empty figure with a title above and a note below."""
    figure = Figure(figsize=(10, height), layout="constrained", facecolor="white")
    figure.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold")
    figure.supxlabel(note, x=0.01, ha="left", fontsize=8, color=SOFT)
    return figure


def _note(results: dict[str, Any], blocks: list[dict[str, Any]]) -> str:
    """Say what was measured, on which machine, and what the floors in this chart are."""
    machine = results["machine"]
    gpu = f", {machine['gpu']['name']}" if machine["gpu"] else ", no GPU"
    ran = {name for block in blocks for name in _speeds(block)}
    floors = [words for name, words in FLOORS.items() if name in ran]
    data = "MNIST" if results["data"] == "mnist" else f"{results['data']} data"
    measured = "medians on a logarithmic scale, shuffling and gathering included"
    return "\n".join([f"{machine['cpu']}, {machine['cores']} cores{gpu} · {data} · {measured}", *floors])


def _speeds(block: dict[str, Any]) -> dict[str, float]:
    rows = block["contestants"].items()
    return {name: row["examples_per_second"] for name, row in rows if "skipped" not in row}


def _fill(name: str) -> str:
    return FLOOR if "floor" in name else OURS if name.startswith("gpunn") else PEER


def _weight(name: str) -> str:
    return "bold" if name.startswith("gpunn") else "normal"


def _tick(rate: float, _: object) -> str:
    return f"{rate / 1e6:g} M" if rate >= 1e6 else f"{rate / 1e3:g} k" if rate >= 1e3 else f"{rate:g}"


def _short(rate: float) -> str:
    """Format with three digits: 1.08 M, 594 k, 20.7 k."""
    value, unit = (rate / 1e6, " M") if rate >= 1e6 else (rate / 1e3, " k") if rate >= 1e3 else (rate, "")
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f}{unit}"
