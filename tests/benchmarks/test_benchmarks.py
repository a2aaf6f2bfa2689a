"""The benchmarks: that they compare like with like, and say what they measured. Times decide nothing."""

from __future__ import annotations

import io
import json
import math
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import emulated
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from rich.console import Console

from benchmarks import __main__ as command
from benchmarks import bars, charts, contestants, gpu_check, machine, measure, report, worker
from benchmarks.contestants import gpu_floor
from benchmarks.contestants.base import Contestant, Skipped, library
from benchmarks.contestants.floor import Floor, products
from benchmarks.nets import DEEP, GPU_NETS, MIDDLE, NETS, SMALL, Data, Net, Problem, load, noise
from gpunn.backends.cuda.backend import Cuda
from gpunn.datasets import DataUnavailable

DATA = noise(300, 50)
DEEPER = Net((784, 20, 15, 10), 64, "relu")
LEARNERS = [name for name in contestants.CONTESTANTS if name != contestants.FLOOR and "CUDA" not in name]


def build(name: str, net: Net, data: Data = DATA) -> Contestant:
    try:
        return contestants.CONTESTANTS[name](Problem(net, data))
    except Skipped as reason:
        pytest.skip(f"{name}: {reason}")


# the same work


@pytest.mark.parametrize(
    "net", [SMALL, replace(MIDDLE, batch_size=32), replace(DEEPER, batch_size=32)], ids=str
)
@pytest.mark.parametrize("name", [name for name in LEARNERS if name != "torch.compile"])
def test_one_batch_teaches_every_contestant_the_same(name: str, net: Net) -> None:
    if name == "scikit-learn" and net.classic:
        pytest.skip("its cost is another")
    start = Problem(net, DATA).start
    ours, theirs = build(contestants.OURS, net), build(name, net)
    for contestant in (ours, theirs):
        assert contestant.seconds(net.batch_size, 1) > 0
    for (w, b), (w_, b_), (w_0, b_0) in zip(theirs.weights(), ours.weights(), start, strict=True):
        np.testing.assert_allclose(w, w_, rtol=0, atol=1e-4)
        np.testing.assert_allclose(b, b_, rtol=0, atol=1e-4)
        assert np.abs(w - w_0).max() > 1e-3
        assert np.abs(b - b_0).max() > 1e-4


@pytest.mark.parametrize("name", ["gpunn CPU", "JAX", "PyTorch", "thinc"])
def test_an_epoch_trains_every_example(name: str) -> None:
    """A network that only has biases to learn from black pictures ends at the same place in any order."""
    net = replace(SMALL, batch_size=10, learning_rate=1e-3)
    black = Data("black", np.zeros_like(DATA.X), np.full(300, 3), DATA.X_test, DATA.labels_test)
    contestant, book = build(name, net, black), build("textbook loop", net, black)
    for one in (contestant, book):
        one.seconds(300, 2)
    for (_, b), (_, b_) in zip(contestant.weights(), book.weights(), strict=True):
        np.testing.assert_allclose(b, b_, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["gpunn CPU", "PyTorch"])
def test_training_until_an_accuracy(name: str) -> None:
    """The labels are the position of the only bright pixel, so a few epochs are enough."""
    y = np.arange(300) % 10
    X = np.zeros((784, 300), np.uint8, order="F")
    X[y, np.arange(300)] = 255
    contestant: Any = build(name, replace(MIDDLE, batch_size=10, momentum=0.9), Data("dots", X, y, X, y))
    seconds, accuracies = contestant.until(0.9, 20)
    assert seconds > 0
    assert accuracies[-1] >= 0.9 > max(accuracies[:-1], default=0)


# the floor


@pytest.mark.parametrize("net", NETS, ids=lambda net: net.name)
def test_floor_has_the_flops_of_a_step(net: Net) -> None:
    """Feedforward and BP4 multiply every weight, BP2 all but the first layer's; a multiply-add is two."""
    weights = [n_in * n_out for n_in, n_out in zip(net.sizes, net.sizes[1:], strict=False)]
    expected = 2 * net.batch_size * (3 * sum(weights) - weights[0])
    assert sum(product.flops for product in products(net.sizes, net.batch_size)) == expected


