"""The public names of gpunn.tables and the modules that define them."""

from .model import TableModel as TableModel
from .model import load_model as load_model
from .training import train as train
