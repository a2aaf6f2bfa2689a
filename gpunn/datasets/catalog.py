"""Data sets by name: where their files are, and how they are read."""

import os
from pathlib import Path

import numpy as np

from gpunn.datasets.archives import is_archive, read_archive
from gpunn.datasets.checks import check_published, check_variety
from gpunn.datasets.dataset import Dataset, Split
from gpunn.datasets.download import cache_folder, download
from gpunn.datasets.folder import FILES, find_all_files, find_files, read_folder
from gpunn.names import unknown

DIGITS = tuple("0123456789")
FASHION = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
CLASSES = {"mnist": DIGITS, "fashion-mnist": FASHION}
NAMES = (*CLASSES, "digits")

# The files of both data sets have the same names, so their first test labels tell them apart.
FIRST_TEST_LABELS = {
    "mnist": [7, 2, 1, 0, 4, 1, 4, 9, 5, 9],
    "fashion-mnist": [9, 2, 1, 1, 6, 1, 4, 6, 5, 7],
}


def load(
    name: str | os.PathLike[str] = "mnist",
    data_dir: str | os.PathLike[str] | None = None,
    image_size: int | None = None,
) -> Dataset:
    """Load a data set by name, from a folder of pictures or IDX files, or from Keras's mnist.npz.

    - "mnist": 60,000 + 10,000 images of 28×28 (LeCun, Cortes, Burges).
    - "fashion-mnist": 60,000 + 10,000 images of 28×28 (Xiao, Rasul, Vollgraf 2017).
    - "digits": 1,437 + 360 images of 8×8 (UCI, CC BY 4.0; Alpaydin and Kaynak 1998), which come with gpunn:
      scikit-learn's `load_digits`, scaled to 0…255 and split by
      `train_test_split(test_size=0.2, random_state=0, stratify=y)`.
    - any other name: a folder with the four files of MNIST, plain or gzipped; a folder with a subfolder of
      pictures for each class, or with such folders `train` and `test`; or a .npz file with x_train, y_train,
      x_test and y_test. Write "./mnist" for a folder that has the name of a data set.

    Args:
        name: name of a data set, or path of a folder.
        data_dir: the only folder to search for MNIST or Fashion-MNIST: the files are in it or in its
            subfolder NAME. If None, search $GPUNN_DATA/NAME, for MNIST also $GPUNN_DATA, and then the user's
            cache, and download the files to the cache if they are missing.
        image_size: resize the pictures in a folder to this height and width. If None, they are resized to
            the most frequent size, reduced to at most 64 pixels.

    Warns, in one line, if files are not the published ones, or if all images or all labels are alike.

    Raises:
        ValueError: the name is unknown, or files are damaged or belong to another data set.
        DataUnavailable: files are missing and cannot be downloaded.

    >>> digits = gpunn.datasets.load("digits")
    >>> digits.train.X.shape, digits.train.X.dtype.name, digits.train.y.shape
    ((64, 1437), 'uint8', (1437,))
    """
    dataset = _load(name, data_dir, image_size)
    check_variety(dataset)
    return dataset


def _load(
    name: str | os.PathLike[str], data_dir: str | os.PathLike[str] | None, image_size: int | None
) -> Dataset:
    path = Path(os.path.expanduser(name))
    if name not in NAMES and is_class_folder(path):
        from gpunn.datasets.class_folders import read_class_folder  # imports Pillow

        return read_class_folder(path, image_size)
    if image_size is not None:
        raise ValueError(f"image_size only applies to folders of pictures, not to {name}")
    if name == "digits":
        return _load_digits()
    if name in CLASSES:
        return _load_mnist(str(name), data_dir)
    if isinstance(name, os.PathLike) or os.path.isdir(name) or os.path.basename(name) != name:
        return read_archive(path) if os.path.isfile(path) else read_folder(str(path), find_all_files(path))
    if is_archive(str(path)):
        return read_archive(path)
    raise unknown(name, "data set", [*NAMES, "or a folder of IDX files"])


def is_class_folder(path: Path) -> bool:
    """Return whether a folder holds pictures in subfolders, and no IDX files."""
    if not os.path.isdir(path) or find_files(path):
        return False
    from gpunn.datasets.class_folders import has_classes  # imports Pillow

    return has_classes(path)


def _load_mnist(name: str, data_dir: str | os.PathLike[str] | None) -> Dataset:
    files = _find_mnist(name, data_dir)
    dataset = read_folder(name, files, CLASSES[name])
    for other, labels in FIRST_TEST_LABELS.items():
        if other != name and dataset.test.y[:10].tolist() == labels:
            raise ValueError(f"{files[FILES[3]].parent} holds {other}, not {name}")
    check_published(dataset, files)
    return dataset


def _find_mnist(name: str, data_dir: str | os.PathLike[str] | None) -> dict[str, Path]:
    if data_dir is not None:
        given = Path(os.path.expanduser(data_dir))
        return find_all_files(given / name, given)
    for folder in folders(name):
        found = find_files(folder)
        if len(found) == len(FILES):
            return found
    cache = cache_folder(name)
    download(name, [stem for stem in FILES if stem not in find_files(cache)], cache)
    return find_all_files(cache)


def folders(name: str) -> list[Path]:
    """Return the folders to search for MNIST or Fashion-MNIST; files are downloaded to the last one.

    Files in $GPUNN_DATA itself are MNIST. Fashion-MNIST, whose files have the same names, needs a subfolder.
    """
    cache = cache_folder(name)
    if not os.environ.get("GPUNN_DATA"):
        return [cache]
    root = Path(os.path.expanduser(os.environ["GPUNN_DATA"]))
    return [root / name, root, cache] if name == "mnist" else [root / name, cache]


def _load_digits() -> Dataset:
    with np.load(Path(__file__).with_name("digits.npz")) as arrays:
        return Dataset(
            name="digits",
            train=Split.from_images(arrays["x_train"], arrays["y_train"]),
            test=Split.from_images(arrays["x_test"], arrays["y_test"]),
            image_shape=(8, 8),
            classes=DIGITS,
        )
