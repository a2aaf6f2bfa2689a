"""Trains the digits again and again in processes that are killed, and resumes; run by test_checkpoints.

Usage: python killing.py random SEED FOLDER  kill at random moments
       python killing.py STAGE EPOCH FOLDER  die in the writing of that epoch's checkpoint: before `fsync`,
                                             `replace` or `unlink`
Prints, as JSON, how many processes were killed, how many of them in the middle of writing a checkpoint, and
whether the network and its history are the same to the bit as without all that.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gpunn

EPOCHS = 20
KILLS = 3  # at least, however fast or slow the machine


def train(folder: Path | None) -> list[str]:
    """The weights and the history, from the newest checkpoint on; the folder None keeps none."""
    digits = gpunn.datasets.load("digits").train
    net = gpunn.Network(64, [gpunn.Dense(20, "relu"), gpunn.Dense(10, "softmax")], seed=3)
    X, y = digits.X[:, :500], digits.y[:500]
    history = net.fit(
        X, y, epochs=EPOCHS, batch_size=16, optimizer="adam", schedule="cosine", device="cpu", validation=0.2,
        stop=gpunn.EarlyStopping(patience=EPOCHS), checkpoint=folder, resume=folder is not None,
    )  # fmt: skip
    return [net._theta.flat.tobytes().hex(), *(str((r.epoch, r.loss, r.validation_loss)) for r in history)]


def in_a_process(folder: Path, prepare: Callable[[], object]) -> int:
    """Fork one that trains and writes what came out to the file `out`; its id."""
    if pid := os.fork():
        return pid
    prepare()
    (folder / "out").write_text(json.dumps(train(folder / "checkpoints")))
    os._exit(0)


def survived(pid: int) -> bool:
    status = os.waitpid(pid, 0)[1]
    assert status in (0, signal.SIGKILL), status
    return status == 0


def die_at(stage: str, epoch: int) -> None:
    """SIGKILL this process at that stage of writing the epoch's checkpoint."""
    module: Any = Path if stage == "unlink" else os
    real, seen = getattr(module, stage), [0]

    def stop_there(*arguments: Any, **keywords: Any) -> Any:
        seen[0] += 1
        if seen[0] == epoch:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **keywords)

    setattr(module, stage, stop_there)


def main(how: str, number: int, folder: Path) -> dict[str, Any]:
    expected, rng, killed, half_written = train(None), random.Random(number), 0, set[str]()
    same, wanted = True, KILLS if how == "random" else 1
    while True:
        stage = how != "random" and not killed
        pid = in_a_process(folder, lambda stage=stage: stage and die_at(how, number))
        if how == "random":
            time.sleep(rng.uniform(0.0, 0.06 * 1.1**killed))  # ever later, so that it ends on a slow machine
            os.kill(pid, signal.SIGKILL)
        if survived(pid):
            same = same and json.loads((folder / "out").read_text()) == expected
            if killed >= wanted:
                break
            shutil.rmtree(folder / "checkpoints")  # it was faster than the killer: once more from the start
            continue
        killed += 1
        half_written |= {path.name for path in folder.glob("checkpoints/.epoch-*")}
    left = sorted(p.name for p in (folder / "checkpoints").iterdir())
    return {"killed": killed, "writing": len(half_written), "same": same, "left": left}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))))
