"""Networks from and for PyTorch and scikit-learn, used through `Network.from_torch` and its neighbours."""
