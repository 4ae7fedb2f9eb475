"""Label and polarity from the names that annotators give to lists and points."""

from __future__ import annotations

import re

from clickseg.clicks.click import Polarity

GENERIC = frozenset(
    {"", "f", "p", "foreground", "pointlist", "point list", "markupsfiducial", "fiducial", "click", "clicks"}
)
"""Names that say nothing of what was clicked: Slicer's defaults, and words for any foreground."""

_NEGATIVE = ("background", "bg", "neg", "negative", "negatives")
_POSITIVE = ("foreground", "fg", "pos", "positive", "positives")
_NUMBER = re.compile(r"[-_ ]\d+$")
_NUMBERS = re.compile(r"(?:[-_ ]\d+)+$")
_BEFORE = r"(?:^|[^A-Za-z]|(?-i:(?<=[a-z])(?=[A-Z])))"
"""What a word begins behind: the name's beginning, another character than a letter, or a change of case."""

_SUFFIX = re.compile(
    rf"^(?P<label>.*?)(?:{_BEFORE}(?P<word>{'|'.join(_NEGATIVE + _POSITIVE)})|(?P<sign>[-+]))$", re.IGNORECASE
)
_NEGATIVE_WORD = re.compile(rf"{_BEFORE}(?:{'|'.join(_NEGATIVE)})(?:$|[^A-Za-z]|(?-i:(?=[A-Z])))", re.IGNORECASE)


def without_number(name: str) -> str:
    """Returns a name without the number that counts points of that name."""
    return _NUMBER.sub("", name.strip())


def split_name(name: str) -> tuple[str, Polarity | None]:
    """Splits a name into a label and a polarity.

    Args:
        name: Such as ``lesion_neg``, ``liver-3``, ``background``, ``tumor+``, ``F-1``.

    Returns:
        The label, empty where the name is a default one or only a polarity; the polarity, None where none is said. A
        number at the end stays, since it may belong to the label (``rib_left_3``).
    """
    match = _SUFFIX.match(without_number(name))
    if match is None:
        return (name.strip() if bare_label(name) else ""), None
    sign = (match["word"] or match["sign"]).casefold()
    polarity = Polarity.BACKGROUND if sign in ("-", *_NEGATIVE) else Polarity.FOREGROUND
    return (match["label"] if bare_label(match["label"]) else ""), polarity


def speaks_of_background(name: str) -> bool:
    """Whether a word for the background stands anywhere in a name."""
    return _NEGATIVE_WORD.search(name) is not None


def bare_label(label: str) -> str:
    """Returns a label without the numbers that count points and lists; empty where it says nothing."""
    bare = _NUMBERS.sub("", label.strip())
    return "" if bare.casefold() in GENERIC else bare
