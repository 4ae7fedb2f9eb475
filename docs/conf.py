"""The documentation site (Sphinx). Its source folder is the repository, so links work in the files too."""

from __future__ import annotations

import re

from sphinx.application import Sphinx

from clickseg import __version__

project = "ClickSeg"
copyright = "the ClickSeg developers"
release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]

root_doc = "docs/index"
include_patterns = ["*.md", "docs/**", "benchmarks/README.md", "deploy/*/README.md", "models/*/docs/README.md"]

html_theme = "furo"
html_title = f"ClickSeg {release}"
myst_heading_anchors = 4
copybutton_prompt_text = "$ "  # the prompt is not copied
autodoc_preserve_defaults = True
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True


def setup(app: Sphinx) -> None:
    """Registers the navigation, which the tables of ``docs/index.md`` define."""
    app.connect("source-read", _append_navigation)


def _append_navigation(_: Sphinx, docname: str, source: list[str]) -> None:
    """Appends a table of contents for each section of the index; the index stays plain Markdown."""
    if docname != root_doc:
        return
    listed: set[str] = set()
    for section in re.split(r"^## ", source[0], flags=re.MULTILINE)[1:]:
        caption, tables = section.split("\n", 1)
        links = re.findall(r"\[([^\]]+)\]\(([\w./-]+)\.md(?:#[\w-]+)?\)", tables)
        entries = [f"{title} <{page}>" for title, page in links if page not in listed]
        listed.update(page for _, page in links)
        source[0] += "\n".join(["", "```{toctree}", ":hidden:", f":caption: {caption}", "", *entries, "```", ""])
