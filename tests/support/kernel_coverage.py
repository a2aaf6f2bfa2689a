"""Line coverage of the kernels on the emulated device: `python kernel_coverage.py FOLDER LEAST`.

FOLDER is the value of GPUNN_KERNEL_COVERAGE while the tests ran. Each module was compiled from its own part
of a file; a line counts as covered if any module ran it. Fails if a file is below LEAST per cent.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from gpunn.backends.cuda.source import HEAD, KERNELS, RESIDENT

FILES = {"kernels.cu": KERNELS, "resident.cu": RESIDENT, "head.cu": HEAD}


def lines(folder: Path) -> dict[str, dict[int, int]]:
    """Count how often each executable line was run, by file."""
    found: dict[str, dict[int, int]] = {name: {} for name in FILES}
    for notes in sorted(folder.glob("*.gcno")):
        command = ["gcov", "--json-format", "--stdout", str(notes)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
        for report in filter(None, done.stdout.splitlines()):
            for file in json.loads(report)["files"]:
                counts = found.get(Path(file["file"]).name, {})
                for line in file["lines"]:
                    number = line["line_number"]
                    counts[number] = counts.get(number, 0) + line["count"]
    return found


def main() -> None:
    """Print each file's coverage and the lines that never ran."""
    folder, least = Path(sys.argv[1]), float(sys.argv[2])
    shares = [share(name, counts) for name, counts in lines(folder).items()]
    if min(shares) < least:
        raise SystemExit(f"{min(shares):.1f} % is less than {least:g} %")


def share(name: str, counts: dict[int, int]) -> float:
    """Print the lines of a file that never ran, and return its coverage in per cent."""
    missed = [number for number, count in sorted(counts.items()) if not count]
    ran = 100 * (1 - len(missed) / len(counts))
    print(f"{name}: {len(counts)} lines, {len(missed)} never run, {ran:.1f} %")
    text = FILES[name].splitlines()
    for number in missed:
        print(f"  {number}: {text[number - 1].strip()}")
    return ran


if __name__ == "__main__":
    main()
