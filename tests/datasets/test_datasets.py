"""Data sets: every file is either read right or refused in one line that names it."""

import gzip
import hashlib
import io
import os
import socket
import struct
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from gpunn.datasets import NAMES, DataUnavailable, catalog, download, load, read_idx
from gpunn.datasets.folder import FILES
from gpunn.datasets.idx import ELEMENT_TYPES

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 4, 3), dtype=np.uint8)
LABELS = np.arange(12, dtype=np.uint8) % 3
REAL_DATA = os.environ.get("GPUNN_DATA")
FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def idx_bytes(array, code=0x08):
    header = struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape)
    return header + array.astype(ELEMENT_TYPES[code]).tobytes()


def write_folder(folder, images=PIXELS, labels=LABELS, suffix=".gz"):
    folder.mkdir(parents=True, exist_ok=True)
    pack = gzip.compress if suffix == ".gz" else bytes
    for name in FILES:
        array = images if "images" in name else labels
        (folder / (name + suffix)).write_bytes(pack(idx_bytes(array)))
    return folder


def refused(kind, action, *words):
    """The action raises this kind of error, in one line that holds these words."""
    with pytest.raises(kind) as caught:
        action()
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert str(word) in message, message
    return message


@pytest.fixture(autouse=True)
def nowhere(monkeypatch, tmp_path):
    """No environment, an empty cache and dead mirrors: a test gets only what it asks for."""
    monkeypatch.delenv("GPUNN_DATA", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(catalog, "cache_folder", lambda name: tmp_path / "cache" / name)
    dead = f"http://127.0.0.1:{closed_port()}"
    monkeypatch.setattr(download, "MIRRORS", dict.fromkeys(download.MIRRORS, (dead, dead)))
    return dead


def closed_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# --- IDX files


@pytest.mark.parametrize("code", ELEMENT_TYPES)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_every_element_type_is_read(tmp_path, code, pack):
    expected = np.arange(24).reshape(2, 3, 4).astype(ELEMENT_TYPES[code])
    (tmp_path / "a").write_bytes(pack(idx_bytes(expected, code)))
    array = read_idx(tmp_path / "a")
    np.testing.assert_array_equal(array, expected)
    assert array.dtype == expected.dtype.newbyteorder("=")
    assert array.dtype.isnative and array.flags.c_contiguous and array.flags.writeable


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ["empty"]),
        (b"\0\0", ["00 00", "IDX"]),
        (b"\x89PNG\r\n", ["89 50 4e 47", "IDX"]),
        (struct.pack(">HBBI", 0, 0x07, 1, 3) + bytes(3), ["0x07", "0x08"]),
        (struct.pack(">HBB", 0, 0x08, 0), ["0 dimensions"]),
        (struct.pack(">HBB", 0, 0x08, 200), ["200 dimensions"]),
        (struct.pack(">HBBI", 0, 0x08, 2, 3), ["header"]),
        (struct.pack(">HBBII", 0, 0x08, 2, 0, 3), ["0×3"]),
        (struct.pack(">HBBII", 0, 0x08, 2, 2, 3) + bytes(5), ["6 bytes", "only 5"]),
        (struct.pack(">HBBII", 0, 0x08, 2, 2, 3) + bytes(7), ["6 bytes", "more"]),
        (struct.pack(">HBB4I", 0, 0x0E, 4, *[2**32 - 1] * 4) + bytes(9), ["announces", "only 9"]),
    ],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_wrong_file_is_refused(tmp_path, content, words, pack):
    path = tmp_path / "wrong-idx"
    path.write_bytes(pack(content))
    refused(ValueError, lambda: read_idx(path), path, *words)


def test_unreadable_paths_are_refused(tmp_path):
    refused(ValueError, lambda: read_idx(tmp_path), tmp_path, "cannot be read")
    refused(ValueError, lambda: read_idx(tmp_path / "none"), "none", "cannot be read")


def test_a_gzip_bomb_is_not_expanded(tmp_path, monkeypatch):
    read = []
    original = gzip.GzipFile.read

    def counted(self, size=-1):
        read.append(size)
        return original(self, size)

    monkeypatch.setattr(gzip.GzipFile, "read", counted)
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(struct.pack(">HBBI", 0, 0x08, 1, 5) + bytes(1 << 24)))
    refused(ValueError, lambda: read_idx(path), path, "5 bytes", "more")
    assert min(read) >= 0 and sum(read) == 4 + 4 + 6


def either_right_or_refused(path, data):
    """Damage may not matter (a gzip header holds a time stamp, say); it may never give another array."""
    path.write_bytes(data)
    try:
        array = read_idx(path)
    except ValueError as error:
        assert str(path) in str(error) and "\n" not in str(error)
        return False
    np.testing.assert_array_equal(array, PIXELS)
    return True


