"""Trials with full disks: a small file system of its own or, without the right to mount one, small files."""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random

from benchmarks.attack import sandbox
from benchmarks.attack.disturbed import judge_model
from benchmarks.attack.material import OUTPUTS, Material
from benchmarks.attack.rules import Step, changed, contents, judge, leftovers

NEW_NAMESPACE, NEW_USER = 0x00020000, 0x10000000  # CLONE_NEWNS, CLONE_NEWUSER
PRIVATE, REMOUNT = (1 << 18) | (1 << 14), 1 << 5  # MS_PRIVATE | MS_REC, MS_REMOUNT
LARGE, PAGE = 64 << 20, 4096  # bytes
FULL = ("No space left on device", "File too large")
MOUNTED: list[Path] = []  # the small file system of this process


def mount(folder: Path) -> None:
    """Mount a small file system that only this process and its children see; do nothing without the right."""
    folder.mkdir()
    if not hasattr(os, "geteuid") or not Path("/proc/self/ns/mnt").exists():
        return
    libc = ctypes.CDLL(None, use_errno=True)
    own = os.geteuid()
    if libc.unshare(NEW_NAMESPACE if own == 0 else NEW_NAMESPACE | NEW_USER) != 0:
        return
    if own != 0:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {own} 1")
    if libc.mount(b"none", b"/", None, PRIVATE, None) == 0 and _mount(folder, 0, LARGE):
        (folder / "page").write_bytes(bytes(PAGE))  # a size of 0 would mean no limit
        MOUNTED.append(folder)


def unmount() -> None:
    """Unmount what `mount` mounted."""
    for folder in MOUNTED:
        ctypes.CDLL(None).umount2(os.fsencode(folder), 2)
    MOUNTED.clear()


def _mount(folder: Path, flags: int, size: int) -> bool:
    """Mount a file system in memory, or change its size."""
    options = f"size={size}".encode()
    return bool(ctypes.CDLL(None).mount(b"tmpfs", os.fsencode(folder), b"tmpfs", flags, options) == 0)


def full_disks(good: Material, folder: Path, rng: Random) -> Iterator[Step]:
    """Run a command that writes files on a disk with little room, or with a limit on the size of files."""
    small = bool(MOUNTED) and rng.random() < 0.7
    if small:
        folder = MOUNTED[0] / "trial"
        folder.mkdir()
    try:
        yield from _fill(good, folder, rng, small)
    finally:
        if small:
            _mount(MOUNTED[0], REMOUNT, LARGE)
            shutil.rmtree(folder)


def _fill(good: Material, folder: Path, rng: Random, small: bool) -> Iterator[Step]:
    name, again = rng.choice(["train", "train", *OUTPUTS]), rng.random() < 0.5
    command = good.disturbed_commands()[name]
    if name != "train":
        (folder / OUTPUTS[name]).write_bytes(b"old" * 10)
    elif again:
        shutil.copytree(good.path("images"), folder / "run")
        shutil.rmtree(folder / "run" / "checkpoints")
    before = contents(folder)
    room = rng.choice([0, rng.randrange(good.lengths[name].size)])
    if small:
        state = os.statvfs(folder)
        used = LARGE - state.f_bfree * state.f_frsize
        if not _mount(MOUNTED[0], REMOUNT, used + room // PAGE * PAGE):
            raise OSError(f"cannot limit {MOUNTED[0]} to {used + room:,} bytes")
    outcome = sandbox.start(command, folder, file_size=None if small else room).wait()
    broken = [*judge(outcome, [] if name == "train" else [OUTPUTS[name]]), *leftovers(folder)]
    broken += judge_model(folder / "run")
    if outcome.code != 0 and changed(before):
        broken.append("an old file is lost")
    met = any(text in outcome.err for text in FULL)
    if outcome.code in (1, 2) and not met:
        broken.append("the message does not say that the disk is full")
    yield Step(outcome, broken, met)
