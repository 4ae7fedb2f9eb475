"""Reading one series of a folder; which of its series are wanted."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence

from clickseg.core.arguments import to_path
from clickseg.core.errors import InputError
from clickseg.core.text import counted
from clickseg.dicom.files import Scan, scan
from clickseg.dicom.series import CheckedSeries, RejectedSeries, Remedies, check_all, listed
from clickseg.dicom.volume import Series, load_volume

logger = logging.getLogger(__name__)


def read_series(path: str | os.PathLike[str], uid: str | None = None) -> Series:
    """Reads one series into memory.

    Args:
        path: A folder with DICOM files, or one file.
        uid: Its Series Instance UID; None where only one series of the folder forms a volume.

    Returns:
        The series: ``volume`` has its values [K, J, I] (slice, row, column) on a grid in LPS mm, float32, in ``unit``.

    Raises:
        InputError: Nothing can be read, no series or more than one fits, or the series forms no volume.
        SuvError: A PET series lacks what its SUV is computed from.
        PixelDataError: Its pixels cannot be decoded.
        UsageError: ``path`` is no path.
    """
    uids = () if uid is None else (uid,)
    found = scan(to_path(path, "path"))
    found.check_undamaged(uids)
    formed, rejected = check_all(found, Remedies())
    wanted = wanted_series(formed, rejected, uids, found)
    if len(wanted) > 1:
        raise _ambiguous(wanted, uid)
    if uid is None:
        for each in rejected:
            if each.candidate.instances:
                logger.warning("ignored: %s: %s", each.candidate, each.error)
    return load_volume(wanted[0])


def _ambiguous(wanted: Sequence[CheckedSeries], uid: str | None) -> InputError:
    candidates = [each.candidate for each in wanted]
    expected = f"expected one series, got {len(wanted)}: {listed(candidates)}"
    if uid is not None:
        files = ", ".join(each.key for each in candidates)
        return InputError(expected, hint=f"the series holds several volumes: name the file of one: {files}")
    named = "; ".join(
        f"{each.series_uid} ({each.modality}, {each.first.text('SeriesDescription') or 'no description'})"
        for each in candidates
    )
    return InputError(expected, hint=f"pass the UID of one: {named}")


def wanted_series(
    formed: Sequence[CheckedSeries], rejected: Sequence[RejectedSeries], uids: Sequence[str], found: Scan
) -> tuple[CheckedSeries, ...]:
    """Returns the series that were asked for, or all; at least one.

    Raises:
        InputError: One that was asked for is not there or forms no volume, or none forms one.
    """
    for uid in uids:
        _check_usable(uid, formed, rejected)
    wanted = tuple(series for series in formed if not uids or series.candidate.series_uid in uids)
    if wanted:
        return wanted
    images = [each for each in rejected if each.candidate.instances]
    if len(images) == 1:
        raise images[0].error
    reasons = "; ".join(f"{each.candidate}: {each.error}" for each in (images or rejected)[:4])
    raise InputError(
        f"no CT, MR or PET series in the input forms a volume ({counted(len(found.instances), 'DICOM file')}): "
        f"{reasons or 'there are none'}",
        hint="clickseg inspect shows every series and what is wrong with it",
    )


def _check_usable(uid: str, formed: Sequence[CheckedSeries], rejected: Sequence[RejectedSeries]) -> None:
    """Refuses a series that was asked for and is not there, or forms no volume."""
    if any(series.candidate.series_uid == uid for series in formed):
        return
    for each in rejected:
        if each.candidate.series_uid == uid:
            raise each.error
    known = [each.candidate for each in formed] + [each.candidate for each in rejected]
    raise InputError(f"no series {uid} in the input: there are {listed(known) or 'none'}")
