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
    dropout,
    gradient_check,
    held_out,
    initialisation,
    matrix_form,
    nielsen,
    preprocessing,
    report,
    rows,
    single_neuron,
    three_blue,
    wheat_seeds,
)
from benchmarks.reproductions.catalogue import REPRODUCTIONS, named
from benchmarks.reproductions.common import Claim, Finding, Reproduction, Say, in_training, silent, spread
from benchmarks.reproductions.recipe import HELD_OUT, Recipe, Search
from gpunn.datasets import Dataset, DataUnavailable
from gpunn.datasets.dataset import Split

QUICK = [
    "single-neuron",
    "two-layer-by-hand",
    "gradient-check",
    "bias-trick",
    "rows",
    "initialisation",
    "initialisation-batch-norm",
]
SEEDS = "15.26,14.84,0.871,5.763,3.312,2.221,5.22,{}\n"


# the quick claims hold


@pytest.mark.parametrize("name", QUICK)
def test_quick_claims_hold(name: str) -> None:
    found = REPRODUCTIONS[name].measure(None)
    assert found.passed, found.measured
    assert not found.figures


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


def test_layers_that_are_not_normalised_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = initialisation.deviations
    monkeypatch.setattr(initialisation, "deviations", lambda f, draw, batch_norm: plain(f, draw, False))
    assert not initialisation.measure_normalised(None).passed


def test_dropout_that_is_not_inverted_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """That keeps what it keeps as it is, or drops at test time."""
    monkeypatch.setattr(dropout, "MASKS", 50)
    assert dropout.measure(None).passed
    with monkeypatch.context() as patch:
        patch.setattr(dropout, "in_training", lambda net, X, key: 0.5 * in_training(net, X, key))
        assert not dropout.measure(None).passed
    monkeypatch.setattr(gpunn.Network, "forward", lambda net, X: in_training(net, X))
    assert not dropout.measure(None).passed


def test_a_feedforward_of_training_drops_and_normalises() -> None:
    X = np.random.default_rng(0).standard_normal((30, 50))
    shown = in_training(dropout.build(0.5), X, key=1)
    assert (shown == 0).mean() == pytest.approx(0.5, abs=0.02)
    np.testing.assert_allclose(shown[shown != 0], 2 * dropout.build(0.0).forward(X)[shown != 0], rtol=1e-12)
    a = initialisation.layer(X, "identity", np.random.default_rng(1).standard_normal((30, 30)), True)
    np.testing.assert_allclose([a.mean(1), a.std(1)], [np.zeros(30), np.ones(30)], atol=1e-3)


def test_preparations_that_do_not_pay_are_noticed() -> None:
    order = {"raw": 9.0, "centred": 9.0, "normalised": 5.0, "whitened": 2.0}
    assert preprocessing.in_order(order)
    assert not preprocessing.in_order(order | {"whitened": 5.0})
    assert not preprocessing.in_order(order | {"centred": 4.0})


def test_best_of_three_counts_all_threes() -> None:
    assert nielsen.best_of_three(0, 12) == 0 and nielsen.best_of_three(10, 12) == 1
    assert nielsen.best_of_three(1, 3) == 1
    assert nielsen.best_of_three(3, 12) == pytest.approx(1 - 84 / 220)


@pytest.mark.parametrize(
    ("peaks", "passed"), [([97.0] * 3 + [90.0] * 9, True), ([97.0] + [90.0] * 11, False)]
)
def test_nielsen_holds_by_its_rule(peaks: list[float], passed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nielsen, "run", lambda hidden, seed, say: [0.5, peaks[seed] / 100, 0.6])
    found = nielsen.measure(30, 95.0)
    assert found.passed == passed
    assert (
        found.runs["best epochs in percent"] == peaks and found.runs["last epochs in percent"] == [60.0] * 12
    )


