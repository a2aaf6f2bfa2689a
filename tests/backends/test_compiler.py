"""The compiler of the CPU kernels, and what is kept of its work: real compilers, real faults."""

from __future__ import annotations

import ctypes
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from emulated import COMPILER

from gpunn.backends.host.compiled import compiler, kept
from gpunn.backends.host.compiled.compiler import CannotCompile

needs_compiler = pytest.mark.skipif(not COMPILER, reason="no C++ compiler")
needs_scripts = pytest.mark.skipif(os.name == "nt", reason="compilers that are shell scripts")
SOURCE = 'extern "C" int twice(int n) { return 2 * n; }\n'
HANGS = 'case "$*" in *empty.cpp*|*--version*) exit 0;; esac; exec sleep 600'  # while it compiles


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and an environment that says nothing."""
    for name in ("CXX", compiler.VARIABLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(kept, "user_cache_path", lambda name: tmp_path / "cache" / name)
    monkeypatch.setattr(kept.tempfile, "gettempdir", lambda: str(tmp_path))
    return tmp_path / "cache" / "gpunn" / "kernels"


def only(monkeypatch: pytest.MonkeyPatch, folder: Path, **scripts: str) -> None:
    """Let these scripts be the only compilers, besides CXX."""
    folder.mkdir(exist_ok=True)
    for name, text in scripts.items():
        path = folder / name.replace("gxx", "g++")
        path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        path.chmod(0o755)
    monkeypatch.setattr(compiler.shutil, "which", lambda name: next(map(str, folder.glob(name)), None))
    monkeypatch.setattr(compiler.importlib.util, "find_spec", lambda name: None)


def counting(folder: Path, command: str) -> str:
    """A script that counts its runs, but for questions about flags."""
    return f'case "$*" in *kernels.cpp*) echo >> {folder}/runs;; esac; {command}'


def runs(folder: Path) -> int:
    path = folder / "runs"
    return len(path.read_text("utf-8").splitlines()) if path.exists() else 0


def build(source: str) -> Path:
    """Return the place of the library."""
    return compiler.build(source).path


def call(library: Path, n: int = 21) -> int:
    return ctypes.CDLL(str(library)).twice(n)


@needs_compiler
def test_a_source_is_compiled_once(cache: Path) -> None:
    library = build(SOURCE)
    assert (library.parent, call(library)) == (cache, 42)
    made = library.stat().st_mtime_ns
    assert build(SOURCE) == library
    assert library.stat().st_mtime_ns == made
    assert build(SOURCE.replace("2 *", "3 *")) != library
    assert not [path for path in cache.iterdir() if path.is_dir()]


@needs_compiler
def test_nan_survives() -> None:
    source = (
        'extern "C" int twice(int n) { volatile double x = __builtin_nan(""); return x == x ? n : 2 * n; }'
    )
    assert call(build(source)) == 42


@needs_compiler
@pytest.mark.parametrize("damage", ["cut short", "a bit", "empty"])
def test_a_damaged_library_is_compiled_anew(damage: str) -> None:
    """A library that is cut short would end the process with SIGBUS."""
    library = build(SOURCE)
    content = bytearray(library.read_bytes())
    content[len(content) // 2] ^= 1
    library.unlink()  # this process has loaded it
    library.write_bytes({"cut short": content[:-5000], "a bit": content, "empty": b""}[damage])
    assert call(build(SOURCE)) == 42


@needs_compiler
def test_another_processor_or_compiler_gets_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    library = build(SOURCE)
    monkeypatch.setattr(compiler, "processor", lambda: "flags: none")
    other = build(SOURCE)
    assert other != library
    if os.name != "nt":
        only(monkeypatch, tmp_path / "bin", gxx=f'exec {COMPILER} "$@"')
        assert build(SOURCE) not in (library, other)


@needs_compiler
def test_what_nobody_uses_is_removed(cache: Path) -> None:
    old, used = build(SOURCE), build(SOURCE.replace("2 *", "4 *"))
    left = cache / "left by a killed process"
    (left / "folder").mkdir(parents=True)
    for path in (old, used, left):
        os.utime(path, (0, time.time() - 2 * kept.UNUSED))
    assert build(SOURCE.replace("2 *", "4 *")) == used  # used now
    build(SOURCE.replace("2 *", "5 *"))
    assert (old.exists(), used.exists(), left.exists()) == (False, True, False)


@needs_scripts
@needs_compiler
def test_processes_at_once_compile_once(tmp_path: Path) -> None:
    (tmp_path / "g++").write_text(f'#!/bin/sh\n{counting(tmp_path, f"exec {COMPILER}")} "$@"\n', "utf-8")
    (tmp_path / "g++").chmod(0o755)
    code = (
        "import pathlib, sys; from gpunn.backends.host.compiled import compiler, kept\n"
        "kept.user_cache_path = lambda name: pathlib.Path(sys.argv[1])\n"
        "print(compiler.build(sys.argv[2]).library.twice(21))"
    )
    environment = {**os.environ, "CXX": str(tmp_path / "g++")}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code, tmp_path, SOURCE], stdout=subprocess.PIPE, text=True, env=environment
        )
        for _ in range(3)
    ]
    assert [process.communicate()[0] for process in started] == ["42\n"] * 3
    assert runs(tmp_path) == 1


class TestSwitch:
    def test_off(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(compiler.VARIABLE, "0")
        with pytest.raises(CannotCompile, match=r"^GPUNN_COMPILED is 0$"):
            build(SOURCE)

    @needs_compiler
    @pytest.mark.parametrize("text", ["", "1", " 1 "])
    def test_on(self, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
        monkeypatch.setenv(compiler.VARIABLE, text)
        assert build(SOURCE).exists()

    @pytest.mark.parametrize("text", ["no", "2", "off"])
    def test_anything_else(self, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
        monkeypatch.setenv(compiler.VARIABLE, text)
        with pytest.raises(ValueError, match=f"^GPUNN_COMPILED must be 0 or 1, not '{text}'$"):
            build(SOURCE)


class TestFaults:
    def test_no_compiler(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        only(monkeypatch, tmp_path / "bin")
        with pytest.raises(CannotCompile, match=r"^there is no C\+\+ compiler: install .*gpunn\[native\]"):
            build(SOURCE)

    @needs_scripts
    @pytest.mark.parametrize(
        ("script", "why"),
        [
            (
                "echo warning: x; echo 'a.h:1: fatal error: no  libc'; exit 1",
                "failed: a.h:1: fatal error: no libc",
            ),
            ("echo the licence has expired; exit 3", "failed: the licence has expired"),
            ("exit 3", "failed: exit code 3"),
            ("echo 'ld: disk full'; echo 'collect2: error: ld returned 1'; exit 1", "failed: ld: disk full"),
            ("kill -9 $$", "was killed by signal 9"),
            ("exit 0", "cannot be loaded: .*No such file"),
            ("echo garbage > kernels.so", "cannot be loaded: .*too short"),
        ],
    )
    def test_a_compiler_that_fails(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, why: str
    ) -> None:
        only(monkeypatch, tmp_path / "bin", gxx=script)
        with pytest.raises(CannotCompile, match=rf"^[^\n]*g\+\+.*{why}[^\n]*: install g\+\+"):
            build(SOURCE)

    @needs_scripts
    def test_a_compiler_that_hangs(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        only(monkeypatch, tmp_path / "bin", gxx=HANGS)
        monkeypatch.setattr(compiler, "PATIENCE", 0.2)
        with pytest.raises(CannotCompile, match=r"did not end within 0\.2 seconds"):
            build(SOURCE)

    @needs_scripts
    def test_a_failure_is_remembered_for_an_hour(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cache: Path
    ) -> None:
        only(monkeypatch, tmp_path / "bin", gxx=counting(tmp_path, "exit 1"))
        for _ in range(2):
            with pytest.raises(CannotCompile, match="exit code 1"):
                build(SOURCE)
        assert runs(tmp_path) == 1
        (failure,) = cache.glob("*.failed")
        os.utime(failure, (0, time.time() - 2 * kept.RETRY))
        with pytest.raises(CannotCompile, match="exit code 1"):
            build(SOURCE)
        assert runs(tmp_path) == 2

    @needs_scripts
    def test_a_kill_is_not_remembered(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        only(
            monkeypatch,
            tmp_path / "bin",
            gxx=counting(tmp_path, 'case "$*" in *kernels.cpp*) kill -9 $$;; esac'),
        )
        for _ in range(2):
            with pytest.raises(CannotCompile, match="signal 9"):
                build(SOURCE)
        assert runs(tmp_path) == 2

    @needs_scripts
    @needs_compiler
    def test_a_kept_library_that_cannot_be_loaded(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cache: Path
    ) -> None:
        """As of another system that shares the home folder: the next compiler is used."""
        only(monkeypatch, tmp_path / "bin", gxx=f'exec {COMPILER} "$@"')
        key = build(SOURCE).name.partition("-")[0]
        for library in cache.glob("*.so"):
            library.unlink()
        strange = tmp_path / "strange.so"
        strange.write_bytes(b"for another system")
        kept.keep(cache, key, strange)
        with pytest.raises(CannotCompile, match=r"what g\+\+ compiles cannot be loaded: .*too short"):
            build(SOURCE)

    @needs_compiler
    def test_a_source_that_is_wrong(self) -> None:
        with pytest.raises(CannotCompile, match=r"kernels\.cpp:2.*error") as caught:
            build(f"{SOURCE}int wrong(")
        assert "\n" not in str(caught.value)

    @needs_compiler
    @pytest.mark.parametrize("text", ["nonsense -x", "'", "false"])
    def test_cxx_that_is_useless(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, text: str
    ) -> None:
        monkeypatch.setenv("CXX", text)
        assert call(build(SOURCE)) == 42
        build(SOURCE)
        (line,) = caplog.messages
        assert line.startswith(f"gpunn: CXX={text} ")
        assert line.endswith("; the next C++ compiler is tried")
        assert compiler.build(SOURCE).failures[0].startswith(f"CXX={text} ")

    @needs_compiler
    def test_cxx_comes_first(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CXX", f"{COMPILER} -DFACTOR=3")
        built = compiler.build(SOURCE.replace("2 *", "FACTOR *"))
        assert built.library.twice(21) == 63
        assert built.compiler.version.startswith(f"CXX={COMPILER} -DFACTOR=3: ")

    @needs_scripts
    @needs_compiler
    def test_a_compiler_without_native(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """Some compilers know no -march=native on ARM; the kernels are compiled without it."""
        refuses = f'case "$*" in *native*|*width*) exit 1;; *) exec {COMPILER} "$@";; esac'
        only(monkeypatch, tmp_path / "bin", gxx=refuses)
        assert call(build(SOURCE)) == 42


@needs_scripts
class TestFolders:
    @needs_compiler
    def test_a_cache_that_cannot_be_written(self, cache: Path, tmp_path: Path) -> None:
        cache.parent.mkdir(parents=True)
        cache.write_text("a file in its place")
        library = build(SOURCE)
        assert library.parent == tmp_path / f"gpunn-{os.getuid()}" / "kernels"
        assert library.parent.parent.stat().st_mode & 0o777 == 0o700
        assert build(SOURCE) == library

    @needs_compiler
    @pytest.mark.parametrize("trap", ["others may write", "a link"])
    def test_a_folder_that_others_can_write_is_not_used(self, cache: Path, tmp_path: Path, trap: str) -> None:
        cache.parent.mkdir(parents=True)
        cache.write_text("a file in its place")
        own = tmp_path / f"gpunn-{os.getuid()}"
        if trap == "a link":
            (tmp_path / "elsewhere").mkdir()
            own.symlink_to(tmp_path / "elsewhere")
        else:
            own.mkdir()
            own.chmod(0o777)
        with pytest.raises(CannotCompile, match=f"^{cache} cannot be written: Not a directory$"):
            build(SOURCE)


class AtOnce:
    """A timer whose time has come when it starts."""

    def __init__(self, seconds: float, function: Callable[..., None], arguments: tuple[object, ...]) -> None:
        self.seconds, self.start = seconds, lambda: function(*arguments)

    def cancel(self) -> None:
        pass


@needs_compiler
def test_a_user_who_waits_is_told_why(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(compiler, "Timer", AtOnce)
    build(SOURCE)
    assert caplog.record_tuples == [
        (
            "gpunn",
            logging.WARNING,
            "gpunn: compiling its CPU kernels for this processor, once (GPUNN_COMPILED=0 goes without)",
        )
    ]
    build(SOURCE)
    assert len(caplog.messages) == 1


@needs_compiler
def test_a_user_who_does_not_wait_is_told_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(compiler, "LONG", 600)
    build(SOURCE)
    assert not caplog.messages