@FUZZ
@given(gzipped=st.booleans(), part=st.floats(0, 1, exclude_max=True))
def test_truncation_anywhere_is_refused(tmp_path, gzipped, part):
    whole = gzip.compress(idx_bytes(PIXELS)) if gzipped else idx_bytes(PIXELS)
    assert not either_right_or_refused(tmp_path / "a", whole[: int(part * len(whole))])


@FUZZ
@given(gzipped=st.booleans(), extra=st.binary(min_size=1, max_size=40))
def test_trailing_bytes_are_refused(tmp_path, gzipped, extra):
    whole = gzip.compress(idx_bytes(PIXELS)) if gzipped else idx_bytes(PIXELS)
    harmless = gzipped and not extra.strip(b"\0")  # gzip allows padding with zeros
    assert either_right_or_refused(tmp_path / "a", whole + extra) == harmless


@FUZZ
@given(position=st.integers(0, 15), value=st.integers(1, 255))
def test_a_flipped_header_byte_is_refused(tmp_path, position, value):
    assume((position, value) != (2, 1))  # 0x08 → 0x09: signed bytes, just as valid
    data = bytearray(idx_bytes(PIXELS))
    data[position] ^= value
    assert not either_right_or_refused(tmp_path / "a", bytes(data))


@FUZZ
@given(position=st.integers(0, 10**6), value=st.integers(1, 255))
def test_damaged_gzip_is_refused_or_harmless(tmp_path, position, value):
    data = bytearray(gzip.compress(idx_bytes(PIXELS)))
    data[position % len(data)] ^= value
    either_right_or_refused(tmp_path / "a", bytes(data))


@FUZZ
@given(
    data=st.binary(max_size=64),
    start=st.sampled_from([b"", b"\0\0\x08", b"\0\0\x08\x01\0\0", b"\x1f\x8b\x08\0"]),
)
def test_any_bytes_are_read_or_refused(tmp_path, data, start):
    path = tmp_path / "a"
    path.write_bytes(start + data)
    try:
        assert read_idx(path).nbytes <= len(data)
    except ValueError as error:
        assert str(path) in str(error) and "\n" not in str(error)


# --- folders


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_folder_is_read_as_columns(tmp_path, suffix):
    dataset = load(write_folder(tmp_path / "mine", suffix=suffix))
    assert dataset.name == str(tmp_path / "mine")
    assert dataset.image_shape == (4, 3) and dataset.classes == ("0", "1", "2")
    for split in (dataset.train, dataset.test):
        assert split.X.shape == (12, 12) and split.X.dtype == np.uint8 and split.X.flags.f_contiguous
        assert split.y.shape == (12,) and split.y.dtype == np.int64
        np.testing.assert_array_equal(split.X[:, 7], PIXELS[7].ravel())
        np.testing.assert_array_equal(split.y, LABELS)


def test_other_spellings_are_found(tmp_path):
    for path in write_folder(tmp_path).iterdir():
        path.rename(tmp_path / path.name.replace("t10k", "test").replace("-idx", ".idx"))
    assert load(f"{tmp_path}{os.sep}").test.y.size == 12


def test_what_a_name_means(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "mine")
    assert load("mine").image_shape == (4, 3)  # an existing folder needs no separator
    write_folder(tmp_path / "digits")
    assert load("digits").image_shape == (8, 8)  # a known name wins
    assert load("./digits").image_shape == (4, 3)
    refused(ValueError, lambda: load("fashion_mnist"), "did you mean 'fashion-mnist'", *NAMES)
    refused(ValueError, lambda: load("MNIST"), "did you mean 'mnist'")
    refused(ValueError, lambda: load("imagenet-22k"), "imagenet-22k", *NAMES)


def test_missing_files_are_named(tmp_path):
    folder = write_folder(tmp_path / "mine")
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    message = refused(DataUnavailable, lambda: load(folder), folder, "t10k-labels-idx1-ubyte[.gz]")
    assert "train" not in message
    refused(DataUnavailable, lambda: load(tmp_path / "none"), "none", "no such folder", *FILES)


@pytest.mark.parametrize(
    ("name", "array", "words"),
    [
        (FILES[1], LABELS[:5], ["12 images", "5 labels"]),
        (FILES[3], LABELS[:5], ["12 images", "5 labels"]),
        (FILES[1], LABELS.reshape(3, 4), ["(3, 4)", "labels"]),
        (FILES[1], PIXELS, ["(12, 4, 3)", "labels"]),
        (FILES[0], LABELS, ["(12,)", "images"]),
        (FILES[2], PIXELS[:, :3], ["3×3", "4×3"]),
    ],
)
def test_files_that_do_not_agree_are_refused(tmp_path, name, array, words):
    folder = write_folder(tmp_path)
    (folder / f"{name}.gz").write_bytes(gzip.compress(idx_bytes(array)))
    refused(ValueError, lambda: load(folder), folder / f"{name}.gz", *words)


