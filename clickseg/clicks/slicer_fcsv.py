"""3D Slicer's legacy fiducials (``.fcsv``): a table of points, in RAS unless its header says otherwise."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable

from clickseg.clicks.click import Click, Clicks, Point
from clickseg.clicks.clicks_json import MAX_CLICKS
from clickseg.clicks.slicer_markups import label_and_polarity, list_name_of
from clickseg.errors import ClickError

FCSV_SUFFIX = ".fcsv"
_FCSV_HEADER = "# Markups fiducial file"
_SYSTEM = re.compile(r"#\s*CoordinateSystem\s*=\s*(\w+)")
_COLUMNS = re.compile(r"#\s*columns\s*=\s*(.+)")
_SYSTEMS = {"RAS": -1.0, "0": -1.0, "LPS": 1.0, "1": 1.0}
"""The sign of x and y in LPS."""

_DEFAULT_COLUMNS = "id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID"


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
    system = _stated(_SYSTEM, comments, "RAS")
    if system not in _SYSTEMS:
        raise ClickError(f"{source}: CoordinateSystem: expected RAS or LPS, got {system}")
    columns = [name.strip() for name in _stated(_COLUMNS, comments, _DEFAULT_COLUMNS).split(",")]
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if len(lines) > MAX_CLICKS:
        raise ClickError(f"{source}: expected at most {MAX_CLICKS} points, got {len(lines)}")
    list_name = list_name_of(source)
    try:
        rows = [dict(zip(columns, row, strict=False)) for row in csv.reader(lines)]
    except csv.Error as error:
        raise ClickError(f"{source}: no table: {error}") from error
    return Clicks(
        tuple(_click_of_row(row, _SYSTEMS[system], list_name, f"{source}: point {n}") for n, row in enumerate(rows, 1)),
        source=source,
    )


def _stated(pattern: re.Pattern[str], comments: Iterable[str], default: str) -> str:
    return next((match[1] for line in comments if (match := pattern.match(line))), default)


def _click_of_row(row: dict[str, str], sign: float, list_name: str, where: str) -> Click:
    x, y, z = (_number(row.get(axis, ""), f"{where}: {axis}") for axis in "xyz")
    label, polarity = label_and_polarity(row.get("label", ""), row.get("desc", ""), list_name)
    position: Point = (sign * x, sign * y, z)
    return Click(label, polarity, position)


def _number(text: str, where: str) -> float:
    try:
        number = float(text)
    except ValueError as error:
        raise ClickError(f"{where}: expected a number, got {text!r:.60}") from error
    if not math.isfinite(number):
        raise ClickError(f"{where}: expected a finite number, got {text!r:.60}")
    return number


def slicer_fcsv(clicks: Clicks) -> str:
    """Returns clicks as a table of fiducials; the polarity stands in the description."""
    file = io.StringIO()
    file.write(f"{_FCSV_HEADER} version = 4.11\n# CoordinateSystem = LPS\n# columns = {_DEFAULT_COLUMNS}\n")
    rows = csv.writer(file, lineterminator="\n")
    for number, click in enumerate(clicks.points, 1):
        name = f"{click.label or 'F'}-{number}"
        rows.writerow([number, *map(repr, click.position_mm), 0, 0, 0, 1, 1, 1, 0, name, click.polarity.value, ""])
    return file.getvalue()
