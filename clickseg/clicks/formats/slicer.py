"""Point lists of 3D Slicer: markups (``.mrk.json``, schema 1.0.x) and legacy fiducials (``.fcsv``).

Markups are in LPS or RAS. A fiducial table is in RAS unless its header states LPS. Both formats have no frame of
reference, and no field for the polarity. The polarity is in the name of the list (the file name), or in the label or
description of a point.
"""

from __future__ import annotations

import csv
import io
import logging
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from clickseg.clicks.click import Click, Clicks, Point, Polarity
from clickseg.clicks.formats.clicks_json import MAX_CLICKS, Coordinates
from clickseg.clicks.names import has_background_word, split_name, strip_number
from clickseg.core.errors import ClickError
from clickseg.core.text import escape_surrogates, format_count
from clickseg.core.validation import validate_record

logger = logging.getLogger(__name__)

_SCHEMA = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/"
    "markups-schema-v1.0.3.json#"
)
_SUFFIXES = re.compile(r"(\.mrk)?\.json$|\.mrk$|\.fcsv$", re.IGNORECASE)
_COPY_SUFFIX = re.compile(r" \(\d+\)$")
_MM_PER_UNIT = {"mm": 1.0, "um": 1e-3}

FCSV_SUFFIX = ".fcsv"
_FCSV_HEADER = "# Markups fiducial file"
_FCSV_SYSTEM = re.compile(r"#\s*CoordinateSystem\s*=\s*(\w+)")
_FCSV_COLUMNS = re.compile(r"#\s*columns\s*=\s*(.+)")
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?")
_REPLACEMENT_CHARACTER = "\ufffd"
_SPREADSHEET_HINT = "a spreadsheet program may have changed the file; save the points in 3D Slicer again"
_FCSV_SYSTEMS = {"RAS": -1.0, "0": -1.0, "LPS": 1.0, "1": 1.0}
"""The factor that converts x and y to LPS, by the coordinate system of the file."""

_FCSV_DEFAULT_COLUMNS = "id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID"


def is_slicer_markups(data: Any) -> bool:
    """Returns whether JSON looks like markups of 3D Slicer."""
    return isinstance(data, dict) and "markups" in data


def parse_slicer_markups(data: Any, source: str) -> Clicks:
    """Reads the defined control points of point lists, in LPS mm.

    Args:
        data: The parsed JSON.
        source: The file name. Without ``.mrk.json`` it is the name of the list.

    Raises:
        ClickError: The file contains other markups than point lists, or a unit other than mm and um.
    """
    file = validate_record(_MarkupsFile, data, source, ClickError)
    list_name = _list_name(source)
    points = tuple(click for markup in file.markups for click in _clicks(markup, list_name, source))
    return Clicks(points, source=source)


def slicer_markups_json(clicks: Clicks) -> dict[str, Any]:
    """Returns clicks as a point list in LPS mm. The polarity is the description of each point."""
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
    """Returns whether text is a fiducial table."""
    return text.lstrip().startswith(_FCSV_HEADER)


def parse_slicer_fcsv(text: str, source: str) -> Clicks:
    """Reads a fiducial table, in LPS mm.

    Args:
        text: The content of the file, without a byte order mark.
        source: The file name. Without ``.fcsv`` it is the name of the list.

    Raises:
        ClickError: The coordinate system is unknown, or a row is not a point.
    """
    if _REPLACEMENT_CHARACTER in text:
        logger.warning("%s: expected UTF-8 or UTF-16 text: other characters are replaced", source)
    comments = [line for line in text.splitlines() if line.startswith("#")]
    system = _header_value(_FCSV_SYSTEM, comments, "RAS")
    if system not in _FCSV_SYSTEMS:
        raise ClickError(f"{source}: CoordinateSystem: expected RAS or LPS, got {system}")
    columns = [name.strip() for name in _header_value(_FCSV_COLUMNS, comments, _FCSV_DEFAULT_COLUMNS).split(",")]
    if not {"x", "y", "z"} <= {*columns}:
        raise ClickError(
            f"{source}: columns: expected x, y and z, separated by commas, got {','.join(columns)!r:.60}",
            hint=_SPREADSHEET_HINT,
        )
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if len(lines) > MAX_CLICKS:
        raise ClickError(f"{source}: expected at most {MAX_CLICKS} points, got {len(lines)}")
    list_name = _list_name(source)
    try:
        rows = [
            _named_values(columns, row, f"{source}: point {number}") for number, row in enumerate(csv.reader(lines), 1)
        ]
    except csv.Error as error:
        raise ClickError(f"{source}: not a fiducial table: {error}") from error
    sign = _FCSV_SYSTEMS[system]
    points = (_row_to_click(row, sign, list_name, f"{source}: point {n}") for n, row in enumerate(rows, 1))
    return Clicks(tuple(points), source=source)


def _named_values(columns: Sequence[str], row: Sequence[str], where: str) -> dict[str, str]:
    """Returns the values of a row by column.

    3D Slicer 5 writes two more values than columns.

    Raises:
        ClickError: The values are not separated by commas, or numbers contain commas, which shifts the values.
    """
    values = dict(zip(columns, row, strict=False))
    additional = len(row) - len(columns)
    is_shifted = _is_number(values.get("label", "")) and (
        additional not in (0, 2) or _is_number(values.get("desc", ""))
    )
    if len(row) == 1 or (additional > 0 and is_shifted):
        raise ClickError(
            f"{where}: expected {len(columns)} values, separated by commas and with decimal points, got "
            f"{','.join(row)!r:.60}",
            hint=_SPREADSHEET_HINT,
        )
    return values


