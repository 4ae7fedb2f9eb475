"""Matches the description of a series with the patterns of an input, and returns how specific the match is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fnmatch import translate
from functools import lru_cache

from clickseg.dicom.series_files import SeriesFiles

_EXCLUSION = "!"
_MAX_TEXT = 256
_MAX_ALTERNATIVES = 1024
"""The number of plain patterns that a pattern with braces stands for, at most; the others are ignored."""

_ALTERNATIVES = re.compile(r"\{([^{}]*)\}")
_WORD = re.compile(r"(?:[^\W_]|\+)+")
_NOT_LITERAL = re.compile(r"\[[^]]+\]|[*?\s]")


def describe(files: SeriesFiles) -> str:
    """Returns the Series Description of a series, or its Protocol Name if it has no description; may be empty."""
    texts = (files.first_instance.text(keyword).strip() for keyword in ("SeriesDescription", "ProtocolName"))
    return next((text for text in texts if text), "")


def match_specificity(patterns: Sequence[str], description: str) -> int | None:
    """Returns the number of literal characters of the most specific pattern that matches a description.

    A pattern matches the complete description, or its words: letters, digits and ``+``, with one space between words
    and at both ends. Letter case is ignored.

    Args:
        patterns: Patterns with ``*``, ``?``, ``[..]`` and ``{a,b}``; those that begin with ``!`` exclude descriptions.
            Without patterns, or only with exclusions, every other description matches.
        description: The description.

    Returns:
        None if no pattern matches, or an exclusion does.
    """
    text = description.strip().lower()[:_MAX_TEXT]
    forms = (text, f" {' '.join(_WORD.findall(text))} ")
    if any(_matches(pattern[1:], forms) is not None for pattern in patterns if pattern.startswith(_EXCLUSION)):
        return None
    positive = [pattern for pattern in patterns if not pattern.startswith(_EXCLUSION)]
    found = [_matches(pattern, forms) for pattern in positive]
    return max((length for length in found if length is not None), default=None if positive else 0)


def _matches(pattern: str, forms: Sequence[str]) -> int | None:
    """Returns the number of literal characters of the longest matching alternative of a pattern."""
    for length, expression in _compile(pattern):
        if any(expression.match(form) for form in forms):
            return length
    return None


@lru_cache(maxsize=1024)
def _compile(pattern: str) -> tuple[tuple[int, re.Pattern[str]], ...]:
    """Returns the alternatives of a pattern, the most specific first, each with its number of literal characters."""
    plain = [text for text, _ in zip(_expand(pattern.lower()), range(_MAX_ALTERNATIVES), strict=False)]
    counted = {text: len(_NOT_LITERAL.sub(lambda part: "x" if part[0][0] == "[" else "", text)) for text in plain}
    ordered = sorted(counted.items(), key=lambda item: -item[1])
    return tuple((length, re.compile(translate(text))) for text, length in ordered)


def _expand(pattern: str) -> Iterator[str]:
    """Yields the plain patterns for which a pattern with ``{a,b}`` stands."""
    braces = _ALTERNATIVES.search(pattern)
    if braces is None:
        yield pattern
        return
    for alternative in braces[1].split(","):
        yield from _expand(pattern[: braces.start()] + alternative + pattern[braces.end() :])
