"""Report the outcomes: on the terminal, as JSON and as the generated part of docs/reproductions.md."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks import machine
from benchmarks.reproductions.common import Claim, Reproduction

COLOURS = {"passes": "green", "FAILS": "bold red", "skipped": "yellow"}
VERSIONS = ("python", "gpunn", "numpy", "scipy", "scikit-learn")
NOT_RUN = "not run yet"
BEGIN, END = "<!-- begin: python -m benchmarks.reproductions --page -->", "<!-- end -->"


@dataclass(frozen=True)
class Outcome:
    """The outcome of one reproduction. If it was skipped or raised an error, `measured` says why.

    Attributes:
        runs: every measured figure, as JSON.
    """

    reproduction: Reproduction
    result: str  # passes, FAILS or skipped
    measured: str
    seconds: float
    runs: Mapping[str, Any]
    figures: tuple[Path, ...] = ()


def tell(outcome: Outcome, console: Console) -> None:
    """Print an outcome in full."""
    claim, colour = outcome.reproduction.claim, COLOURS[outcome.result]
    console.print(
        f"[bold]{claim.name}[/] [{colour}]{outcome.result}[/] in {outcome.seconds:.1f} s\n"
        f"  claim     {escape(claim.text)}\n  source    {escape(claim.source)}\n"
        f"  holds if  {escape(claim.rule)}\n  measured  {escape(outcome.measured)}\n",
        soft_wrap=True,
    )


def table(outcomes: Sequence[Outcome]) -> Table:
    """A table of all outcomes, one per row."""
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
    """An outcome as JSON, with the date and the machine."""
    claim, versions = outcome.reproduction.claim, machine.versions()
    blas = [pool["num_threads"] for pool in machine.threads() if pool.get("internal_api") != "openmp"]
    return {
        **stated(claim),
        "measured": outcome.measured,
        "result": outcome.result,
        "settings": claim.settings,
        "runs": outcome.runs,
        "figures": [path.relative_to(folder).as_posix() for path in outcome.figures],
        "seconds": round(outcome.seconds, 1),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        **machine.cpu(),
        "BLAS threads": max(blas, default=1),
        "versions": {name: versions[name] for name in VERSIONS if name in versions},
    }


def read(folder: Path) -> dict[str, dict[str, Any]]:
    """The entries of the folder's reproductions.json, by name."""
    path = folder / "reproductions.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    return {entry["name"]: entry for entry in known}


def write(outcomes: Sequence[Outcome], order: Sequence[str], folder: Path) -> Path:
    """Write the outcomes as JSON, in the given order. Entries of claims that were not run now are kept."""
    entries = read(folder) | {one.reproduction.claim.name: record(one, folder) for one in outcomes}
    kept = [entries[name] for name in order if name in entries]
    path = folder / "reproductions.json"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(kept, indent=1, ensure_ascii=False, default=asdict) + "\n", encoding="utf-8")
    return path


def update_page(folder: Path, page: Path, claims: Iterable[Claim]) -> None:
    """Replace the generated part of the documentation's page by these claims and the folder's results."""
    text = page.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    made = markdown(folder, claims)
    page.write_text(f"{before}{BEGIN}\n\n{made}\n{END}{rest.split(END)[1]}", encoding="utf-8")


def markdown(folder: Path, claims: Iterable[Claim]) -> str:
    """A table of all claims and verdicts, then a section for each claim."""
    entries = {claim.name: not_run(claim) for claim in claims} | read(folder)
    rows = [f"| [{name}](#{name}) | {_verdict(entry)} |" for name, entry in entries.items()]
    sections = [_section(name, entry) for name, entry in entries.items()]
    return "\n".join(["| claim | verdict |", "|---|---|", *rows, "", *sections])


def not_run(claim: Claim) -> dict[str, Any]:
    """The entry of a claim that has no result yet."""
    command = f"`python -m benchmarks.reproductions {claim.name}` measures it"
    return {**stated(claim), "measured": command, "result": NOT_RUN}


def stated(claim: Claim) -> dict[str, Any]:
    """Return the part of an entry that states the claim."""
    return {"name": claim.name, "claim": claim.text, "source": claim.source, "holds if": claim.rule}


def _section(name: str, entry: Mapping[str, Any]) -> str:
    return (
        f"### {name}\n\n{entry['claim']}\n\n"
        f"- **Source**: {entry['source']}\n"
        f"- **Counts as reproduced if** {entry['holds if']}\n"
        f"- **Measured**: {entry['measured']}\n"
        f"- **Verdict**: {_verdict(entry)}\n"
    )


def _verdict(entry: Mapping[str, Any]) -> str:
    result: str = entry["result"]
    return result if result in ("passes", NOT_RUN) else f"**{result}**"
