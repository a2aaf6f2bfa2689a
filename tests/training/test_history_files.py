"""history.jsonl: strict JSON, held to its schema, and readable while a run writes it."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace
from pathlib import Path

import pytest

from gpunn import History, Record
from gpunn.training.callbacks import JsonLines, read_complete_records, read_records, write_records

RECORDS = [Record(k, 1 / k, 0.9, 1.5 / k, 0.8, 2.0, 100.0, 0.5) for k in range(1, 4)]


def test_numbers_that_are_not_finite_are_null(tmp_path: Path) -> None:
    odd = replace(RECORDS[0], loss=math.inf, validation_loss=math.nan, validation_score=-math.inf)
    JsonLines(tmp_path / "a")(odd)
    write_records(tmp_path / "b", [odd])
    for name in ("a", "b"):
        line = json.loads((tmp_path / name).read_text(), parse_constant=pytest.fail)
        assert (line["loss"], line["validation_loss"], line["validation_score"]) == (None, None, None)
        (found,) = read_records(tmp_path / name)
        assert math.isnan(found.loss) and found.validation_loss is found.validation_score is None
    json.loads(History("cpu", [odd]).to_json(), parse_constant=pytest.fail)


def test_the_nan_of_older_files_is_read(tmp_path: Path) -> None:
    write_records(tmp_path / "h", RECORDS[:1])
    text = (tmp_path / "h").read_text()
    (tmp_path / "h").write_text(text.replace("1.5", "NaN").replace('"loss": 1.0', '"loss": Infinity'))
    (found,) = read_records(tmp_path / "h")
    assert math.isnan(found.loss) and found.validation_loss is None


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"epoch": 2', '"epoch": 2.0', "record.epoch"),
        ('"epoch": 2', '"epoch": true', "record.epoch"),
        ('"epoch": 2', '"epoch": 3', "epoch 3 is out of order"),
        ('"loss": 0.5', '"loss": "0.5"', "record.loss"),
        ('"loss": 0.5, ', "", "'loss' is a required property"),
        ('"accuracy": 0.9', '"accuracy": 9', "record.accuracy"),
        ('"seconds": 2.0', '"seconds": NaN', "record.seconds"),
        ('"seconds": 2.0', '"seconds": 1e999', "record.seconds"),
        ('"seconds": 2.0', '"seconds": -1', "record.seconds"),
        ('"seconds": 2.0', '"seconds": [[]]', "record.seconds"),
        ('"seconds": 2.0', '"second": 2.0', "record: "),
        ("}", "", "Expecting"),
    ],
)
def test_a_line_that_is_no_record_is_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    write_records(tmp_path / "h", RECORDS)
    lines = (tmp_path / "h").read_text().splitlines(keepends=True)
    assert old in lines[1]
    (tmp_path / "h").write_text(lines[0] + lines[1].replace(old, new) + lines[2])
    with pytest.raises(ValueError, match=rf"h, line 2: not the record of an epoch: .*{said}") as error:
        read_records(tmp_path / "h")
    assert "\n" not in str(error.value)


def test_random_mutations_are_read_or_named(tmp_path: Path) -> None:
    write_records(tmp_path / "h", RECORDS)
    whole, rng = (tmp_path / "h").read_bytes(), random.Random(0)
    for _ in range(300):
        damaged = bytearray(whole)
        for _ in range(rng.randint(1, 3)):
            damaged[rng.randrange(len(damaged))] = rng.choice(b'0123456789.-+eE"{}[],: \n\0\xff')
        (tmp_path / "h").write_bytes(damaged)
        try:
            read_records(tmp_path / "h")
        except ValueError as error:
            assert str(error).startswith(f"{tmp_path / 'h'}, line ")


def test_an_incomplete_last_line_is_left_out_of_a_run_in_progress(tmp_path: Path) -> None:
    write_records(tmp_path / "h", RECORDS)
    whole = (tmp_path / "h").read_bytes()
    assert read_complete_records(tmp_path / "h") == RECORDS
    (tmp_path / "h").write_bytes(whole[:-5])
    assert read_complete_records(tmp_path / "h") == RECORDS[:2]
    (tmp_path / "h").write_bytes(b"")
    assert read_complete_records(tmp_path / "h") == []
