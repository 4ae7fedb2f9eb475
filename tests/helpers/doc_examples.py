"""The examples in the documents."""

from __future__ import annotations

import importlib.util
import re
import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.helpers.runs import REPOSITORY

_PATTERNS = ("*.md", "docs/**/*.md", "benchmarks/*.md", "deploy/*/*.md", "models/*/docs/*.md")
PAGES = sorted(page for pattern in _PATTERNS for page in REPOSITORY.glob(pattern))
"""All documents."""

EXTERNAL_PROGRAMS = {"curl", "docker", "kubectl", "make", "pip", "torchrun", "scripts/train-default-models"}
"""Programs that need a network, a registry, a cluster or hours."""

LONG_COMMANDS = {"package", "run", "train", "evaluate"}
"""Commands of ``clickseg`` that need a container program, or hours."""

_HAS_NNUNET = importlib.util.find_spec("nnunetv2") is not None
"""Whether ``clickseg models check`` can run folders of nnU-Net, whose names contain ``Dataset``."""

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix())


@dataclass(frozen=True, slots=True)
class ConsoleExample:
    """A command of a console example.

    Attributes:
        command: The command, without prompt and comment; continued lines are joined.
        output: The lines below the command.
    """

    command: str
    output: list[str] = field(default_factory=list)

    @property
    def words(self) -> list[str]:
        return shlex.split(self.command)

    @property
    def is_clickseg(self) -> bool:
        return self.words[0] == "clickseg"

    @property
    def can_run(self) -> bool:
        """Whether the command runs on any machine, within a minute."""
        program, *arguments = (word for word in self.words if not re.match(r"[A-Z_]+=", word))
        if program == "clickseg":
            if arguments[:2] == ["models", "check"] and "Dataset" in arguments[2]:
                return _HAS_NNUNET
            return arguments[0] not in LONG_COMMANDS and "tensorrt" not in arguments
        return program not in EXTERNAL_PROGRAMS and arguments[:2] != ["-m", "benchmarks"]


def code_blocks(page: Path, language: str) -> list[str]:
    """Returns the code blocks in a language, without their indentation."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    return [textwrap.dedent(block) for _, block in found]


def console_examples(page: Path) -> list[ConsoleExample]:
    """Returns the commands of all console examples of a page, in order."""
    return [example for block in code_blocks(page, "console") for example in _parse_block(block)]


def _parse_block(block: str) -> Iterator[ConsoleExample]:
    example = None
    for line in block.replace("\\\n", " ").splitlines():
        if line.startswith("$ "):
            if example is not None:
                yield example
            example = ConsoleExample(re.sub(r"\s+# .*", "", line[2:]).strip())
        elif example is not None and line != "...":
            example.output.append(line)
    if example is not None:
        yield example