def test_more_units_or_decay_must_show() -> None:
    fit = [capacity.Fit(cost, 1.0, length, np.zeros((2, 2))) for cost, length in [(3, 1), (2, 3), (1, 2)]]
    fits = {"3 units": [fit[0]], "6 units": [fit[1]], "20 units": [fit[2]]}
    fits |= {"20 units, L2 0.001": [fit[1]], "20 units, L2 0.01": [fit[2]], "20 units, L2 0.1": [fit[0]]}
    assert capacity.costs(fits) == [3, 2, 1] and capacity.lengths(fits) == [3, 2, 1]
    assert capacity.falling([3, 2, 1]) and not capacity.falling([3, 3, 1]) and not capacity.falling([2, 3, 1])


def test_a_mistaken_matrix_form_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matrix_form, "epoch", lambda X, labels, seed: (1e-3, 1.0, 0.1))
    monkeypatch.setattr(matrix_form, "mnist", pictures_of_nothing)
    assert not matrix_form.measure(None).passed
    monkeypatch.setattr(matrix_form, "epoch", lambda X, labels, seed: (0.0, 1.0, 0.9))
    assert not matrix_form.measure(None).passed


def test_contours_and_covariance_are_measured() -> None:
    """A slope from 0 to 1 across the square has contours that are as long as its side, at every level."""
    slope = np.tile(np.linspace(0, 1, capacity.CELLS), (capacity.CELLS, 1))
    assert capacity.variation(slope) == pytest.approx(1)
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
    scores = np.array(wheat_seeds.cross_validate(X, labels, 0, silent, epochs=60))
    assert scores.shape == (5, 2)
    ours, zero = scores.mean(axis=0)
    assert ours > 0.9 and zero <= 1 / 3


def test_untrained_seeds_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of one class has nothing to learn: the zero rule is right every time."""
    (tmp_path / "wheat-seeds.csv").write_text(SEEDS.format(2) * 10)
    monkeypatch.setenv("GPUNN_DATA", str(tmp_path))
    monkeypatch.setattr(wheat_seeds, "EPOCHS", 1)
    found = wheat_seeds.measure(None)
    assert not found.passed and "zero rule 100.0 %" in found.measured


# the command


def pictures_of_nothing() -> Dataset:
    """MNIST's shape with a hundred random images, which teach nothing."""
    rng = np.random.default_rng(0)
    split = Split(rng.integers(0, 256, (784, 100), np.uint8), rng.integers(0, 10, 100))
    return Dataset("mnist", split, split, (28, 28), tuple("0123456789"))


