"""The README and the pages quote lines and numbers: each is in the file that it comes from."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn.backends import Host

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def measured(file: str) -> Any:
    return json.loads((RESULTS / file).read_text(encoding="utf-8"))


def rate(block: dict[str, Any], *names: str) -> float:
    """The highest speed of these contestants, whatever precision is part of their names."""
    found = [
        row["examples_per_second"]
        for name, row in block["contestants"].items()
        if re.sub(" (tf32|bf16)$", "", name) in names and "examples_per_second" in row
    ]
    return max(found)


def shown(rates: list[float], bold: float | None = None) -> str:
    return " | ".join(f"**{r:,.0f}**" if r == bold else f"{r:,.0f}" for r in rates)


def title(block: dict[str, Any]) -> str:
    """A network, its mini-batch and, unless it is float32, its precision."""
    precision = block.get("precision", "float32")
    return f"{block['net']}, {block['batch_size']}" + (f", {precision}" if precision != "float32" else "")


def readme_rows() -> Iterator[str]:
    torch = "PyTorch", "torch.compile"
    for block in measured("cpu.json")["nets"]:
        peers = ("gpunn CPU",), ("JAX",), torch, ("scikit-learn",)
        rates = [rate(block, *names) for names in peers]
        yield f"| {title(block)} | {shown(rates, max(rates))} |"
    for block in measured("nvidia-h200.json")["nets"]:
        peers = ("gpunn CUDA",), ("JAX CUDA",), tuple(f"{name} CUDA" for name in torch)
        rates = [rate(block, *names) for names in peers]
        yield f"| {title(block)} | {shown(rates, max(rates))} |"


def gpu_rows() -> Iterator[str]:
    results = measured("nvidia-h200.json")
    for block in results["nets"]:
        cpu, cuda, jax = (rate(block, name) for name in ("gpunn CPU", "gpunn CUDA", "JAX CUDA"))
        torch = rate(block, "PyTorch CUDA", "torch.compile CUDA")
        floor, step = (1e6 * block["batch_size"] / r for r in (rate(block, "CUDA floor"), cuda))
        rates = f"{cpu:,.0f} | {cuda:,.0f} | {cuda / cpu:,.1f} | {jax:,.0f} | {torch:,.0f}"
        yield f"| {title(block)} | {rates} | {step:,.1f} | {floor:,.1f} |"
    for block in results["sweep"]:
        names = "gpunn CPU", "gpunn CUDA", "JAX CUDA", "PyTorch CUDA"
        yield (
            f"| {block['batch_size']:,} | " + " | ".join(f"{rate(block, name):,.0f}" for name in names) + " |"
        )
    titles = {(block["net"], block["precision"]): title(block) for block in results["nets"]}
    for row in results["bars"]:
        found, bar = row["found"], row["bar"]
        faster = " | ".join(f"{found[name]:.2f} (≥ {bar[name]:g})" for name in ("jax", "pytorch"))
        cleared = "yes" if row["clears"] else "**no**"
        name = titles[row["net"], row["precision"]]
        yield f"| {name} | {faster} | {found['floor']:.2f} (≤ {bar['floor']:g}) | {cleared} |"


def sweep_rows() -> Iterator[str]:
    """Speeds of many networks at once, on every device that has been measured."""
    peers = "gpunn, one by one", "JAX vmap", "PyTorch vmap", "joblib, scikit-learn"
    for file in sorted(RESULTS.glob("*-sweep.json")):
        names: tuple[str, ...] = ("gpunn.sweep", *peers)
        if not file.name.startswith("cpu"):
            names = "gpunn.sweep CUDA", "JAX vmap CUDA", "PyTorch vmap CUDA"
        for block in measured(file.name)["nets"]:
            rates = [rate(block, name) for name in names]
            networks = block["title"].partition(" ")[0]
            yield f"| {networks} × {title(block)} | {shown(rates, max(rates))} |"


def scaling_rows() -> Iterator[str]:
    """Steps of one and two ranks on CPUs, and the predicted speed-ups of GPUs."""
    results = measured("scaling.json")
    for row in results["ranks"]["nets"]:
        times = (row[name] for name in ("one_rank_ms", "two_ranks_ms", "predicted_ms", "sum_ms"))
        cells = " | ".join(f"{ms:.2f}" for ms in times)
        yield f"| {row['net']}, {row['batch_size']} | {cells} | {row['speedup']:.2f} |"
    for row in results["predicted"]:
        for link in row["links"]:
            rates = " | ".join(f"{speedup:.2f}" for speedup in link["same_mini_batch"][1:])
            yield f"| {row['title'].replace(', mini-batch of', ',')} | {link['link']} | {rates} |"


def trajectory_rows() -> Iterator[str]:
    for row in measured("nvidia-h200-trajectories.json")["nets"]:
        cuda, cpu = row["accuracies"]
        yield f"| {row['net']} | {row['theta_apart_after_an_epoch']:.1e} | {cpu:.2%} | {cuda:.2%} |"


def estimator_rows() -> Iterator[str]:
    """Scores with their paired difference, and milliseconds per epoch on 1,000 and 10,000 rows."""
    results = measured("estimators.json")
    for quality in results["quality"]:
        theirs, ours = (np.mean(quality["scores"][name]) for name in ("scikit-learn", "gpunn"))
        difference = quality["difference"]["gpunn"]
        mean = f"{difference['mean']:+.4f}" if difference["mean"] else "0.0000"
        cells = [f"{theirs:.4f} | {ours:.4f} | {mean} ± {difference['standard_error']:.4f}"]
        for rows in (1000, 10000):
            (fit,) = (s["fit"] for s in results["speed"] if (s["set"], s["rows"]) == (quality["set"], rows))
            (epochs,) = (s["epochs"] for s in results["speed"] if s["fit"] is fit)
            before, after = (1000 * np.median(fit[name]) / epochs for name in ("scikit-learn", "gpunn"))
            double, single = (
                np.median(np.divide(fit["scikit-learn"], fit[name])) for name in ("gpunn", "gpunn float32")
            )
            cells.append(f"{before:.2f} → **{after:.2f}** ({double:.1f} ×, float32 {single:.1f} ×)")
        yield f"| {quality['set'].replace('_', ' ')} | {' | '.join(cells)} |"


def rank_rows() -> Iterator[str]:
    """Mean ranks on both halves of the tables, and how the recipe compares on the reported half."""
    found = measured("tables.json")["summary"]
    reported, chosen = found["reported"], found["chosen on"]["mean_rank"]
    for name, rank in reported["mean_rank"].items():
        against = reported["against"].get(name, {})
        counts = ", ".join(str(against[key]) for key in ("wins", "ties", "losses") if against)
        cells = f"{rank:.2f} | {chosen[name]:.2f} | {against.get('ahead', '–')} | {counts or '–'}"
        yield f"| {name} | {cells} | {found['cpu_seconds'][name]['median']:.2f} |"


def streaming_rows() -> Iterator[str]:
    """Rows per second of everything that happens to a table that is streamed, and the peaks of the memory."""
    found = measured("streaming.json")
    for name, speed in found["rows_per_second"].items():
        yield f"| {name} | {speed['median']:,.0f} |"
    peaks = [
        f"{found['resident_bytes'][name] / 2**20:,.0f} MiB" for name in ("before", "statistics", "epoch")
    ]
    yield f"{peaks[0]} before the table was opened, {peaks[1]} after the pass for the statistics"
    yield f"{peaks[2]} after"
    yield f"{found['rows']:,} rows and {found['columns']} columns"


def normalised(code: str) -> str:
    """Code on one line, as it was before a formatter broke it."""
    return re.sub(r",?\s+\)", ")", re.sub(r"([(\[])\s+", r"\1", re.sub(r"\s+", " ", code)))


@pytest.mark.parametrize("page", ["README.md", "docs/tutorial.md"])
def test_the_equations_stand_beside_lines_of_backprop(page: str) -> None:
    source = normalised(read("gpunn/core/backprop.py"))
    table = re.search(r"^\| +\| equation .*?\n\n|^\| equation .*?\n\n", read(page), re.DOTALL | re.MULTILINE)
    assert table
    lines = re.findall(r"`([^`]*)` \|$", table[0], re.MULTILINE)
    assert len(lines) == 4
    assert not [line for line in lines if line not in source]


def test_how_it_works_prints_the_equations_of_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    plan = Host.plan
    monkeypatch.setattr(Host, "plan", lambda host, step: said.extend(map(str, step)) or plan(host, step))
    for optimizer in (gpunn.SGD(3.0), gpunn.Adam()):
        net = gpunn.Network([4, 3, 2], seed=0)
        net.fit(
            np.zeros((4, 20)), np.arange(20) % 2, epochs=1, batch_size=10, optimizer=optimizer, device="cpu"
        )
    blocks = re.findall(r"```text\n((?:Forward|BP3).*?)```", read("docs/how-it-works.md"), re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    assert len(lines) == 8
    assert not [line for line in lines if line not in said]


@pytest.mark.parametrize(
    ("page", "rows"),
    [
        pytest.param("README.md", readme_rows, id="README"),
        pytest.param("docs/gpu.md", gpu_rows, id="gpu-speed"),
        pytest.param("docs/gpu.md", trajectory_rows, id="gpu-trajectories"),
        pytest.param("docs/sweeps.md", sweep_rows, id="sweeps"),
        pytest.param("docs/scaling.md", scaling_rows, id="scaling"),
        pytest.param("docs/table-recipe.md", rank_rows, id="tables"),
        pytest.param("docs/tables.md", streaming_rows, id="streaming"),
        pytest.param("docs/scikit-learn.md", estimator_rows, id="scikit-learn"),
    ],
)
def test_speeds_are_those_of_the_results(page: str, rows: Any) -> None:
    text = read(page)
    assert not [row for row in rows() if row not in text]


@pytest.mark.parametrize(
    "words",
    [
        "cupy is not installed",
        "no NVIDIA driver is installed",
        "the NVIDIA driver supports CUDA",
        "this cupy is for CUDA",
        "no CUDA device answers",
        "there is no CUDA device",
        "has compute capability",
        "failed its trial",
    ],
)
def test_the_page_on_gpus_quotes_the_diagnosis(words: str) -> None:
    assert words in read("gpunn/backends/cuda/diagnosis.py") and words in read("docs/gpu.md")


def test_times_to_accuracy_are_those_of_the_results() -> None:
    times = measured("nvidia-h200.json")["time_to_accuracy"]["contestants"]
    cpu, cuda, torch = (times[name]["seconds"] for name in ("gpunn CPU", "gpunn CUDA", "PyTorch CUDA"))
    page = " ".join(read("docs/gpu.md").split())
    assert (
        f"{cuda:.2f} s on the GPU and {cpu:.2f} s on the CPU beside it. PyTorch takes {torch:.2f} s" in page
    )


def test_the_readme_counts_the_attacks() -> None:
    found, page = measured("attack.json"), " ".join(read("README.md").split())
    *kinds, last = [f"{n:,} {name}" for name, n in found["totals"].items() if name != "failures"]
    broken = f"{n:,} broken rules" if (n := found["totals"]["failures"]) else "no broken rule"
    assert f"{', '.join(kinds)} and {last}, with {broken}" in page


def test_the_large_network_is_the_recorded_run() -> None:
    result, page = measured("nvidia-h200-ciresan.json")["result"], read("docs/gpu.md")
    error = f"{100 * (1 - result['test_accuracy']):.2f} %"
    assert f"{result['epochs']} epochs in {result['seconds']:.0f} s" in page and error in page


def test_the_ranks_on_tables_are_those_of_the_results() -> None:
    rank = measured("tables.json")["summary"]["reported"]["mean_rank"]
    assert min(rank, key=rank.get) == "gpunn"
    peers = ", ".join(
        f"{name} ({rank[name]:.1f})" for name in ("CatBoost", "LightGBM", "HistGradientBoosting")
    )
    text = " ".join(read("README.md").split())
    assert f"{rank['gpunn']:.1f}, before {' and '.join(peers.rsplit(', ', 1))}" in text


def test_the_page_on_scaling_says_what_was_measured_and_predicted() -> None:
    results, page = measured("scaling.json"), " ".join(read("docs/scaling.md").split())
    sums = results["ranks"]["sums"]
    assert f"{1e6 * sums['16384']:.0f} µs for 64 KiB and {1e3 * sums['16777216']:.0f} ms for 64 MiB" in page
    small, broad, deep = results["predicted"]
    for row, faster in ((small, False), (broad, True), (deep, True)):
        nvlink, infiniband = (max(link["same_mini_batch"][1:]) for link in row["links"])
        assert (nvlink > 1) is faster and infiniband < 1
    best = max(broad["links"][0]["same_mini_batch"])
    assert f"{best:.1f} times as fast" in page
    assert f"sum of {4 * deep['parameters'] / 1e6:.0f} MB" in page
