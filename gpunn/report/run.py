"""A run's folder, as a report needs it.

`model.safetensors` is the network, `history.jsonl` its epochs, and `run.json` the rest: {"format":
"gpunn-run", "version": 1, "result" (what `gpunn train --json` prints), "findings" (see `findings`; null
without a test), "notes" (what was found in the data), "command" (to train the same again), "ended",
"machine", "versions"}. `gpunn/files/schema/run.json` is its JSON schema.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpunn.files.model import check_meta
from gpunn.files.writing import complaint, parse, write_whole
from gpunn.network import Network
from gpunn.report.findings import Classified, Findings, from_json, to_json
from gpunn.training.callbacks import read_records
from gpunn.training.history import History, Record

FORMAT, VERSION = "gpunn-run", 1
NAMES = ("result", "notes", "command", "ended", "machine", "versions")
OF_THE_MODEL = ("epochs", "seconds", "settings")  # what its meta says, too


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
        net, result, found = Network.load(folder), kept["result"], from_json(kept["findings"])
        check_meta(folder, net.meta)
        if isinstance(found, Classified) and not _is_square(found.confusion, len(found.classes)):
            raise ValueError(f"{path} is damaged: its confusion matrix is not one of its classes")
        records = _records(folder / "history.jsonl")
        if any(net.meta.get(name) != result[name] for name in OF_THE_MODEL):
            raise ValueError(f"{path} and model.safetensors are of different runs: train again")
        if len(records) != result["epochs"] or (records and records[-1].loss != result["train_loss"]):
            raise ValueError(f"{path} and history.jsonl are of different runs: train again")
        history = History(result["device_description"], records, result["stopped"])
        return cls(folder, net, history, findings=found, **{name: kept[name] for name in NAMES})


def _read(path: Path) -> dict[str, Any]:
    try:
        kept = parse(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from None
    if not isinstance(kept, dict) or kept.get("format") != FORMAT:
        raise ValueError(f"{path} is not what gpunn train writes there")
    if kept.get("version") != VERSION:
        raise ValueError(f"{path} has version {kept.get('version')}; this gpunn reads {VERSION}")
    if wrong := complaint(kept, "run.json", "run"):
        raise ValueError(f"{path} is damaged: {wrong}")
    return kept


def _is_square(matrix: list[list[int]], n: int) -> bool:
    return len(matrix) == n and all(len(row) == n for row in matrix)


def _records(path: Path) -> list[Record]:
    if not path.exists():
        raise ValueError(f"{path.parent} has lost its history: there is no {path.name}")
    return read_records(path)
