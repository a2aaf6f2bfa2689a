"""The reproductions: that the quick claims hold, that a check can fail, and that what is missing is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gpunn
from benchmarks.reproductions import (
    __main__ as command,
)
from benchmarks.reproductions import (
    bias_trick,
    by_hand,
    capacity,
    gradient_check,
    initialisation,
    matrix_form,
    preprocessing,
    rows,
    single_neuron,
    three_blue,
    wheat_seeds,
)
from benchmarks.reproductions.catalogue import REPRODUCTIONS
from benchmarks.reproductions.common import Claim, Finding, Reproduction
from gpunn.datasets import Dataset, DataUnavailable
from gpunn.datasets.dataset import Split

QUICK = ["single-neuron", "two-layer-by-hand", "gradient-check", "bias-trick", "rows", "initialisation"]
SEEDS = "15.26,14.84,0.871,5.763,3.312,2.221,5.22,{}\n"


# the quick claims hold


@pytest.mark.parametrize("name", QUICK)
def test_quick_claims_hold(name: str) -> None:
    found = REPRODUCTIONS[name].measure(None)
    assert found.passed, found.measured
    assert found.name == name and found.claim and found.source and not found.figures


def test_matrices_learn_what_the_loop_learns() -> None:
    """On noise in MNIST's shape; how much faster decides nothing here."""
    rng = np.random.default_rng(0)
    X, labels = rng.random((784, 205)), rng.integers(0, 10, 205)
    apart, loop, matrices = matrix_form.epoch(X, labels, seed=0)
    assert apart < 1e-10 and loop > 0 and matrices > 0


# and can fail


def halved(gradients: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args, **options: [(dw / 2, db) for dw, db in gradients(*args, **options)]


@pytest.mark.parametrize("module", [gradient_check, by_hand, bias_trick])
def test_a_wrong_gradient_is_noticed(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpunn.Network, "gradients", halved(gpunn.Network.gradients))
    assert not module.measure(None).passed


@pytest.mark.parametrize("module", [by_hand, rows, bias_trick])
def test_a_wrong_learning_rate_is_noticed(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpunn, "SGD", lambda eta: gpunn.optimizers.SGD(1.01 * eta))
    assert not module.measure(None).passed


def test_weights_that_break_the_symmetry_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(gpunn.INITIALIZERS, "zeros", gpunn.INITIALIZERS["normal"])
    assert not single_neuron.measure(None).passed


def test_a_neuron_that_learns_too_little_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpunn, "SGD", lambda eta: gpunn.optimizers.SGD(1e-6))
    assert not single_neuron.measure(None).passed


def test_a_wrong_scale_of_the_weights_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(initialisation.SCHEMES, "He", lambda rng, n: rng.standard_normal((n, n)) / n**0.5)
    assert not initialisation.measure(None).passed


def test_a_mistaken_matrix_form_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matrix_form, "epoch", lambda X, labels, seed: (1e-3, 1.0, 0.1))
    monkeypatch.setattr(matrix_form, "mnist", pictures_of_nothing)
    assert not matrix_form.measure(None).passed
    monkeypatch.setattr(matrix_form, "epoch", lambda X, labels, seed: (0.0, 1.0, 0.9))
    assert not matrix_form.measure(None).passed


def test_boundary_and_covariance_are_measured() -> None:
    """A square of a quarter of the side has a boundary of its own length, times π/4."""
    square = np.zeros((capacity.CELLS, capacity.CELLS), bool)
    square[40:80, 40:80] = True
    assert capacity.boundary(square) == pytest.approx(np.pi / 4)
    data = np.random.default_rng(0).standard_normal((50, 3))
    assert preprocessing.from_identity(data) > 0.05
    whitened = preprocessing.pipelines()["whitened"].fit_transform(
        data @ np.array([[1, 5, 0], [0, 1, 9], [0, 0, 1]])
    )
    assert preprocessing.from_identity(whitened) < 1e-9


# the wheat seeds' file


def test_doubled_separators_are_one(tmp_path: Path) -> None:
    file = tmp_path / "wheat-seeds.csv"
    file.write_text(
        SEEDS.format(1) + "\n" + SEEDS.format(2).replace(",5", ",,5") + SEEDS.format(3).replace(",", "\t\t")
    )
    X, labels = wheat_seeds.read(file)
    assert X.shape == (3, 7) and (X[0] == X).all() and labels.tolist() == [0, 1, 2]


@pytest.mark.parametrize("text", ["", "1,2,3\n", SEEDS.format(4), SEEDS.format(1) + "15.26,14.84\n"])
def test_damaged_tables_are_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "wheat-seeds.csv"
    file.write_text(text)
    with pytest.raises(ValueError, match="wheat-seeds"):
        wheat_seeds.read(file)


