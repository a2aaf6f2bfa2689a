"""The result file: what was run, on which code, and the counts."""

from __future__ import annotations

import hashlib
import json
import subprocess
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.attack.trials import DISTURBED, INPUTS, merge
from gpunn.version import __version__

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "attack.json"
SHOWN = 40  # failures that are printed


def sources() -> str:
    """Return a checksum of the code that is attacked and of the code that attacks."""
    checksum = hashlib.blake2b(digest_size=16)
    for path in sorted(path for room in ("gpunn", "benchmarks/attack") for path in (ROOT / room).rglob("*")):
        if path.is_file() and path.suffix != ".pyc":
            checksum.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return checksum.hexdigest()


def commit() -> str | None:
    """Return the commit that is checked out, with "+" if files differ from it; None outside of Git."""
    ask = ["git", "-C", str(ROOT)]
    try:
        found = subprocess.run([*ask, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout
        tracked = ["status", "--porcelain", "--untracked-files=no", "gpunn", "benchmarks/attack"]
        changed = subprocess.run([*ask, *tracked], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.strip() + ("+" if changed.strip() else "")


def nothing() -> dict[str, Any]:
    """Return the results of no run."""
    return {"runs": [], "kinds": {}, "failures": []}


def load(path: Path) -> dict[str, Any]:
    """Read the results of earlier runs, to be continued. Raises SystemExit if the code has changed since."""
    if not path.exists():
        return nothing()
    earlier: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if earlier.get("sources") != sources():
        raise SystemExit(f"{path} was made with other code: choose another file with --output")
    return earlier


def first_seed(earlier: dict[str, Any]) -> int:
    """Return a seed that no earlier run has used."""
    counts = (row["trials"] + row["missed"] for row in earlier["kinds"].values())
    return max(counts, default=0)


def combine(earlier: dict[str, Any], found: dict[str, Any], command: str, seconds: float) -> dict[str, Any]:
    """Add a run to the results of earlier runs of the same code."""
    run = {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": command,
        "commit": commit(),
        "seconds": round(seconds),
    }
    result = {"kinds": earlier["kinds"], "failures": earlier["failures"]}
    merge(result, found)
    return {
        "version": __version__,
        "sources": sources(),
        "runs": [*earlier["runs"], run],
        "machine": machine.describe(),
        "totals": totals(result["kinds"]),
        **result,
    }


def totals(kinds: dict[str, Any]) -> dict[str, int]:
    """Return the trials of the main kinds, and the rules broken in all."""
    trials = {name: row["trials"] for name, row in kinds.items()}
    return {
        "damaged inputs": sum(n for name, n in trials.items() if name in INPUTS),
        "kills": sum(n for name, n in trials.items() if name.startswith("kills")),
        **{name: trials[name] for name in DISTURBED if name in trials and not name.startswith("kills")},
        "failures": sum(sum(row["failures"].values()) for row in kinds.values()),
    }


def write(path: Path, results: dict[str, Any]) -> None:
    """Write the result file."""
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def show(results: dict[str, Any]) -> None:
    """Print the counts of each door as a table, and the first failures."""
    width = max(map(len, results["kinds"]))
    print(f"{'':{width}}  {'trials':>7}  {'accepted':>8}  {'refused':>7}  {'failures':>8}")
    for name, row in results["kinds"].items():
        counts = row["trials"], row["accepted"], row["refused"], sum(row["failures"].values())
        print(f"{name:{width}}  {counts[0]:>7,}  {counts[1]:>8,}  {counts[2]:>7,}  {counts[3]:>8,}")
    for failure in results["failures"][:SHOWN]:
        print(in_words(failure))
    if len(results["failures"]) > SHOWN:
        print(f"… and {len(results['failures']) - SHOWN:,} more")
    print(", ".join(f"{name}: {n:,}" for name, n in totals(results["kinds"]).items()))


def in_words(record: dict[str, Any]) -> str:
    """Describe a process: how to run its trial again, the rules that it broke, and what it said."""
    said = f"exit code {record.get('code')}: {record.get('message', '')}"
    broken = ", ".join(record["broken"]) or "fine"
    again = f"--only '{record['kind']}' --seed {record['seed']}"
    return f"{again}: {broken}\n  {record.get('command', '')}\n  {said}"
