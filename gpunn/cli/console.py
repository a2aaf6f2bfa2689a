"""Tables on the terminal; in colour only if it is a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gpunn.cli.output import printable, say
from gpunn.inspection.metrics import figure, most_confused
from gpunn.inspection.scores import SCORES
from gpunn.names import counted


def print_evaluation(result: dict[str, Any]) -> None:
    """Print accuracy, confusion matrix, precision and recall."""
    console, matrix = Console(highlight=False), result["confusion_matrix"]
    names = [printable(row["class"]) for row in result["classes"]]
    say(f"{result['model']} on {result['dataset']}, {counted(result['examples'], 'example')}")
    say(f"accuracy {result['accuracy']:.2%}, loss {result['loss']:.4f}")
    scores = [
        f"{words} {figure(name, result[name])}"
        for name, words in SCORES.items()
        if result.get(name) is not None
    ]
    if scores:
        console.print(Text(", ".join(scores)))
    say("")
    numbers = [f"#{k}" for k in range(1, len(names) + 1)]
    numbered = [f"{number} {name}" for number, name in zip(numbers, names, strict=True)]
    ways = (names, names), (numbers, numbered)  # numbers if names do not fit
    found = next((way for way in ways if confusion_width(matrix, *way) <= console.width), None)
    if found:
        say("confusion matrix (rows: true class, columns: predicted)\n")
        console.print(confusion_table(matrix, *found))
    else:
        print_confusions(matrix, names)
    say("")
    console.print(class_table(result["classes"]))


def confusion_width(matrix: Sequence[Sequence[int]], columns: Sequence[str], rows: Sequence[str]) -> int:
    """Return the width of the confusion matrix in characters."""
    cells = zip(columns, *matrix, strict=True)
    return max(map(cell_len, rows)) + sum(1 + max(cell_len(str(cell)) for cell in column) for column in cells)


def confusion_table(matrix: Sequence[Sequence[int]], columns: Sequence[str], rows: Sequence[str]) -> Table:
    """Build the confusion matrix, with a row for each true class."""
    table = Table("", box=None, padding=(0, 0, 0, 1), pad_edge=False, collapse_padding=True)
    for name in columns:
        table.add_column(Text(name), justify="right", no_wrap=True)
    for true, (name, counts) in enumerate(zip(rows, matrix, strict=True)):
        cells = [
            Text(str(n), "bold" if k == true else "red" if n else "bright_black")
            for k, n in enumerate(counts)
        ]
        table.add_row(Text(name, "bold"), *cells)
    return table


def print_confusions(matrix: Sequence[Sequence[int]], names: Sequence[str]) -> None:
    """Print the ten most frequent confusions."""
    say("most frequent confusions")
    for n, true, predicted in most_confused(matrix, names):
        say(f"{n:6,}  {true} taken for {predicted}")


def class_table(classes: Sequence[dict[str, Any]]) -> Table:
    """Build the table of precision, recall and support of each class."""
    table = Table("class", box=None, padding=(0, 0, 0, 2), pad_edge=False, collapse_padding=True)
    for name in ("precision", "recall", "support"):
        table.add_column(name, justify="right")
    for row in classes:
        shares = [f"{row[key]:.2%}" for key in ("precision", "recall")]
        table.add_row(Text(printable(row["class"])), *shares, f"{row['support']:,}")
    return table
