"""Control characters in names do not reach the terminal."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import pytest
from reporting import RunCommand

from gpunn.cli.output import complain, printable

CLI = Path(__file__).parents[2] / "gpunn" / "cli"
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]")
NASTY = "\x1b[2J\x1b]0;gotcha\x07"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", r"\x1b[31mred"),
        ("bell\a, delete\x7f, back\b, return\r", r"bell\x07, delete\x7f, back\x08, return\r"),
        ("C1 \x9b2J", r"C1 \x9b2J"),
        ("turned \u202eround\u2066", r"turned \u202eround\u2066"),
        ("plain\ttext\nÄpfel → 手", "plain\ttext\nÄpfel → 手"),
    ],
)
def test_control_characters_are_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_the_middle_of_a_very_long_error_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    complain("first " + "\x1b[31m" * 200_000 + " last")
    line = capsys.readouterr().err
    assert line.startswith("gpunn: error: first \\x1b[31m") and line.endswith("[31m last\n")
    assert len(line) < 1000 and " … " in line


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_no_command_prints_control_characters(gpunn_: RunCommand) -> None:
    name = f"t{NASTY}.csv"
    classes = [f"{NASTY}no", "yes\x9b1m"]
    rows = [f"{k % 7},{classes[k // 20]}" for k in range(40)]
    Path(name).write_text("\n".join([f"a,y{NASTY}", *rows]) + "\n", encoding="utf-8")
    run = f"run{NASTY}"
    commands = [
        ["train", name, "--target", f"y{NASTY}", "--epochs", "1", "--device", "cpu", "--output", run],
        ["train", name, "--target", f"{NASTY}"],
        ["train", name, "--target", f"y{NASTY}", "--output", run],
        ["evaluate", run],
        ["predict", run, f"{NASTY}nowhere.csv"],
        ["report", run],
        ["report", f"{NASTY}nowhere"],
        ["train", f"--{NASTY}"],
        [NASTY],
    ]
    for command in commands:
        code, out, err = gpunn_(*command)
        assert out or err
        assert not CONTROL.search(out + err), (command, out, err)
        assert code in (0, 2)
    assert json.loads(gpunn_("evaluate", run, "--json")[1])["classes"][0]["class"] == classes[0]


def test_predictions_are_exact_unless_a_terminal_shows_them(
    gpunn_: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [f"{k % 7},{'no' if k < 20 else chr(27) + 'yes'}" for k in range(40)]
    Path("t.csv").write_text("\n".join(["a,y", *rows]) + "\n")
    assert gpunn_("train", "t.csv", "--target", "y", "--epochs", 1, "--output", "run")[0] == 0
    exact = gpunn_("predict", "run", "t.csv", "-o", "p.csv")[0], Path("p.csv").read_text()
    assert gpunn_("predict", "run", "t.csv")[:2] == exact
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert gpunn_("predict", "run", "t.csv")[1] == exact[1].replace("\x1b", r"\x1b")


def test_formulas_in_classes_are_told(gpunn_: RunCommand) -> None:
    rows = [f"{k % 7},{'=1+1' if k < 20 else '-5'}" for k in range(40)]
    Path("t.csv").write_text("\n".join(["a,y", *rows]) + "\n")
    assert gpunn_("train", "t.csv", "--target", "y", "--epochs", 1, "--output", "run")[0] == 0
    code, _, err = gpunn_("predict", "run", "t.csv", "-o", "p.csv")
    assert code == 0
    assert "gpunn: a spreadsheet would take classes such as =1+1 for formulas: import them as text\n" in err
    assert set(Path("p.csv").read_text().split("\n")) >= {"prediction,probability,P(-5),P(=1+1)"}


def test_everything_is_printed_through_one_module() -> None:
    for path in CLI.glob("*.py"):
        if path.name != "output.py":
            assert not re.search(r"(?<!console\.)\bprint\(", path.read_text(encoding="utf-8")), path.name
