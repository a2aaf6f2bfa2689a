"""The outcomes told: on the screen, as JSON, and as the README's table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks import machine
from benchmarks.reproductions.common import Reproduction

COLOURS = {"passes": "green", "FAILS": "bold red", "skipped": "yellow"}
VERSIONS = ("python", "gpunn", "numpy", "scipy", "scikit-learn")


@dataclass(frozen=True)
class Outcome:
    """What running a reproduction came to; `measured` says why where it is skipped or broke.

    runs: every figure, as JSON.
    """

    reproduction: Reproduction
    result: str  # passes, FAILS or skipped
    measured: str
    seconds: float
    runs: Mapping[str, Any]
    figures: tuple[Path, ...] = ()


def tell(outcome: Outcome, console: Console) -> None:
    """Print one in full."""
    claim, colour = outcome.reproduction.claim, COLOURS[outcome.result]
    console.print(
        f"[bold]{claim.name}[/] [{colour}]{outcome.result}[/] in {outcome.seconds:.1f} s\n"
        f"  claim     {escape(claim.text)}\n  source    {escape(claim.source)}\n"
        f"  holds if  {escape(claim.rule)}\n  measured  {escape(outcome.measured)}\n",
        soft_wrap=True,
    )


def table(outcomes: Sequence[Outcome]) -> Table:
    """All of them, a line each."""
    rows = Table(title="Published claims, measured", title_justify="left")
    for column in ("reproduction", "result", "seconds", "measured"):
        rows.add_column(
            column, justify="right" if column == "seconds" else "left", no_wrap=column != "measured"
        )
    for outcome in outcomes:
        result = f"[{COLOURS[outcome.result]}]{outcome.result}[/]"
        rows.add_row(
            outcome.reproduction.claim.name, result, f"{outcome.seconds:.1f}", escape(outcome.measured)
        )
    counts = [sum(outcome.result == result for outcome in outcomes) for result in COLOURS]
    rows.caption = ", ".join(f"{n} {result}" for n, result in zip(counts, COLOURS, strict=True))
    return rows


def record(outcome: Outcome, folder: Path) -> dict[str, Any]:
    """One as JSON, with when and on what it was measured."""
    claim, versions = outcome.reproduction.claim, machine.versions()
    blas = [pool["num_threads"] for pool in machine.threads() if pool.get("internal_api") != "openmp"]
    return {
        "name": claim.name,
        "claim": claim.text,
        "source": claim.source,
        "holds if": claim.rule,
        "measured": outcome.measured,
        "result": outcome.result,
        "settings": claim.settings,
        "runs": outcome.runs,
        "figures": [path.relative_to(folder).as_posix() for path in outcome.figures],
        "seconds": round(outcome.seconds, 1),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "cpu": machine.cpu_model(),
        "cores": machine.cores(),
        "BLAS threads": max(blas, default=1),
        "versions": {name: versions[name] for name in VERSIONS if name in versions},
    }


def read(folder: Path) -> dict[str, dict[str, Any]]:
    """What was written there before, by name."""
    path = folder / "reproductions.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    return {entry["name"]: entry for entry in known}


def write(outcomes: Sequence[Outcome], order: Sequence[str], folder: Path) -> Path:
    """Write them as JSON, in that order; what the file knows of others that were not run now stays in it."""
    entries = read(folder) | {one.reproduction.claim.name: record(one, folder) for one in outcomes}
    kept = [entries[name] for name in order if name in entries]
    path = folder / "reproductions.json"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(kept, indent=1, ensure_ascii=False, default=asdict) + "\n", encoding="utf-8")
    return path


def markdown(folder: Path) -> str:
    """The table of all that was written there, for the README."""
    rows = ["| name | claim | source | measured | verdict |", "|---|---|---|---|---|"]
    for name, entry in read(folder).items():
        verdict = entry["result"] if entry["result"] == "passes" else f"**{entry['result']}**"
        rows.append(f"| {name} | {entry['claim']} | {entry['source']} | {entry['measured']} | {verdict} |")
    return "\n".join(rows)
