"""Export a network as an ONNX file: rows of raw examples in, outputs and class labels out.

X (N, n_0) is uint8 if the network was trained on images (its meta has an `image_shape`), and float32
otherwise. A network for tables has one input (N, 1) per column, with raw values: a string, float32, or
float64 if the column's mean is large relative to its spread, as in timestamps. Each layer is a Gemm on w[l]
and b[l], with batch normalisation folded in, followed by the operators of f. Importing this package raises
ImportError unless the extra "onnx" is installed.

`model` puts the file together from its inputs (`inputs`), its layers (`layers`) and its outputs (`outputs`).
"""

try:
    import onnx as _onnx  # noqa: F401
except ImportError as error:
    raise ImportError('ONNX files need onnx: pip install "gpunn[onnx]"') from error

from gpunn.export.model import build, to_onnx

__all__ = ["build", "to_onnx"]
