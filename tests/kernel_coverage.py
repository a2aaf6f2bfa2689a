"""Which lines of kernels.cu the emulated device ran: `python tests/kernel_coverage.py FOLDER LEAST`.

FOLDER is what GPUNN_KERNEL_COVERAGE named while the tests ran. Each module was compiled from its own part
of the file; a line counts if any of them ran it. Fails below LEAST per cent.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from gpunn.backends.kernels import KERNELS


def lines(folder: Path) -> dict[int, int]:
    """How often each line that can be run was."""
    found: dict[int, int] = {}
    for notes in sorted(folder.glob("*.gcno")):
        command = ["gcov", "--json-format", "--stdout", str(notes)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
        for report in filter(None, done.stdout.splitlines()):
            for file in json.loads(report)["files"]:
                if file["file"].endswith("kernels.cu"):
                    for line in file["lines"]:
                        number = line["line_number"]
                        found[number] = found.get(number, 0) + line["count"]
    return found


def main() -> None:
    """Print the share, and the lines that never ran."""
    folder, least = Path(sys.argv[1]), float(sys.argv[2])
    counts = lines(folder)
    missed = [number for number, count in sorted(counts.items()) if not count]
    share = 100 * (1 - len(missed) / len(counts))
    print(f"kernels.cu: {len(counts)} lines, {len(missed)} never run, {share:.1f} %")
    text = KERNELS.splitlines()
    for number in missed:
        print(f"  {number}: {text[number - 1].strip()}")
    if share < least:
        raise SystemExit(f"kernels.cu: {share:.1f} % is less than {least:g} %")


if __name__ == "__main__":
    main()
