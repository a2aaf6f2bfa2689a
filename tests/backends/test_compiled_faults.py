"""The threads of the compiled kernels, when something happens to them or to their process."""

from __future__ import annotations

import subprocess
import sys

import kernel_faults
import pytest

pytestmark = [
    pytest.mark.usefixtures("kernels"),
    pytest.mark.skipif(sys.platform != "linux", reason="needs Linux"),
]


@pytest.mark.parametrize("name", [fault.__name__ for fault in kernel_faults.FAULTS])
def test_the_networks_are_right(name: str) -> None:
    command = [sys.executable, "-W", "ignore", kernel_faults.__file__, name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "right\n", "")
