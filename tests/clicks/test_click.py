"""A click has three finite coordinates, a printable label, and one of two polarities."""

from __future__ import annotations

from typing import Any

import pytest

from clickseg.clicks.click import Click, Polarity
from clickseg.core.errors import ClickError


def test_the_value_of_a_polarity_is_accepted() -> None:
    click = Click("lesion", "background", (1.0, 2.0, 3.0))

    assert click == Click("lesion", Polarity.BACKGROUND, (1.0, 2.0, 3.0))
    assert click.polarity is Polarity.BACKGROUND


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("polarity", "up", "expected the polarity foreground or background, got 'up'"),
        ("polarity", None, "expected the polarity foreground or background, got None"),
        ("position_mm", (1.0, 2.0), r"expected a position of three finite numbers in mm, got \[1.0, 2.0\]"),
        ("position_mm", ("a", 2.0, 3.0), r"expected a position of three finite numbers in mm, got \['a', 2.0, 3.0\]"),
        (
            "position_mm",
            (float("nan"), 2.0, 3.0),
            r"expected a position of three finite numbers in mm, got \[nan, 2.0, 3.0\]",
        ),
        ("position_mm", None, "expected a position of three finite numbers in mm, got None"),
        ("label", 5, "expected a label of printable characters, got 5"),
        ("label", "a\nb", r"expected a label of printable characters, got 'a\\nb'"),
    ],
)
def test_invalid_clicks_are_rejected(field: str, value: Any, message: str) -> None:
    fields = {"label": "lesion", "polarity": Polarity.FOREGROUND, "position_mm": (1.0, 2.0, 3.0)}

    with pytest.raises(ClickError, match=message):
        Click(**(fields | {field: value}))