def test_floor_multiplies_in_place() -> None:
    floor = Floor(Problem(DEEPER, DATA))
    w, a, delta = ([part.copy() for part in parts] for parts in (floor.w, floor.a, floor.delta))
    floor.seconds(floor.batch_size, 1)
    np.testing.assert_allclose(floor.a[1], w[1] @ a[0], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(floor.delta[2], w[3].T @ delta[3], rtol=1e-3, atol=1e-4)
    assert np.array_equal(floor.delta[0], delta[0])  # nobody needs the error of layer 0
    assert len(products(DEEP.sizes, 1)) == 3 * 6 - 1


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config) -> Iterator[Cuda]:
    """An emulated one, where the contestants look for it."""
    if not emulated.COMPILER:
        pytest.skip("no C++ compiler for the emulated device")
    be = Cuda(emulated.EmulatedDevice(pytestconfig.cache.mkdir("emulated")))
    monkeypatch.setattr("gpunn.backends.choose", lambda *_: be)
    for place in ("gpu_floor", "ours"):
        monkeypatch.setattr(f"benchmarks.contestants.{place}.explain_cuda", str)
    monkeypatch.setattr(gpu_floor, "LARGE", 64)
    monkeypatch.setattr(gpu_floor, "COPIED", 1 << 16)
    yield be
    be.device.check()  # type: ignore[attr-defined]


def test_kernels_of_a_step(gpu: Cuda) -> None:
    """Five products; f, then f and BP1 and BP3, and f′ and BP3. After ReLU, which is in the product: softmax
    and BP1, BP3, and f′ and BP3."""
    assert gpu_floor.kernels(gpu, SMALL) == 5 + 3
    assert gpu_floor.kernels(gpu, replace(MIDDLE, batch_size=8)) == 5 + 3


def test_gpu_floor_is_the_highest_of_three(gpu: Cuda) -> None:
    floor: Any = build("CUDA floor tf32", replace(MIDDLE, batch_size=10))
    facts = floor.facts
    assert facts["flop"] == sum(product.flops for product in products(MIDDLE.sizes, 10))
    assert facts["flop_per_second"] > 0 < facts["bytes_per_second"]
    assert facts["seconds"]["kernels"] == facts["kernels"] * 1.3e-6
    assert floor.seconds(300, 2) == pytest.approx(60 * max(facts["seconds"].values()))
    assert json.dumps(facts)


def test_gpunn_on_a_gpu_learns_the_same(gpu: Cuda) -> None:
    net = replace(SMALL, batch_size=32)
    ours, theirs = build("gpunn CUDA", net), build("textbook loop", net)
    for contestant in (ours, theirs):
        contestant.seconds(32, 1)
    np.testing.assert_allclose(ours.weights()[0][0], theirs.weights()[0][0], rtol=0, atol=1e-5)


def test_every_contestant_stands_on_a_floor() -> None:
    for name in contestants.CONTESTANTS:
        assert contestants.floor_of(name) in contestants.CONTESTANTS
    assert (
        contestants.floor_of("CUDA floor bf16")
        == contestants.floor_of("gpunn CUDA bf16")
        == "CUDA floor bf16"
    )
    assert contestants.floor_of("torch.compile CUDA") == "CUDA floor"


# what a GPU is held to


def test_trajectories_are_compared(gpu: Cuda, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nets = [replace(SMALL, sizes=(784, 8, 10)), replace(MIDDLE, sizes=(784, 8, 10), batch_size=50)]
    dots = Data("dots", DATA.X[:, :100], DATA.labels[:100], DATA.X_test, DATA.labels_test)
    assert gpu_check.compare("cuda", tmp_path, nets, dots)
    (path,) = tmp_path.glob("*-trajectories.json")
    kept = json.loads(path.read_text("utf-8"))
    assert [row["net"] for row in kept["nets"]] == [net.title for net in nets]
    assert all(row["holds"] and row["theta_apart_after_an_epoch"] < 1e-3 for row in kept["nets"])
    assert {"date", "machine", "at_most", "data", "device"} <= set(kept)
    assert str(path) in capsys.readouterr().out


def test_trajectories_that_part_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def trained(net: Net, data: Data, device: str) -> tuple[np.ndarray, float]:
        return np.full(3, 1.0 if device == "cpu" else 1.002), 0.9

    monkeypatch.setattr(gpu_check, "trained", trained)
    row = gpu_check.compared(SMALL, DATA, "cuda")
    assert row["theta_apart_after_an_epoch"] == pytest.approx(2e-3)
    assert not row["holds"]


def test_a_trajectory_that_fails_costs_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def trained(net: Net, data: Data, device: str) -> tuple[np.ndarray, float]:
        if net is SMALL:
            raise RuntimeError("an illegal memory access")
        return np.ones(3), 0.9

    monkeypatch.setattr(gpu_check, "trained", trained)
    assert not gpu_check.compare("cuda", tmp_path, data=DATA)
    (path,) = tmp_path.glob("*-trajectories.json")
    first, second = json.loads(path.read_text("utf-8"))["nets"]
    assert (first["error"], second["holds"]) == ("RuntimeError: an illegal memory access", True)


def test_noise_proves_no_accuracy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_check, "load", lambda: DATA)
    with pytest.raises(SystemExit, match="MNIST is not available"):
        gpu_check.main(["compare", "--device", "cuda"])


