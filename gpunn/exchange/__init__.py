"""Networks of PyTorch and scikit-learn, in gpunn's terms and back.

Nothing here knows `Network`: other libraries' networks are taken apart into `Parts`, and `Network.from_torch`
and its neighbours put these together.
"""
