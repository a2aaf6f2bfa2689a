"""Data sets as bytes, one example per column: MNIST, Fashion-MNIST, UCI digits and folders of IDX files.

`load` finds a data set by its name or folder (`catalog`), downloads it once if necessary (`download`) and
returns a `Dataset`. Code elsewhere uses the names below. The modules know files, not networks.
"""

from gpunn.datasets.catalog import NAMES, load
from gpunn.datasets.dataset import Dataset, DataUnavailable, Split
from gpunn.datasets.idx import read_idx

__all__ = ["NAMES", "DataUnavailable", "Dataset", "Split", "load", "read_idx"]
