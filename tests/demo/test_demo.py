"""The demo: its page computes the same outputs in a browser as Python, and recognises drawn digits."""

from __future__ import annotations

import io
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
import warnings
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from gpunn import ACTIVATIONS, Activation, Dense, Network, cli, demo
from gpunn.cli.deploy import newest_run
from gpunn.datasets import Dataset
from gpunn.datasets.images import read_image

ROOT = Path(__file__).parents[2]
DIGITS = list("0123456789")
ONE = [[(0.52, 0.15), (0.48, 0.85)]]
ZERO = [[(0.5 + 0.22 * np.sin(t), 0.5 - 0.33 * np.cos(t)) for t in np.linspace(0, 2 * np.pi, 13)]]


@contextmanager
def serving(net: Network, shape: tuple[int, int], classes: list[str]) -> Iterator[str]:
    """Serve a network's page, and yield its URL."""
    with demo.Server(net, shape, classes) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.url
        finally:
            server.shutdown()
            thread.join()


def network(*layers: Dense, shape: tuple[int, int] = (8, 8), **options: Any) -> Network:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Network(shape[0] * shape[1], layers, options.pop("cost", "quadratic"), seed=0, **options)


@pytest.fixture(scope="module")
def digits_net(digits: Dataset) -> Network:
    meta = {"dataset": "digits", "digit": True, "test_accuracy": 0.97}
    net = Network(64, [Dense(64, "tanh"), Dense(10, "softmax")], seed=0, meta=meta)
    net.fit(digits.train.X, digits.train.y, epochs=20, batch_size=16, optimizer="nesterov")
    return net


@pytest.fixture(scope="module")
def mnist_net(mnist: Dataset) -> Network:
    net = Network(784, [Dense(128, "relu"), Dense(10, "softmax")], seed=0)
    X, y = mnist.train.X[:, :20_000], mnist.train.y[:20_000]
    net.fit(X, y, epochs=2, batch_size=64, optimizer="nesterov")
    return net


# in a browser


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Any]]:
    """A function that opens a page; errors and requests to other hosts fail the test at its end."""
    contexts, wrong = [], []

    def visit(url: str, **options: Any) -> Any:
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: request.url.startswith(url) or wrong.append(request.url))
        page.goto(url)
        page.wait_for_selector("#bars li")
        return page

    yield visit
    for context in contexts:
        context.close()
    assert not wrong


def draw(page: Any, strokes: list[list[tuple[float, float]]]) -> None:
    """Draw with the mouse; places are fractions of the pad's width and height."""
    box = page.locator("#pad").bounding_box()
    for stroke in strokes:
        places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in stroke]
        page.mouse.move(*places[0])
        page.mouse.down()
        for place in places[1:]:
            page.mouse.move(*place, steps=2)
        page.mouse.up()


def seen(page: Any) -> str:
    """Wait until the page shows a label, and return it."""
    label = page.locator("#label:not(:empty)")
    label.wait_for()
    page.evaluate("() => new Promise(requestAnimationFrame)")
    return label.inner_text()


@pytest.mark.parametrize(("name", "shape"), [("digits_net", (8, 8)), ("mnist_net", (28, 28))])
def test_a_drawn_digit_is_recognised(
    request: pytest.FixtureRequest, visit: Callable[..., Any], name: str, shape: tuple[int, int]
) -> None:
    with serving(request.getfixturevalue(name), shape, DIGITS) as url:
        page = visit(url)
        fetched: list[Any] = []
        page.on("request", lambda request: fetched.append(request.url))
        assert page.locator("#hint").is_visible()
        for strokes, digit in ((ONE, "1"), (ZERO, "0")):
            draw(page, strokes)
            assert seen(page) == digit
            assert page.locator("#hint").is_hidden()
            assert page.locator("#bars .most").inner_text().startswith(digit)
            share = float(page.locator("#sure").inner_text().split()[0]) / 100
            page.wait_for_function("() => !document.getAnimations().length")  # the bar is animated
            bar, track = (page.locator(f".most .{part}").bounding_box()["width"] for part in ("bar", "track"))
            assert bar / track == pytest.approx(share, abs=0.01)
            page.get_by_text("Clear").click()
            page.locator("#label:empty").wait_for(state="attached")
        assert not fetched  # the browser computes the outputs