def _is_number(text: str) -> bool:
    return _NUMBER.fullmatch(text.strip()) is not None


def slicer_fcsv(clicks: Clicks) -> str:
    """Returns clicks as a fiducial table in LPS mm. The polarity is the description of each point."""
    file = io.StringIO()
    file.write(f"{_FCSV_HEADER} version = 4.11\n# CoordinateSystem = LPS\n# columns = {_FCSV_DEFAULT_COLUMNS}\n")
    rows = csv.writer(file, lineterminator="\n")
    for number, click in enumerate(clicks.points, 1):
        name = f"{click.label or 'F'}-{number}"
        rows.writerow([number, *map(repr, click.position_mm), 0, 0, 0, 1, 1, 1, 0, name, click.polarity.value, ""])
    return file.getvalue()


class _Lenient(BaseModel):
    """A record that ignores unknown fields, since 3D Slicer writes many that do not concern clicks."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class _ControlPoint(_Lenient):
    label: str = ""
    description: str = ""
    position: Coordinates | None = None
    position_status: str = Field("defined", alias="positionStatus")


class _Markup(_Lenient):
    type: str
    coordinate_system: Literal["LPS", "RAS"] = Field("LPS", alias="coordinateSystem")
    coordinate_units: str | tuple[str, ...] = Field("mm", alias="coordinateUnits")
    control_points: tuple[_ControlPoint, ...] = Field((), alias="controlPoints", max_length=MAX_CLICKS)


class _MarkupsFile(_Lenient):
    markups: tuple[_Markup, ...] = Field(min_length=1)


def _list_name(source: str) -> str:
    """Returns the name of a list: the file name without suffixes, and without the `` (1)`` of a repeated download."""
    name = escape_surrogates(source.rpartition("/")[2])  # of a file name that is not UTF-8
    return _COPY_SUFFIX.sub("", _SUFFIXES.sub("", name))


def _clicks(markup: _Markup, list_name: str, source: str) -> list[Click]:
    if markup.type != "Fiducial":
        raise ClickError(f"{source}: markups.type: expected Fiducial (a point list), got {markup.type}")
    scale = _lps_mm_factors(markup, source)
    defined = [point for point in markup.control_points if point.position_status == "defined"]
    if ignored := len(markup.control_points) - len(defined):
        logger.warning("%s: %s without a defined position ignored", source, format_count(ignored, "point"))
    return [_point_to_click(point, list_name, point.position, scale, source) for point in defined]


def _lps_mm_factors(markup: _Markup, source: str) -> tuple[float, float, float]:
    units = markup.coordinate_units
    unit = units if isinstance(units, str) else units[0] if units else ""
    if unit not in _MM_PER_UNIT:
        raise ClickError(f"{source}: markups.coordinateUnits: expected mm or um, got {unit!r}")
    sign = -1.0 if markup.coordinate_system == "RAS" else 1.0
    mm = _MM_PER_UNIT[unit]
    return sign * mm, sign * mm, mm


def _point_to_click(
    point: _ControlPoint,
    list_name: str,
    position: Coordinates | None,
    scale: tuple[float, float, float],
    source: str,
) -> Click:
    if position is None:
        raise ClickError(f"{source}: control point {point.label!r} is defined but has no position")
    label, polarity = _label_and_polarity(point.label, point.description, list_name)
    x, y, z = (value * factor for value, factor in zip(position, scale, strict=True))
    return Click(label, polarity, (x, y, z))


def _label_and_polarity(label: str, description: str, list_name: str) -> tuple[str, Polarity]:
    """Returns label and polarity of a point. The label of the point has priority over the name of the list.

    A description is free text. It is used only if it is just a word for a polarity, and then has the highest priority.

    Raises:
        ClickError: The polarity is unknown, but a name mentions the background: the point must not become a foreground
            click.
    """
    point_name = list_name if strip_number(label) == list_name else label  # Slicer numbers points: NAME-1, NAME-2
    names = [split_name(name) for name in (point_name, list_name)]
    text, described_polarity = split_name(description)
    click_label = next((name for name, _ in names if name), "")
    polarities = [] if text else [described_polarity]
    polarity = next(filter(None, [*polarities, *(polarity for _, polarity in names)]), None)
    if polarity is None and any(has_background_word(name) for name in (point_name, list_name)):
        raise ClickError(
            f"point {label!r:.80} of list {list_name!r:.80}: a name contains neg or background, but not at its end, so "
            "the polarity is unclear",
            hint="name the list NAME_neg.mrk.json, or write negative into the description of each point",
        )
    return click_label, polarity or Polarity.FOREGROUND


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


def _header_value(pattern: re.Pattern[str], comments: Iterable[str], default: str) -> str:
    return next((match[1] for line in comments if (match := pattern.match(line))), default)


def _row_to_click(row: dict[str, str], sign: float, list_name: str, where: str) -> Click:
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