def test_command_writes_json_and_exits_by_result(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command.main(["rows", "bias-trick", "--output", str(tmp_path)]) == 0
    assert "2 passes, 0 FAILS, 0 skipped" in capsys.readouterr().out
    assert command.main(["two-layer-by-hand", "--output", str(tmp_path)]) == 0
    kept = json.loads((tmp_path / "reproductions.json").read_text(encoding="utf-8"))
    assert [entry["name"] for entry in kept] == ["two-layer-by-hand", "bias-trick", "rows"]
    assert all(entry["result"] == "passes" and entry["measured"] and entry["runs"] for entry in kept)
    monkeypatch.setattr(command, "PAGE", page := tmp_path / "page.md")
    page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n", encoding="utf-8")
    assert command.main(["--page", "--output", str(tmp_path)]) == 0
    text = page.read_text(encoding="utf-8")
    assert text.count("| passes |") == text.count("- **Measured**: ") == 3
    assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text


def test_pictures_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of networks that learnt nothing, which is then said."""
    pytest.importorskip("matplotlib")
    assert command.main(["initialisation", "--output", str(tmp_path)]) == 0
    monkeypatch.setattr(three_blue, "mnist", pictures_of_nothing)
    monkeypatch.setattr(three_blue, "RECIPE", replace(three_blue.RECIPE, epochs=1))
    found = three_blue.measure(tmp_path / "reproductions")
    assert not found.passed and len(found.figures) == 2
    for path in [*(tmp_path / "reproductions").glob("initialisation*.png"), *found.figures]:
        assert path.read_bytes().startswith(b"\x89PNG")


def test_unknown_name_exits_2_with_the_near_match(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["wheat-seed"]) == 2
    assert "did you mean 'wheat-seeds'?" in capsys.readouterr().err


def replaced(measure: Callable[..., Finding]) -> dict[str, Reproduction]:
    return {"odd": Reproduction(Claim("odd", "One is two.", "nobody", "it is"), measure)}


def lacking(folder: Path | None, say: Say) -> Finding:
    raise DataUnavailable("odd.csv is missing: put it there")


def broken(folder: Path | None, say: Say) -> Finding:
    raise gpunn.Diverged("the cost became nan")


@pytest.mark.parametrize(
    ("measure", "code", "words"),
    [
        (lacking, 0, ["odd skipped", "put it there", "0 passes, 0 FAILS, 1 skipped"]),
        (broken, 1, ["odd FAILS", "the cost became nan", "1 FAILS"]),
        (lambda folder, say: Finding("1", False, {}), 1, ["odd FAILS"]),
    ],
)
def test_skipped_and_failing_are_told_apart(
    measure: Callable[..., Finding],
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
    quick, slow = (replace(one, claim=replace(one.claim, name=f"a-{name}")) for name in ("quick", "slow"))
    table = {"a-quick": quick, "a-slow": replace(slow, long=True)}
    monkeypatch.setattr(command, "REPRODUCTIONS", table)
    assert command.choose([], full=False) == command.choose(["a"], full=False) == [table["a-quick"]]
    assert command.choose([], full=True) == command.choose(["a"], full=True) == list(table.values())
    assert command.choose(["a-slow"], full=False) == [table["a-slow"]]


@pytest.mark.parametrize("name", ["nielsen", "initialisation", "preprocessing", "mlp-mnist", "dropout"])
def test_names_stand_for_their_families(name: str) -> None:
    """Also where a name ends in the middle of a word, it is none."""
    assert all(one.claim.name.startswith(name) for one in named(name, REPRODUCTIONS))
    with pytest.raises(ValueError, match="did you mean"):
        named(name[:-1], REPRODUCTIONS)


def test_several_figures_are_told_by_their_median() -> None:
    assert spread(np.array([3.0, 1.0, 2.0]), "{:.0f} %") == "median 2 % of 3 runs (1 % to 3 %)"
    assert spread(np.array([3.0]), "{:.0f} %") == "3 %"


# settings and results do not drift


def test_a_search_judges_by_examples_that_were_not_learnt() -> None:
    """Labels of the last tenth that contradict all others are all missed."""
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 2
    X = rng.integers(0, 50, (784, 200)).astype(np.uint8)
    X[:392, labels == 1] += 200
    X[392:, labels == 0] += 200
    labels[-200 // HELD_OUT :] ^= 1
    recipe = Recipe((2,), "tanh", "softmax", "cross-entropy", eta=0.01, epochs=50, batch_size=10)
    search = Search({"eta": (0.1, 0.01), "l2": (0.0, 0.1)}, epochs=5)
    assert search.candidates()[:2] == [{"eta": 0.1, "l2": 0.0}, {"eta": 0.1, "l2": 0.1}]
    assert search.error(recipe, {"l2": 0.0}, Split(X, labels)) == 1


@pytest.mark.parametrize("name", held_out.SEARCHES)
def test_recipes_are_what_the_held_out_tenth_chose(name: str) -> None:
    recipe, search = held_out.SEARCHES[name]
    trials = json.loads(held_out.RESULTS.read_text(encoding="utf-8"))[name]
    assert [trial["settings"] for trial in trials] == [held_out.plain(one) for one in search.candidates()]
    assert held_out.best(trials).items() <= held_out.plain(recipe.settings()).items()


def test_results_are_of_these_claims() -> None:
    """What is committed was measured by the claims, rules and settings as they stand."""
    entries = report.read(command.RESULTS)
    assert list(entries) == list(REPRODUCTIONS)
    for name, reproduction in REPRODUCTIONS.items():
        claim, entry = reproduction.claim, entries[name]
        texts = (entry["claim"], entry["source"], entry["holds if"])
        assert texts == (claim.text, claim.source, claim.rule), name
        assert entry["settings"] == held_out.plain(claim.settings), name
        for figure in entry["figures"]:
            assert (command.RESULTS / figure).is_file()


def test_the_documentation_has_the_results(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_bytes(command.PAGE.read_bytes())
    report.update_page(command.RESULTS, page)
    assert page.read_text(encoding="utf-8") == command.PAGE.read_text(encoding="utf-8")
