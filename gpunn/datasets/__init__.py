"""Data sets as bytes, one example per column: MNIST, Fashion-MNIST, UCI digits and folders of IDX files."""

from gpunn.datasets.catalog import NAMES, load
from gpunn.datasets.dataset import Dataset, DataUnavailable, Split
from gpunn.datasets.idx import read_idx

__all__ = ["NAMES", "DataUnavailable", "Dataset", "Split", "load", "read_idx"]
