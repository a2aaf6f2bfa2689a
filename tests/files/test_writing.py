"""Writing files: regular files are replaced whole, and everything else keeps its nature."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from gpunn.files import writing
from gpunn.files.writing import check_not_input, remove_temporary_files, same_file, write_whole

ROOT = Path(__file__).parents[2]
POSIX = pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions and no FIFOs")
pytestmark = POSIX


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"old content")
    return path


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the first sync to disk fail."""
    real = os.fsync

    def full(handle: int) -> None:
        monkeypatch.setattr(os, "fsync", real)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("bits", [0o600, 0o640, 0o604, 0o755])
def test_the_mode_is_kept(path: Path, bits: int) -> None:
    path.chmod(bits)
    write_whole(path, b"new")
    assert (mode(path), path.read_bytes()) == (bits, b"new")


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_a_new_file_has_the_mode_of_the_umask(tmp_path: Path, mask: int) -> None:
    code = "import os, sys; from pathlib import Path; from gpunn.files.writing import write_whole\n"
    code += f"os.umask({mask}); write_whole(Path(sys.argv[1]), b'new')"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "new")], env=environment, check=True)
    assert mode(tmp_path / "new") == 0o666 & ~mask


def test_the_umask_is_never_changed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(mask: int) -> int:
        raise AssertionError("the umask belongs to every thread")

    monkeypatch.setattr(os, "umask", forbidden)
    write_whole(path, b"new")
    write_whole(path.with_name("another"), b"new")


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 1)() != 0, reason="only root gives files away")
def test_the_owner_is_kept(path: Path) -> None:
    os.chown(path, 12, 34)
    write_whole(path, b"new")
    assert (path.stat().st_uid, path.stat().st_gid) == (12, 34)


def test_a_group_that_cannot_be_kept_gets_no_access(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: Any) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    path.chmod(0o664)
    old = os.stat_result([*path.stat()[:5], path.stat().st_gid + 1, *path.stat()[6:]])
    monkeypatch.setattr(os, "fchown", forbidden)
    beside = writing._write_beside(path, b"new", old)
    assert mode(beside) == 0o604


@pytest.mark.parametrize("relative", [True, False])
def test_a_symbolic_link_stays(path: Path, relative: bool) -> None:
    (path.parent / "sub").mkdir()
    link = path.parent / "sub" / "link"
    link.symlink_to("../file" if relative else path)
    write_whole(link, b"new")
    assert link.is_symlink() and path.read_bytes() == b"new"
    assert sorted(p.name for p in path.parent.iterdir()) == ["file", "sub"]


def test_a_dangling_link_makes_its_target(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("target")
    write_whole(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "target").read_bytes() == b"new"


def test_a_loop_of_links_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError) as error:
        write_whole(tmp_path / "a", b"new")
    assert (error.value.errno, error.value.filename) == (errno.ELOOP, str(tmp_path / "a"))


def test_hard_links_stay(path: Path) -> None:
    path.chmod(0o600)
    os.link(path, path.with_name("other"))
    for content in (b"new", b"longer than before", b""):
        write_whole(path, content)
        assert path.with_name("other").read_bytes() == content
    assert path.stat().st_nlink == 2 and mode(path) == 0o600
    assert sorted(p.name for p in path.parent.iterdir()) == ["file", "other"]


@pytest.mark.parametrize("content", [b"new", b"much longer than the old content"])
def test_hard_links_are_restored_if_the_write_fails(
    path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    os.link(path, path.with_name("other"))
    real, calls = os.ftruncate, []

    def full(handle: int, length: int) -> None:
        calls.append(length)
        if len(calls) == 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle, length)

    monkeypatch.setattr(os, "ftruncate", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, content)
    assert path.read_bytes() == path.with_name("other").read_bytes() == b"old content"
    assert sorted(p.name for p in path.parent.iterdir()) == ["file", "other"]


