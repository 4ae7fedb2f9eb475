"""Reads one series of a folder; selects the requested series of a scan."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence

from clickseg.core.arguments import to_items, to_path
from clickseg.core.errors import InputError
from clickseg.core.text import format_count
from clickseg.dicom.files import Scan, scan
from clickseg.dicom.other_formats import no_dicom_error
from clickseg.dicom.repairs import Repairs
from clickseg.dicom.series import RejectedSeries, SeriesGeometry, check_all_series
from clickseg.dicom.series_files import format_series_list
from clickseg.dicom.volume import SeriesVolume, load_volume

logger = logging.getLogger(__name__)


def read_series(
    path: str | os.PathLike[str], uid: str | None = None, *, repair: str | Sequence[str] = ()
) -> SeriesVolume:
    """Reads one series into memory.

    Args:
        path: A folder with DICOM files, or one file.
        uid: The Series Instance UID; may be None if only one series of the folder is a regular volume.
        repair: Repairs allowed for an irregular series, such as ``"resample"`` or ``["incomplete", "resample"]``.

    Returns:
        The series. Its ``volume`` contains float32 values [K, J, I] (slice, row, column) in ``unit``, on a grid in LPS
        mm.

    Raises:
        InputError: A file cannot be read, no series or more than one is found, or the series is not a regular volume.
        SuvError: A PET series lacks an attribute that is needed to compute SUV.
        PixelDataError: The pixels cannot be decoded.
        UsageError: ``path`` is not a path, or a repair is unknown.
    """
    uids = () if uid is None else (uid,)
    repairs = Repairs.parse(to_items(repair, str, "repair"))
    scan_result = scan(to_path(path, "path"))
    scan_result.check_undamaged(uids)
    accepted, rejected = check_all_series(scan_result, repairs)
    selected = select_series(accepted, rejected, uids, scan_result)
    if len(selected) > 1:
        raise _ambiguity_error(selected, uid)
    if uid is None:
        for series in rejected:
            if series.files.instances:
                logger.warning("ignored: %s: %s", series.files, series.error)
    return load_volume(selected[0])


def _ambiguity_error(selected: Sequence[SeriesGeometry], uid: str | None) -> InputError:
    series_files = [series.files for series in selected]
    message = f"expected one series, got {len(selected)}: {format_series_list(series_files)}"
    if uid is not None:
        names = ", ".join(files.first_file_name for files in series_files)
        return InputError(message, hint=f"the series contains several volumes; pass the file of one of them: {names}")
    choices = "; ".join(
        f"{files.series_uid} ({files.modality}, {files.first_instance.text('SeriesDescription') or 'no description'})"
        for files in series_files
    )
    return InputError(message, hint=f"pass the UID of one: {choices}")


def select_series(
    accepted: Sequence[SeriesGeometry], rejected: Sequence[RejectedSeries], uids: Sequence[str], scan_result: Scan
) -> tuple[SeriesGeometry, ...]:
    """Returns the requested series, or all accepted series if none was requested; at least one.

    Raises:
        InputError: A requested series is missing or was rejected, or no series was accepted.
    """
    for uid in uids:
        _check_accepted(uid, accepted, rejected)
    selected = tuple(series for series in accepted if not uids or series.files.series_uid in uids)
    if selected:
        return selected
    if not scan_result.instances and not rejected:
        raise no_dicom_error(scan_result)
    image_series = [series for series in rejected if series.files.instances]
    if len({str(series.error) for series in image_series}) == 1:
        raise image_series[0].error
    reasons = "; ".join(f"{series.files}: {series.error}" for series in (image_series or rejected)[:4])
    raise InputError(
        "no CT, MR or PET series in the input is a regular volume "
        f"({format_count(len(scan_result.instances), 'DICOM file')}): {reasons or 'the files contain no images'}",
        hint="`clickseg inspect` shows every series and why it was rejected",
    )


def _check_accepted(uid: str, accepted: Sequence[SeriesGeometry], rejected: Sequence[RejectedSeries]) -> None:
    """Raises an error if a requested series is missing or was rejected."""
    if any(series.files.series_uid == uid for series in accepted):
        return
    for series in rejected:
        if series.files.series_uid == uid:
            raise series.error
    found = [series.files for series in accepted] + [series.files for series in rejected]
    raise InputError(f"no series {uid} in the input; found: {format_series_list(found) or 'no series'}")
