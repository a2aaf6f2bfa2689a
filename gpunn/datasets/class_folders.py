"""Folders of pictures with a subfolder for each class, as torchvision's ImageFolder and Keras read them."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gpunn.datasets.dataset import Dataset, Form, Split
from gpunn.datasets.decoding import is_picture, read_resized, read_size
from gpunn.datasets.images import in_channels
from gpunn.names import listed

TRAINING, TEST = ("train", "training"), ("test", "testing", "val", "valid", "validation")
MAX_SIDE = 64  # pixels, unless another size is chosen: each pixel is an input
HELD_OUT = 5  # one picture in five is for testing, if there is no folder for them

Pictures = dict[str, list[Path]]  # of each class


def has_classes(folder: Path) -> bool:
    """Return whether a folder has subfolders with pictures, or training pictures in such subfolders."""
    return bool(_pictures(folder)) or any(_pictures(folder / name) for name in (*TRAINING, *TEST))


def read_class_folder(folder: Path, size: int | None = None) -> Dataset:
    """Read pictures from `folder/CLASS`, or from `folder/train/CLASS` and `folder/test/CLASS` (or `val`).

    Without a folder for testing, a fifth of each class is held out, always the same. Every picture is resized
    to `size`×`size` or, if `size` is None, to the most frequent size of the training pictures, reduced to
    MAX_SIDE. If a picture has colours, X has height·width·3 features, with the channels of a pixel together.

    Raises ValueError, in one line that names the file or the folder, if a picture cannot be read, or if
    there are less than two classes.
    """
    train, test, notes = _find(folder)
    if len(train) < 2:
        found = f"only the class '{next(iter(train))}'" if train else "no pictures"
        raise ValueError(
            f"{folder} has {found}, expected a subfolder of pictures for each of several classes"
        )
    sizes = Counter(read_size(path) for paths in train.values() for path in paths)
    shape = (size, size) if size else _limited(max(sizes, key=lambda shape: (sizes[shape], shape)))
    classes = tuple(train)
    (X, y), (test_X, test_y) = (_read(pictures, classes, shape) for pictures in (train, test))
    channels = 3 if _coloured(X) or _coloured(test_X) else 1
    if resized := sum(count for other, count in sizes.items() if other != shape):
        notes += (
            f"resized {resized:,} of {sum(sizes.values()):,} training pictures to {shape[0]}×{shape[1]} "
            "pixels (--image-size N chooses N×N)",
        )
    return Dataset(
        name=str(folder),
        train=Split.from_images(X if channels == 3 else X[..., 0], y),
        test=Split.from_images(test_X if channels == 3 else test_X[..., 0], test_y),
        image_shape=shape,
        classes=classes,
        channels=channels,
        as_is=True,
        notes=notes,
    )


def read_test_pictures(folder: Path, form: Form, whole: bool) -> Dataset:
    """Read the pictures of a folder as a trained network takes them, for testing.

    whole: test on all pictures of a folder that has none for testing, because it was not trained on.

    Raises ValueError if a picture cannot be read, or if the network does not know its class.
    """
    train, test, _ = _find(folder)
    if whole and not any(_pictures(folder / name) for name in TEST):
        test = {name: sorted([*train[name], *test.get(name, [])]) for name in train}
    if unknown := sorted(set(test) - set(form.classes)):
        known = listed(form.classes, 10)
        raise ValueError(f"{folder}: the class '{unknown[0]}' is unknown to the network, which knows {known}")
    images, y = _read(test, form.classes, form.shape)
    pixels = images if form.channels == 3 else np.stack([in_channels(image, 1) for image in images])
    split = Split.from_images(pixels, y)
    return Dataset(str(folder), split, split, form.shape, form.classes, form.channels, as_is=True)


def _find(folder: Path) -> tuple[Pictures, Pictures, tuple[str, ...]]:
    """Return the pictures for training and for testing, and notes on what was assumed."""
    train = next((found for name in TRAINING if (found := _pictures(folder / name))), None)
    tests = {name: found for name in TEST if (found := _pictures(folder / name))}
    if train and tests:
        name, *others = tests
        if unknown := sorted(set(tests[name]) - set(train)):
            raise ValueError(f"{folder / name / unknown[0]}: there are no training pictures of this class")
        return train, tests[name], tuple(f"not used: {folder / other}" for other in others)
    if tests:
        return {}, next(iter(tests.values())), ()
    train, test = _hold_out(train or _pictures(folder))
    count = sum(map(len, test.values()))
    return train, test, (f"held out {count:,} pictures, a fifth of each class, for testing",)


def _pictures(folder: Path) -> Pictures:
    """Return the pictures in each subfolder, by the subfolder's name; {} if there is no such folder."""
    if not folder.is_dir():
        return {}
    found = {
        sub.name: sorted(path for path in sub.rglob("*") if is_picture(path) and path.is_file())
        for sub in sorted(folder.iterdir())
        if sub.is_dir() and not sub.name.startswith(".")
    }
    nested = {name for name in found if name in (*TRAINING, *TEST) and _has_no_own(folder / name)}
    return {name: paths for name, paths in found.items() if paths and name not in nested}


def _has_no_own(folder: Path) -> bool:
    """Whether the pictures of a folder are all in subfolders."""
    return not any(is_picture(path) for path in folder.iterdir())


def _hold_out(pictures: Pictures) -> tuple[Pictures, Pictures]:
    """Hold out a fifth of each class of two or more pictures, at least one."""
    train, test = {}, {}
    for name, paths in pictures.items():
        count = max(1, round(len(paths) / HELD_OUT)) if len(paths) > 1 else 0
        chosen = set(np.random.default_rng(0).permutation(len(paths))[:count].tolist())
        train[name] = [path for k, path in enumerate(paths) if k not in chosen]
        if chosen:
            test[name] = [path for k, path in enumerate(paths) if k in chosen]
    return train, test


def _limited(shape: tuple[int, int]) -> tuple[int, int]:
    """Reduce a size to MAX_SIDE, keeping its proportions."""
    factor = min(1.0, MAX_SIDE / max(shape))
    return max(1, round(shape[0] * factor)), max(1, round(shape[1] * factor))


def _read(
    pictures: Mapping[str, list[Path]], classes: tuple[str, ...], shape: tuple[int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Read pictures as colours (m, height, width, 3), and the indices of their classes (m,)."""
    paths = [(path, classes.index(name)) for name, paths in pictures.items() for path in paths]
    images = np.empty((len(paths), *shape, 3), np.uint8)
    for k, (path, _) in enumerate(paths):
        images[k] = read_resized(path, shape)
    return images, np.array([label for _, label in paths], np.int64)


def _coloured(images: NDArray[np.uint8]) -> bool:
    return any(not np.array_equal(images[..., 0], images[..., channel]) for channel in (1, 2))