@pytest.mark.parametrize("linked", [False, True])
def test_a_full_disk_leaves_the_file(path: Path, full_disk: None, linked: bool) -> None:
    if linked:
        os.link(path, path.with_name("other"))
    with pytest.raises(OSError, match="No space left") as error:
        write_whole(path, b"new")
    assert error.value.filename == str(path) and path.read_bytes() == b"old content"
    assert not [p for p in path.parent.iterdir() if p.name.startswith(".")]


def test_a_device_stays_a_device(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/dev/null")
    for device in (Path("/dev/null"), tmp_path / "link"):
        write_whole(device, b"new")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode) and (tmp_path / "link").is_symlink()
    with pytest.raises(OSError) as error:
        write_whole(Path("/dev/full"), b"new")
    assert (error.value.errno, error.value.filename) == (errno.ENOSPC, "/dev/full")


def test_a_fifo_is_written_to(tmp_path: Path) -> None:
    fifo, found, content = tmp_path / "fifo", [], os.urandom(300_000)
    os.mkfifo(fifo)
    reader = threading.Thread(target=lambda: found.append(fifo.read_bytes()))
    reader.start()
    write_whole(fifo, content)
    reader.join()
    assert found == [content] and stat.S_ISFIFO(fifo.stat().st_mode)


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
@pytest.mark.parametrize("to_file", [True, False])
def test_standard_output_is_not_replaced(tmp_path: Path, name: str, to_file: bool) -> None:
    if not Path(name).parent.exists():
        pytest.skip(f"{name} does not exist here")
    code = "import sys; from pathlib import Path; from gpunn.files.writing import write_whole\n"
    code += "print('before'); write_whole(Path(sys.argv[1]), b'content\\n'); print('after')"
    command = [sys.executable, "-c", code, name]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    if to_file:
        (tmp_path / "log").write_text("earlier\n")
        with (tmp_path / "log").open("a") as file:
            subprocess.run(command, stdout=file, env=environment, check=True)
        assert (tmp_path / "log").read_text() == "earlier\nbefore\ncontent\nafter\n"
    else:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
        assert done.stdout == "before\ncontent\nafter\n"


def test_a_folder_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError) as error:
        write_whole(tmp_path, b"new")
    assert error.value.filename == str(tmp_path)


def test_a_long_name_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("é" * 125 + "xxxxx")
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"


def test_the_same_file_is_recognised(path: Path) -> None:
    link, hard, other = (path.with_name(name) for name in ("link", "hard", "other"))
    link.symlink_to(path)
    os.link(path, hard)
    other.write_bytes(path.read_bytes())
    for spelling in (path, link, hard, path.parent / "." / "file"):
        assert same_file(path, spelling)
        with pytest.raises(ValueError, match=r"would overwrite .*file, which is an input: choose another"):
            check_not_input(spelling, [other, path])
    for name in (other, path.with_name("missing"), Path("/dev/null")):
        assert not same_file(path, name)
        check_not_input(name, [path])
    assert not same_file(Path("/dev/null"), Path("/dev/null"))


def test_only_temporary_files_are_removed(path: Path) -> None:
    left = writing._write_beside(path, b"half", None)
    backup = writing._write_beside(path, b"old", None, "bak")
    (path.parent / ".hidden.tmp").write_bytes(b"mine")
    remove_temporary_files(path.parent)
    assert not left.exists() and backup.exists() and (path.parent / ".hidden.tmp").exists()
    remove_temporary_files(path.parent / "missing")


@pytest.mark.parametrize("locked", [False, True])
def test_the_next_write_removes_what_a_killed_one_left(path: Path, locked: bool) -> None:
    fcntl = pytest.importorskip("fcntl")
    stale, young, other, mine = (
        path.with_name(name)
        for name in (".file.00000000.tmp", ".file.11111111.tmp", ".files.00000000.tmp", ".file.mine.tmp")
    )
    for left in (stale, young, other, mine):
        left.write_bytes(b"half")
        os.utime(left, (0, 0) if left != young else None)
    with stale.open("rb") as file:
        if locked:
            fcntl.flock(file, fcntl.LOCK_EX)
        write_whole(path, b"new")
    kept = {path.name, young.name, other.name, mine.name} | ({stale.name} if locked else set())
    assert set(os.listdir(path.parent)) == kept