def test_drawing_with_a_finger_on_a_phone(visit: Callable[..., Any], digits_net: Network) -> None:
    with serving(digits_net, (8, 8), DIGITS) as url:
        for scheme, paper in (("light", "rgb(247, 246, 243)"), ("dark", "rgb(21, 20, 18)")):
            phone = {"width": 375, "height": 812}
            page = visit(url, viewport=phone, has_touch=True, is_mobile=True, color_scheme=scheme)
            page.locator("#pad").tap()
            assert seen(page) in DIGITS
            assert page.evaluate("document.documentElement.scrollWidth") == 375
            assert page.evaluate("getComputedStyle(document.body).backgroundColor") == paper
            last = page.locator("#bars li .track").last.bounding_box()
            assert last["y"] + last["height"] < 812  # the pad and the chart are visible together


def test_every_layer_lights_up(visit: Callable[..., Any], digits_net: Network) -> None:
    def colours(grid: Any) -> int:
        image = Image.open(io.BytesIO(grid.screenshot()))
        return len(image.convert("RGB").getcolors(10_000))

    with serving(digits_net, (8, 8), DIGITS) as url:
        page = visit(url)
        grids = page.locator("figure canvas").all()
        assert page.locator("figcaption").all_inner_texts() == ["what the network sees", "layer 1, 64 × tanh"]
        before = [colours(grid) for grid in grids]
        draw(page, ZERO)
        seen(page)
        after = [colours(grid) for grid in grids]
        assert min(np.subtract(after, before)) > 5, (before, after)


def scribbles(n: int, shape: tuple[int, int]) -> Iterator[Image.Image]:
    """Draw n images of several sizes in the proportions of the pad, light on dark; the first is symmetric."""
    rng = np.random.default_rng(0)
    for k in range(n):
        side = float(rng.uniform(40, 130))
        width, height = (max(1, round(side * length / max(shape))) for length in shape[::-1])
        points = rng.uniform(0.1, 0.9, (int(rng.integers(2, 6)), 2)) * (width, height)
        if k == 0:
            points[:, 0] = width // 2
        image = Image.new("L", (width, height))
        pen = ImageDraw.Draw(image)
        pen.line([tuple(p) for p in points], fill=int(rng.integers(60, 256)), width=int(rng.integers(2, 14)))
        yield image


@pytest.mark.parametrize("digit", [True, False])
@pytest.mark.parametrize("shape", [(28, 28), (8, 8), (20, 30)])
def test_a_drawing_is_prepared_like_a_photo(
    visit: Callable[..., Any], digits_net: Network, tmp_path: Path, shape: tuple[int, int], digit: bool
) -> None:
    prepare = """async ([data, height, width, shape, digit]) => {
      const { prepare } = await import("/picture.js");
      return [...prepare({ data, height, width }, shape, digit).data];
    }"""
    with serving(digits_net, (8, 8), DIGITS) as url:
        page = visit(url)
        for image in scribbles(12, shape):
            image.save(tmp_path / "drawing.png")
            data = np.asarray(image).ravel().tolist()
            found = page.evaluate(prepare, [data, image.height, image.width, shape, digit])
            expected = read_image(tmp_path / "drawing.png", shape, digit)[:, 0].astype(int)
            difference = np.abs(np.array(found) - expected).max()
            assert difference <= 1  # of 255: Pillow rounds the weights of bytes
            assert (np.array(found) == expected).mean() > 0.95


def test_a_blank_drawing_has_no_picture(visit: Callable[..., Any], digits_net: Network) -> None:
    blank = "async data => (await import('/picture.js')).prepare({data, height: 2, width: 2}, [8, 8], true)"
    with serving(digits_net, (8, 8), DIGITS) as url:
        page = visit(url)
        assert page.evaluate(blank, [0, 15, 0, 0]) is None
        assert page.evaluate(blank, [0, 16, 0, 0]) is not None


FORWARD = """async pixels => {
  const { forward, load } = await import("/network.js");
  const network = await load();
  return pixels.map((x) => [...forward(network, x).at(-1)]);
}"""


@pytest.mark.parametrize("f", ACTIVATIONS)
def test_the_browser_computes_the_same_outputs(visit: Callable[..., Any], digits: Dataset, f: str) -> None:
    net = network(Dense(20, f, batch_norm=True), Dense(7, f), dtype="float64")
    net.theta[:] /= 4  # exp of exp would overflow
    pixels = digits.test.X[:, :20]
    net.fit(pixels, np.zeros((7, 20)), epochs=1, optimizer="adam")
    with serving(net, (8, 8), list("abcdefg")) as url:
        found = visit(url).evaluate(FORWARD, pixels.T.tolist())
    np.testing.assert_allclose(np.transpose(found), net.forward(pixels), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("f", "cost"), [("sigmoid", "binary-cross-entropy"), ("identity", "hinge")])
