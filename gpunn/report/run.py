"""A run's folder, as a report needs it.

`model.safetensors` is the network, `history.jsonl` its epochs, and `run.json` the rest: {"format":
"gpunn-run", "version": 1, "result" (what `gpunn train --json` prints), "findings" (see `findings`; null
without a test), "notes" (what was found in the data), "command" (to train the same again), "ended",
"machine", "versions"}.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpunn.callbacks import read_records
from gpunn.history import History, Record
from gpunn.modelfile import write_whole
from gpunn.network import Network
from gpunn.report.findings import Findings, from_json, to_json

FORMAT, VERSION = "gpunn-run", 1
NAMES = {"result": dict, "notes": list, "command": str, "ended": str, "machine": str, "versions": dict}
RESULT = ("dataset", "device", "network", "parameters", "train_examples", "epochs", "best_epoch", "settings")
OF_THE_MODEL = ("epochs", "seconds", "settings")  # what its meta says, too
SCORES = ("test_accuracy", "test_rmse", "cv")  # one at least


@dataclass(frozen=True, eq=False)
class Run:
    """What was trained, how that went and what came out.

    result: as `gpunn train --json` prints it. notes: what was found in the data, in words. command: to train
    the same again. ended: when. machine: in words. versions: by name.
    """

    folder: Path
    net: Network
    history: History
    result: Mapping[str, Any]
    findings: Findings | None
    notes: Sequence[str]
    command: str
    ended: str
    machine: str
    versions: Mapping[str, str]

    @property
    def data(self) -> str:
        """What it was trained on, without the folders that it lies in."""
        return Path(self.result["dataset"]).name

    def save(self) -> None:
        """Write `run.json`; the network and its history are there already."""
        kept: dict[str, Any] = {name: getattr(self, name) for name in NAMES}
        kept |= {"format": FORMAT, "version": VERSION, "findings": to_json(self.findings)}
        write_whole(self.folder / "run.json", json.dumps(kept).encode())

    @classmethod
    def load(cls, folder: Path) -> Run:
        """Read a run's folder. ValueError, in one line, for one that is none, or is damaged."""
        path = folder / "run.json"
        if not folder.is_dir():
            raise ValueError(
                f"{folder} is no folder of a run" if folder.exists() else f"{folder} does not exist"
            )
        if not path.exists():
            raise ValueError(
                f"{folder} is not the folder of a run: it has no run.json, which gpunn train writes"
            )
        kept = _read(path)
        net, result = Network.load(folder), kept["result"]
        try:
            found, epochs = from_json(kept["findings"]), int(result["epochs"])
            device, stopped = result["device_description"], result["stopped"]
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is damaged: {error!r}") from None
        records = _records(folder / "history.jsonl")
        if any(net.meta.get(name) != result.get(name) for name in OF_THE_MODEL):
            raise ValueError(f"{path} and model.safetensors are of different runs: train again")
        if len(records) != epochs or (records and records[-1].loss != result.get("train_loss")):
            raise ValueError(f"{path} and history.jsonl are of different runs: train again")
        return cls(
            folder, net, History(device, records, stopped), findings=found, **{n: kept[n] for n in NAMES}
        )


def _read(path: Path) -> dict[str, Any]:
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from None
    if not isinstance(kept, dict) or kept.get("format") != FORMAT:
        raise ValueError(f"{path} is not what gpunn train writes there")
    if kept.get("version") != VERSION:
        raise ValueError(f"{path} has version {kept.get('version')}; this gpunn reads {VERSION}")
    for name, kind in {**NAMES, "findings": dict | None}.items():
        if name not in kept or not isinstance(kept[name], kind):
            raise ValueError(f"{path} is damaged: it has no {name}")
    missing = [name for name in RESULT if name not in kept["result"]]
    if not any(name in kept["result"] for name in SCORES):
        missing.append("score")
    if missing:
        raise ValueError(f"{path} is damaged: its result has no {missing[0]}")
    return kept


def _records(path: Path) -> list[Record]:
    if not path.exists():
        raise ValueError(f"{path.parent} has lost its history: there is no {path.name}")
    return read_records(path)
