"""Grand Challenge "Multiple points" (autoPET IV and V): voxels [x, y, z]. The schema has no coordinate system."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any, Literal

from pydantic import Field

from clickseg.clicks.click import Click, Clicks, Polarity
from clickseg.clicks.formats.clicks_json import MAX_CLICKS, Coordinates
from clickseg.clicks.image_clicks import AnyClicks, UnresolvedClick, UnresolvedClicks, Voxel, VoxelClick
from clickseg.clicks.names import split_name
from clickseg.core.errors import ClickError
from clickseg.core.validation import StrictModel, validate_record

_TYPE = "Multiple points"
_LPS_HINT = "if the points are in LPS mm, pass --clicks-frame lps"


class CoordinateSystem(str, Enum):
    """The coordinate system of the points in a file that does not define it: voxel indices, or LPS mm."""

    VOXEL = "voxel"
    LPS = "lps"


class _Version(StrictModel):
    major: int
    minor: int


class _Point(StrictModel):
    name: str = ""
    point: Coordinates
    probability: float | None = Field(None, ge=0, le=1)


class _File(StrictModel):
    name: str = ""
    type: Literal["Multiple points"]
    points: tuple[_Point, ...] = Field(max_length=MAX_CLICKS)
    version: _Version


def is_grand_challenge(data: Any) -> bool:
    """Returns whether JSON looks like "Multiple points"."""
    return isinstance(data, dict) and data.get("type") == _TYPE


def parse_grand_challenge(data: Any, source: str, coordinate_system: CoordinateSystem) -> AnyClicks:
    """Reads "Multiple points". The ``name`` of a point is its label; ``background`` means a background click.

    Args:
        data: The parsed JSON.
        source: The name of the file.
        coordinate_system: The coordinate system of the points.

    Raises:
        ClickError: A field is missing, unknown or of the wrong type, or a point is not a voxel.
    """
    file = validate_record(_File, data, source, ClickError)
    named = [(*split_name(point.name), point.point) for point in file.points]
    if coordinate_system is CoordinateSystem.LPS:
        return Clicks(
            tuple(Click(label, polarity or Polarity.FOREGROUND, point) for label, polarity, point in named),
            source=source,
        )
    return UnresolvedClicks(
        tuple(
            UnresolvedClick(label, polarity or Polarity.FOREGROUND, _voxel(point, f"{source}: point {number}"))
            for number, (label, polarity, point) in enumerate(named, 1)
        ),
        source,
    )


def grand_challenge_json(clicks: Sequence[VoxelClick]) -> dict[str, Any]:
    """Returns clicks as "Multiple points". If all clicks have one label, background points are named ``background``."""
    has_one_label = len({click.label for click in clicks}) == 1
    return {
        "name": "Points of interest",
        "type": _TYPE,
        "points": [{"name": _name(click, has_one_label), "point": list(click.voxel)} for click in clicks],
        "version": {"major": 1, "minor": 0},
    }


def _name(click: VoxelClick, has_one_label: bool) -> str:
    if click.polarity is Polarity.FOREGROUND:
        return click.label or "foreground"
    return f"{click.label}_background" if click.label and not has_one_label else "background"


def _voxel(point: Coordinates, where: str) -> Voxel:
    if any(value != int(value) or value < 0 for value in point):
        raise ClickError(f"{where}: expected a voxel (integers from 0), got {list(point)}", hint=_LPS_HINT)
    i, j, k = (int(value) for value in point)
    return Voxel(i, j, k)
