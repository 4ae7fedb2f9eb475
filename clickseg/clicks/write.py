"""Writing clicks in the form that another tool reads."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import datetime

from clickseg.clicks.click import Clicks
from clickseg.clicks.forms import MM_WRITERS, NUMBERED, VOXEL_WRITERS
from clickseg.clicks.names import bare_label
from clickseg.clicks.pending import Voxel, at_voxels, placed
from clickseg.clicks.read import clicks_in
from clickseg.dicom.reference import reference_headers
from clickseg.dicom.report import make_click_report
from clickseg.dicom.series import CheckedSeries
from clickseg.errors import ClickError, UsageError

SR = "sr"
FORMS = (*MM_WRITERS, *VOXEL_WRITERS, SR)


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
