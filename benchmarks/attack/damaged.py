"""Trials with damaged inputs: a good file is damaged, and a command reads it."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.attack import sandbox
from benchmarks.attack.bombs import BOMBS, bomb
from benchmarks.attack.damage import damage
from benchmarks.attack.doors import DOORS, Command, Door
from benchmarks.attack.material import CPU_ONLY, QUICK, TRAIN_TABLE, Material
from benchmarks.attack.rules import Step, changed, contents, judge, leftovers
from benchmarks.attack.sandbox import Outcome
from gpunn.files.tensors import DIGEST
from gpunn.network import Network

FRESH = 0.005  # share of the trials in a new interpreter
DRAWN = 0.1  # share of the others whose reports have charts
HOSTILE = 0.1  # share of the files with a hostile name
NAMES = ("\x1b[31m", "\n", "\u202e", "\udcff", " ", "=1+1", "ä💥", "%s{0}", "\\x41", "'\"`$(true)", "x" * 200)


def attempt(door_name: str, good: Material, folder: Path, rng: Random) -> Iterator[Step]:
    """Damage a file, run a command that reads it, and yield the process."""
    door = DOORS[door_name]
    source = rng.choice([path for name in door.sources for path in sorted(good.folder.glob(name))])
    other = rng.choice([path for path in sorted(good.folder.iterdir()) if path.is_file()]).read_bytes()
    whole = source.read_bytes()
    path, damaged = _place(door, source, good, folder, rng), damage(whole, rng, other)
    path.write_bytes(damaged)
    before = contents(folder)
    command = rng.choice(door.commands(good, str(path.relative_to(folder))))
    outcome = _run(command, folder, rng, path if door.piped else None)
    sealed = door.checked and _seal(whole) != _seal(damaged)  # a valid model, which may not fit its data
    named = [] if sealed else [_shown(path.name), *door.named]
    broken = [*judge(outcome, named), *leftovers(folder)]
    if "--resume" not in command:
        broken += ["an input was changed"] if changed(before) else []
    elif command[0] == "train":
        expected = door_name == "checkpoint" and _seal(damaged) == _seal(whole)
        broken += _judge_resumed(outcome, good, folder, expected)
    if door.checked and outcome.code == 0 and _means_something_else(whole, damaged, path):
        broken.append("damage was not noticed")
    yield Step(outcome, broken, met=damaged != whole)


def explode(good: Material, folder: Path, rng: Random) -> Iterator[Step]:
    """Read a small file that unpacks to gigabytes."""
    name = rng.choice(list(BOMBS))
    path = folder / name
    path.write_bytes(bomb(name))
    if name.endswith(".safetensors"):
        commands: Sequence[Command] = [["predict", name, good.path("columns.npy")]]
    elif name.endswith(".png"):
        commands = [["predict", good.path("images"), name]]
    else:
        commands = [["train", name, *options, "--output", "out"] for options in (TRAIN_TABLE, QUICK)]
        commands = [*commands, ["predict", good.path("table"), name]]
        commands = [*commands, ["evaluate", good.path("table"), name, *CPU_ONLY]]
    before = contents(folder)
    outcome = _run(rng.choice(commands), folder, rng)
    broken = [*judge(outcome, [name]), *leftovers(folder)]
    yield Step(outcome, [*broken, *(["an input was changed"] if changed(before) else [])])


def _run(command: Command, folder: Path, rng: Random, stdin: Path | None = None) -> Outcome:
    fresh, drawn = rng.random() < FRESH, rng.random() < DRAWN
    prepare = None if drawn else sandbox.leave_out_charts
    return sandbox.start(command, folder, prepare, stdin=stdin, fresh=fresh).wait()


def _place(door: Door, source: Path, good: Material, folder: Path, rng: Random) -> Path:
    """Return the path of the damaged file, after copying the folder that it belongs to."""
    if door.copied:
        shutil.copytree(good.path(door.copied), folder / door.copied)
    if door.copied and not door.name:
        return folder / source.relative_to(good.folder)
    if door.name:
        (folder / door.name).with_suffix("").unlink(missing_ok=True)  # a .gz file replaces the plain file
        return folder / door.name
    hostile = rng.choice(NAMES) if rng.random() < HOSTILE else ""
    return folder / f"bad{hostile}{''.join(source.suffixes)}"


def _shown(name: str) -> str:
    """Return what a message must contain of a file's name: its first letters if the name is hostile."""
    return "bad" if name.startswith("bad") else os.fsencode(name).decode(errors="replace")


def _judge_resumed(outcome: Outcome, good: Material, folder: Path, expected: bool) -> Iterator[str]:
    """Yield a rule if the resumed run does not reach the weights of the run that was never damaged.

    expected: whether it must be resumed, because an older checkpoint is whole.
    """
    if not expected:
        return
    if outcome.code == 0 and Network.load(folder / "images").theta.tobytes() != good.theta():
        yield "the resumed run differs"
    elif outcome.code != 0 and expected:
        yield "not resumed from the older checkpoint"


def _means_something_else(whole: bytes, damaged: bytes, path: Path) -> bool:
    """Whether a damaged model that was accepted, and was not sealed again, differs from the good one."""
    found = []
    for content in (whole, damaged):
        path.write_bytes(content)
        net = Network.load(path)
        described: Any = repr(net), net.theta.tobytes(), net.meta
        found.append(described)
    return bool(found[0] != found[1]) and _seal(whole) == _seal(damaged)


def _seal(content: bytes) -> bytes:
    """Return the digest in a safetensors file."""
    found = re.search(rb'"%s": ?"([^"]*)' % DIGEST.encode(), content)
    return found[1] if found else b""
