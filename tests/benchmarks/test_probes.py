"""The probes, rehearsed on the emulated device and on stand-ins for CuPy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import emulated
import fake_cupy
import numpy as np
import pytest
from emulated import EmulatedDevice
from fake_cupy import Machine
from rich.console import Console

from benchmarks.nets import Net
from benchmarks.probes import __main__ as command
from benchmarks.probes import distortions, heads, launches, networks, products, stacks, timeline
from benchmarks.probes.probe import Probe, Row, label
from gpunn.backends.cuda import algorithms, head_ways
from gpunn.backends.cuda.backend import Cuda

pytestmark = pytest.mark.skipif(not emulated.COMPILER, reason="no C++ compiler for the emulated device")

TINY = Net((6, 5, 3), 4)


def on_emulated(precision: str) -> Cuda:
    return Cuda(EmulatedDevice(shared_bytes=200 << 10, cluster=8), precision)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    with fake_cupy.installed(monkeypatch) as machine:
        yield machine


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure little."""
    for name, value in {"KERNELS": 4, "TIMES": 3, "THREADS": 32, "GRIDS": (2, 99), "CLUSTERS": (2,)}.items():
        monkeypatch.setattr(launches, name, value)
    monkeypatch.setattr(timeline, "NETS", [TINY, replace(TINY, precision="bf16")])
    monkeypatch.setattr(products, "NETS", [TINY])
    monkeypatch.setattr(heads, "NETS", [TINY])
    monkeypatch.setattr(distortions, "NETS", [(TINY, None), (replace(TINY, batch_size=3), "≤ 15 %")])
    monkeypatch.setattr(distortions, "SHAPE", (2, 3))
    monkeypatch.setattr(head_ways, "WAYS", [(1, 1), (2, 2), (1, 0)])
    few = {"EXAMPLES": 12, "SHARED": 12, "BLOCKS": (1, 4)}
    few |= {"ALONE": [(TINY, "sgd", None), (TINY, "adam", "≤ 5 µs")], "TOGETHER": [(TINY, {4: "≥ 2 M/s"})]}
    for name, value in few.items():
        monkeypatch.setattr(networks, name, value)
    few = {"NETS": [(replace(TINY, momentum=0.9), "sgd"), (TINY, "adam")], "COUNTS": (2, 3), "EXAMPLES": 8}
    for name, value in few.items():
        monkeypatch.setattr(stacks, name, value)
    for name in ("CALLS", "ROUNDS"):
        monkeypatch.setattr(algorithms, name, 2)


def check(probe: Probe, rows: list[Row]) -> None:
    """Every row has a value for every column."""
    assert rows
    assert all(list(row) == list(probe.columns) for row in rows)


def test_launches_and_barriers(short: None) -> None:
    rows = list(launches.measure(on_emulated))
    check(launches.PROBE, rows)
    assert [(row["what"], row["blocks"]) for row in rows] == [
        ("an empty kernel of a graph", 1),
        ("an empty kernel of a graph", 8),
        ("a launch from Python", 1),
        ("a replay of a graph from Python", 1),
        ("a barrier of the grid", 2),
        ("a barrier of a cluster", 2),
        ("an exchange in a cluster", 2),
        ("an exchange in a cluster", 2),
    ]
    assert all(row["µs"] > 0 for row in rows)


def test_a_device_without_clusters_is_not_asked_for_any(short: None) -> None:
    rows = launches.measure(lambda precision: Cuda(EmulatedDevice(), precision))
    assert not any("barrier" in row["what"] or "exchange" in row["what"] for row in rows)


def test_an_exchange_brings_every_blocks_numbers() -> None:
    be, threads, numbers, cluster = on_emulated("float32"), 32, 8, 4
    out = be.memory.new((cluster * threads,))
    how: dict[str, Any] = {"cluster": cluster, "numbers": numbers, "shared": 2 * cluster * numbers * 4}
    launches.launch(be, "cluster_exchanges", cluster, threads, 2, out, **how)()
    block, place = np.divmod(np.arange(cluster * threads), threads)
    sender, thread = place // numbers, block * numbers + place % numbers
    sums = place.astype(float)
    for _ in range(2):
        sums = sums + (sums + place)[sender * threads + thread]
    assert np.array_equal(be.memory.download(out), sums)


def test_the_timeline_of_a_step(short: None) -> None:
    rows = list(timeline.measure(on_emulated))
    check(timeline.PROBE, rows)
    whole = [row for row in rows if row["network"] == label(TINY)]
    assert [row["what"] for row in whole][-2:] == ["sum of these", "the step in a graph"]
    products = [row for row in whole if row["TFLOP/s"]]
    assert {row["what"].split()[1].rstrip(")") for row in products} == {"b", "bᵀ"}
    assert products[0]["size"] == "5 × 6 × 4"
    assert {row["network"] for row in rows} == {"6-5-3 at 4, float32", "6-5-3 at 4, bf16"}
    assert whole[-2]["µs"] == pytest.approx(sum(row["µs"] for row in whole[:-2]))


