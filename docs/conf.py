"""The site: `python -m sphinx -nW docs docs/_build`. A reference to nothing fails; nothing is fetched."""

from __future__ import annotations

import functools
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from docutils.utils.math.latex2mathml import tex2mathml

import gpunn

HERE = Path(__file__).parent

project, author, version = "gpunn", "The gpunn authors", gpunn.__version__
copyright = author
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["_build"]
nitpick_ignore_regex = [("py:.*", r"(?!gpunn\b).*")]  # what others document is only named

myst_enable_extensions = ["dollarmath", "colon_fence", "attrs_inline"]
myst_heading_anchors = 3
copybutton_prompt_text, copybutton_prompt_is_regexp = r">>> |\.\.\. |\$ ", True

add_module_names = False
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
python_use_unqualified_type_names = True
napoleon_numpy_docstring = False

html_title = "gpunn"
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["gpunn.css"]
html_favicon = "_static/favicon.svg"
html_math_renderer = "mathml"
html_show_sourcelink = html_show_copyright = html_show_sphinx = html_copy_source = False
pygments_style, pygments_dark_style = "default", "github-dark"


# docstrings, which are plain text with Python's names in backticks


def as_rst(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """A docstring as reStructuredText: names that gpunn has become links, and no sign is markup."""
    lines[:] = [line if line.lstrip().startswith((">>>", "...")) else _as_rst(line) for line in lines]


def _as_rst(line: str) -> str:
    parts = line.split("`")
    parts[::2] = [re.sub(r"([*|\\]|(?<=\w)_(?!\w|: ))", r"\\\1", text) for text in parts[::2]]
    parts[1::2] = [_link_or_literal(code) for code in parts[1::2]]
    return "".join(parts)


def _link_or_literal(code: str) -> str:
    """`Dense` and `Network.fit` as links, `gpunn.…` too, which must then exist; `x[0]` as it is."""
    path = code.removeprefix("gpunn.")
    if path != code or (re.fullmatch(r"\w+(\.\w+)*", path) and _is_public(path)):
        return f":py:obj:`{code} <gpunn.{path}>`"
    return f"``{code}``"


def _is_public(path: str) -> bool:
    try:
        functools.reduce(getattr, path.split("."), gpunn)
    except AttributeError:
        return False
    return path.split(".")[0] in gpunn.__all__


# mathematics as MathML, which browsers draw themselves


def inline_math(translator: Any, node: Any) -> None:
    translator.body.append(tex2mathml(node.astext()))


def block_math(translator: Any, node: Any) -> None:
    translator.body.append(f'<div class="math">{tex2mathml(node.astext(), as_block=True)}</div>')


def nothing(translator: Any, node: Any) -> None: ...


# the command line, in typer's own words


def write_command_line(app: Any) -> None:
    """The page of every command and option, made anew with every build."""
    tell = [sys.executable, "-m", "typer", "gpunn.cli", "utils", "docs", "--name", "gpunn"]
    page = subprocess.run(tell, check=True, capture_output=True, text=True).stdout
    page = page.replace("# `gpunn`", "# Command line", 1)
    page = re.sub(r"^Examples:\n((?:  .+\n)+)", r"```text\n\1```\n", page, flags=re.MULTILINE)
    (HERE / "command-line.md").write_text(page, encoding="utf-8")


def setup(app: Any) -> None:
    app.connect("builder-inited", write_command_line)
    app.connect("autodoc-process-docstring", as_rst, priority=400)  # before napoleon
    app.add_html_math_renderer("mathml", (inline_math, nothing), (block_math, nothing))
