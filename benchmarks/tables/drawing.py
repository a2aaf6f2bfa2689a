"""Print the summary, and draw the mean ranks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from benchmarks.charts import OURS, PEER, SOFT, STYLE
from benchmarks.tables.contestants import BOOSTING

HALVES = ("chosen on", "reported")


def show(summary: dict[str, Any], console: Console) -> None:
    """Print the mean scores of every set, the mean ranks, and the comparisons with the recipe."""
    _show_scores(summary, console)
    for half in HALVES:
        found = summary[half]
        title = f"{half}: {len(found['sets'])} sets"
        table = Table(
            "contestant", "mean rank", "gpunn ahead", "wins, ties, losses", "median CPU s", title=title
        )
        for name, rank in found["mean_rank"].items():
            against = found["against"].get(name)
            ahead = f"{against['ahead']} of {len(found['sets'])}" if against else ""
            counts = ", ".join(str(against[key]) for key in ("wins", "ties", "losses")) if against else ""
            spent = f"{summary['cpu_seconds'][name]['median']:.2f}"
            table.add_row(name, f"{rank:.2f}", ahead, counts, spent)
        console.print(table)
    ahead, sets = summary["reported"]["ahead_of_boosting"], len(summary["reported"]["sets"])
    if ahead is not None:
        console.print(f"ahead of {BOOSTING} on {ahead} of {sets} reported sets (goal: three quarters)")


def _show_scores(summary: dict[str, Any], console: Console) -> None:
    scores = summary["mean_scores"]
    names = sorted({name for found in scores.values() for name in found})
    table = Table("set", *names, title="mean accuracy, ROC AUC (imbalanced) or R²")
    for name, found in scores.items():
        best = max(found.values())
        cells = [f"{'[bold]' if found[n] == best else ''}{found[n]:.4f}" for n in names]
        table.add_row(name, *cells)
    console.print(table)


def draw(summary: dict[str, Any], path: Path) -> list[Path]:
    """Write the chart of the mean ranks beside the JSON file at `path`; return its paths."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.6, 3.4), layout="constrained")
        for axes, half in zip(figure.subplots(1, 2, sharex=True), HALVES, strict=True):
            ranks = summary[half]["mean_rank"]
            names = list(ranks)[::-1]
            colours = [OURS if name == "gpunn" else PEER for name in names]
            axes.barh(names, [ranks[name] for name in names], color=colours, height=0.7)
            for k, name in enumerate(names):
                axes.text(ranks[name], k, f" {ranks[name]:.1f}", va="center", color=SOFT)
            axes.set_title(f"{half}, {len(summary[half]['sets'])} tables")
            axes.spines[["top", "right", "bottom"]].set_visible(False)
            axes.tick_params(length=0, labelbottom=False)
        figure.supxlabel("mean rank, lower is better", fontsize=9, color=SOFT)
        written = [path.with_name(f"{path.stem}-ranks.{suffix}") for suffix in ("png", "svg")]
        for file in written:
            figure.savefig(file, dpi=160, metadata={"Date": None} if file.suffix == ".svg" else None)
    return written
