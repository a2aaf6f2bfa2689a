"""Check the command of the reproductions, its report, and the committed settings and results."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from benchmarking import random_mnist

import gpunn
from benchmarks.reproductions import __main__ as command
from benchmarks.reproductions import (
    held_out,
    initialisation,
    report,
    three_blue,
)
from benchmarks.reproductions.catalogue import REPRODUCTIONS, named
from benchmarks.reproductions.common import (
    Claim,
    Finding,
    Progress,
    Reproduction,
    spread,
)
from benchmarks.reproductions.recipe import HELD_OUT, Recipe, Search
from gpunn.datasets import DataUnavailable
from gpunn.datasets.dataset import Split


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
    page.write_text(f"before\n{report.BEGIN}\noutdated\n{report.END}\nafter\n", encoding="utf-8")
    assert command.main(["--page", "--output", str(tmp_path)]) == 0
    text = page.read_text(encoding="utf-8")
    assert text.count(" | passes |") == 3
    assert text.count("| not run yet |") == len(REPRODUCTIONS) - 3
    assert text.count("- **Measured**: ") == len(REPRODUCTIONS)
    assert "- **Measured**: `python -m benchmarks.reproductions ciresan` measures it\n" in text
    assert text.startswith("before\n") and text.endswith("after\n") and "outdated" not in text


def test_figures_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are drawn even if a network learned nothing."""
    monkeypatch.setattr(initialisation, "WIDTH", 50)
    assert command.main(["initialisation", "--output", str(tmp_path)]) == 0
    monkeypatch.setattr(three_blue, "mnist", random_mnist)
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


def lacking(folder: Path | None, progress: Progress) -> Finding:
    raise DataUnavailable("odd.csv is missing: put it there")


def broken(folder: Path | None, progress: Progress) -> Finding:
    raise gpunn.Diverged("the cost became nan")


@pytest.mark.parametrize(
    ("measure", "code", "words"),
    [
        (lacking, 0, ["odd skipped", "put it there", "0 passes, 0 FAILS, 1 skipped"]),
        (broken, 1, ["odd FAILS", "the cost became nan", "1 FAILS"]),
        (lambda folder, progress: Finding("1", False, {}), 1, ["odd FAILS"]),
    ],
)
def test_skipped_and_failing_claims_differ(
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


def test_missing_wheat_seeds_are_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in (str(tmp_path), ""):
        monkeypatch.setenv("GPUNN_DATA", folder)
        outcome = command.run(REPRODUCTIONS["wheat-seeds"], None)
        assert outcome.result == "skipped"
        assert "wheat-seeds.csv" in outcome.measured and "put it" in outcome.measured


def test_long_reproductions_run_by_name_or_with_full(monkeypatch: pytest.MonkeyPatch) -> None:
    one = REPRODUCTIONS["rows"]
    quick, slow = (replace(one, claim=replace(one.claim, name=f"a-{name}")) for name in ("quick", "slow"))
    table = {"a-quick": quick, "a-slow": replace(slow, long=True)}
    monkeypatch.setattr(command, "REPRODUCTIONS", table)
    assert command.choose([], full=False) == command.choose(["a"], full=False) == [table["a-quick"]]
    assert command.choose([], full=True) == command.choose(["a"], full=True) == list(table.values())
    assert command.choose(["a-slow"], full=False) == [table["a-slow"]]


@pytest.mark.parametrize("name", ["nielsen", "initialisation", "preprocessing", "mlp-mnist", "dropout"])
def test_a_prefix_names_a_family(name: str) -> None:
    """A prefix that ends in the middle of a word is not a name."""
    assert all(one.claim.name.startswith(name) for one in named(name, REPRODUCTIONS))
    with pytest.raises(ValueError, match="did you mean"):
        named(name[:-1], REPRODUCTIONS)


def test_several_runs_are_described_by_their_median() -> None:
    assert spread(np.array([3.0, 1.0, 2.0]), "{:.0f} %") == "median 2 % of 3 runs (1 % to 3 %)"
    assert spread(np.array([3.0]), "{:.0f} %") == "3 %"


def test_a_search_evaluates_on_held_out_examples() -> None:
    """The labels of the last tenth contradict all others, so every one of them is misclassified."""
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
def test_recipes_have_the_settings_that_the_search_chose(name: str) -> None:
    recipe, search = held_out.SEARCHES[name]
    trials = json.loads(held_out.RESULTS.read_text(encoding="utf-8"))[name]
    assert [trial["settings"] for trial in trials] == [held_out.plain(one) for one in search.candidates()]
    assert held_out.best(trials).items() <= held_out.plain(recipe.settings()).items()


def test_results_belong_to_the_current_claims() -> None:
    """The committed results were measured with the current claims, rules and settings."""
    entries = report.read(command.RESULTS)
    assert list(entries) == [name for name in REPRODUCTIONS if name in entries]
    assert REPRODUCTIONS.keys() - entries.keys() <= {"ciresan", "committee-25"}  # for whoever has a GPU
    for name, entry in entries.items():
        claim = REPRODUCTIONS[name].claim
        texts = (entry["claim"], entry["source"], entry["holds if"])
        assert texts == (claim.text, claim.source, claim.rule), name
        assert entry["settings"] == held_out.plain(claim.settings), name
        for figure in entry["figures"]:
            assert (command.RESULTS / figure).is_file()


def test_the_documentation_has_the_results(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_bytes(command.PAGE.read_bytes())
    report.update_page(command.RESULTS, page, command.CLAIMS)
    assert page.read_text(encoding="utf-8") == command.PAGE.read_text(encoding="utf-8")
