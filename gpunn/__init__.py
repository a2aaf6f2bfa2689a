"""Fully connected networks, trained by matrix-based back-propagation on NumPy or CUDA."""
from gpunn.network import Dense, Network
from gpunn.optimizers import SGD, Adam
