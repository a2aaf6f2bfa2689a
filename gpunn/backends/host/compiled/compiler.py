"""The compiler of the CPU kernels: found on the user's machine, and run once for each processor.

A library's key is made of everything that decides what is in it: source, flags, compiler and processor. Home
folders may therefore be shared by different machines.
"""

from __future__ import annotations

import ctypes
import importlib.util
import logging
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Timer

from gpunn.backends.host.compiled import kept
from gpunn.files.locking import locked

VARIABLE = "GPUNN_COMPILED"
NAMES = ("c++", "g++", "clang++")  # looked for on PATH, in this order
# NaN has to survive, hence no -ffast-math. Nothing reads errno or the floating-point exceptions.
FLAGS = ("-std=c++17", "-O3", "-fno-math-errno", "-fno-trapping-math", "-fopenmp-simd")
LIBRARY = ("-fPIC", "-shared", "-pthread", "-s")
NATIVE = ("-march=native", "-mcpu=native")  # the first that the compiler accepts
WIDE = "-mprefer-vector-width=512"  # for AVX-512, if the compiler accepts it
LONG = 1  # seconds after which a user is told what takes the time
PATIENCE = 300  # seconds for a compiler: ziglang's compiles its own C++ library first
LONGEST = 300  # characters of a compiler's complaint
ADVICE = "install g++ or clang++, or pip install 'gpunn[native]': compiled kernels make training faster"

# Logged, not warned, as in choice.py; INFO would not be shown.
log = logging.getLogger("gpunn")


class CannotCompile(Exception):
    """The reason why there is no library, in one line."""


class Refused(CannotCompile):
    """A compiler's complaint, which it would repeat."""


