"""Read and write a run's folder.

`model.safetensors` holds the network, `history.jsonl` its epochs, and `run.json` the rest: {"format":
"gpunn-run", "version": 1, "result" (the output of `gpunn train --json`), "findings" (see `findings`; null
without a test), "notes" (remarks on the data), "command" (reproduces the run), "ended", "machine",
"versions", "members" (only of an ensemble: the epochs of each network), "columns" (only of a table: what was
decided about each column), "explanation" (only of a table: what drives the network), "digest" (a
checksum of all this and the epochs, which runs of gpunn 0.1.0 lack)}.
`gpunn/files/schema/run.json` is its JSON schema.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gpunn.files.model import check_meta
from gpunn.files.strict_json import dump_json, explain_mismatch, null_if_not_finite, parse_json
from gpunn.files.tensors import DIGEST, digest
from gpunn.files.writing import write_whole
from gpunn.predictor import Predictor
from gpunn.report.findings import ClassificationFindings, Findings, from_json, to_json
from gpunn.sweeps.ensemble import load
from gpunn.tables.decisions import Decision
from gpunn.tables.explaining import Explanation
from gpunn.tables.explaining import from_json as explanation_from_json
from gpunn.training.callbacks import read_records
from gpunn.training.checkpoint_files import Checkpoints
from gpunn.training.history import History, Record

FORMAT, VERSION = "gpunn-run", 1
MOST_COLUMNS = 1000
STORED = ("result", "notes", "command", "ended", "machine", "versions")
ALSO_IN_META = ("epochs", "seconds", "settings")  # keys of the result that the model's meta repeats


@dataclass(frozen=True, eq=False)
class Run:
    """A finished run: the network, its training and its test.

    Attributes:
        result: the output of `gpunn train --json`.
        findings: the findings of the test, None without one.
        notes: remarks on the data.
        command: the command that reproduces the run.
        ended: the date and time at which the run ended.
        machine: the CPU, its cores and the number of threads, in words.
        versions: the versions of gpunn, Python and the libraries, by name.
        members: the histories of the networks of an ensemble.
        columns: what was decided about each column of a table; kept of the first MOST_COLUMNS.
        explanation: what drives the network, if it was trained on a table.
    """

    folder: Path
    net: Predictor
    history: History
    result: Mapping[str, Any]
    findings: Findings | None
    notes: Sequence[str]
    command: str
    ended: str
    machine: str
    versions: Mapping[str, str]
    members: Sequence[History] = ()
    columns: Sequence[Decision] = ()
    explanation: Explanation | None = None

    @property
    def data(self) -> str:
        """The name of the data, without its folder."""
        return Path(self.result["dataset"]).name

    @property
    def files(self) -> list[Path]:
        """The files that a report is made from."""
        names = "run.json", "history.jsonl", "model.safetensors"
        return [*(self.folder / name for name in names), *Checkpoints(self.folder / "checkpoints").files()]

    def save(self) -> None:
        """Write `run.json`. The network and its history are written by others."""
        kept: dict[str, Any] = {name: getattr(self, name) for name in STORED}
        kept |= {"format": FORMAT, "version": VERSION, "findings": to_json(self.findings)}
        if self.members:
            kept["members"] = [[asdict(record) for record in history] for history in self.members]
        if self.columns:
            kept["columns"] = [asdict(column) for column in self.columns[:MOST_COLUMNS]]
        if self.explanation:
            kept["explanation"] = asdict(self.explanation)
        kept[DIGEST] = _digest(kept, self.history)
        write_whole(self.folder / "run.json", dump_json(kept).encode())

    @classmethod
    def load(cls, folder: Path) -> Run:
        """Read a run's folder. Raises ValueError, in one line, if it is not a run's folder or is damaged."""
        path = folder / "run.json"
        if not folder.is_dir():
            raise ValueError(
                f"{folder} is not a folder: pass the folder of a run"
                if folder.exists()
                else f"{folder} does not exist"
            )
        if not path.exists():
            raise ValueError(
                f"{folder} is not the folder of a run: it has no run.json, which gpunn train writes"
            )
        kept = _read(path)
        net, result, found = load(folder), kept["result"], from_json(kept["findings"])
        check_meta(folder, net.meta)
        if isinstance(found, ClassificationFindings) and not _is_square(found.confusion, len(found.classes)):
            raise ValueError(f"{path} is damaged: its confusion matrix does not match its classes")
        records = _records(folder / "history.jsonl")
        if any(net.meta.get(name) != result[name] for name in ALSO_IN_META):
            raise ValueError(f"{path} and model.safetensors belong to different runs: train again")
        if len(records) != result["epochs"] or (records and records[-1].loss != result["train_loss"]):
            raise ValueError(f"{path} and history.jsonl belong to different runs: train again")
        if DIGEST in kept and kept[DIGEST] != _digest(kept, records):
            raise ValueError(f"{path} or history.jsonl is damaged: their content does not match their digest")
        history = History(result["device_description"], records, result["stopped"])
        members = [History("", [Record(**each) for each in epochs]) for epochs in kept.get("members", ())]
        stored: dict[str, Any] = {name: kept[name] for name in STORED}
        columns = [Decision(**column) for column in kept.get("columns", ())]
        explanation = explanation_from_json(kept["explanation"]) if "explanation" in kept else None
        stored |= {"members": members, "columns": columns, "explanation": explanation}
        return cls(folder, net, history, findings=found, **stored)


def _read(path: Path) -> dict[str, Any]:
    try:
        kept = null_if_not_finite(parse_json(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from None
    if not isinstance(kept, dict) or kept.get("format") != FORMAT:
        raise ValueError(f"{path} was not written by gpunn train")
    if kept.get("version") != VERSION:
        raise ValueError(f"{path} has version {kept.get('version')}, but this gpunn reads version {VERSION}")
    if wrong := explain_mismatch(kept, "run.json", "run"):
        raise ValueError(f"{path} is damaged: {wrong}")
    return kept


def _digest(kept: Mapping[str, Any], records: Iterable[Record]) -> str:
    """Return a checksum of `run.json`, without its digest, and of the epochs."""
    texts = [{name: value for name, value in kept.items() if name != DIGEST}, *map(_digested, records)]
    return digest({}, *map(dump_json, texts))


def _digested(record: Record) -> dict[str, Any]:
    """Return the fields that count; the number of threads is newer than some runs."""
    return {name: v for name, v in asdict(record).items() if name != "threads" or v is not None}


def _is_square(matrix: list[list[int]], n: int) -> bool:
    return len(matrix) == n and all(len(row) == n for row in matrix)


def _records(path: Path) -> list[Record]:
    if not path.exists():
        raise ValueError(f"{path.parent} has no {path.name}, which gpunn train writes: train again")
    return read_records(path)
