"""The way in which options are written: several values, other names, completion."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
from command_line import QUICK, ROOT
from reporting import RunCommand

from gpunn import Network
from gpunn.cli.usage import OTHER_SPELLINGS, repeat_options, unknown_option
from gpunn.tables.options import TableOptions
from gpunn.training.option import option_name
from gpunn.training.settings import Settings

OPTIONS = [
    SimpleNamespace(opts=["--hidden"], multiple=True, is_flag=False),
    SimpleNamespace(opts=["--drop"], multiple=True, is_flag=False),
    SimpleNamespace(opts=["--target"], multiple=False, is_flag=False),
    SimpleNamespace(opts=["--json"], multiple=False, is_flag=True),
]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("--hidden 128 64 digits", "--hidden 128 --hidden 64 digits"),
        ("digits --hidden 128 64", "digits --hidden 128 --hidden 64"),
        ("--hidden 128 64", "--hidden 128 --hidden 64"),
        ("--hidden=128 64", "--hidden=128 --hidden 64"),
        ("a.csv --drop x z", "a.csv --drop x --drop z"),
        ("a.csv --drop x z --target y", "a.csv --drop x --drop z --target y"),
        ("--drop x z a.csv", "--drop x --drop z a.csv"),
        ("--drop x z a.csv --hidden 8 4", "--drop x --drop z a.csv --hidden 8 --hidden 4"),
        ("--hidden 8 4 a.csv --drop x z", "--hidden 8 --hidden 4 a.csv --drop x --drop z"),
        ("--drop x --target y a.csv", "--drop x --target y a.csv"),
        ("--drop x --json a.csv", "--drop x --json a.csv"),
        ("--drop x z -", "--drop x --drop z -"),
        ("--drop x z -- -a.csv", "--drop x --drop z -- -a.csv"),
        ("--drop", "--drop"),
    ],
)
def test_an_option_takes_several_values(written: str, meant: str) -> None:
    assert repeat_options(written.split(), OPTIONS) == meant.split()


def test_several_columns_are_ignored(gpunn_: RunCommand) -> None:
    rows = "".join(f"{i % 3},{i},{i % 2},{'ab'[i % 2]}\n" for i in range(60))
    with open("table.csv", "w", encoding="utf-8") as file:
        file.write("x,z,w,y\n" + rows)
    for order in (["table.csv", "--drop", "x", "z"], ["--drop", "x", "z", "table.csv"]):
        code, out, err = gpunn_("train", *order, "--target", "y", *QUICK, "--ensemble", 1, "--json")
        assert (code, err) == (0, "")
        assert Network.load(json.loads(out)["model"]).sizes[0] == 1


def test_every_other_spelling_leads_to_an_option_of_gpunn() -> None:
    fields = (*Settings.__dataclass_fields__, *TableOptions.__dataclass_fields__, "output", "resume")
    own = {option_name(field) for field in fields}
    words = [word for spellings in OTHER_SPELLINGS.values() for word in spellings.split()]
    assert set(OTHER_SPELLINGS) <= own
    assert len(words) == len(set(words))
    assert not own & {f"--{word}" for word in words}
    assert unknown_option("--lr", ["--learning-rate"]).endswith("Did you mean --learning-rate?")
    assert unknown_option("--lr", ["--json"]) == "No such option: --lr"


def test_a_saved_network_has_the_names_of_gpunn(gpunn_: RunCommand) -> None:
    names = ["--activation", "SiLU", "--cost", "categorical_crossentropy", "--init", "xavier"]
    code, out, err = gpunn_(
        "train", "digits", *QUICK, *names, "--optimizer", "Adam", "--output", "run", "--json"
    )
    assert (code, err) == (0, "")
    settings = json.loads(out)["settings"]
    assert [settings[name] for name in ("activation", "cost", "init", "optimizer")] == [
        "swish", "cross-entropy", "glorot", "adam",
    ]  # fmt: skip
    net = Network.load("run")
    assert (net.layers[0].f.name, net.cost.name, net.layers[0].init) == ("swish", "cross-entropy", "glorot")


@pytest.mark.parametrize(
    ("typed", "completed"),
    [("gpunn tr", "train"), ("gpunn train --le", "--learning-rate"), ("gpunn train --cate", "--categorical")],
)
def test_the_shell_completes_commands_and_options(typed: str, completed: str) -> None:
    words = {"COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split()) - 1)}
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "_GPUNN_COMPLETE": "complete_bash", **words}
    command = [sys.executable, "-m", "gpunn"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [completed]
