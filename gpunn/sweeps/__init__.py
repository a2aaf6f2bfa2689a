"""Sweeps: hundreds of networks at once, over settings, seeds and folds.

`sweep` says what a sweep is. `settings` knows which settings may vary, `members` makes each network from its
settings, `training` trains them, and `engine` distributes work over processes or any other executor. `result`
holds what came out, and `ensemble` averages the best networks.
"""
