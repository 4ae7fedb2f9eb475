"""Finds and reads the licences in the folder of a model."""

from __future__ import annotations

from pathlib import Path

from clickseg.core.errors import ModelError

_MAX_LICENCE_BYTES = 256 << 10
_LICENCES = ("LICEN[CS]E*", "docs/*licen[cs]e*")


def read_licence(folder: Path) -> str:
    """Returns the licences in the folder of a model: its own, and those of training data, shortened if very long.

    Raises:
        ModelError: A file cannot be read.
    """
    texts = []
    for path in licence_files(folder):
        try:
            with path.open("rb") as file:
                content = file.read(_MAX_LICENCE_BYTES)
        except OSError as error:
            raise ModelError(f"{path.name}: cannot be read: {error.strerror}") from error
        texts.append((path.name, _without_controls(content.decode("utf-8", "replace")).strip()))
    if len(texts) == 1:
        return texts[0][1]
    return "\n\n".join(f"{name}:\n\n{text}" for name, text in texts)


def _without_controls(text: str) -> str:
    """Returns text without characters that control a terminal or change the direction of text."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    spaced = (" " if each.isspace() and each not in "\t\n\f" else each for each in lines)
    return "".join(each for each in spaced if each.isprintable() or each in "\t\n\f")


def licence_files(folder: Path) -> tuple[Path, ...]:
    """Returns the files with licences in the folder of a model; links are ignored."""
    paths = [path for pattern in _LICENCES for path in sorted(folder.glob(pattern))]
    return tuple(path for path in paths if path.is_file() and not path.is_symlink())[:8]
