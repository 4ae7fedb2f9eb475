"""Documents, docstrings, comments and messages avoid words that readers did not understand."""

from __future__ import annotations

import io
import re
import tokenize
from pathlib import Path

import pytest

from tests.helpers.doc_examples import every_page
from tests.helpers.runs import REPOSITORY

GLOSSARY = REPOSITORY / "docs/glossary.md"
FOLDERS = ("app", "benchmarks", "clickseg", "container", "operators", "scripts", "tests")
SOURCES = sorted(
    path for folder in FOLDERS for path in (REPOSITORY / folder).rglob("*.py") if path.name != "test_prose.py"
)

SUFFIXES = ("", ".sh", ".yaml", ".json", ".j2", ".html")
SCRIPTS = sorted(
    path
    for path in [
        *REPOSITORY.glob("*"),
        *(
            file
            for folder in ("clickseg", "container", "deploy", "scripts")
            for file in (REPOSITORY / folder).rglob("*")
        ),
    ]
    if path.is_file() and path.suffix in SUFFIXES and not path.name.startswith(".") and path.name != "LICENSE"
)
"""Shell scripts, manifests, templates, Dockerfile and Makefile."""


def words_to_avoid() -> re.Pattern[str]:
    """Returns a pattern for all words in the first column of the glossary's last table."""
    rows = re.findall(r"^\| ([a-z, ]+) \| ", GLOSSARY.read_text().partition("## Words to avoid")[2], flags=re.MULTILINE)
    words = [word for row in rows if row != "avoid" for word in row.split(", ")]
    lower_only = [word for word in words if "none" in word]  # Python's None is not meant
    any_case = [word for word in words if "none" not in word]
    return re.compile(rf"\b({'|'.join(lower_only)}|(?i:{'|'.join(any_case)}))\b")


def prose_of(source: Path) -> str:
    """Returns comments, docstrings and other strings of a module."""
    kinds = {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}
    tokens = tokenize.generate_tokens(io.StringIO(source.read_text()).readline)
    return "\n".join(token.string for token in tokens if token.type in kinds)


@every_page
def test_a_page_has_no_word_to_avoid(page: Path) -> None:
    text = page.read_text()
    prose = text.partition("## Words to avoid")[0] if page == GLOSSARY else text

    assert words_to_avoid().findall(prose) == []


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.relative_to(REPOSITORY).as_posix())
def test_a_module_has_no_word_to_avoid(source: Path) -> None:
    assert words_to_avoid().findall(prose_of(source)) == []


@pytest.mark.parametrize("file", SCRIPTS, ids=lambda path: path.relative_to(REPOSITORY).as_posix())
def test_a_script_or_manifest_has_no_word_to_avoid(file: Path) -> None:
    assert words_to_avoid().findall(file.read_text()) == []


def test_the_words_to_avoid_are_found() -> None:
    found = words_to_avoid().findall("The file lies beside the series. Says nothing: is None, is none.")

    assert found == ["lies", "beside", "Says", "is none"]
