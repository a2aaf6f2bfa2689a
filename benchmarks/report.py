"""Print the results as tables and write them as JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gpunn.files.writing import write_whole


def slug(results: dict[str, Any]) -> str:
    """Return the stem of the results' file names: cpu, or the GPU's name."""
    gpu = results["machine"]["gpu"]
    return re.sub(r"[^a-z0-9]+", "-", gpu["name"].lower()).strip("-") if gpu else "cpu"


def write(results: dict[str, Any], folder: Path, part: str = "") -> Path:
    """Write the results as JSON and return the path; `part` is appended to the file's stem."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{slug(results)}{part}.json"
    write_whole(path, (json.dumps(results, indent=1, ensure_ascii=False) + "\n").encode())
    return path


def show(results: dict[str, Any], console: Console) -> None:
    """Print all tables."""
    for block in results["nets"]:
        console.print(throughput(block))
    if results["sweep"]:
        console.print(sweep(results["sweep"]))
    for block in results["targets"]:
        console.print(target(block))
    if results["bars"]:
        console.print(bars(results["bars"]))
    machine = results["machine"]
    gpu = machine["gpu"]["name"] if machine["gpu"] else "no GPU"
    console.print(f"{machine['cpu']}, {machine['cores']} cores, {gpu}; data: {results['data']}", style="dim")
    if results["environment"]:
        steering = " ".join(f"{name}={value}" for name, value in results["environment"].items())
        console.print(f"environment variables that affect some contestants: {steering}", style="yellow")


def throughput(block: dict[str, Any]) -> Table:
    """Make a table of one network's contestants, the fastest first."""
    reference = f"× {'gpunn.sweep' if 'gpunn.sweep' in block['contestants'] else 'gpunn CPU'}"
    table = _table(block["title"], "contestant", "examples/s", "spread", "µs/step", "× floor", reference)
    ran, skipped = _parted(block["contestants"])
    for name, row in sorted(ran, key=lambda item: -item[1]["examples_per_second"]):
        low, high = row["quartiles"]
        table.add_row(
            name,
            f"{row['examples_per_second']:,.0f}",
            f"± {(high - low) / 2 / row['examples_per_second']:.0%}",
            f"{row['microseconds_per_step']:,.1f}",
            _ratio(row["of_floor"]),
            _ratio(row["of_gpunn_cpu"]),
            style="bold" if name.startswith("gpunn") else "",
        )
    return _with_caption(table, skipped)


def sweep(blocks: list[dict[str, Any]]) -> Table:
    """Make a table of examples/s by batch size."""
    names = [name for name, _ in _parted(blocks[0]["contestants"])[0]]
    table = _table(f"{blocks[0]['net']}, examples/s", "batch size", *names)
    for block in blocks:
        rates = (block["contestants"][name].get("examples_per_second") for name in names)
        table.add_row(str(block["batch_size"]), *(f"{rate:,.0f}" if rate else "-" for rate in rates))
    return _with_caption(table, _parted(blocks[0]["contestants"])[1])


def target(block: dict[str, Any]) -> Table:
    """Make a table of the seconds to a test accuracy: of training, and of the whole command."""
    title = f"{block['accuracy']:.0%} of the test images: {block['title']}"
    table = _table(title, "contestant", "training, s", "range", "command, s", "accuracy")
    skipped = {}
    for name in {**block["training"], **block["commands"]}:
        training, command = (block[part].get(name, {}) for part in ("training", "commands"))
        if reason := training.get("skipped") or command.get("skipped"):
            skipped[name] = {"skipped": reason}
            continue
        accuracies = [*training.get("accuracies", []), *([command["accuracy"]] if command else [])]
        low, high = training.get("range", (None, None))
        table.add_row(
            name,
            f"{training.get('seconds') or command['seconds']:.2f}",
            "" if low is None else f"{low:.2f} … {high:.2f}",
            f"{command['wall seconds']:.2f}" if command else "",
            f"{min(accuracies):.2%}",
        )
    return _with_caption(table, skipped.items())


def bars(rows: list[dict[str, Any]]) -> Table:
    """Make a table of the bars for a GPU and gpunn's results."""
    table = _table("bars on a GPU", "network", "× JAX", "× PyTorch", "time / floor", "cleared")
    for row in rows:
        cells = (
            f"{_ratio(row['found'][name])} {sign} {row['bar'][name]:g}"
            for name, sign in (("jax", "≥"), ("pytorch", "≥"), ("floor", "≤"))
        )
        table.add_row(
            f"{row['net']} {row['precision']}",
            *cells,
            "yes" if row["clears"] else "no",
            style="" if row["clears"] else "red",
        )
    return table


def _parted(contestants: dict[str, Any]) -> tuple[list[tuple[str, Any]], list[tuple[str, Any]]]:
    ran = [item for item in contestants.items() if "skipped" not in item[1]]
    return ran, [item for item in contestants.items() if "skipped" in item[1]]


def _table(title: str, first: str, *others: str) -> Table:
    table = Table(title=title, title_justify="left", caption_justify="left")
    table.add_column(first, no_wrap=True)
    for other in others:
        table.add_column(other, justify="right")
    return table


def _with_caption(table: Table, skipped: Iterable[tuple[str, Any]]) -> Table:
    reasons: dict[str, list[str]] = {}
    for name, row in skipped:
        reasons.setdefault(row["skipped"], []).append(name)
    lines = (escape(f"{', '.join(names)}: {reason}") for reason, names in reasons.items())
    table.caption = "\n".join(lines) or None
    return table


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
