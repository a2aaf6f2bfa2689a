"""Arrays of examples in .npy files."""

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpunn.names import one_line


def read_columns(path: str | os.PathLike[str], n_features: int) -> NDArray[Any]:
    """Read the examples in a .npy file as X (n_features, m), column-major, in the file's dtype.

    The array may have the shape (n_features,), (n_features, m), (m, n_features), or (m, height, width) with
    height·width = n_features. A square array has examples as columns.

    Raises ValueError, in one line that names the file, if it cannot be read, holds anything but real numbers
    (such as pickled objects), or has another number of features.
    """
    array: NDArray[Any]
    try:  # open_memmap reads neither .npz nor pickles, and checks the size in the header
        array = np.lib.format.open_memmap(os.fspath(path), mode="r")
    except Exception as error:  # the header is parsed as Python, so damage may raise tokenizer errors
        raise ValueError(f"{path}: not a readable .npy file ({one_line(error)})") from error
    if array.dtype.kind not in "buif" or array.size == 0:
        raise ValueError(f"{path}: {array.dtype} of shape {array.shape}, expected real numbers")
    shape = array.shape
    if array.ndim == 3:
        array = array.reshape(len(array), -1).T
    elif array.ndim == 1:
        array = array[:, np.newaxis]
    elif array.ndim == 2 and array.shape[0] != n_features:
        array = array.T
    if array.ndim != 2 or array.shape[0] != n_features:
        raise ValueError(
            f"{path}: shape {shape}, expected examples with {n_features:,} features: ({n_features}, m)"
        )
    return np.array(array, dtype=array.dtype.newbyteorder("="), order="F")
