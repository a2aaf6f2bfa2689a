"""Run small benchmarks, and check their results, tables and charts. Timings decide nothing."""

from __future__ import annotations

import io
import json
import math
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from benchmarking import DATA
from matplotlib.backends.backend_agg import FigureCanvasAgg
from rich.console import Console

from benchmarks import __main__ as command
from benchmarks import charts, contestants, estimators, machine, measure, report, worker
from benchmarks.nets import DEEP, MIDDLE, SMALL, Net


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    """Run a very small benchmark in real worker processes."""
    names = [contestants.FLOOR, contestants.OURS, "gpunn CUDA", "textbook loop"]
    effort = command.Effort([SMALL], [replace(MIDDLE, batch_size=4)], names, rounds=1, target=0.005, seeds=1)
    results = command.new_results(DATA)
    command.run(effort, DATA, results, lambda: None)
    return results


def test_results_have_every_field(results: dict[str, Any], tmp_path: Path) -> None:
    path = report.write(results, tmp_path / "new")
    read = json.loads(path.read_text("utf-8"))
    assert read == results
    assert {"date", "command", "seconds", "data", "cuda", "machine", "environment", "threads"} <= set(read)
    assert {"cpu", "cores", "gpu", "system", "versions"} <= set(read["machine"])
    assert {"python", "gpunn", "numpy", "scipy"} <= set(read["machine"]["versions"])
    assert read["data"] == "random"
    assert read["targets"] == []  # random labels cannot be learned
    row = read["nets"][0]["contestants"][contestants.OURS]
    assert len(row["rounds"]) == 1
    assert row["of_gpunn_cpu"] == 1
    assert math.isclose(row["microseconds_per_step"], 1e6 * 10 / row["examples_per_second"])
    assert read["threads"][contestants.OURS]


def test_an_interrupted_run_keeps_its_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file of an earlier run is not changed."""
    compare, nets = measure.compare, []

    def interrupted(workers: Any, names: Any, net: Net, *args: Any) -> dict[str, Any]:
        nets.append(net)
        if len(nets) == 2:
            signal.raise_signal(signal.SIGTERM)
        return compare(workers, names, net, *args)

    monkeypatch.setattr(command, "load", lambda: DATA)
    monkeypatch.setattr(measure, "compare", interrupted)
    (tmp_path / "cpu.json").write_text("{}")
    monkeypatch.setattr(machine, "gpu", lambda: None)
    handler = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit, match=r"interrupted: the results so far are in .*cpu-so-far.json"):
            command.main(["--quick", "--only", "textbook", "--output", str(tmp_path)])
    finally:
        signal.signal(signal.SIGTERM, handler)
    assert "textbook loop" in capsys.readouterr().out
    assert (tmp_path / "cpu.json").read_text() == "{}"
    assert [block["net"] for block in json.loads((tmp_path / "cpu-so-far.json").read_text())["nets"]] == [
        SMALL.name
    ]


def test_tables_render(results: dict[str, Any]) -> None:
    written = io.StringIO()
    report.show(results, Console(width=100, file=written))
    text = written.getvalue()
    for expected in ("784-30-10", "gpunn CPU", "textbook loop", "× floor", "batch size", "data: random"):
        assert expected in text


def test_charts_are_drawn(results: dict[str, Any], tmp_path: Path) -> None:
    files = charts.draw(results, tmp_path / "cpu.json")
    assert [file.name for file in files] == [
        "cpu-networks.png",
        "cpu-networks.svg",
        "cpu-batch-sizes.png",
        "cpu-batch-sizes.svg",
    ]
    assert all(file.stat().st_size > 1000 for file in files)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_charts_have_a_panel_for_each_network(count: int) -> None:
    """Titles start at the left edge of their panel and end within it."""
    row = {name: {"examples_per_second": 10.0**k} for k, name in enumerate(["JAX", "gpunn CPU"])}
    net = "784-2500-2000-1500-1000-500-10"
    block = {"title": net, "net": net, "batch_size": 1024, "precision": "tf32", "contestants": row}
    figure = charts.networks([block] * count, "a note")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    assert len(figure.axes) == count
    for panel in figure.subfigs[:count]:
        title = panel._suptitle
        assert title.get_text() == f"{net}, batch 1,024, tf32"
        assert title.get_window_extent(canvas.get_renderer()).x1 <= panel.bbox.x1


def test_files_have_the_name_of_the_device() -> None:
    assert report.slug({"machine": {"gpu": None}}) == "cpu"
    assert report.slug({"machine": {"gpu": {"name": "NVIDIA H100 80GB HBM3"}}}) == "nvidia-h100-80gb-hbm3"


def test_ratios_are_taken_round_by_round() -> None:
    workers = worker.Workers(DATA)
    turns = {name: measure.Turn(name, workers, rates=rates) for name, rates in
             {contestants.FLOOR: [9.0, 10.0, 2.0, 100.0], "JAX": [1.0, 5.0, 1.0, 20.0]}.items()}  # fmt: skip
    row = measure.summary(turns, "JAX", 10)
    assert row["of_floor"] == 0.5  # the median of 0.5, 0.5 and 0.2, without the warm-up
    assert row["of_gpunn_cpu"] is None
    assert row["examples_per_second"] == 5


def test_options_choose_networks_and_contestants() -> None:
    effort = command.choose(command.parse(["--quick", "--nets", "784-30", "--only", "gpunn", "floor"]))
    assert [net.name for net in effort.nets] == ["784-30-10"]
    expected = [["CUDA floor" + suffix, "gpunn CUDA" + suffix] for suffix in ("", " tf32", " bf16")]
    assert effort.names == ["GEMM floor", "gpunn CPU", *(name for names in expected for name in names)]
    assert effort.participants(SMALL) == ["GEMM floor", "gpunn CPU", *expected[0]]
    for precision, names in (("tf32", expected[1]), ("bf16", expected[2])):
        net = replace(DEEP, precision=precision)
        assert effort.participants(net) == ["GEMM floor", "gpunn CPU", *names]
    with pytest.raises(SystemExit):
        command.choose(command.parse(["--only", "abacus"]))


def test_estimators_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(estimators, "SETS", ("iris",))
        patch.setattr(estimators, "ROWS", (1_000,))
        patch.setattr(estimators, "CALLS", (1,))
        effort, ticks = estimators.Effort(seeds=2, rounds=1), list[str]()
        results = estimators.measure(effort, ticks.append)
        assert len(ticks) == effort.ticks()
    (quality,), (speed,) = results["quality"], results["speed"]
    assert quality["difference"]["gpunn"]["mean"] == pytest.approx(0, abs=0.03)
    assert speed["rows"] == 1_000 and len(speed["fit"]["gpunn float32"]) == 1
    estimators.show(results, Console())
    assert "iris" in capsys.readouterr().out
    (calls,) = results["calls"]
    assert calls["rows"] == 1 and len(calls["predict"]["scikit-learn"]) == 1
    speed["faster"]["fit"]["gpunn"], calls["faster"] = 2.0, dict.fromkeys(calls["faster"], 1.0)
    assert estimators.holds(results)
    quality["difference"]["gpunn"] |= estimators.paired([0.9, 0.91], [0.95, 0.96])
    assert not quality["difference"]["gpunn"]["within_noise"] and not estimators.holds(results)
