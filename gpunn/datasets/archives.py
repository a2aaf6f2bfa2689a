"""Images and labels in one file: Keras's mnist.npz and its like. Pickles are named, but never read."""

import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from gpunn.datasets.checks import is_mnist
from gpunn.datasets.dataset import Dataset, Split
from gpunn.datasets.folder import MAX_CLASSES
from gpunn.names import one_line

ARRAYS = ("x_train", "y_train", "x_test", "y_test")
PICKLES = (".pkl", ".pickle", ".pkl.gz", ".pickle.gz")
MAX_EXPANSION = (1 << 30, 100)  # bytes that may always be unpacked, and the largest factor beyond them


def is_archive(name: str) -> bool:
    """Return whether a file is a pickle by its name, or holds the arrays of Keras's mnist.npz."""
    if name.lower().endswith(PICKLES):
        return Path(name).is_file()
    if not name.lower().endswith(".npz"):
        return False
    try:
        with zipfile.ZipFile(name) as archive:
            return {f"{array}.npy" for array in ARRAYS} <= set(archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def read_archive(path: Path) -> Dataset:
    """Read images (m, height, width) or (m, height, width, 3), and labels (m,), of bytes and integers.

    Raises ValueError, in one line that names the file, if it is a pickle or damaged, or if its arrays do not
    match.
    """
    if path.name.lower().endswith(PICKLES):
        raise ValueError(
            f"{path} is a pickle, which can run code when it is opened: run gpunn train mnist to download "
            f"MNIST, or save the arrays {', '.join(ARRAYS)} with numpy.savez"
        )
    try:
        with zipfile.ZipFile(path) as archive:
            _check_headers(archive)
            arrays = [_load(archive, name) for name in ARRAYS]
    except Exception as error:  # damaged zip files and headers raise errors of many kinds
        raise ValueError(f"{path}: {one_line(error)}") from error
    return _assemble(path, *arrays)


def _assemble(
    path: Path,
    images: NDArray[np.uint8],
    labels: NDArray[Any],
    test_images: NDArray[np.uint8],
    test_labels: NDArray[Any],
) -> Dataset:
    for each in (labels, test_labels):
        if np.min(each) < 0 or np.max(each) >= MAX_CLASSES:
            raise ValueError(f"{path}: labels from {np.min(each)} to {np.max(each)}, expected 0 to 999")
    dataset = Dataset(
        name=str(path),
        train=Split.from_images(images, labels.ravel()),
        test=Split.from_images(test_images, test_labels.ravel()),
        image_shape=(images.shape[1], images.shape[2]),
        classes=tuple(map(str, range(int(max(np.max(labels), np.max(test_labels))) + 1))),
        channels=3 if images.ndim == 4 else 1,
        as_is=True,
    )
    if dataset.channels == 1 and is_mnist(dataset):
        return Dataset(dataset.name, dataset.train, dataset.test, dataset.image_shape, dataset.classes)
    return dataset


def _check_headers(archive: zipfile.ZipFile) -> None:
    """Raise ValueError, before anything is unpacked, if the arrays do not match or are implausibly large."""
    always, factor = MAX_EXPANSION
    shapes = {}
    for name in ARRAYS:
        info = archive.getinfo(f"{name}.npy")
        if info.file_size > max(always, factor * info.compress_size):
            raise ValueError(f"{name} unpacks to {info.file_size:,} bytes, which is implausible")
        with archive.open(info) as file:
            shape, dtype = _header(file)
        images = name.startswith("x")
        expected = "unsigned bytes (count, height, width) or (…, 3)" if images else "integers (count,)"
        fits = dtype == np.uint8 and (len(shape) == 3 or (len(shape) == 4 and shape[3] == 3))
        if not (fits if images else dtype.kind in "ui" and shape in (shape[:1], (*shape[:1], 1))):
            raise ValueError(f"{name} holds {dtype} of shape {shape}, expected {expected}")
        if 0 in shape:
            raise ValueError(f"{name} is empty, its shape is {shape}")
        shapes[name] = shape
    for kind in ("train", "test"):
        m, n = shapes[f"x_{kind}"][0], shapes[f"y_{kind}"][0]
        if m != n:
            raise ValueError(f"x_{kind} has {m:,} images, but y_{kind} has {n:,} labels")
    if shapes["x_train"][1:] != shapes["x_test"][1:]:
        raise ValueError(
            f"images are {shapes['x_train'][1:]} in x_train, but {shapes['x_test'][1:]} in x_test"
        )


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    shape, _, dtype = read[np.lib.format.read_magic(file)](file)
    return shape, dtype


def _load(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    with archive.open(f"{name}.npy") as file:
        array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    return np.ascontiguousarray(array)
