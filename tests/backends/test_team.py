"""The team of threads of the compiled kernels, under ThreadSanitizer."""

from pathlib import Path

import host_compiler
import pytest
import sanitizing

from gpunn.backends.host import compiled

TEAM = Path(compiled.__file__).with_name("team.hpp").read_text(encoding="utf-8")
NUMBERS = "#include <cstddef>\n#include <cstdint>\nnamespace gpunn { typedef std::ptrdiff_t Index; }"
MAIN = """
#include <unistd.h>
#include <cstdlib>
using namespace gpunn;

// Each run adds 6 to every number: a member reads those that another one has written.
int main(int, char** arguments) {
    constexpr Index N = 64;
    static long a[N], b[N];
    const int runs = std::atoi(arguments[1]);
    for (int k = 0; k < runs; k++)
        team->run(1 + k % 4, [&](const Member& member) {
            const Index begin = member.begin(N, 1, member.t), end = member.begin(N, 1, member.t + 1);
            for (int step = 0; step < 3; step++) {
                for (Index i = begin; i < end; i++) a[i] = b[N - 1 - i] + 1;
                member.meet();
                for (Index i = begin; i < end; i++) b[i] = a[N - 1 - i] + 1;
                member.meet();
            }
        });
    long sum = 0;
    for (long x : b) sum += x;
    _exit(sum != N * runs * 6);
}
"""
MEET = "                member.meet();\n"


def run(main: str, runs: int) -> tuple[int, str]:
    """Compile and run a program; return its exit status and what ThreadSanitizer says."""
    if reason := sanitizing.no_sanitizer():
        pytest.skip(reason)
    text = TEAM.replace('#include "numbers.hpp"', NUMBERS).replace("#pragma once", "") + main
    done = sanitizing.run(host_compiler.compiled(text, ".cpp", ".team", sanitizing.FLAGS), runs)
    return done.returncode, done.stderr


def test_members_that_meet_do_not_race() -> None:
    assert run(MAIN, 200) == (0, "")


@pytest.mark.parametrize("which", [0, 1], ids=["first", "second"])
def test_without_a_meeting_they_do(which: int) -> None:
    parts = MAIN.split(MEET)
    assert len(parts) == 3
    main = parts[0] + (MEET if which else "") + parts[1] + ("" if which else MEET) + parts[2]
    assert "data race" in run(main, 200)[1]
