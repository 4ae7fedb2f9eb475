"""Writing clicks in the form that another tool reads."""

from __future__ import annotations

from datetime import datetime

from clickseg.clicks.click import Clicks
from clickseg.clicks.forms import MM_WRITERS, VOXEL_WRITERS
from clickseg.clicks.pending import at_voxels
from clickseg.dicom.identity import encoded
from clickseg.dicom.reference import reference_headers
from clickseg.dicom.report import make_click_report
from clickseg.dicom.series import CheckedSeries
from clickseg.errors import UsageError

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
    if form in MM_WRITERS:
        return MM_WRITERS[form](clicks)
    if series is None:
        raise UsageError(f"the form {form} refers to a series", hint="name its folder with --series")
    if form == SR:
        return encoded(make_click_report(reference_headers(series.stack), clicks, clock=clock))
    return VOXEL_WRITERS[form](at_voxels(clicks, series))
