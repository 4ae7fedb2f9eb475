"""3D Slicer's point lists, as markups (``.mrk.json``, schema 1.0.x) and as legacy fiducials (``.fcsv``).

Markups are in LPS or RAS; a table of fiducials is in RAS unless its header says otherwise. Neither names a frame of
reference or has a field for the polarity: that stands in the list's name (the file's), or in a point's label or
description.
"""

from __future__ import annotations

import csv
import io
import logging
import math
import re
from collections.abc import Iterable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from clickseg.clicks.click import Click, Clicks, Point, Polarity
from clickseg.clicks.formats.clicks_json import MAX_CLICKS, Position
from clickseg.clicks.names import speaks_of_background, split_name, without_number
from clickseg.core.errors import ClickError
from clickseg.core.text import counted
from clickseg.core.validation import parse

logger = logging.getLogger(__name__)

_SCHEMA = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/"
    "markups-schema-v1.0.3.json#"
)
_COPY = re.compile(r" \(\d+\)$")
_MM = {"mm": 1.0, "um": 1e-3}

FCSV_SUFFIX = ".fcsv"
_FCSV_HEADER = "# Markups fiducial file"
_FCSV_SYSTEM = re.compile(r"#\s*CoordinateSystem\s*=\s*(\w+)")
_FCSV_COLUMNS = re.compile(r"#\s*columns\s*=\s*(.+)")
_FCSV_SYSTEMS = {"RAS": -1.0, "0": -1.0, "LPS": 1.0, "1": 1.0}
"""The sign of x and y in LPS."""

_FCSV_DEFAULT_COLUMNS = "id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID"


def is_slicer_markups(data: Any) -> bool:
    """Whether JSON looks like 3D Slicer markups."""
    return isinstance(data, dict) and "markups" in data


def parse_slicer_markups(data: Any, source: str) -> Clicks:
    """Reads the defined control points of point lists, in LPS mm.

    Args:
        data: The JSON.
        source: The file's name; without ``.mrk.json`` it is the list's name.

    Raises:
        ClickError: The file holds other markups than point lists, or a unit other than mm and um.
    """
    file = parse(_MarkupsFile, data, source, ClickError)
    list_name = _list_name_of(source)
    points = tuple(click for markup in file.markups for click in _clicks(markup, list_name, source))
    return Clicks(points, source=source)


def slicer_markups_json(clicks: Clicks) -> dict[str, Any]:
    """Returns clicks as a point list, in LPS mm; the polarity stands in each point's description."""
    return {
        "@schema": _SCHEMA,
        "markups": [
            {
                "type": "Fiducial",
                "coordinateSystem": "LPS",
                "coordinateUnits": "mm",
                "locked": False,
                "labelFormat": "%N-%d",
                "controlPoints": [_control_point(number, click) for number, click in enumerate(clicks.points, 1)],
            }
        ],
    }


def is_slicer_fcsv(text: str) -> bool:
    """Whether a text is a table of fiducials."""
    return text.lstrip("\ufeff").startswith(_FCSV_HEADER)


def parse_slicer_fcsv(text: str, source: str) -> Clicks:
    """Reads a table of fiducials, in LPS mm.

    Args:
        text: The file.
        source: Its name; without ``.fcsv`` it is the list's name.

    Raises:
        ClickError: The coordinate system is unknown, or a line holds no point.
    """
    comments = [line for line in text.splitlines() if line.startswith("#")]
    system = _stated_in_comments(_FCSV_SYSTEM, comments, "RAS")
    if system not in _FCSV_SYSTEMS:
        raise ClickError(f"{source}: CoordinateSystem: expected RAS or LPS, got {system}")
    columns = [name.strip() for name in _stated_in_comments(_FCSV_COLUMNS, comments, _FCSV_DEFAULT_COLUMNS).split(",")]
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if len(lines) > MAX_CLICKS:
        raise ClickError(f"{source}: expected at most {MAX_CLICKS} points, got {len(lines)}")
    list_name = _list_name_of(source)
    try:
        rows = [dict(zip(columns, row, strict=False)) for row in csv.reader(lines)]
    except csv.Error as error:
        raise ClickError(f"{source}: no table: {error}") from error
    sign = _FCSV_SYSTEMS[system]
    points = (_click_of_row(row, sign, list_name, f"{source}: point {n}") for n, row in enumerate(rows, 1))
    return Clicks(tuple(points), source=source)


def slicer_fcsv(clicks: Clicks) -> str:
    """Returns clicks as a table of fiducials; the polarity stands in the description."""
    file = io.StringIO()
    file.write(f"{_FCSV_HEADER} version = 4.11\n# CoordinateSystem = LPS\n# columns = {_FCSV_DEFAULT_COLUMNS}\n")
    rows = csv.writer(file, lineterminator="\n")
    for number, click in enumerate(clicks.points, 1):
        name = f"{click.label or 'F'}-{number}"
        rows.writerow([number, *map(repr, click.position_mm), 0, 0, 0, 1, 1, 1, 0, name, click.polarity.value, ""])
    return file.getvalue()


