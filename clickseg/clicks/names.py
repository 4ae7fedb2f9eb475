"""Label and polarity from the names that annotators give to lists and points."""

from __future__ import annotations

import re

from clickseg.clicks.click import Polarity

GENERIC = frozenset(
    {"", "f", "p", "foreground", "pointlist", "point list", "markupsfiducial", "fiducial", "click", "clicks"}
)
"""Names that say nothing of what was clicked: Slicer's defaults, and words for any foreground."""

_NEGATIVE_WORDS = frozenset({"background", "negative", "neg", "bg", "-"})
_POSITIVE_WORDS = frozenset({"foreground", "positive", "pos", "fg", "+"})
_NUMBER = re.compile(r"[-_ ]\d+$")
_SUFFIX = re.compile(
    r"^(?P<label>.*?)(?:[_ -](?P<word>neg|pos|negative|positive|background|foreground)|(?P<sign>[-+]))$",
    re.IGNORECASE,
)


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
    base = without_number(name)
    word = base.casefold()
    if word in _NEGATIVE_WORDS:
        return "", Polarity.BACKGROUND
    if word in _POSITIVE_WORDS:
        return "", Polarity.FOREGROUND
    match = _SUFFIX.match(base)
    if match is None:
        return ("" if word in GENERIC else name.strip()), None
    sign = (match["word"] or match["sign"]).casefold()
    polarity = Polarity.BACKGROUND if sign in ("-", "neg", "negative", "background") else Polarity.FOREGROUND
    label = match["label"]
    return ("" if label.casefold() in GENERIC else label), polarity