def test_cross_validation_scores_five_folds_by_both_rules() -> None:
    """Classes that the first column gives away are learnt; the zero rule gets a third at most."""
    labels = np.arange(60) % 3
    X = np.column_stack([labels, np.random.default_rng(0).random((60, 6))])
    scores = np.array(wheat_seeds.cross_validate(X, labels, epochs=60, seed=0))
    assert scores.shape == (5, 2)
    ours, zero = scores.mean(axis=0)
    assert ours > 0.9 and zero <= 1 / 3


def test_untrained_seeds_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of one class has nothing to learn: the zero rule is right every time."""
    (tmp_path / "wheat-seeds.csv").write_text(SEEDS.format(2) * 10)
    monkeypatch.setenv("GPUNN_DATA", str(tmp_path))
    found = wheat_seeds.measure(None, epochs=1, repeats=1)
    assert not found.passed and "zero rule 100.0%" in found.measured


# the command


def pictures_of_nothing() -> Dataset:
    """MNIST's shape with a hundred random images, which teach nothing."""
    rng = np.random.default_rng(0)
    split = Split(rng.integers(0, 256, (784, 100), np.uint8), rng.integers(0, 10, 100))
    return Dataset("mnist", split, split, (28, 28), tuple("0123456789"))


def test_command_writes_json_and_exits_by_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["rows", "bias-trick", "--output", str(tmp_path)]) == 0
    assert "2 passes, 0 fails, 0 skipped" in capsys.readouterr().out
    assert command.main(["two-layer-by-hand", "--output", str(tmp_path)]) == 0
    kept = json.loads((tmp_path / "reproductions.json").read_text(encoding="utf-8"))["reproductions"]
    assert [entry["name"] for entry in kept] == ["two-layer-by-hand", "bias-trick", "rows"]
    assert all(entry["result"] == "passes" and entry["measured"] for entry in kept)


def test_pictures_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of networks that learnt nothing, which is then said."""
    pytest.importorskip("matplotlib")
    assert command.main(["initialisation", "--output", str(tmp_path)]) == 0
    monkeypatch.setattr(three_blue, "mnist", pictures_of_nothing)
    found = three_blue.measure(tmp_path / "reproductions", epochs=1)
    assert not found.passed and len(found.figures) == 2
    for path in [tmp_path / "reproductions" / "initialisation.png", *found.figures]:
        assert path.read_bytes().startswith(b"\x89PNG")


def test_unknown_name_exits_2_with_the_near_match(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        command.main(["nielson"])
    assert left.value.code == 2
    assert "did you mean 'nielsen'?" in capsys.readouterr().err


def replaced(measure: Callable[[Path | None], Finding]) -> dict[str, Reproduction]:
    return {"odd": Reproduction(Claim("odd", "One is two.", "nobody"), measure)}


def lacking(folder: Path | None) -> Finding:
    raise DataUnavailable("odd.csv is missing: put it there")


def broken(folder: Path | None) -> Finding:
    raise gpunn.Diverged("the cost became nan")


@pytest.mark.parametrize(
    ("measure", "code", "words"),
    [
        (lacking, 0, ["odd skipped", "put it there", "0 passes, 0 fails, 1 skipped"]),
        (broken, 1, ["odd fails", "the cost became nan", "1 fails"]),
        (lambda folder: Claim("odd", "One is two.", "nobody").finding("1", False), 1, ["odd fails"]),
    ],
)
def test_skipped_and_failing_are_told_apart(
    measure: Callable[[Path | None], Finding],
    code: int,
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(command, "REPRODUCTIONS", replaced(measure))
    assert command.main(["--output", str(tmp_path)]) == code
    out = capsys.readouterr().out
    for word in words:
        assert word in out


def test_missing_wheat_says_what_and_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in (str(tmp_path), ""):
        monkeypatch.setenv("GPUNN_DATA", folder)
        outcome = command.run(REPRODUCTIONS["wheat-seeds"], None)
        assert outcome.result == "skipped"
        assert "wheat-seeds.csv" in outcome.measured and "put it" in outcome.measured


def test_long_ones_run_by_name_or_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    one = REPRODUCTIONS["rows"]
    table = {"short": one, "long": replace(one, long=True)}
    monkeypatch.setattr(command, "REPRODUCTIONS", table)
    assert command.parse([])[1] == [table["short"]]
    assert command.parse(["--full"])[1] == list(table.values())
    assert command.parse(["long"])[1] == [table["long"]]
