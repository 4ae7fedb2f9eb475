"""The native format ``clicks.json``: positions in LPS mm, with optional frame of reference and series."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from clickseg.clicks.click import Click, Clicks, Polarity
from clickseg.core.errors import ClickError
from clickseg.core.validation import StrictModel, validate_record

MAX_CLICKS = 10_000

Coordinate = Annotated[float, Field(strict=True)]  # a number, not a string of digits
Coordinates = tuple[Coordinate, Coordinate, Coordinate]


class _Point(StrictModel):
    label: str = ""
    polarity: Polarity
    position_mm: Coordinates


class _File(StrictModel):
    version: Literal[1]
    frame_of_reference_uid: str | None = None
    series_instance_uid: str | None = None
    clicks: tuple[_Point, ...] = Field(max_length=MAX_CLICKS)


def is_clicks_json(data: Any) -> bool:
    """Returns whether JSON looks like the native format."""
    return isinstance(data, dict) and "clicks" in data and "markups" not in data


def parse_clicks_json(data: Any, source: str) -> Clicks:
    """Reads the native format.

    Args:
        data: The parsed JSON.
        source: The name of the file.

    Raises:
        ClickError: A field is missing, unknown or of the wrong type.
    """
    file = validate_record(_File, data, source, ClickError)
    points = tuple(Click(point.label, point.polarity, point.position_mm) for point in file.clicks)
    return Clicks(points, file.frame_of_reference_uid or None, file.series_instance_uid or None, source)


def clicks_json(clicks: Clicks) -> dict[str, Any]:
    """Returns clicks in the native format, as data for JSON."""
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
    """Writes clicks to a file in the native format."""
    path.write_text(json.dumps(clicks_json(clicks), indent=2) + "\n", encoding="utf-8", newline="\n")