def test_last_layers(short: None) -> None:
    rows = list(heads.measure(on_emulated))
    check(heads.PROBE, rows)
    assert [(row["what"], row["blocks"]) for row in rows] == [
        ("one block", 1),
        ("a cluster", 2),
        ("a grid", 1),
        ("5 launches and products", None),
    ]
    assert [row["chosen"] for row in rows] == [True, False, False, False]


def test_the_algorithms_of_a_step(short: None, machine: Machine) -> None:
    machine.offered, machine.taken = 8, {0: 51e-6, 4: 6e-6, **dict.fromkeys((2, 3, 5, 6, 7), 20e-6)}
    rows = list(products.measure(command.on_cuda))
    check(products.PROBE, rows)
    *each, whole = rows
    assert len(each) == 5
    assert each[0]["size"] == "5 × 6 × 4"
    for row in each:
        assert (row["candidates"], row["chosen"]) == (7, 3)
        assert (row["first, µs"], row["best, µs"]) == (51, 6)
    assert (whole["product"], whole["best, µs"]) == ("all", 30)


def test_small_networks(short: None) -> None:
    rows = list(networks.measure(on_emulated))
    check(networks.PROBE, rows)
    assert [row["networks"] for row in rows] == [1, 1, 8, 32]
    assert [row["target"] for row in rows] == [None, "≤ 5 µs", None, "≥ 2 M/s"]
    assert all(row["resident, µs"] > 0 < row["M examples/s"] for row in rows)
    assert all(row["graph, µs"] > 0 for row in rows[:2])


def test_networks_that_do_not_fit_are_not_timed_together(short: None) -> None:
    rows = list(networks.measure(lambda precision: Cuda(EmulatedDevice(), precision)))
    assert [row["resident, µs"] for row in rows[2:]] == [None, None]


def test_networks_in_a_stack(short: None) -> None:
    rows = list(stacks.measure(lambda precision: Cuda(EmulatedDevice(), precision)))
    check(stacks.PROBE, rows)
    assert [(row["optimizer"], row["networks"]) for row in rows] == [
        ("sgd", 2), ("sgd", 3), ("adam", 2), ("adam", 3)
    ]  # fmt: skip
    assert all(row["stack, µs"] > 0 < row["in turn, µs"] for row in rows)


def test_distortions(short: None) -> None:
    rows = list(distortions.measure(lambda precision: Cuda(EmulatedDevice(), precision)))
    check(distortions.PROBE, rows)
    assert [(row["images"], row["target"]) for row in rows] == 2 * [(256, None)] + 2 * [(192, "≤ 15 %")]
    for row in rows:
        share = 100 * row["ns an image"] / row["ns an example"]
        assert row["% of the step"] == pytest.approx(share) and share > 0


class TestTheCommand:
    def test_results_and_tables(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(make: Any) -> Iterator[Row]:
            yield {"what": "first", "µs": 12345.678, "n": 1}
            yield {"what": "first", "µs": None, "n": 1234}
            raise RuntimeError("an illegal memory access")

        columns = {"what": "a thing", "µs": "microseconds", "n": "a number"}
        probes = {name: Probe(name, f"the {name}", columns, fail) for name in ("one", "other")}
        monkeypatch.setattr(command, "PROBES", probes)
        console = Console(width=80, record=True)
        assert command.run(["one", "other"], on_emulated, tmp_path, console) == ["one", "other"]
        (path,) = tmp_path.glob("*-probes.json")
        kept = json.loads(path.read_text("utf-8"))
        assert (kept["format"], kept["device"]) == ("gpunn-probes", "emulated")
        assert kept["probes"]["other"]["columns"] == columns
        assert len(kept["probes"]["other"]["rows"]) == 2
        assert kept["probes"]["one"]["error"] == "RuntimeError: an illegal memory access"
        text = console.export_text()
        assert "12,345.68" in text and "1,234" in text and text.count("illegal memory access") == 2
        lines = [line for line in text.splitlines() if line.startswith(("┃", "│"))]
        assert {len(line) for line in lines} == {len(lines[0])}

    def test_without_a_gpu(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(command, "explain_cuda", lambda: "no NVIDIA driver is installed")
        with pytest.raises(SystemExit, match="no CUDA device: no NVIDIA driver is installed"):
            command.main([])

    def test_an_unknown_probe(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit, match="2"):
            command.main(["launchez"])
        assert "unknown probe 'launchez': choose from launches, algorithms, " in capsys.readouterr().err

    def test_all_probes_run(self, short: None, machine: Machine, tmp_path: Path) -> None:
        machine.shared_bytes = 200 << 10
        command.main(["--output", str(tmp_path)])
        (path,) = tmp_path.glob("*-probes.json")
        found = json.loads(path.read_text("utf-8"))["probes"]
        assert list(found) == [
            "launches",
            "algorithms",
            "timeline",
            "heads",
            "networks",
            "stacks",
            "distortions",
        ]
        assert all(one["rows"] and one["error"] is None for one in found.values())