def test_a_single_output_is_two_classes(visit: Callable[..., Any], f: str, cost: str) -> None:
    net = network(Dense(1, f), cost=cost)
    for sign, name in ((1, "dog"), (-1, "cat")):
        net.weights[0][:], net.biases[0][:] = 0, sign
        with serving(net, (8, 8), ["cat", "dog"]) as url:
            page = visit(url)
            draw(page, ZERO)
            assert seen(page) == name
            assert page.locator("#bars li").count() == 2


# the server


def test_an_activation_of_your_own_is_refused() -> None:
    square = Activation.from_functions(np.square, lambda z: 2 * z, name="square")
    with pytest.raises(ValueError, match="'square' has no JavaScript spelling"):
        demo.Server(network(Dense(2, square)), (8, 8), ["a", "b"])


@pytest.fixture
def url() -> Iterator[str]:
    with serving(network(Dense(2)), (8, 8), ["a", "b"]) as url:
        yield url


def fetch(url: str, host: str | None = None, **options: Any) -> Any:
    request = urllib.request.Request(url, headers={"Host": host} if host else {}, **options)
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as response:
        return response.headers["Content-Type"], response.read()


def test_the_server_only_serves_the_page(url: str) -> None:
    assert b"<title>gpunn demo</title>" in fetch(url)[1]
    assert fetch(f"{url}page.js?x")[0] == "text/javascript; charset=utf-8"
    assert len(fetch(f"{url}weights")[1]) == 4 * (64 * 2 + 2)
    for path, options, code in (
        ("../__init__.py", {}, 404),
        ("page/index.html", {}, 404),
        ("", {"data": b"x"}, 501),
        ("weights", {"host": "elsewhere.example"}, 403),
    ):
        with pytest.raises(urllib.error.HTTPError) as raised:
            fetch(url + path, **options)
        raised.value.close()
        assert raised.value.code == code


def test_the_server_only_listens_on_this_machine(url: str) -> None:
    assert url.startswith("http://127.0.0.1:")
    port = int(url.rstrip("/").rpartition(":")[2])
    with pytest.raises(OSError), socket.create_connection(("127.0.0.2", port)):
        pass  # a server on all addresses would accept this


# on the command line


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "gpunn-runs"


def save(folder: Path, when: int, **meta: Any) -> None:
    folder.mkdir(parents=True)
    network(Dense(2), meta=meta).save(folder / "model.safetensors")
    os.utime(folder / "model.safetensors", (when, when))


@pytest.mark.parametrize("wanted", [True, False])
def test_the_newest_run_is_shown(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], wanted: bool
) -> None:
    for name, when in (("a-1", 100), ("b-1", 300), ("c-1", 200)):
        save(runs / name, when, image_shape=[8, 8])
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)

    def serve_forever(server: demo.Server) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(demo.Server, "serve_forever", serve_forever)
    assert newest_run() == Path("gpunn-runs/b-1")
    assert cli.main(["demo", *([] if wanted else ["--no-browser"])]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("gpunn-runs/b-1, 64-2: draw on http://127.0.0.1:") and err == ""
    assert [url in out for url in opened] == [True] * wanted


def test_bad_input_is_one_line(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def refused(*arguments: str) -> str:
        assert cli.main(["demo", *arguments]) == 2
        out, err = capsys.readouterr()
        assert out == "" and err.startswith("gpunn: error: ") and err.count("\n") == 1
        return err

    assert "there is no model in gpunn-runs: run gpunn train first, or name a model" in refused()
    save(runs / "table-1", 1)
    assert "gpunn-runs/table-1 does not say what size of image it takes" in refused()
    save(runs / "digits-1", 2, image_shape=[8, 8])
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"port {port}: Address already in use; choose another" in refused("--port", str(port))
    assert "--port" in refused("--port", "65536")


def test_ctrl_c_ends_it(runs: Path, request: pytest.FixtureRequest) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # children of a background job may ignore it
    save(runs / "digits-1", 1, image_shape=[8, 8])
    command = [sys.executable, "-W", "error", "-m", "gpunn", "demo", "--no-browser"]
    environment, pipe = {**os.environ, "PYTHONPATH": str(ROOT)}, subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True) as run:
        request.addfinalizer(run.kill)
        url = run.stdout.readline().split()[4]
        assert b"gpunn demo" in fetch(url)[1]
        run.send_signal(signal.SIGINT)
        assert run.communicate() == ("", "")
        assert run.returncode == 0
