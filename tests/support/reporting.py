"""Arguments and data for runs of every kind, and helpers for their reports."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from gpunn import History, Record

RunCommand = Callable[..., tuple[int, str, str]]  # the type of the fixture gpunn_
NASTY = ["<script>alert(1)</script>", 'Äpfel & "Birnen"', "{{ 7 * 7 }}"]
ONE = "--ensemble", "1"
KINDS = {
    "images": ["digits", "--epochs", "3", "--hidden", "32"],
    "classes": [
        "fruit.csv",
        "--target",
        "kind",
        "--epochs",
        "30",
        "--drop",
        "nothing",
        "--drop",
        "empty",
        *ONE,
    ],
    "numbers": ["homes.csv", "--target", "price", "--epochs", "12", "--seed", "3", *ONE],
    "folds": ["fruit.csv", "--target", "kind", "--cv", "3", "--epochs", "5", "--patience", "0", *ONE],
}


def without_epochs(out: str) -> list[str]:
    """Return the lines that a command printed, except those about epochs."""
    return [line for line in out.splitlines() if not line.startswith("epoch ")]


def write_tables(folder: Path) -> None:
    """Write a table of overlapping classes, whose names need escaping everywhere, and a table of numbers."""
    rng = np.random.default_rng(0)
    with open(folder / "fruit.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["size", "nothing", "kind", "empty"])
        for k in rng.integers(0, 3, 300):
            writer.writerow([f"{rng.normal(k, 0.8):.4f}", "0", NASTY[k], ""])
    with open(folder / "homes.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["rooms", "area", "price"])
        for rooms in rng.integers(1, 8, 400):
            area = 20 * rooms + rng.normal(0, 8)
            writer.writerow([rooms, f"{area:.2f}", f"{1000 * area + rng.normal(0, 9000):.0f}"])


def kept(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "run.json").read_text(encoding="utf-8"))


def text_of(folder: Path) -> str:
    return (folder / "report.html").read_text(encoding="utf-8")


def history(epochs: int, **changes: Any) -> History:
    records = [Record(k, 1 / k, 0.9, 1.5 / k, 0.8, 2.0, 100.0, **changes) for k in range(1, epochs + 1)]
    return History("cpu", records)


UNREADABLE = """() => [...document.querySelectorAll("svg")].flatMap((svg) => {
  const place = svg.getBoundingClientRect();
  const within = (r) => r.left >= place.left - 1 && r.right <= place.right + 1 && r.top >= place.top - 1
    && r.bottom <= place.bottom + 1;
  const apart = (r, s) => r.right < s.left + 2 || s.right < r.left + 2 || r.bottom < s.top + 4
    || s.bottom < r.top + 4;
  const texts = [...svg.querySelectorAll("text")];
  const letters = texts.map((text) => [text.textContent, text.getBoundingClientRect()]);
  return letters.flatMap(([words, r], k) => [
    ...(within(r) ? [] : [`${words} is cut off`]),
    ...(r.height >= 11 ? [] : [`${words} is too small`]),
    ...letters.slice(k + 1).filter(([, s]) => !apart(r, s)).map(([other]) => `${words} overlaps ${other}`),
  ]);
})"""