class _Lenient(BaseModel):
    """Slicer writes many fields that do not concern a click."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class _ControlPoint(_Lenient):
    label: str = ""
    description: str = ""
    position: Position | None = None
    position_status: str = Field("defined", alias="positionStatus")


class _Markup(_Lenient):
    type: str
    coordinate_system: Literal["LPS", "RAS"] = Field("LPS", alias="coordinateSystem")
    coordinate_units: str | tuple[str, ...] = Field("mm", alias="coordinateUnits")
    control_points: tuple[_ControlPoint, ...] = Field((), alias="controlPoints", max_length=MAX_CLICKS)


class _MarkupsFile(_Lenient):
    markups: tuple[_Markup, ...] = Field(min_length=1)


def _list_name_of(source: str) -> str:
    """Returns the list's name, which is the file's; a browser that saves it twice counts the copies."""
    return _COPY.sub("", source.rpartition("/")[2].removesuffix(".json").removesuffix(".mrk").removesuffix(".fcsv"))


def _clicks(markup: _Markup, list_name: str, source: str) -> list[Click]:
    if markup.type != "Fiducial":
        raise ClickError(f"{source}: markups.type: expected Fiducial (a point list), got {markup.type}")
    scale = _scale(markup, source)
    defined = [point for point in markup.control_points if point.position_status == "defined"]
    if left := len(markup.control_points) - len(defined):
        logger.warning("%s: %s without a defined position: no click", source, counted(left, "point"))
    return [_click_of_point(point, list_name, point.position, scale, source) for point in defined]


def _scale(markup: _Markup, source: str) -> tuple[float, float, float]:
    units = markup.coordinate_units
    unit = units if isinstance(units, str) else units[0] if units else ""
    if unit not in _MM:
        raise ClickError(f"{source}: markups.coordinateUnits: expected mm or um, got {unit!r}")
    sign = -1.0 if markup.coordinate_system == "RAS" else 1.0
    return sign * _MM[unit], sign * _MM[unit], _MM[unit]


def _click_of_point(
    point: _ControlPoint,
    list_name: str,
    position: Position | None,
    scale: tuple[float, float, float],
    source: str,
) -> Click:
    if position is None:
        raise ClickError(f"{source}: control point {point.label!r} is defined but has no position")
    label, polarity = _label_and_polarity(point.label, point.description, list_name)
    x, y, z = (value * factor for value, factor in zip(position, scale, strict=True))
    return Click(label, polarity, (x, y, z))


def _label_and_polarity(label: str, description: str, list_name: str) -> tuple[str, Polarity]:
    """Returns what a point is of: its label comes before the list's name.

    A description is free text: it counts where it is just a word for a polarity, and then first of all.

    Raises:
        ClickError: No polarity is given, but a name speaks of the background: it must not be taken for foreground.
    """
    own = list_name if without_number(label) == list_name else label  # Slicer counts: NAME-1, NAME-2
    names = [split_name(name) for name in (own, list_name)]
    word, said = split_name(description)
    found = next((name for name, _ in names if name), "")
    stated = [polarity for _, polarity in (*([] if word else [(word, said)]), *names) if polarity]
    if not stated and any(speaks_of_background(name) for name in (own, list_name)):
        raise ClickError(
            f"point {label!r:.80} of list {list_name!r:.80}: a name says neg or background, but not at its end: the "
            "click could be taken for foreground",
            hint="call the list NAME_neg.mrk.json, or write negative into the description of each point",
        )
    return found, stated[0] if stated else Polarity.FOREGROUND


def _control_point(number: int, click: Click) -> dict[str, Any]:
    return {
        "id": str(number),
        "label": f"{click.label or 'F'}-{number}",
        "description": click.polarity.value,
        "position": list(click.position_mm),
        "selected": True,
        "locked": False,
        "visibility": True,
        "positionStatus": "defined",
    }


def _stated_in_comments(pattern: re.Pattern[str], comments: Iterable[str], default: str) -> str:
    return next((match[1] for line in comments if (match := pattern.match(line))), default)


def _click_of_row(row: dict[str, str], sign: float, list_name: str, where: str) -> Click:
    x, y, z = (_coordinate(row.get(axis, ""), f"{where}: {axis}") for axis in "xyz")
    label, polarity = _label_and_polarity(row.get("label", ""), row.get("desc", ""), list_name)
    position: Point = (sign * x, sign * y, z)
    return Click(label, polarity, position)


def _coordinate(text: str, where: str) -> float:
    try:
        number = float(text)
    except ValueError as error:
        raise ClickError(f"{where}: expected a number, got {text!r:.60}") from error
    if not math.isfinite(number):
        raise ClickError(f"{where}: expected a finite number, got {text!r:.60}")
    return number
