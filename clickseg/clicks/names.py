"""Label and polarity from the names of point lists and points."""

from __future__ import annotations

import re

from clickseg.clicks.click import Polarity

_GENERIC_NAMES = frozenset(
    {"", "f", "p", "foreground", "pointlist", "point list", "markupsfiducial", "fiducial", "click", "clicks"}
)
"""Names without information on the clicked structure: default names of 3D Slicer, and words for the foreground."""

_NEGATIVE = ("background", "bg", "neg", "negative", "negatives")
_POSITIVE = ("foreground", "fg", "pos", "positive", "positives")
_NUMBER = re.compile(r"[-_ ]\d+$")
_NUMBERS = re.compile(r"(?:[-_ ]\d+)+$")
_WORD_START = r"(?:^|[^A-Za-z]|(?-i:(?<=[a-z])(?=[A-Z])))"
"""A word starts at the start of the name, after a character that is not a letter, or at a change of case."""

_SUFFIX = re.compile(
    rf"^(?P<label>.*?)(?:{_WORD_START}(?P<word>{'|'.join(_NEGATIVE + _POSITIVE)})|(?P<sign>[-+]))$", re.IGNORECASE
)
_NEGATIVE_WORD = re.compile(rf"{_WORD_START}(?:{'|'.join(_NEGATIVE)})(?:$|[^A-Za-z]|(?-i:(?=[A-Z])))", re.IGNORECASE)


def strip_number(name: str) -> str:
    """Returns a name without the number at its end, such as ``lesion`` for ``lesion-2``."""
    return _NUMBER.sub("", name.strip())


def split_name(name: str) -> tuple[str, Polarity | None]:
    """Splits a name into a label and a polarity.

    Args:
        name: For example ``lesion_neg``, ``liver-3``, ``background``, ``tumor+``, ``F-1``.

    Returns:
        The label, which is empty if the name is generic or only a polarity; and the polarity, or None if the name has
        none. A number at the end is kept, since it may belong to the label (``rib_left_3``).
    """
    match = _SUFFIX.match(strip_number(name))
    if match is None:
        return (name.strip() if bare_label(name) else ""), None
    sign = (match["word"] or match["sign"]).casefold()
    polarity = Polarity.BACKGROUND if sign in ("-", *_NEGATIVE) else Polarity.FOREGROUND
    return (match["label"] if bare_label(match["label"]) else ""), polarity


def has_background_word(name: str) -> bool:
    """Returns whether a name contains a word for the background."""
    return _NEGATIVE_WORD.search(name) is not None


def bare_label(label: str) -> str:
    """Returns a label without the numbers of points and lists at its end; empty if the label is generic."""
    bare = _NUMBERS.sub("", label.strip())
    return "" if bare.casefold() in _GENERIC_NAMES else bare
