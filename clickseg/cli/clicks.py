"""``clickseg clicks``: shows, checks and converts a click file."""

from __future__ import annotations

import argparse
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from clickseg.batch.click_assignment import can_be_on_series, clicks_on_series
from clickseg.cli.terminal import format_table, print_bytes, print_lines
from clickseg.clicks.click import Clicks
from clickseg.clicks.find import parse_click_file, read_clicks
from clickseg.clicks.formats.grand_challenge import CoordinateSystem
from clickseg.clicks.formats.registry import MM_WRITERS, NUMBERED_LABEL_FORMATS, VOXEL_WRITERS
from clickseg.clicks.image_clicks import AnyClicks, Voxel, resolve_positions, to_voxel_clicks
from clickseg.clicks.names import bare_label
from clickseg.core.clock import read_clock
from clickseg.core.errors import ClickError, UsageError
from clickseg.core.files import write_bytes
from clickseg.core.options import parse_choice
from clickseg.dicom.files import scan
from clickseg.dicom.other_formats import no_dicom_error
from clickseg.dicom.repairs import Repairs
from clickseg.dicom.series import SeriesGeometry, check_all_series
from clickseg.dicom.series_files import format_series_list
from clickseg.dicom.source_headers import reference_headers
from clickseg.inference.click_binding import check_inside
from clickseg.results.structured_report import make_click_report

SR = "sr"
FORMATS = (*MM_WRITERS, *VOXEL_WRITERS, SR)


def run(arguments: argparse.Namespace) -> int:
    """Runs the command, and returns the exit code."""
    coordinate_system = parse_choice(CoordinateSystem, arguments.clicks_frame, "clicks-frame")
    source = ClickSource(arguments.file, coordinate_system, arguments.dicom, Repairs.parse_options(arguments.repair))
    if arguments.to is None:
        print_lines(clicks_table(source))
        return 0
    content = convert(source, arguments.to, read_clock(os.environ))
    if arguments.to_file is None:
        print_bytes(content)
    else:
        write_bytes(arguments.to_file, content)
    return 0


@dataclass(frozen=True, slots=True)
class ClickSource:
    """A click file, and the series of its clicks.

    Attributes:
        path: The click file.
        coordinate_system: The coordinate system of files that do not define it.
        folder: The folder of the DICOM series, if any.
        repairs: The repairs allowed for an irregular series.
    """

    path: Path
    coordinate_system: CoordinateSystem
    folder: Path | None = None
    repairs: Repairs = field(default_factory=Repairs)

    def read(self) -> tuple[AnyClicks, SeriesGeometry | None]:
        """Reads the clicks, and the headers of their series if its folder is given.

        Raises:
            ClickError: The file cannot be read, or no series or several series match the clicks.
            InputError: The series cannot be read.
        """
        clicks = read_clicks(self.path, self.coordinate_system)
        return clicks, None if self.folder is None else _find_series(self.folder, clicks, self.repairs)


def clicks_table(source: ClickSource) -> list[str]:
    """Returns the clicks of a file as a table, with voxel indices if their series is given.

    Raises:
        ClickError: The file cannot be read, or a click is outside the series.
    """
    clicks, series = source.read()
    if series is None and not isinstance(clicks, Clicks):
        rows = [(click.label, click.polarity.value, str(click.position)) for click in clicks.points]
        return format_table(("LABEL", "POLARITY", "POSITION"), rows)
    in_mm = _to_mm(clicks, series)
    rows = [(c.label, c.polarity.value, " ".join(f"{value:.3f}" for value in c.position_mm)) for c in in_mm.points]
    if series is None:
        return format_table(("LABEL", "POLARITY", "LPS MM"), rows)
    voxels = [" ".join(str(n) for n in Voxel.from_position(click.position_mm, series.stack)) for click in in_mm.points]
    with_voxels = [(*row, voxel) for row, voxel in zip(rows, voxels, strict=True)]
    return format_table(("LABEL", "POLARITY", "LPS MM", "VOXEL I J K"), with_voxels)


def convert(source: ClickSource, file_format: str, clock: datetime) -> bytes:
    """Returns the clicks of a file in another format.

    Args:
        source: The click file, and its series for formats with voxel indices and for DICOM SR.
        file_format: The new format, one of ``FORMATS``.
        clock: The content date and time of a DICOM SR.

    Raises:
        ClickError: The file cannot be read, a click is outside the series, or the format cannot store the clicks.
        UsageError: The format is unknown, or requires a series.
    """
    if file_format not in FORMATS:
        raise UsageError(f"--to: expected one of {', '.join(FORMATS)}, got {file_format!r}")
    clicks, series = source.read()
    return encode_clicks(_to_mm(clicks, series), file_format, series, clock)