def test_bars() -> None:
    """Ratios round by round; of PyTorch's two the faster counts; what is missing clears nothing."""
    contestants = {
        "gpunn CUDA": {"rounds": [8.0, 10.0, 30.0], "of_floor": 0.8},
        "JAX CUDA": {"rounds": [4.0, 5.0, 6.0]},
        "PyTorch CUDA": {"rounds": [1.0, 2.0, 2.0]},
        "torch.compile CUDA": {"rounds": [2.0, 1.0, 3.0]},
    }
    block = {"net": SMALL.name, "title": SMALL.title, "precision": "float32", "contestants": contestants}
    (row,) = bars.judged([block])
    assert row["found"] == {"jax": 2.0, "pytorch": 5.0, "floor": 1.25}
    assert row["clears"]
    contestants["torch.compile CUDA"] = {"rounds": [2.0, 2.1, 3.0]}
    assert not bars.judged([block])[0]["clears"]
    for missing in ("gpunn CUDA", "JAX CUDA"):
        kept = contestants[missing]
        contestants[missing] = {"skipped": "failed"}
        (row,) = bars.judged([block])
        assert row["found"]["jax"] is None and not row["clears"]
        contestants[missing] = kept
    assert bars.judged([block | {"precision": "bf16"}]) == []
    written = io.StringIO()
    Console(width=110, file=written).print(report.bars(bars.judged([block])))
    assert "2.00 ≥ 1.5" in written.getvalue() and "no" in written.getvalue()


def test_every_bar_is_of_a_network_that_is_measured() -> None:
    assert set(bars.BARS) == {(net.name, net.precision) for net in GPU_NETS}
    for net in GPU_NETS:
        there = contestants.taking_part(list(contestants.CONTESTANTS), net)
        assert {contestants.on_cuda(name, net.precision) for name in contestants.ON_CUDA} <= set(there)


def test_the_fit_that_a_sanitizer_watches(capsys: pytest.CaptureFixture[str]) -> None:
    gpu_check.main(["fit", "--device", "cpu"])
    assert len(capsys.readouterr().out.splitlines()) == 6


# who cannot take part


@pytest.mark.parametrize("name", ["gpunn CUDA", "gpunn CUDA tf32", "CUDA floor"])
def test_missing_cuda_is_said_and_not_numbered(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ("gpu_floor", "ours"):
        monkeypatch.setattr(f"benchmarks.contestants.{place}.explain_cuda", lambda: "the driver is asleep")
    with pytest.raises(Skipped, match="no CUDA device: the driver is asleep"):
        contestants.CONTESTANTS[name](Problem(SMALL, DATA))


def test_cuda_peers_are_not_started_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "gpu", lambda: None)
    monkeypatch.setattr(worker, "explain_cuda", lambda: "the driver is asleep")
    workers = worker.Workers(DATA)
    with pytest.raises(Skipped, match=r"no CUDA device: .*the driver is asleep"):
        workers["PyTorch CUDA"]
    assert not workers.workers


class Failing:
    """A contestant whose GPU is lost with the first error, as CUDA's contexts are."""

    most, batch_size, lost = 300, 10, False

    def __init__(self, problem: Problem) -> None:
        if Failing.lost:
            raise RuntimeError("the context is lost")

    def seconds(self, m: int, epochs: int) -> float:
        if m > 10:
            Failing.lost = True
            raise RuntimeError("an illegal memory access")
        return 1.0


def test_after_a_failure_another_process_takes_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "serve", serve_failing)
    with worker.Workers(DATA) as workers:
        workers["one"].prepare(SMALL)
        with pytest.raises(Skipped, match="failed: RuntimeError: an illegal memory access"):
            workers["one"].seconds(300, 1)
        workers["one"].process.join(10)
        with pytest.raises(Skipped, match="its process has ended"):
            workers.workers["one"].prepare(SMALL)
        assert workers["one"].prepare(SMALL) == (300, 10)
        assert workers["one"].seconds(10, 1) == 1
        assert list(workers.threads()) == ["one"]


def serve_failing(connection: Any, name: str) -> None:
    contestants.CONTESTANTS[name] = Failing
    worker.serve(connection, name)


def test_missing_peer_is_said() -> None:
    with pytest.raises(Skipped, match=r"^not installed$"):
        library("no_such_library_here.api")


def test_cuda_is_explained_in_words() -> None:
    assert isinstance(machine.explain_cuda(), str)


