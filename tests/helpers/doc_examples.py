"""The console examples of the documents."""

from __future__ import annotations

import re
import shlex
import textwrap
from pathlib import Path

import pytest

from tests.helpers.runs import REPOSITORY

_PATTERNS = ("*.md", "docs/**/*.md", "benchmarks/*.md", "deploy/*/*.md", "models/*/docs/*.md")
PAGES = sorted(page for pattern in _PATTERNS for page in REPOSITORY.glob(pattern))
"""All documents."""

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix())


def code_blocks(page: Path, language: str) -> list[str]:
    """Returns the code blocks of a language, without their indentation."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    return [textwrap.dedent(block) for _, block in found]


def console_commands(page: Path) -> list[str]:
    """Returns the commands of the console examples, without prompt and comment; continued lines are joined."""
    lines = "\n".join(code_blocks(page, "console")).replace("\\\n", " ").splitlines()
    return [re.sub(r"\s+# .*", "", line[2:]).strip() for line in lines if line.startswith("$ ")]


def program(command: str) -> str:
    """Returns the program of a command, without the environment variables before it."""
    return next(word for word in shlex.split(command) if not re.match(r"[A-Z_]+=", word))
