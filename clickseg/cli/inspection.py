"""``clickseg inspect``: a table of the series in a folder, what each is, and what is wrong with it."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from typing import Any

from clickseg.cli.terminal import table, tell
from clickseg.core.errors import InputError
from clickseg.core.text import counted
from clickseg.dicom.files import Scan, scan
from clickseg.dicom.series import Candidate, Remedies, check, group
from clickseg.dicom.values import quantity_of


@dataclass(frozen=True, slots=True)
class Row:
    """One series.

    Attributes:
        series_instance_uid: Its UID, empty where it has none.
        modality: Its modality.
        description: Series Description.
        folder: The folder of its first file, relative to the scanned one.
        instances: How many files it has.
        shape: Slices, rows and columns of its volume; None where it forms none.
        spacing_mm: Between slices, rows and columns.
        unit: ``HU``, ``SUVbw``, or empty.
        remedies: Which remedies were used.
        problem: What is wrong with it; None where nothing is.
        hint: What can be done about it.
    """

    series_instance_uid: str
    modality: str
    description: str
    folder: str
    instances: int
    shape: tuple[int, ...] | None = None
    spacing_mm: tuple[float, ...] | None = None
    unit: str = ""
    remedies: tuple[str, ...] = ()
    problem: str | None = None
    hint: str | None = None


def run(arguments: argparse.Namespace) -> int:
    """Runs the command, and returns the exit code."""
    found = scan(arguments.input)
    rows = inspect_series(found, Remedies.parse(arguments.remedy))
    tell(json.dumps(as_json(found, rows), indent=2).splitlines() if arguments.json else as_text(found, rows))
    return 0


def inspect_series(found: Scan, remedies: Remedies) -> tuple[Row, ...]:
    """Returns a row for each series of a scan, in the order of their folders."""
    candidates = sorted(group(found.instances), key=lambda each: (each.folder, each.first.name))
    return tuple(_row(candidate, remedies) for candidate in candidates)


def as_json(found: Scan, rows: tuple[Row, ...]) -> dict[str, Any]:
    """Returns the table as JSON."""
    return {
        "instances": len(found.instances),
        "damaged": {name: damage.reason for name, damage in found.damaged.items()},
        "passed_over": dict(found.passed_over),
        "series": [asdict(row) for row in rows],
    }


def as_text(found: Scan, rows: tuple[Row, ...]) -> list[str]:
    """Returns the table as lines of text."""
    columns = ("MODALITY", "FILES", "SLICES x ROWS x COLUMNS", "SPACING MM", "UNIT", "FOLDER", "DESCRIPTION")
    headings, *shown = table(columns, [_cells(row) for row in rows])
    lines = [headings]
    for row, line in zip(rows, shown, strict=True):
        lines += [line, f"    {row.series_instance_uid or 'no Series Instance UID'}"]
        lines += [f"    remedy: {remedy}" for remedy in row.remedies]
        lines += [f"    problem: {row.problem}"] if row.problem else []
        lines += [f"    hint: {row.hint}"] if row.hint else []
    lines += [f"damaged: {name}: {damage.reason}" for name, damage in found.damaged.items()]
    passed = ", ".join(f"{count} {reason}" for reason, count in found.passed_over.items())
    lines += ["", f"{counted(len(found.instances), 'DICOM file')}; passed over: {passed or 'none'}"]
    return lines


def _row(candidate: Candidate, remedies: Remedies) -> Row:
    row: dict[str, Any] = {
        "series_instance_uid": candidate.series_uid,
        "modality": candidate.modality,
        "description": candidate.first.text("SeriesDescription"),
        "folder": candidate.folder,
        "instances": len(candidate.instances) + len(candidate.others),
    }
    if not candidate.instances and candidate.first.pixel_bytes == 0:
        return Row(**row, problem=f"no image: {candidate.first.header.SOPClassUID.name}")
    try:
        checked = check(candidate, remedies)
        geometry = checked.stack.geometry
        row["shape"] = geometry.spatial_shape
        row["spacing_mm"] = tuple(round(float(value), 4) for value in geometry.spacing)
        row["remedies"] = checked.candidate.remedies_used
        row["unit"] = quantity_of(checked).unit
    except InputError as error:
        return Row(**row, problem=str(error), hint=error.hint)
    return Row(**row)


def _cells(row: Row) -> tuple[str, ...]:
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
