"""``clickseg inspect``: lists the series in a folder with their properties and problems."""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass
from typing import Any

from clickseg.cli.terminal import format_table, print_lines
from clickseg.core.errors import InputError
from clickseg.core.json_text import to_json
from clickseg.core.text import format_count
from clickseg.dicom.files import LINK_REASON, Scan, scan
from clickseg.dicom.other_formats import no_dicom_error
from clickseg.dicom.part10 import Damage
from clickseg.dicom.repairs import Repairs
from clickseg.dicom.series import RejectedSeries, SeriesGeometry, check_each_series
from clickseg.dicom.series_files import SeriesFiles, group_by_series
from clickseg.dicom.values import determine_quantity


@dataclass(frozen=True, slots=True)
class SeriesRow:
    """One series, as a row of the table.

    Attributes:
        series_instance_uid: Series Instance UID; empty if missing.
        modality: Modality.
        description: Series Description.
        folder: The folder of the first file, relative to the scanned folder.
        instances: The number of files.
        shape: The number of slices, rows and columns; None if the series is not a regular volume.
        spacing_mm: The distance between slices, rows and columns; None if the series is not a regular volume.
        unit: The unit of the values: ``HU``, ``SUVbw``, or empty.
        repairs: The repairs that were applied.
        problem: Why the series cannot be used; None if it can.
        hint: How to solve the problem.
    """

    series_instance_uid: str
    modality: str
    description: str
    folder: str
    instances: int
    shape: tuple[int, ...] | None = None
    spacing_mm: tuple[float, ...] | None = None
    unit: str = ""
    repairs: tuple[str, ...] = ()
    problem: str | None = None
    hint: str | None = None


def run(arguments: argparse.Namespace) -> int:
    """Runs the command, and returns the exit code."""
    scan_result = scan(arguments.input)
    rows = inspect_series(scan_result, Repairs.parse_options(arguments.repair))
    print_lines(
        to_json(json_report(scan_result, rows)).splitlines() if arguments.json else text_report(scan_result, rows)
    )
    return 0


def inspect_series(scan_result: Scan, repairs: Repairs) -> tuple[SeriesRow, ...]:
    """Returns a row for each series of a scan, sorted by folder.

    Args:
        scan_result: The scanned files.
        repairs: The repairs allowed for irregular series.
    """
    all_files = group_by_series(scan_result.instances)
    pairs = zip(all_files, check_each_series(scan_result, repairs), strict=True)
    return tuple(_inspect(*pair) for pair in sorted(pairs, key=lambda pair: (pair[0].folder, pair[0].first_file_name)))


def json_report(scan_result: Scan, rows: tuple[SeriesRow, ...]) -> dict[str, Any]:
    """Returns the rows and the counts of files as JSON data."""
    return {
        "instances": len(scan_result.instances),
        "damaged": {name: damage.reason for name, damage in scan_result.damaged.items()},
        "ignored": dict(scan_result.ignored),
        "series": [asdict(row) for row in rows],
    }


def text_report(scan_result: Scan, rows: tuple[SeriesRow, ...]) -> list[str]:
    """Returns the rows and the counts of files as lines of text."""
    columns = ("MODALITY", "FILES", "SLICES x ROWS x COLUMNS", "SPACING MM", "UNIT", "FOLDER", "DESCRIPTION")
    headings, *row_lines = format_table(columns, [_cells(row) for row in rows])
    lines = [headings]
    last_problem: str | None = None
    for row, line in zip(rows, row_lines, strict=True):
        lines += [line, f"    {row.series_instance_uid or 'no Series Instance UID'}"]
        lines += [f"    repair: {repair}" for repair in row.repairs]
        if row.problem and row.problem == last_problem:
            lines += ["    problem: as above"]
        elif row.problem:
            lines += [f"    problem: {row.problem}", *([f"    hint: {row.hint}"] if row.hint else [])]
        last_problem = row.problem
    lines += [_format_damage(name, damage) for name, damage in scan_result.damaged.items()]
    lines += _input_problem(scan_result)
    ignored = ", ".join(f"{count} ({reason})" for reason, count in scan_result.ignored.items())
    lines += ["", f"{format_count(len(scan_result.instances), 'DICOM file')}; ignored: {ignored or 'none'}"]
    return lines


def _format_damage(name: str, damage: Damage) -> str:
    return f"{name}: {damage.reason}" if damage.reason == LINK_REASON else f"damaged: {name}: {damage.reason}"


def _input_problem(scan_result: Scan) -> list[str]:
    """Returns why no series of the input can be used, and a hint, as lines of text; empty if some can be used."""
    try:
        scan_result.check_undamaged()
        if not scan_result.instances:
            raise no_dicom_error(scan_result)
    except InputError as error:
        return ["", f"problem: {error}", f"hint: {error.hint}"]
    return []


def _inspect(series: SeriesFiles, result: SeriesGeometry | RejectedSeries) -> SeriesRow:
    row: dict[str, Any] = {
        "series_instance_uid": series.series_uid,
        "modality": series.modality,
        "description": series.first_instance.text("SeriesDescription"),
        "folder": series.folder,
        "instances": len(series.instances) + len(series.other_instances),
    }
    if not series.instances and series.first_instance.pixel_bytes == 0:
        return SeriesRow(**row, problem=f"no image: {series.first_instance.header.SOPClassUID.name}")
    if isinstance(result, RejectedSeries):
        return SeriesRow(**row, problem=str(result.error), hint=result.error.hint)
    geometry = result.stack.geometry
    row["shape"] = geometry.spatial_shape
    row["spacing_mm"] = tuple(round(float(value), 4) for value in geometry.spacing)
    row["repairs"] = result.files.applied_repairs
    try:
        return SeriesRow(**row, unit=determine_quantity(result).unit)
    except InputError as error:
        return SeriesRow(**row, problem=str(error), hint=error.hint)


def _cells(row: SeriesRow) -> tuple[str, ...]:
    shape = " x ".join(str(count) for count in row.shape) if row.shape else "-"
    spacing = " x ".join(f"{value:g}" for value in row.spacing_mm) if row.spacing_mm else "-"
    return (
        row.modality or "-",
        str(row.instances),
        shape,
        spacing,
        row.unit or "-",
        row.folder,
        row.description,
    )
