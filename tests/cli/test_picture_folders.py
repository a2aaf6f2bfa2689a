"""Training on a folder of pictures, and using the network."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from reporting import RunCommand

from gpunn import Network


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make reddish and bluish pictures in two folders."""
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for name, colour in {"blue": (40, 40, 200), "red": (200, 40, 40)}.items():
        (folder / name).mkdir()
        for k in range(15):
            noise = rng.integers(-40, 40, (9, 8, 3))
            Image.fromarray((noise + colour).astype(np.uint8)).save(folder / name / f"{k:02}.png")
    return folder


@pytest.fixture
def run(gpunn_: RunCommand, pictures: Path) -> Path:
    """Train on the pictures."""
    code, out, err = gpunn_("train", pictures, "--epochs", 8, "--hidden", 16, "--output", "run")
    assert (code, err) == (0, "")
    assert "held out 6 pictures, a fifth of each class, for testing\n" in out and "gpunn demo" not in out
    return Path("run")


def test_the_network_is_used_on_pictures_as_they_are(
    gpunn_: RunCommand, run: Path, pictures: Path, refused: object
) -> None:
    net = Network.load(run)
    assert net.sizes[0] == 9 * 8 * 3
    assert (net.meta["image_shape"], net.meta["channels"], net.meta["digit"]) == ([9, 8], 3, False)
    Image.new("RGB", (50, 70), (210, 60, 50)).save("photo.jpg")
    found = json.loads(gpunn_("predict", run, "photo.jpg", pictures / "blue", "--json", "--show")[1])
    assert [p["label"] for p in found["predictions"]] == ["red"] + ["blue"] * 15
    with Image.open("photo.jpg.seen.png") as seen:
        red, green, _ = seen.convert("RGB").getpixel((5, 5))
        assert red > 180 and green < 90
    for path in (pictures / "blue").glob("*.seen.png"):
        path.unlink()


def test_the_network_is_tested_on_the_held_out_pictures_and_on_other_folders(
    gpunn_: RunCommand, run: Path, pictures: Path
) -> None:
    assert json.loads(gpunn_("evaluate", run, "--json")[1])["examples"] == 6
    os.makedirs("other/red")
    for k in range(3):
        Image.new("L", (20, 20), 50 * k).save(f"other/red/{k}.png")
    found = json.loads(gpunn_("evaluate", run, "other", "--json")[1])
    assert found["examples"] == 3 and found["model"] == "run"


def test_reports_and_exports_work_and_the_demo_is_refused(
    gpunn_: RunCommand, run: Path, pictures: Path, refused: object
) -> None:
    assert (run / "report.html").stat().st_size > 10_000
    code, out, _ = gpunn_("export", run, "m.onnx")
    assert code == 0 and "uint8 (N, 216)" in out
    refused(["demo", run, "--no-browser"], "trained on pictures", "gpunn predict")


def test_options_that_do_not_apply_are_refused(pictures: Path, refused: object) -> None:
    refused(["train", pictures, "--shift", "1"], "--shift", "grey", "colours")
    refused(["train", "digits", "--image-size", "8"], "--image-size only applies to folders of pictures")
    Path("t.csv").write_text("a,b\n1,x\n2,y\n")
    refused(["train", "t.csv", "--image-size", "8"], "--image-size only applies to")


def test_another_size_is_kept_for_testing_and_resuming(gpunn_: RunCommand, pictures: Path) -> None:
    options = ["--image-size", 5, "--epochs", 1, "--output", "small", "--checkpoint-every", 1]
    code, out, _ = gpunn_("train", pictures, *options)
    assert code == 0 and "resized 24 of 24 training pictures to 5×5" in out
    assert Network.load("small").sizes[0] == 75
    assert json.loads(gpunn_("evaluate", "small", pictures, "--json")[1])["examples"] == 6


def test_an_archive_is_trained_on_and_a_pickle_named(gpunn_: RunCommand, refused: object) -> None:
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3
    X = rng.integers(0, 60, (60, 4, 5), dtype=np.uint8) + (60 * y)[:, None, None].astype(np.uint8)
    np.savez("m.npz", x_train=X, y_train=y, x_test=X, y_test=y)
    code, out, err = gpunn_("train", "m.npz", "--epochs", 1, "--hidden", 8, "--output", "run")
    assert (code, err) == (0, "") and "60 examples: 20-8-3" in out
    assert json.loads(gpunn_("evaluate", "run", "--json")[1])["examples"] == 60
    Path("mnist.pkl.gz").write_bytes(b"\x1f\x8b")
    refused(["train", "mnist.pkl.gz"], "mnist.pkl.gz is a pickle", "gpunn train mnist")
