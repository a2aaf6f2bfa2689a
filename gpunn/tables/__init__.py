"""Networks for tables: train, predict and evaluate with CSV and Parquet files, arrays and DataFrames.

`train` takes the options of `gpunn train` and makes a `TableModel`, which predicts, evaluates and saves. The
model files are those of the command line.

>>> people = {"height": [150.0, 160, 170, 180, 190] * 8, "weight": [50.6, 57.6, 68.5, 76.9, 86.1] * 8}
>>> model = gpunn.tables.train(people, target="weight", device="cpu")
>>> model.evaluate()["r2"] > 0.9
True
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
