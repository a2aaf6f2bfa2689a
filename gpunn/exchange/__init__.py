"""Networks of PyTorch and scikit-learn, in gpunn's terms and back.

`torch` and `sklearn` take the networks of these libraries apart into `Parts`, or build them from gpunn's.
Nothing here imports `Network`: `Network.from_torch`, `to_torch` and `from_sklearn` put the parts together.
To exchange networks with another library, add a module of two functions and two methods of `Network`.
"""
