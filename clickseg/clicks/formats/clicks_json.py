"""The native form ``clicks.json``: LPS mm, and optionally the frame of reference and the series they belong to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from clickseg.clicks.click import Click, Clicks, Polarity
from clickseg.core.errors import ClickError
from clickseg.core.validation import Strict, parse

MAX_CLICKS = 10_000

Coordinate = Annotated[float, Field(strict=True)]  # a number, not a text that looks like one
Position = tuple[Coordinate, Coordinate, Coordinate]


class _Point(Strict):
    label: str = ""
    polarity: Polarity
    position_mm: Position


class _File(Strict):
    version: Literal[1]
    frame_of_reference_uid: str | None = None
    series_instance_uid: str | None = None
    clicks: tuple[_Point, ...] = Field(max_length=MAX_CLICKS)


def is_clicks_json(data: Any) -> bool:
    """Whether JSON looks like the native form."""
    return isinstance(data, dict) and "clicks" in data and "markups" not in data


def parse_clicks_json(data: Any, source: str) -> Clicks:
    """Reads the native form.

    Args:
        data: The JSON.
        source: The file's name.

    Raises:
        ClickError: A field is missing, unknown or of the wrong type.
    """
    file = parse(_File, data, source, ClickError)
    points = tuple(Click(point.label, point.polarity, point.position_mm) for point in file.clicks)
    return Clicks(points, file.frame_of_reference_uid or None, file.series_instance_uid or None, source)


def clicks_json(clicks: Clicks) -> dict[str, Any]:
    """Returns clicks in the native form."""
    content: dict[str, Any] = {"version": 1}
    if clicks.frame_of_reference_uid:
        content["frame_of_reference_uid"] = clicks.frame_of_reference_uid
    if clicks.series_instance_uid:
        content["series_instance_uid"] = clicks.series_instance_uid
    content["clicks"] = [
        {"label": click.label, "polarity": click.polarity.value, "position_mm": list(click.position_mm)}
        for click in clicks.points
    ]
    return content


def write_clicks_json(clicks: Clicks, path: Path) -> None:
    """Writes the native form."""
    path.write_text(json.dumps(clicks_json(clicks), indent=2) + "\n", encoding="utf-8", newline="\n")