@dataclass(frozen=True)
class Compiler:
    """A C++ compiler.

    Attributes:
        name: as the user knows it, such as "g++" or "CXX=clang++ -m64".
        command: the program and its first arguments.
        program: the file that changes if the compiler does.
    """

    name: str
    command: tuple[str, ...]
    program: str

    @property
    def identity(self) -> str:
        """The command, and the program's size and date, which are known without running it."""
        found = os.stat(self.program)
        return f"{self.command} {os.path.realpath(self.program)} {found.st_size} {found.st_mtime_ns}"

    @property
    def version(self) -> str:
        """The name, and the first line of what the compiler says about its version."""
        asked = [*self.command, "--version"]
        with suppress(OSError, subprocess.TimeoutExpired):
            done = subprocess.run(asked, capture_output=True, text=True, errors="replace", timeout=PATIENCE)
            return ": ".join([self.name, *done.stdout.splitlines()[:1]])
        return self.name

    def run(self, folder: Path, *arguments: str) -> str:
        """Run the compiler in that folder; return its complaint if it fails. Raises CannotCompile."""
        environment = {"ZIG_GLOBAL_CACHE_DIR": str(folder.parent / "zig"), **os.environ, "LC_ALL": "C"}
        # Into a file: a compiler's children may keep a pipe open after it was killed.
        with tempfile.TemporaryFile() as said:
            try:
                done = subprocess.run(
                    [*self.command, *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=said,
                    stderr=said,
                    cwd=folder,
                    env=environment,
                    timeout=PATIENCE,
                )
            except subprocess.TimeoutExpired:
                raise Refused(f"{self.name} did not end within {PATIENCE} seconds") from None
            except OSError as error:
                raise Refused(f"{self.name} cannot be run: {error.strerror}") from None
            said.seek(0)
            text = said.read().decode("utf-8", "replace")
        if done.returncode < 0:
            raise CannotCompile(f"{self.name} was killed by signal {-done.returncode}")
        return complaint(text) or f"exit code {done.returncode}" if done.returncode else ""

    def accepts(self, folder: Path, *flags: str) -> bool:
        """Whether the compiler compiles an empty file with these flags."""
        (folder / "empty.cpp").touch()
        return not self.run(folder, "-Werror", *flags, "-c", "empty.cpp", "-o", "empty.o")

    def compile(self, folder: Path, source: str) -> Path:
        """Compile the source text in that folder, and load the library, so that it is known to work."""
        (folder / "kernels.cpp").write_text(source, encoding="utf-8")
        native = next(([flag] for flag in NATIVE if self.accepts(folder, flag)), [])
        wide = [WIDE] if "avx512f" in processor() and self.accepts(folder, WIDE) else []
        library = folder / f"kernels{kept.SUFFIX}"
        if why := self.run(folder, *FLAGS, *native, *wide, *LIBRARY, "kernels.cpp", "-o", library.name):
            raise Refused(f"{self.name} failed: {why}")
        self.load(library)
        return library

    def load(self, library: Path) -> ctypes.CDLL:
        """Load a library that this compiler has made. Raises CannotCompile."""
        try:
            return ctypes.CDLL(str(library))
        except OSError as error:
            raise Refused(f"what {self.name} compiles cannot be loaded: {one_line(str(error))}") from None


@dataclass(frozen=True)
class Built:
    """A library, loaded, the compiler that made it, and why earlier compilers did not, in a line each."""

    path: Path
    library: ctypes.CDLL
    compiler: Compiler
    failures: tuple[str, ...]

    @property
    def checksum(self) -> str:
        """A checksum of the library."""
        return kept.checksum_in(self.path)


def build(source: str) -> Built:
    """Load the library of a C++17 source text, compiled unless an earlier process has done that.

    Raises:
        CannotCompile: there is no compiler, all fail, no folder can be written, or GPUNN_COMPILED is 0.
        ValueError: GPUNN_COMPILED is neither 0 nor 1.
    """
    check_wanted()
    folders, failures = kept.folders(), list[str]()
    for compiler in compilers(failures):
        try:
            library = _library(compiler, source, folders, failures)
            return Built(library, compiler.load(library), compiler, tuple(failures))
        except CannotCompile as error:
            failures.append(str(error))
        except OSError as error:
            raise CannotCompile(f"{folders[-1]} cannot be written: {error.strerror or error}") from None
    raise CannotCompile(f"{'; '.join(failures) or 'there is no C++ compiler'}: {ADVICE}")


def check_wanted() -> None:
    """Raise CannotCompile if GPUNN_COMPILED is 0, and ValueError if it is neither 0 nor 1."""
    text = os.environ.get(VARIABLE, "").strip()
    if text not in ("", "0", "1"):
        raise ValueError(f"{VARIABLE} must be 0 or 1, not '{text}'")
    if text == "0":
        raise CannotCompile(f"{VARIABLE} is 0")


def compilers(failures: list[str]) -> Iterator[Compiler]:
    """Yield CXX, the compilers on PATH, and ziglang's; add to the failures why CXX is left out."""
    text = os.environ.get("CXX", "").strip()
    try:
        command = shlex.split(text, posix=os.name != "nt")
    except ValueError as error:
        failures.append(f"CXX={text} cannot be read: {error}")
        command = []
    if command and (program := shutil.which(command[0])):
        yield Compiler(f"CXX={text}", (program, *command[1:]), program)
    elif command:
        failures.append(f"CXX={text} is not found")
    known = set()
    for name in NAMES:
        found = shutil.which(name)
        if found and (real := os.path.realpath(found)) not in known and not opens_a_dialog(found):
            known.add(real)
            yield Compiler(name, (found,), found)
    package = importlib.util.find_spec("ziglang")
    zig = package and shutil.which("zig", path=os.path.dirname(package.origin or ""))
    if zig:  # clang with a C++ library, from a wheel
        yield Compiler("ziglang", (sys.executable, "-m", "ziglang", "c++"), zig)


def opens_a_dialog(program: str) -> bool:
    """Whether the compiler is macOS's offer to install the developer tools. Not tried on a Mac."""
    tools = Path("/Library/Developer/CommandLineTools"), Path("/Applications/Xcode.app")
    return sys.platform == "darwin" and program.startswith("/usr/bin/") and not any(p.exists() for p in tools)


def _library(compiler: Compiler, source: str, folders: list[Path], failures: list[str]) -> Path:
    """Return the library that this compiler makes of the source, or has made earlier.

    folders: to look into; the last can be written if any can.
    """
    parts = (source, *FLAGS, *LIBRARY, *NATIVE, WIDE, compiler.identity, processor())
    key = kept.checksum("\n".join(parts).encode())
    for folder in folders:
        if path := kept.find(folder, key):
            return path
    folder = folders[-1]
    try:
        with locked(folder / f"{key}.lock", PATIENCE):
            if path := kept.find(folder, key):  # another process has made it meanwhile
                return path
            if why := kept.remembered_failure(folder, key):
                raise CannotCompile(why)
            with progress(failures), tempfile.TemporaryDirectory(dir=folder) as made:
                return kept.keep(folder, key, compiler.compile(Path(made), source))
    except Refused as error:
        kept.remember_failure(folder, key, str(error))
        raise


@contextmanager
def progress(failures: list[str]) -> Iterator[None]:
    """Log why earlier compilers were not used, and what takes the time if the user has to wait."""
    for failure in failures:
        log.warning("gpunn: %s; the next C++ compiler is tried", failure)
    line = "gpunn: compiling its CPU kernels for this processor, once (%s=0 goes without)"
    timer = Timer(LONG, log.warning, (line, VARIABLE))
    timer.daemon = True  # a process may end meanwhile
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@cache
def processor() -> str:
    """Describe this processor by what decides which instructions it has, so that another kind differs."""
    with suppress(OSError):
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").partition("\n\n")[0]
        names = ("model name", "flags", "Features", "CPU implementer", "CPU part")
        if found := [line for line in text.splitlines() if line.startswith(names)]:
            return "\n".join([platform.machine(), *found])
    return f"{platform.machine()}\n{platform.processor()}"


def complaint(text: str) -> str:
    """Return the first line of a compiler's output that speaks of an error; the first line if none does.

    collect2 repeats that the linker has failed.
    """
    lines = [one_line(line) for line in text.splitlines() if line.strip()]
    telling = (line for line in lines if "error" in line.lower() and not line.startswith("collect2"))
    return next(telling, "".join(lines[:1]))


def one_line(text: str) -> str:
    """Join the lines of a text that is shown in an error, and cut it if it is very long."""
    return " ".join(text.split())[:LONGEST]
