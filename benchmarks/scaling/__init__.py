"""How data-parallel training scales: `python -m benchmarks --scaling`.

`measure` times one and two ranks on this machine, `worker` is what they run, `model` predicts GPUs, and
`drawing` draws what it predicts.
"""

from benchmarks.scaling import drawing, measure, model

__all__ = ["drawing", "measure", "model"]
