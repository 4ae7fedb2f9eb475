"""``clickseg clicks``: showing, checking and converting a file of clicks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from clickseg.batch.click_assignment import for_series, is_for
from clickseg.clicks.click import Clicks
from clickseg.clicks.grand_challenge import Frame
from clickseg.clicks.pending import AnyClicks, Voxel, placed
from clickseg.clicks.read import read_clicks
from clickseg.clicks.write import FORMS, written
from clickseg.dicom.files import scan
from clickseg.dicom.remedies import Remedies
from clickseg.dicom.series import CheckedSeries, check_all, listed
from clickseg.errors import ClickError, UsageError
from clickseg.inference.binding import check_inside


def show(path: Path, folder: Path | None, frame: Frame) -> list[str]:
    """Returns a table of the clicks in a file, with the voxels of a series where one is given.

    Args:
        path: The file.
        folder: The folder of the series, if any.
        frame: What the numbers of a file are that names no frame.

    Raises:
        ClickError: The file cannot be read, or a click is not in the series.
    """
    clicks = read_clicks(path, frame)
    series = None if folder is None else _series(folder, clicks)
    if series is None and not isinstance(clicks, Clicks):
        rows = [(click.label, click.polarity.value, str(click.place)) for click in clicks.points]
        return _table(("LABEL", "POLARITY", "PLACE"), rows)
    in_mm = _placed(clicks, series)
    rows = [(c.label, c.polarity.value, " ".join(f"{value:.3f}" for value in c.position_mm)) for c in in_mm.points]
    if series is None:
        return _table(("LABEL", "POLARITY", "LPS MM"), rows)
    voxels = [" ".join(str(n) for n in Voxel.at(click.position_mm, series.stack)) for click in in_mm.points]
    with_voxels = [(*row, voxel) for row, voxel in zip(rows, voxels, strict=True)]
    return _table(("LABEL", "POLARITY", "LPS MM", "VOXEL I J K"), with_voxels)


def convert(path: Path, folder: Path | None, frame: Frame, form: str, clock: datetime) -> bytes:
    """Returns the clicks of a file in another form.

    Args:
        path: The file.
        folder: The folder of the series, for forms that refer to one.
        frame: What the numbers of a file are that names no frame.
        form: One of ``FORMS``.
        clock: The time of a DICOM SR.

    Raises:
        ClickError: The file cannot be read, a click is not in the series, or the form cannot hold the clicks.
        UsageError: The form is unknown or needs a series.
    """
    if form not in FORMS:
        raise UsageError(f"--to: expected {', '.join(FORMS)}, got {form!r}")
    clicks = read_clicks(path, frame)
    series = None if folder is None else _series(folder, clicks)
    return written(_placed(clicks, series), form, series, clock)


def _placed(clicks: AnyClicks, series: CheckedSeries | None) -> Clicks:
    """Returns clicks in millimetres, all inside the series where there is one."""
    if series is None:
        if isinstance(clicks, Clicks):
            return clicks
        raise UsageError(f"{clicks.source} holds voxels of a series", hint="name its folder with --series")
    in_mm = placed(for_series(clicks, series), series)
    for number, click in enumerate(in_mm.points, 1):
        check_inside(click, f"{clicks.source}: click {number}", series.stack.geometry)
    return in_mm


def _series(folder: Path, clicks: AnyClicks) -> CheckedSeries:
    """Returns the one series of a folder that clicks may be for."""
    found = scan(folder)
    found.check_undamaged()
    formed, rejected = check_all(found, Remedies())
    fitting = [series for series in formed if is_for(clicks, series)]
    if len(fitting) == 1:
        return fitting[0]
    if not formed and rejected:
        raise rejected[0].error
    raise ClickError(
        f"{clicks.source}: expected one series that the clicks are for, got {len(fitting)} of: "
        f"{listed([series.candidate for series in formed]) or 'none'}",
        hint="--series names the folder of the one that they are on",
    )


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [columns, *rows]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