def test_images_must_be_bytes_and_labels_integers(tmp_path):
    folder = write_folder(tmp_path)
    (folder / FILES[0]).write_bytes(idx_bytes(PIXELS, 0x0D))
    refused(ValueError, lambda: load(folder), folder / FILES[0], "float32", "unsigned bytes")
    (folder / FILES[0]).unlink()
    (folder / FILES[1]).write_bytes(idx_bytes(LABELS, 0x0D))
    refused(ValueError, lambda: load(folder), folder / FILES[1], "float32", "integers")


@pytest.mark.parametrize(("label", "code"), [(-1, 0x09), (1000, 0x0B)])
def test_labels_out_of_range_are_refused(tmp_path, label, code):
    folder = write_folder(tmp_path)
    (folder / FILES[3]).write_bytes(idx_bytes(np.array([0, 1, label] * 4), code))
    refused(ValueError, lambda: load(folder), FILES[3], f"label {label} at position 2", "0 to 999")


# --- MNIST and Fashion-MNIST: where they are looked for


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_data_dir_is_the_folder_or_its_parent(tmp_path, name):
    folder = write_folder(tmp_path / name)
    assert load(name, data_dir=folder).name == name
    dataset = load(name, data_dir=str(tmp_path))
    assert len(dataset.classes) == 10 and dataset.image_shape == (4, 3)


def test_an_explicit_data_dir_is_the_only_place(tmp_path, monkeypatch):
    monkeypatch.setenv("GPUNN_DATA", str(write_folder(tmp_path / "environment")))
    monkeypatch.setattr(catalog, "download", lambda *_: pytest.fail("must not download"))
    refused(DataUnavailable, lambda: load(data_dir=tmp_path), f"{tmp_path} lacks", tmp_path / "mnist", *FILES)


def test_environment_then_cache(tmp_path, monkeypatch):
    write_folder(tmp_path / "cache" / "mnist", images=PIXELS[:, :2])
    assert load().image_shape == (2, 3)
    monkeypatch.setenv("GPUNN_DATA", str(tmp_path / "environment"))
    assert load().image_shape == (2, 3)
    write_folder(tmp_path / "environment")
    assert load().image_shape == (4, 3)
    write_folder(tmp_path / "environment" / "mnist", images=PIXELS[:, :1])
    assert load().image_shape == (1, 3)


def test_mnist_and_fashion_mnist_are_not_taken_for_each_other(tmp_path, monkeypatch):
    labels = np.array([*catalog.FIRST_TEST_LABELS["mnist"], 0, 0], np.uint8)
    write_folder(tmp_path / "data", labels=labels)
    monkeypatch.setenv("GPUNN_DATA", str(tmp_path / "data"))
    assert load("mnist").classes[9] == "9"
    refused(DataUnavailable, lambda: load("fashion-mnist"), "fashion-mnist")
    wrong = partial(load, "fashion-mnist", data_dir=tmp_path / "data")
    refused(ValueError, wrong, tmp_path / "data", "holds mnist, not fashion-mnist")
    write_folder(tmp_path / "data" / "fashion-mnist")
    assert load("fashion-mnist").classes[9] == "Ankle boot"
    assert wrong().name == "fashion-mnist"  # the subfolder comes first


def test_mnist_has_ten_classes(tmp_path):
    folder = write_folder(tmp_path, labels=np.full(12, 10, np.uint8))
    refused(ValueError, lambda: load("mnist", folder), FILES[1], "label 10", "0 to 9")
    assert len(load(folder).classes) == 11


# --- downloading


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def serve():
    """serve(folder) is the address of a mirror of that folder."""
    servers = []

    def start(folder):
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
        servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def good(tmp_path, monkeypatch):
    """A folder whose files have the published checksums."""
    folder = write_folder(tmp_path / "good")
    sums = {name: hashlib.sha256((folder / f"{name}.gz").read_bytes()).hexdigest() for name in FILES}
    monkeypatch.setattr(download, "SHA256", dict.fromkeys(download.SHA256, sums))
    return folder


def cached(tmp_path, name="mnist"):
    folder = tmp_path / "cache" / name
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_a_dead_mirror_is_passed_over(tmp_path, monkeypatch, capfd, nowhere, serve, good, name):
    monkeypatch.setitem(download.MIRRORS, name, (nowhere, serve(good)))
    np.testing.assert_array_equal(load(name).train.y, LABELS)
    assert cached(tmp_path, name) == sorted(f"{stem}.gz" for stem in FILES)
    assert capfd.readouterr() == ("", "")
    monkeypatch.setitem(download.MIRRORS, name, ())
    assert load(name).name == name  # from the cache


