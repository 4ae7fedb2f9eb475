"""Formatting of text for messages."""

from __future__ import annotations

import json
from collections.abc import Collection

_END_OF_TEXT = "\x1a\0"
"""Ctrl-Z, with which programs of DOS end a text, and padding."""


def format_count(number: int, noun: str) -> str:
    """Returns a number with a noun: ``1 slice``, ``2 slices``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def join_names(names: Collection[str], limit: int = 4) -> str:
    """Returns names separated by commas, with ``...`` in place of the names beyond a limit."""
    return ", ".join([*list(names)[:limit], *["..."] * (len(names) > limit)])


def decode_text(content: bytes, errors: str = "strict") -> str:
    """Decodes UTF-8, UTF-16 or UTF-32 text, with or without the marks that Windows programs write: byte order and end.

    Args:
        content: The text. Without a byte order mark, its first two characters must be ASCII (RFC 4627, section 3).
        errors: How to treat invalid bytes, as in ``bytes.decode``.

    Raises:
        UnicodeDecodeError: The text has another encoding.
    """
    return content.decode(json.detect_encoding(content), errors).lstrip("\ufeff").rstrip(_END_OF_TEXT)


def has_lone_surrogate(text: str) -> bool:
    """Whether text contains half of a surrogate pair, which no encoding of Unicode can store."""
    return any("\ud800" <= character <= "\udfff" for character in text)


def escape_surrogates(text: str) -> str:
    """Returns text that can be encoded, without halves of surrogate pairs.

    In a file name, such halves are bytes that Python did not decode (PEP 383). They are decoded as UTF-8, or else
    escaped in hexadecimal.
    """
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()


def first_line(error: BaseException) -> str:
    """Returns the first line of an error's text, or the type of the error if it has no text."""
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__


def escape_unprintable(text: str) -> str:
    """Escapes characters that are not printable: text from files and attributes may contain terminal commands.

    File names are those of ``report.json`` in every locale.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in escape_surrogates(text))
