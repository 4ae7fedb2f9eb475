"""Grand Challenge "Multiple points" (autoPET IV and V): voxels [x, y, z]; the schema names no frame."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any, Literal

from pydantic import Field

from clickseg.clicks.click import Click, Clicks, Polarity
from clickseg.clicks.formats.clicks_json import MAX_CLICKS, Position
from clickseg.clicks.image_clicks import AnyClicks, PendingClick, PendingClicks, Voxel, VoxelClick
from clickseg.clicks.names import split_name
from clickseg.core.errors import ClickError
from clickseg.core.validation import Strict, parse

_TYPE = "Multiple points"
LPS_HINT = "--clicks-frame lps reads the numbers as LPS mm"


class Frame(str, Enum):
    """What the numbers of a file that names no frame are."""

    VOXEL = "voxel"
    LPS = "lps"


class _Version(Strict):
    major: int
    minor: int


class _Point(Strict):
    name: str = ""
    point: Position
    probability: float | None = Field(None, ge=0, le=1)


class _File(Strict):
    name: str = ""
    type: Literal["Multiple points"]
    points: tuple[_Point, ...] = Field(max_length=MAX_CLICKS)
    version: _Version


def is_grand_challenge(data: Any) -> bool:
    """Whether JSON looks like Multiple points."""
    return isinstance(data, dict) and data.get("type") == _TYPE


def parse_grand_challenge(data: Any, source: str, frame: Frame) -> AnyClicks:
    """Reads Multiple points: ``name`` is the label, ``background`` the negative one.

    Args:
        data: The JSON.
        source: The file's name.
        frame: What the numbers are; voxels, unless the user says that they are LPS mm.

    Raises:
        ClickError: A field is missing, unknown or of the wrong type, or a voxel is none.
    """
    file = parse(_File, data, source, ClickError)
    named = [(*split_name(point.name), point.point) for point in file.points]
    if frame is Frame.LPS:
        return Clicks(
            tuple(Click(label, polarity or Polarity.FOREGROUND, point) for label, polarity, point in named),
            source=source,
        )
    return PendingClicks(
        tuple(
            PendingClick(label, polarity or Polarity.FOREGROUND, _voxel(point, f"{source}: point {number}"))
            for number, (label, polarity, point) in enumerate(named, 1)
        ),
        source,
    )


def grand_challenge_json(clicks: Sequence[VoxelClick]) -> dict[str, Any]:
    """Returns clicks as Multiple points; the background of an only label is called just that."""
    has_one = len({click.label for click in clicks}) == 1
    return {
        "name": "Points of interest",
        "type": _TYPE,
        "points": [{"name": _name(click, has_one), "point": list(click.voxel)} for click in clicks],
        "version": {"major": 1, "minor": 0},
    }


def _name(click: VoxelClick, has_one: bool) -> str:
    if click.polarity is Polarity.FOREGROUND:
        return click.label or "foreground"
    return f"{click.label}_background" if click.label and not has_one else "background"


def _voxel(point: Position, where: str) -> Voxel:
    if any(value != int(value) or value < 0 for value in point):
        raise ClickError(f"{where}: expected a voxel (whole numbers from 0), got {list(point)}", hint=LPS_HINT)
    i, j, k = (int(value) for value in point)
    return Voxel(i, j, k)