@pytest.mark.parametrize("fault", ["corrupt", "truncated", "missing"])
def test_a_bad_mirror_is_passed_over(tmp_path, monkeypatch, serve, good, fault):
    bad = write_folder(tmp_path / "bad")
    victim = bad / f"{FILES[2]}.gz"
    if fault == "missing":
        victim.unlink()
    else:
        data = victim.read_bytes()
        victim.write_bytes(data[:-1] + b"\xff" if fault == "corrupt" else data[:-9])
    monkeypatch.setitem(download.MIRRORS, "mnist", (serve(bad),))
    reason = "HTTP 404" if fault == "missing" else "wrong SHA-256"
    message = refused(DataUnavailable, load, reason, f"{FILES[2]}.gz", tmp_path / "cache", "GPUNN_DATA")
    assert len(message) < 600
    assert cached(tmp_path) == sorted(f"{stem}.gz" for stem in FILES[:2])  # and nothing half-written
    monkeypatch.setitem(download.MIRRORS, "mnist", (serve(bad), serve(good)))
    np.testing.assert_array_equal(load().test.X, PIXELS.reshape(12, -1).T)


def test_a_connection_cut_short_leaves_nothing(tmp_path, monkeypatch, serve, good):
    """The server announces more than it sends."""
    original = Quiet.send_header

    def announce_more(self, key, value):
        original(self, key, "99999" if key == "Content-Length" else value)

    monkeypatch.setattr(Quiet, "send_header", announce_more)
    monkeypatch.setitem(download.MIRRORS, "mnist", (serve(good),))
    refused(DataUnavailable, load, "cannot download mnist", "127.0.0.1")
    assert cached(tmp_path) == []


def test_a_terminal_shows_progress(monkeypatch, serve, good):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    monkeypatch.setitem(download.MIRRORS, "mnist", (serve(good),))
    load()
    assert "100%" in terminal.getvalue()


def test_all_mirrors_dead(tmp_path):
    message = refused(DataUnavailable, load, "Connection refused", "--data-dir", "GPUNN_DATA", *FILES)
    assert isinstance(DataUnavailable(), OSError) and len(message) < 600
    assert cached(tmp_path) == []


def test_a_cache_that_cannot_be_written(tmp_path, monkeypatch, serve, good):
    (tmp_path / "cache").write_text("a file where the folder should be")
    monkeypatch.setitem(download.MIRRORS, "mnist", (serve(good),))
    refused(DataUnavailable, load, "cannot download mnist", tmp_path / "cache")


def test_the_published_tables_are_complete():
    assert set(download.SHA256) == set(download.MIRRORS) == set(catalog.CLASSES)
    for sums in download.SHA256.values():
        assert tuple(sums) == FILES and all(len(bytes.fromhex(s)) == 32 for s in sums.values())


# --- the data themselves


def test_digits():
    digits = load("digits")
    assert digits.train.X.shape == (64, 1437) and digits.test.X.shape == (64, 360)
    assert digits.train.X.dtype == np.uint8 and digits.train.X.flags.f_contiguous
    assert digits.train.X.min() == 0 and digits.train.X.max() == 255
    assert digits.image_shape == (8, 8) and digits.classes == tuple("0123456789")
    assert np.ptp(np.bincount(digits.test.y)) <= 3  # stratified
    np.testing.assert_array_equal(digits.train.X, load("digits").train.X)  # the same split each time


def test_mnist_is_mnist(real_mnist):
    train, test = real_mnist.train, real_mnist.test
    assert train.X.shape == (784, 60000) and test.X.shape == (784, 10000)
    assert train.X.dtype == np.uint8 and train.X.flags.f_contiguous and train.y.dtype == np.int64
    assert train.y[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    sha256 = {
        hashlib.sha256(header + content.tobytes()).hexdigest()[:16]
        for header, content in [
            (struct.pack(">IIII", 0x803, 60000, 28, 28), train.X.T),
            (struct.pack(">II", 0x801, 60000), train.y.astype(np.uint8)),
            (struct.pack(">IIII", 0x803, 10000, 28, 28), test.X.T),
            (struct.pack(">II", 0x801, 10000), test.y.astype(np.uint8)),
        ]
    }
    assert sha256 == {"ba891046e6505d7a", "65a50cbbf4e906d7", "0fa7898d509279e4", "ff7bcfd416de3373"}


@pytest.fixture
def real_mnist():
    if not REAL_DATA:
        pytest.skip("GPUNN_DATA is not set")
    try:
        return load("mnist", data_dir=REAL_DATA)
    except DataUnavailable as error:
        pytest.skip(str(error))
