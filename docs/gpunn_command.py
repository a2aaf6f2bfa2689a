"""`gpunn` with all options of `train` and `sweep`, which the command line adds only when it runs them."""

from gpunn.cli.commands import app
from gpunn.cli.training_commands import COMPLETE

for command in app.registered_commands:
    if command.name in COMPLETE:
        command.callback = COMPLETE[command.name]()
