"""`gpunn` with all options of `train`, which the command line adds only when it runs `train`."""

from gpunn.cli.commands import app, complete_train

train = next(command for command in app.registered_commands if command.name == "train")
train.callback = complete_train()