def encode_clicks(clicks: Clicks, file_format: str, series: SeriesGeometry | None, clock: datetime) -> bytes:
    """Returns the content of a click file. It is read back first, to check that the format can store the clicks.

    Args:
        clicks: The clicks, in the frame of reference of the series.
        file_format: The format, one of ``FORMATS``.
        series: The series, for formats with voxel indices and for DICOM SR.
        clock: The content date and time of a DICOM SR.

    Raises:
        UsageError: The format requires a series.
        ClickError: The format cannot store the clicks.
    """
    content = _encode(clicks, file_format, series, clock)
    _check_read_back(clicks, file_format, series, content)
    return content


def _encode(clicks: Clicks, file_format: str, series: SeriesGeometry | None, clock: datetime) -> bytes:
    if file_format in MM_WRITERS:
        return MM_WRITERS[file_format](clicks)
    if series is None:
        raise UsageError(
            f"the format {file_format} requires the DICOM series of the clicks", hint="pass its folder with --dicom DIR"
        )
    if file_format == SR and not clicks.points:
        raise ClickError(f"{clicks.source or 'the clicks'}: expected at least one click for a DICOM SR, got none")
    if file_format == SR:
        return make_click_report(reference_headers(series.stack), clicks, clock=clock).content
    return VOXEL_WRITERS[file_format](to_voxel_clicks(clicks, series))


def _check_read_back(clicks: Clicks, file_format: str, series: SeriesGeometry | None, content: bytes) -> None:
    """Rejects clicks that would be read back differently, such as clicks whose label looks like a polarity or a field.

    Raises:
        ClickError: The clicks would be read back differently.
    """
    read_back = parse_click_file(io.BytesIO(content), file_format) if clicks.points else Clicks()
    if isinstance(read_back, Clicks):
        in_mm = read_back
    else:
        in_mm = resolve_positions(read_back, series) if series is not None else Clicks()
    labels = {bare_label(click.label) for click in clicks.points}
    default_label = labels.pop() if len(labels) == 1 else ""  # some formats do not store the only label
    if _stored_part(in_mm, file_format, series, default_label) != _stored_part(
        clicks, file_format, series, default_label
    ):
        raise ClickError(
            f"{clicks.source or 'the clicks'}: the format {file_format} cannot store these clicks: "
            "they would be read back differently",
            hint="--to clickseg and --to sr can store all clicks",
        )


def _stored_part(
    clicks: Clicks, file_format: str, series: SeriesGeometry | None, default_label: str
) -> Sequence[object]:
    """Returns the part of clicks that a format must store: positions, polarities, and which clicks share a label."""
    by_label: dict[str, list[object]] = {}
    for click in clicks.points:
        in_voxels = file_format in VOXEL_WRITERS
        position = Voxel.from_position(click.position_mm, series.stack) if in_voxels and series else click.position_mm
        by_label.setdefault(bare_label(click.label) or default_label, []).append((click.polarity.value, position))
    return sorted(
        ["" if file_format in NUMBERED_LABEL_FORMATS else label, sorted(points, key=str)]
        for label, points in by_label.items()
    )


def _to_mm(clicks: AnyClicks, series: SeriesGeometry | None) -> Clicks:
    """Returns clicks in LPS mm. If a series is given, checks that all clicks are inside it.

    Raises:
        ClickError: A click is outside the series.
        UsageError: The clicks are voxel indices, and no series is given.
    """
    if series is None:
        if isinstance(clicks, Clicks):
            return clicks
        raise UsageError(
            f"{clicks.source}: the clicks are voxel indices of a DICOM series", hint="pass its folder with --dicom DIR"
        )
    in_mm = resolve_positions(clicks_on_series(clicks, series), series)
    for number, click in enumerate(in_mm.points, 1):
        check_inside(click, f"{clicks.source}: click {number}", series.stack.geometry)
    return in_mm


def _find_series(folder: Path, clicks: AnyClicks, repairs: Repairs) -> SeriesGeometry:
    """Returns the only series in a folder that matches clicks.

    Raises:
        ClickError: No series or several series match.
        InputError: A DICOM file is damaged, or no file is DICOM.
        SeriesError: No series in the folder is a regular volume.
    """
    files = scan(folder)
    files.check_undamaged()
    if not files.instances:
        raise no_dicom_error(files)
    volumes, rejected = check_all_series(files, repairs)
    matching = [series for series in volumes if can_be_on_series(clicks, series)]
    if len(matching) == 1:
        return matching[0]
    if not volumes and rejected:
        raise rejected[0].error
    raise ClickError(
        f"{clicks.source}: expected one series that matches the clicks, got {len(matching)} of: "
        f"{format_series_list([series.files for series in volumes]) or 'none'}",
        hint="pass the folder of the series of the clicks with --dicom DIR",
    )
