"""The site: `python -m sphinx -nW docs docs/_build`. A reference to nothing fails; nothing is fetched."""

from __future__ import annotations

import functools
import re
import subprocess
import sys
import textwrap
from typing import Any

from docutils.nodes import SkipNode
from docutils.utils.math.latex2mathml import tex2mathml

import gpunn

project, author, version = "gpunn", "The gpunn authors", gpunn.__version__
copyright = author
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["_build"]
nitpick_ignore_regex = [("py:.*", r"(?!gpunn\b).*")]  # what others document is only named

myst_enable_extensions = ["dollarmath", "colon_fence", "attrs_inline"]
myst_heading_anchors = 3
smartquotes_action = "D"  # dashes alone: "float32" is what one types
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
html_show_search_summary = False  # which would have to be fetched, and a page opened as a file may not
html_show_sourcelink = html_show_copyright = html_show_sphinx = html_copy_source = False
pygments_style, pygments_dark_style = "xcode", "github-dark"


# docstrings, which are plain text with Python's names in backticks


def as_rst(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """A docstring as reStructuredText: names that gpunn has become links, and no sign is markup."""
    of = name.removeprefix("gpunn.").split(".")[0]
    lines[:] = [line if line.lstrip().startswith((">>>", "...")) else _as_rst(line, of) for line in lines]


def _as_rst(line: str, of: str) -> str:
    parts = line.split("`")
    parts[::2] = [re.sub(r"([*|\\]|(?<=\w)_(?!\w|: ))", r"\\\1", text) for text in parts[::2]]
    parts[1::2] = [_link_or_literal(code, of) for code in parts[1::2]]
    return "".join(parts)


def _link_or_literal(code: str, of: str) -> str:
    """`Dense`, `Network.fit` and, within `Network`, `fit` as links; `gpunn.…` too, which must then exist."""
    if code.startswith("gpunn."):
        return f":py:obj:`{code}`"
    for path in (code, f"{of}.{code}"):
        if re.fullmatch(r"\w+(\.\w+)*", path) and _is_public(path):
            return f":py:obj:`{code} <gpunn.{path}>`"
    return f"``{code}``"


def _is_public(path: str) -> bool:
    """Whether the reference has it: a public name, or a method or property of a class."""
    first, *rest = names = path.split(".")
    thing: Any = functools.reduce(lambda thing, name: getattr(thing, name, None), names, gpunn)
    return first in gpunn.__all__ and (not rest or callable(thing) or isinstance(thing, property))


# mathematics as MathML, which browsers draw themselves


def inline_math(translator: Any, node: Any) -> None:
    translator.body.append(tex2mathml(node.astext()))
    raise SkipNode


def block_math(translator: Any, node: Any) -> None:
    translator.body.append(f'<div class="math">{tex2mathml(node.astext(), as_block=True)}</div>')
    raise SkipNode


# the command line, in typer's own words


def command_line(app: Any, page_name: str, source: list[str]) -> None:
    """The page of every command and option, made anew with every build."""
    if page_name != "command-line":
        return
    tell = [sys.executable, "-m", "typer", "gpunn.cli", "utils", "docs", "--name", "gpunn"]
    page = subprocess.run(tell, check=True, capture_output=True, text=True).stdout
    page = page.replace("# `gpunn`", "# Command line", 1)
    source[0] = re.sub(r"^Examples:\n((?:  .+\n)+)", _fenced, page, flags=re.MULTILINE)


def _fenced(examples: re.Match[str]) -> str:
    return f"```text\n{textwrap.dedent(examples[1])}```\n"


def setup(app: Any) -> None:
    app.connect("source-read", command_line)
    app.connect("env-get-outdated", lambda *_: ["command-line"])
    app.connect("autodoc-process-docstring", as_rst, priority=400)  # before napoleon
    app.add_html_math_renderer("mathml", (inline_math, None), (block_math, None))
