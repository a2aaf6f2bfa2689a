"""The folder of a sweep: a file for each finished network, so that it is not trained again.

A file is a safetensors file, `network-DIGEST-EPOCHS.safetensors`, whose name follows from the settings, the
seed and the fold. Tensor: `theta`, in the layout of `core.parameters`. Metadata, all strings: `format`
"gpunn-sweep", `version` "1", `outcome` (JSON, as `gpunn/files/schema/sweep.json` says) and `digest`, a
checksum of both. `sweep.json` says what all the networks have in common.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np

from gpunn.files.strict_json import (
    InvalidJSON,
    dump_json,
    explain_mismatch,
    parse_json,
    tag_numbers,
    untag_numbers,
)
from gpunn.files.tensors import DIGEST, UnreadableTensors, digest, pack, read_tensors
from gpunn.files.writing import write_whole
from gpunn.sweeps.members import Member
from gpunn.sweeps.outcome import Outcome
from gpunn.sweeps.shipping import remove_leftovers
from gpunn.training.history import History, Record

FORMAT, VERSION = "gpunn-sweep", "1"
KEPT = ("done", "early", "paused", "diverged")  # the statuses that would come out again


class Store:
    """The folder of a sweep.

    Args:
        folder: the folder; it is made if it does not exist.
        about: what all the networks have in common, in words.
        resume: whether to go on with what the folder holds.

    Raises:
        ValueError: if the folder holds a sweep and `resume` is false, or it is another sweep's.
    """

    def __init__(self, folder: Path, about: Mapping[str, str], *, resume: bool) -> None:
        self.folder, path = folder, folder / "sweep.json"
        if path.exists():
            if not resume:
                raise ValueError(
                    f"{folder} already holds a sweep: pass resume=True, or choose another folder"
                )
            _check_same(path, about)
            remove_leftovers(folder)
        else:
            folder.mkdir(parents=True, exist_ok=True)
            write_whole(path, dump_json({"format": FORMAT, "version": VERSION, **about}, indent=1).encode())

    def _path(self, member: Member, epochs: int) -> Path:
        return self.folder / f"network-{member.digest}-{epochs:06}.safetensors"

    def keep(self, member: Member, epochs: int, outcome: Outcome) -> None:
        """Write a finished network, trained for up to that many epochs."""
        if outcome.status not in KEPT:
            return
        history = outcome.history
        content = {
            "member": member.key,
            "status": outcome.status,
            "message": outcome.message,
            "seconds": outcome.seconds,
            "learnt_labels": outcome.learnt_labels,
            "device": history.device,
            "stopped": history.stopped,
            "algorithms": dict(history.algorithms),
            "records": [asdict(record) for record in history],
        }
        metadata = {"format": FORMAT, "version": VERSION, "outcome": dump_json(tag_numbers(content))}
        tensors = {} if outcome.theta is None else {"theta": outcome.theta}
        write_whole(self._path(member, epochs), pack(tensors, metadata, ["outcome"]))

    def find(self, member: Member, epochs: int) -> Outcome | None:
        """Read a finished network; None if there is no file, or a damaged one."""
        try:
            metadata, tensors = read_tensors(self._path(member, epochs))
            text = metadata["outcome"]
            content = untag_numbers(parse_json(text))
        except (OSError, UnreadableTensors, KeyError, InvalidJSON):
            return None
        if metadata.get(DIGEST) != digest(tensors, text) or explain_mismatch(
            content, "sweep.json", "outcome"
        ):
            return None
        if content["member"] != member.key:
            return None
        records = [Record(**record) for record in content["records"]]
        theta = np.array(tensors["theta"]) if "theta" in tensors else None
        history = History(content["device"], records, content["stopped"], content.get("algorithms", {}))
        return Outcome(
            content["status"],
            history,
            theta,
            content["seconds"],
            content["learnt_labels"],
            content["message"],
        )


def _check_same(path: Path, about: Mapping[str, str]) -> None:
    """Raise ValueError unless the folder's sweep has all of this in common with the one that begins."""
    try:
        found = parse_json(path.read_bytes())
        assert isinstance(found, dict)
    except (OSError, InvalidJSON, AssertionError):
        raise ValueError(f"{path} is damaged: choose another folder") from None
    for name, here in about.items():
        if (there := found.get(name)) != here:
            raise ValueError(f"{path.parent} holds a sweep with another {name}: {there} there, {here} here")
