"""``clickseg clicks``: showing, checking and converting a file of clicks."""

from __future__ import annotations

import argparse
import io
import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from clickseg.batch.click_assignment import for_series, is_for
from clickseg.cli.terminal import table, tell, tell_bytes
from clickseg.clicks.click import Clicks
from clickseg.clicks.find import clicks_in, read_clicks
from clickseg.clicks.formats.grand_challenge import Frame
from clickseg.clicks.formats.registry import MM_WRITERS, NUMBERED, VOXEL_WRITERS
from clickseg.clicks.image_clicks import AnyClicks, Voxel, at_voxels, placed
from clickseg.clicks.names import bare_label
from clickseg.core.clock import read_clock
from clickseg.core.errors import ClickError, UsageError
from clickseg.core.files import write_bytes
from clickseg.core.options import choice
from clickseg.dicom.files import scan
from clickseg.dicom.series import CheckedSeries, Remedies, check_all, listed
from clickseg.dicom.source_headers import reference_headers
from clickseg.inference.click_binding import check_inside
from clickseg.results.structured_report import make_click_report

SR = "sr"
FORMS = (*MM_WRITERS, *VOXEL_WRITERS, SR)


def run(arguments: argparse.Namespace) -> int:
    """Runs the command, and returns the exit code."""
    frame = choice(Frame, arguments.clicks_frame, "clicks-frame")
    if arguments.to is None:
        tell(show(arguments.file, arguments.series, frame))
        return 0
    content = convert(arguments.file, arguments.series, frame, arguments.to, read_clock(os.environ))
    if arguments.to_file is None:
        tell_bytes(content)
    else:
        write_bytes(arguments.to_file, content)
    return 0


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
        return table(("LABEL", "POLARITY", "PLACE"), rows)
    in_mm = _placed(clicks, series)
    rows = [(c.label, c.polarity.value, " ".join(f"{value:.3f}" for value in c.position_mm)) for c in in_mm.points]
    if series is None:
        return table(("LABEL", "POLARITY", "LPS MM"), rows)
    voxels = [" ".join(str(n) for n in Voxel.at(click.position_mm, series.stack)) for click in in_mm.points]
    with_voxels = [(*row, voxel) for row, voxel in zip(rows, voxels, strict=True)]
    return table(("LABEL", "POLARITY", "LPS MM", "VOXEL I J K"), with_voxels)


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


def written(clicks: Clicks, form: str, series: CheckedSeries | None, clock: datetime) -> bytes:
    """Returns clicks as a file of some form.

    Args:
        clicks: The clicks, in the frame of reference of the series.
        form: One of ``FORMS``.
        series: The series, for forms that hold its voxels, and for DICOM SR.
        clock: The time of a DICOM SR.

    Raises:
        UsageError: The form needs a series.
        ClickError: The form cannot hold the clicks.
    """
    content = _bytes(clicks, form, series, clock)
    _check_read_back(clicks, form, series, content)
    return content


def _bytes(clicks: Clicks, form: str, series: CheckedSeries | None, clock: datetime) -> bytes:
    if form in MM_WRITERS:
        return MM_WRITERS[form](clicks)
    if series is None:
        raise UsageError(f"the form {form} refers to a series", hint="name its folder with --series")
    if form == SR and not clicks.points:
        raise ClickError(f"{clicks.source or 'the clicks'}: expected at least one click: an SR cannot hold none")
    if form == SR:
        return make_click_report(reference_headers(series.stack), clicks, clock=clock).content
    return VOXEL_WRITERS[form](at_voxels(clicks, series))


def _check_read_back(clicks: Clicks, form: str, series: CheckedSeries | None, content: bytes) -> None:
    """Refuses clicks that another tool would read as others: a label that looks like a polarity, or like a field."""
    back = clicks_in(io.BytesIO(content), form) if clicks.points else Clicks()
    in_mm = back if isinstance(back, Clicks) else placed(back, series) if series is not None else Clicks()
    labels = {bare_label(click.label) for click in clicks.points}
    only = labels.pop() if len(labels) == 1 else ""  # what has no label in a form is of the only one
    if _content(in_mm, form, series, only) != _content(clicks, form, series, only):
        raise ClickError(
            f"{clicks.source or 'the clicks'}: the form {form} cannot hold them: they would be read back as others",
            hint="--to clickseg and --to sr hold all clicks",
        )


def _content(clicks: Clicks, form: str, series: CheckedSeries | None, only: str) -> Sequence[object]:
    """Returns what a form must hold of clicks: their places, polarities, and what belongs together."""
    by_label: dict[str, list[object]] = {}
    for click in clicks.points:
        place = Voxel.at(click.position_mm, series.stack) if form in VOXEL_WRITERS and series else click.position_mm
        by_label.setdefault(bare_label(click.label) or only, []).append((click.polarity.value, place))
    return sorted(["" if form in NUMBERED else label, sorted(points, key=str)] for label, points in by_label.items())


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
