"""Tables for tests."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

QUICK = ["--epochs", "3", "--hidden", "8", "--device", "cpu", "--patience", "0", "--ensemble", "1"]


def write(name, text, encoding="utf-8"):
    Path(name).write_bytes(text.encode(encoding))
    return name


def fruits(m=120, seed=0):
    """Make a table of two classes that differ in weight, colour and length, with missing values."""
    rng = np.random.default_rng(seed)
    lines = ["weight,colour,length,kind"]
    for i in range(m):
        apple = i % 2
        weight = "" if i % 17 == 3 else f"{rng.normal(150 if apple else 120, 10):.1f}"
        colour = "" if i % 23 == 5 else str(rng.choice(["red", "green"] if apple else ["yellow", "green"]))
        lines.append(
            f"{weight},{colour},{rng.normal(8 if apple else 18, 1):.2f},{['banana', 'apple'][apple]}"
        )
    return "\n".join(lines) + "\n"


def quantities(m=300, seed=0):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(50, 5, m), rng.uniform(0, 1, m)
    y = 1e4 + 300 * (a - 50) + 2000 * b**2
    return "a,b,price\n" + "".join(f"{a[i]:.4f},{b[i]:.4f},{y[i]:.3f}\n" for i in range(m))


def amounts(m=300, seed=0):
    """Make a table of positive amounts, which double for every unit of a."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, m))
    return "a,b,amount\n" + "".join(f"{a[i]:.4f},{b[i]:.4f},{1e4 * 2 ** a[i]:.2f}\n" for i in range(m))


def times(m=400, seed=0):
    """Make a table of times within 100 seconds of a day in 2023; the second half are late."""
    rng = np.random.default_rng(seed)
    t, x = 1_700_000_000 + rng.uniform(0, 100, m), rng.normal(size=m)
    lines = [f"{a:.3f},{b:.3f},{'late' if a > 1_700_000_050 else 'early'}" for a, b in zip(t, x, strict=True)]
    return "t,x,y\n" + "\n".join(lines) + "\n"


def columns_of_fruits(m=60, seed=0):
    rows = list(csv.DictReader(fruits(m, seed).splitlines()))
    return {
        "weight": [float(row["weight"]) if row["weight"] else None for row in rows],
        "colour": [row["colour"] or None for row in rows],
        "length": [float(row["length"]) for row in rows],
        "kind": [row["kind"] for row in rows],
    }


def rare(m=400, seed=0):
    """Make a table of two overlapping classes, of which "yes" is rare."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(m):
        yes = i % 8 == 0
        rows.append(f"{rng.normal(1.2 * yes):.4f},{rng.normal():.4f},{'yes' if yes else 'no'}")
    return "\n".join(["a,b,y", *rows]) + "\n"


def decided(out):
    """Return how `gpunn train` says that it uses each column, from what it printed."""
    lines = iter(out.splitlines())
    head = next(line for line in lines if line.startswith("column ") and line.endswith("used as"))
    kind, use = head.index("kind"), head.index("used as")
    found = {}
    for line in lines:
        if " examples: " in line or line.startswith("…"):
            break
        if name := line[:kind].strip():
            found[name] = line[use:]
        else:
            found[list(found)[-1]] += f" {line[use:]}"
    return found


def not_used(target):
    """Return the line of `gpunn predict` about the target in its table."""
    return f"gpunn: the target '{target}' is not used to predict; gpunn evaluate compares with it\n"