def test_random_data_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def unavailable(name: str) -> None:
        raise DataUnavailable(name)

    monkeypatch.setattr("gpunn.datasets.load", unavailable)
    data = load()
    assert (data.name, data.X.shape, data.X_test.shape) == ("random", (784, 60_000), (784, 10_000))


# the whole


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    """A very small run, in real worker processes."""
    names = [contestants.FLOOR, contestants.OURS, "gpunn CUDA", "textbook loop"]
    effort = command.Effort([SMALL], [replace(MIDDLE, batch_size=4)], names, rounds=1, target=0.005, seeds=1)
    results = command.circumstances(DATA)
    command.run(effort, DATA, Console(quiet=True), results, lambda: None)
    return results


def test_results_have_every_field(results: dict[str, Any], tmp_path: Path) -> None:
    path = report.write(results, tmp_path / "new")
    read = json.loads(path.read_text("utf-8"))
    assert read == results
    assert {"date", "command", "seconds", "data", "cuda", "machine", "environment", "threads"} <= set(read)
    assert {"cpu", "cores", "gpu", "system", "versions"} <= set(read["machine"])
    assert {"python", "gpunn", "numpy", "scipy"} <= set(read["machine"]["versions"])
    assert read["data"] == "random"
    assert read["time_to_accuracy"] is None  # random labels cannot be learnt
    row = read["nets"][0]["contestants"][contestants.OURS]
    assert len(row["rounds"]) == 1
    assert row["of_gpunn_cpu"] == 1
    assert math.isclose(row["microseconds_per_step"], 1e6 * 10 / row["examples_per_second"])
    assert read["threads"][contestants.OURS]


def test_of_a_run_that_is_stopped_what_it_measured_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And a file from before is left alone."""
    compare, nets = measure.compare, []

    def stopped(workers: Any, names: Any, net: Net, *args: Any) -> dict[str, Any]:
        nets.append(net)
        if len(nets) == 2:
            signal.raise_signal(signal.SIGTERM)
        return compare(workers, names, net, *args)

    monkeypatch.setattr(command, "load", lambda: DATA)
    monkeypatch.setattr(measure, "compare", stopped)
    (tmp_path / "cpu.json").write_text("{}")
    monkeypatch.setattr(machine, "gpu", lambda: None)
    handler = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(
            SystemExit, match=r"stopped: what was measured until then is in .*cpu-so-far.json"
        ):
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
    block = {"net": net, "batch_size": 1024, "precision": "tf32", "contestants": row}
    figure = charts.networks([block] * count, "a note")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    assert len(figure.axes) == count
    for panel in figure.subfigs[:count]:
        title = panel._suptitle
        assert title.get_text() == f"{net}, batch 1,024, tf32"
        assert title.get_window_extent(canvas.get_renderer()).x1 <= panel.bbox.x1


def test_files_are_named_after_the_device() -> None:
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


def test_options_choose() -> None:
    effort = command.choose(command.parse(["--quick", "--nets", "784-30", "--only", "gpunn", "floor"]))
    assert [net.name for net in effort.nets] == ["784-30-10"]
    expected = [["CUDA floor" + suffix, "gpunn CUDA" + suffix] for suffix in ("", " tf32", " bf16")]
    assert effort.names == ["GEMM floor", "gpunn CPU", *(name for names in expected for name in names)]
    assert effort.taking_part(SMALL) == ["GEMM floor", "gpunn CPU", *expected[0]]
    for precision, names in (("tf32", expected[1]), ("bf16", expected[2])):
        on_a_gpu = replace(DEEP, precision=precision)
        assert effort.taking_part(on_a_gpu) == ["GEMM floor", "gpunn CPU", *names]
    with pytest.raises(SystemExit):
        command.choose(command.parse(["--only", "abacus"]))


def test_estimators_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    estimators = pytest.importorskip("benchmarks.estimators")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(estimators, "SETS", ("iris",))
        patch.setattr(estimators, "ROWS", (1_000,))
        results = estimators.measure(estimators.Effort(seeds=2, rounds=1), lambda what: None)
    (quality,), (speed,) = results["quality"], results["speed"]
    assert quality["difference"]["gpunn"]["mean"] == pytest.approx(0, abs=0.03)
    assert speed["rows"] == 1_000 and len(speed["fit"]["gpunn float32"]) == 1
    estimators.show(results, Console())
    assert "iris" in capsys.readouterr().out
    speed["faster"]["fit"]["gpunn"] = 2.0
    assert estimators.holds(results)
    quality["difference"]["gpunn"] |= estimators.paired([0.9, 0.91], [0.95, 0.96])
    assert not quality["difference"]["gpunn"]["within_noise"] and not estimators.holds(results)
