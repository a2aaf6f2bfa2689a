"""The site: `python -m sphinx -nW docs docs/_build`. A broken reference is an error."""

from __future__ import annotations

import functools
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

from docutils.nodes import SkipNode
from docutils.utils.math.latex2mathml import tex2mathml

import gpunn

sys.path.insert(0, str(Path(__file__).parent))
import function_tables

project, author, version = "gpunn", "The gpunn authors", gpunn.__version__
copyright = author
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["_build"]
nitpick_ignore_regex = [
    ("py:.*", r"(?!gpunn\b).*"),  # names from other libraries are not linked
    ("py:class", r"gpunn\.\w+\.\w+\..*"),  # nor are internal types in signatures
]

myst_enable_extensions = ["dollarmath", "colon_fence", "attrs_inline"]
myst_heading_anchors = 3
smartquotes_action = "D"  # only dashes: "float32" keeps the quotes that one types
copybutton_prompt_text, copybutton_prompt_is_regexp = r">>> |\.\.\. |\$ ", True

add_module_names = False
toc_object_entries_show_parents = "hide"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
python_use_unqualified_type_names = True
napoleon_numpy_docstring, napoleon_use_ivar = False, True

html_title = "gpunn"
html_theme = "furo"
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#4f3fd6", "color-brand-content": "#4f3fd6"},
    "dark_css_variables": {"color-brand-primary": "#a99cff", "color-brand-content": "#a99cff"},
}
html_static_path = ["_static"]
html_css_files = ["gpunn.css"]
html_favicon = "_static/favicon.svg"
html_math_renderer = "mathml"
html_show_search_summary = False  # summaries are fetched, which fails for a page opened as a file
html_show_sourcelink = html_show_copyright = html_show_sphinx = html_copy_source = False
pygments_style, pygments_dark_style = "xcode", "github-dark"


# docstrings: plain text with Python names in backticks


def as_rst(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Turn a docstring into reStructuredText: link gpunn's names and escape markup."""
    of = name.removeprefix("gpunn.").split(".")[0]
    lines[:] = [line if line.lstrip().startswith((">>>", "...")) else _as_rst(line, of) for line in lines]


def _as_rst(line: str, of: str) -> str:
    parts = line.split("`")
    parts[::2] = [re.sub(r"([*|\\]|(?<=\w)_(?!\w|: ))", r"\\\1", text) for text in parts[::2]]
    parts[1::2] = [_link_or_literal(code, of) for code in parts[1::2]]
    return "".join(parts)


def _link_or_literal(code: str, of: str) -> str:
    """Link `Dense`, `Network.fit` and, within `Network`, `fit`. Names that start with `gpunn.` must exist."""
    if code.startswith("gpunn."):
        return f":py:obj:`{code}`"
    for path in (code, f"{of}.{code}"):
        if re.fullmatch(r"\w+(\.\w+)*", path) and _is_public(path):
            return f":py:obj:`{code} <gpunn.{path}>`"
    return f"``{code}``"


def _is_public(path: str) -> bool:
    """Whether a name is in the reference: a public name, or a member of one."""
    first, *rest = names = path.split(".")
    thing: Any = functools.reduce(lambda thing, name: getattr(thing, name, None), names, gpunn)
    return first in gpunn.__all__ and (not rest or (len(rest) == 1 and _is_member(thing)))


def _is_member(thing: Any) -> bool:
    return callable(thing) or isinstance(thing, property)


# mathematics as MathML, which browsers render without a script


def inline_math(translator: Any, node: Any) -> None:
    translator.body.append(tex2mathml(node.astext()))
    raise SkipNode


def block_math(translator: Any, node: Any) -> None:
    translator.body.append(f'<div class="math">{tex2mathml(node.astext(), as_block=True)}</div>')
    raise SkipNode


# the command line, from the help texts


def command_line(app: Any, page_name: str, source: list[str]) -> None:
    """Generate the page of every command and option."""
    if page_name != "command-line":
        return
    tell = [sys.executable, "-m", "typer", "gpunn_command.py", "utils", "docs", "--name", "gpunn"]
    page = subprocess.run(tell, check=True, cwd=app.srcdir, capture_output=True, text=True).stdout
    page = page.replace("# `gpunn`", "## `gpunn`", 1).replace("\n## `gpunn ", "\n### `gpunn ")
    source[0] += "\n" + re.sub(r"^Examples:\n((?:  .+\n)+)", _fenced, page, flags=re.MULTILINE)


def _fenced(examples: re.Match[str]) -> str:
    return f"```text\n{textwrap.dedent(examples[1])}```\n"


# the tables of functions and the list of optimizers, from their entries

MADE_OF_ENTRIES = ["reference/functions", "reference/optimizers"]


def tables(app: Any, page_name: str, source: list[str]) -> None:
    """Fill in the tables of functions and the list of optimizers, anew with every build."""
    if page_name in MADE_OF_ENTRIES:
        source[0] = function_tables.fill_in(source[0])


def setup(app: Any) -> None:
    app.connect("source-read", tables)
    app.connect("source-read", command_line)
    app.connect("env-get-outdated", lambda *_: ["command-line", *MADE_OF_ENTRIES])
    app.connect("autodoc-process-docstring", as_rst, priority=400)  # before napoleon
    app.add_html_math_renderer("mathml", (inline_math, None), (block_math, None))
