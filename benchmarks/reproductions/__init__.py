"""Published claims about small neural networks, measured with gpunn: `python -m benchmarks.reproductions`."""
