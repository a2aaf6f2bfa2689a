"""`gpunn train --ensemble`: several networks trained at once, as one model in one run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import DIGITS, start_process, wait_until
from reporting import RunCommand
from tabular import fruits
from threadpoolctl import threadpool_limits

from gpunn import Ensemble, Network
from gpunn.cli import display, job
from gpunn.sweeps import sweep
from gpunn.sweeps.outcome import Outcome
from gpunn.sweeps.progress import NetworkEnd

TRAIN = ["train", "digits", "--hidden", 12, "--epochs", 3, "--device", "cpu"]
THREE = [*TRAIN, "--ensemble", 3, "--seed", 5]


@pytest.fixture
def fruit(tmp_path: Path) -> Path:
    path = tmp_path / "fruit.csv"
    path.write_text(fruits(200))
    (tmp_path / "more.csv").write_text(fruits(80, seed=1))
    return path


class Impatient(display.SweepDisplay):
    """Ctrl-C after the second network."""

    def __call__(self, end: NetworkEnd) -> None:
        if end.done == 2:
            raise KeyboardInterrupt


def theta(run: str) -> list[bytes]:
    return [net.theta.tobytes() for net in Ensemble.load(run).networks]


@pytest.mark.parametrize("options", [[], ["--patience", 2, "--dropout", 0.2], ["--schedule", "cosine"]])
def test_each_network_is_the_one_trained_by_itself(gpunn_: RunCommand, options: list[Any]) -> None:
    with threadpool_limits(1):
        assert gpunn_(*THREE, *options, "--output", "run")[0] == 0
        for seed, expected in zip((5, 6, 7), theta("run"), strict=True):
            assert gpunn_(*TRAIN, *options, "--seed", seed, "--output", f"{seed}")[0] == 0
            assert Network.load(str(seed)).theta.tobytes() == expected
    assert [net.meta["seed"] for net in Ensemble.load("run").networks] == [5, 6, 7]


def test_networks_for_a_table_stop_on_rows_of_their_own(gpunn_: RunCommand, fruit: Path) -> None:
    train = ["train", fruit, "--target", "kind", "--test", "more.csv", "--epochs", 9, "--device", "cpu"]
    with threadpool_limits(1):
        assert gpunn_(*train, "--ensemble", 2, "--patience", 2, "--output", "run")[0] == 0
        for seed, expected in zip((0, 1), theta("run"), strict=True):
            single = "--ensemble", 1, "--seed", seed, "--output", f"{seed}"
            assert gpunn_(*train, *single, "--patience", 2)[0] == 0
            assert Network.load(str(seed)).theta.tobytes() == expected


def test_the_test_is_of_the_mean_and_the_networks_stand_beside_it(gpunn_: RunCommand) -> None:
    code, out, err = gpunn_(*THREE, "--output", "run", "--json")
    result, ensemble, test = json.loads(out), Ensemble.load("run"), DIGITS.test
    assert (code, err) == (0, "")
    assert result["network"] == "3 × 64-12-10"
    assert result["test_accuracy"] == np.mean(ensemble.predict(test.X) == test.y)
    for member, net in zip(result["members"], ensemble.networks, strict=True):
        assert member["test_accuracy"] == net.evaluate(test.X, test.y)[1]
        assert (member["seed"], member["epochs"], member["stopped"]) == (net.meta["seed"], 3, "")
    assert not Path("run/members").exists()
    accuracies = [member["test_accuracy"] for member in result["members"]]
    span = f"{min(accuracies):.2%} to {max(accuracies):.2%}"
    code, out, err = gpunn_(*THREE, "--output", "again")
    assert f"test accuracy {result['test_accuracy']:.2%}, single networks {span}, 3 epochs in" in out
    assert "digits, 1,437 examples: 3 × 64-12-10, 2,730 parameters, nesterov, on cpu" in out
    assert "gpunn demo" not in out
    assert "3/3 networks" in err
    page = Path("again/report.html").read_text()
    assert f"<dt>single networks</dt>\n      <dd>{span}<small>the 3 networks by themselves" in page
    assert "each network" in page
    assert "First-layer weights" not in page


def test_every_command_takes_it(gpunn_: RunCommand, refused: Callable[..., None], fruit: Path) -> None:
    train = ["train", fruit, "--target", "kind", "--epochs", 2, "--device", "cpu", "--ensemble", 2]
    assert gpunn_(*train, "--output", "run")[0] == 0
    tested = json.loads(Path("run/run.json").read_text())["result"]["test_accuracy"]
    code, out, _ = gpunn_("evaluate", "run", "--json")
    assert (code, json.loads(out)["accuracy"]) == (0, tested)
    code, out, _ = gpunn_("predict", "run", "more.csv")
    assert (code, len(out.splitlines())) == (0, 81)
    assert gpunn_("report", "run", "--no-browser")[0] == 0
    refused(["demo", "run"], "run is an ensemble, but the page shows the layers of one network: choose a")
    refused(["train", "--from", "run"], "run is an ensemble, but --from starts from one network: name the")
    refused(["train", "--from", "run", "--ensemble", 2], "--from starts from the weights of one network")
    refused(["train", "--resume", "run"], "run has a whole ensemble: there is nothing to resume")


def test_a_picture_is_classified_by_the_mean(gpunn_: RunCommand) -> None:
    assert gpunn_(*THREE, "--output", "run")[0] == 0
    np.save("some.npy", DIGITS.test.X[:, :4].T)
    code, out, _ = gpunn_("predict", "run", "some.npy", "--json")
    p = Ensemble.load("run").forward(DIGITS.test.X[:, :4])
    assert code == 0
    found = [each["probability"] for each in json.loads(out)["predictions"]]
    np.testing.assert_allclose(found, p.max(0), rtol=1e-6)


def test_folds_train_ensembles(gpunn_: RunCommand, fruit: Path) -> None:
    train = ["train", fruit, "--target", "kind", "--cv", 2, "--epochs", 3, "--device", "cpu", "--json"]
    one, two = (json.loads(gpunn_(*train, "--ensemble", n)[1])["cv"]["folds"] for n in (1, 2))
    assert len(two) == 2
    assert [fold["loss"] for fold in one] != [fold["loss"] for fold in two]


def test_ctrl_c_keeps_what_is_finished_and_resume_trains_the_rest(
    gpunn_: RunCommand, refused: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(job, "SweepDisplay", Impatient)
        code, out, _ = gpunn_(*THREE, "--output", "run")
    assert code == 130
    assert "interrupted after 2 of 3 networks" in out
    assert "  gpunn train --resume run\n" in out
    first = theta("run")
    assert len(first) == 2
    assert "the ensemble has 2 of 3 networks" in Path("run/report.html").read_text()
    kept = {path: path.stat().st_mtime_ns for path in Path("run/members").glob("network-*")}
    assert len(kept) == 2
    refused([*TRAIN, "--output", "run"], "run has networks of an ensemble that is not whole: continue it")
    refused(["train", "--resume", "run", "--epochs", 9], "run are trained for 3 epochs already: leave out")
    with monkeypatch.context() as patched:
        patched.setattr(sweep, "_check_any", lambda outcomes: untouched(kept))
        assert gpunn_("train", "--resume", "run")[0] == 0
    gpunn_(*THREE, "--output", "whole")
    assert theta("run") == theta("whole")
    assert theta("run")[:2] == first
    assert not Path("run/members").exists()


def untouched(kept: dict[Path, int]) -> None:
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def test_a_killed_run_is_told_and_resumed(gpunn_: RunCommand) -> None:
    train = ["train", "digits", "--hidden", 8, "--epochs", 20, "--device", "cpu", "--ensemble", 30]
    run = start_process(*train, "--output", "run")
    wait_until(lambda: any(Path("run/members").glob("network-*")), run)
    run.kill()
    run.communicate()
    done = len(list(Path("run/members").glob("network-*")))
    code, out, _ = gpunn_("report", "run", "--no-browser")
    assert code == 0
    assert out == f"run: stopped after {done} of 30 networks; continue it with gpunn train --resume run\n"
    assert gpunn_("train", "--resume", "run")[0] == 0
    assert len(theta("run")) == 30


def test_an_unfinished_ensemble_is_replaced_if_asked(
    gpunn_: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(job, "SweepDisplay", Impatient)
        assert gpunn_(*THREE, "--output", "run")[0] == 130
    assert gpunn_(*TRAIN, "--output", "run", "--overwrite")[0] == 0
    assert not Path("run/members").exists()
    assert Network.load("run").name == "64-12-10"


def test_ctrl_c_before_the_first_network_leaves_nothing(
    gpunn_: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sweep, "train", interrupt)
    assert gpunn_(*THREE)[0] == 130
    assert not Path("gpunn-runs").exists()


def test_a_network_that_diverges_is_left_out_and_told(
    gpunn_: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = sweep.train

    def train(*arguments: Any, **keywords: Any) -> Any:
        result = original(*arguments, **keywords)
        result._outcomes[1] = Outcome("diverged", message="too far")
        return result

    monkeypatch.setattr(sweep, "train", train)
    code, _, err = gpunn_(*THREE, "--output", "run")
    assert code == 0
    assert "gpunn: warning: the ensemble is without the network of seed 6: too far\n" in err
    assert [net.meta["seed"] for net in Ensemble.load("run").networks] == [5, 7]
    assert "left out: the ensemble has 2 of 3 networks" in Path("run/report.html").read_text()


def test_networks_that_all_diverge_are_a_failure(refused: Callable[..., None]) -> None:
    wild = ["--learning-rate", 1e9, "--cost", "quadratic", "--output-activation", "identity"]
    refused([*THREE, *wild, "--json"], "the cost became inf in epoch 1", code=1)
    assert not Path("gpunn-runs").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--ensemble", 0], "Invalid value for '--ensemble': expected a whole number of 1 or more, not '0'"),
        (["--ensemble", 2, "--checkpoint-every", 1], "--checkpoint-every is for one network"),
        (["--ensemble", 2, "--tensorboard"], "--tensorboard logs the epochs of one network"),
    ],
)
def test_what_does_not_go_together_is_refused(
    refused: Callable[..., None], options: list[Any], message: str
) -> None:
    refused([*TRAIN, *options], message)
    assert not Path("gpunn-runs").exists()
