"""Whether the headers of a series agree with each other; geometry is checked by ``stack``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from clickseg.dicom.files import Instance
from clickseg.errors import SeriesError
from clickseg.wording import counted

MAX_PLANE_PIXELS = 1 << 26
"""The largest plane that is allocated: 8192 x 8192."""


def check_uids(instances: Sequence[Instance]) -> None:
    """Checks that a result can refer to each instance, and that all belong to one study, frame and modality.

    Raises:
        SeriesError: A UID is empty, differs where it should not, or names two different files.
    """
    _check_filled(instances, "StudyInstanceUID", "(0020,000D)")
    _check_filled(instances, "SeriesInstanceUID", "(0020,000E)")
    _check_filled(instances, "SOPInstanceUID", "(0008,0018)")
    _check_same(instances, "StudyInstanceUID", "(0020,000D)")
    _check_same(instances, "FrameOfReferenceUID", "(0020,0052)")
    _check_same(instances, "Modality", "(0008,0060)")
    twice = [uid for uid, n in Counter(i.text("SOPInstanceUID") for i in instances).items() if n > 1]
    if twice:
        names = [i.name for i in instances if i.text("SOPInstanceUID") == twice[0]]
        raise SeriesError(
            f"SOPInstanceUID (0008,0018) is the same in {len(names)} different files: {', '.join(names[:3])}",
            hint="remove all but one of them",
        )


def _check_filled(instances: Sequence[Instance], keyword: str, tag: str) -> None:
    empty = [instance.name for instance in instances if not instance.text(keyword)]
    if empty:
        raise SeriesError(
            f"{keyword} {tag} is empty in {counted(len(empty), 'file')}, such as {empty[0]}: "
            "a result could not refer to them"
        )


def _check_same(instances: Sequence[Instance], keyword: str, tag: str) -> None:
    values = Counter(instance.text(keyword) for instance in instances)
    if len(values) > 1:
        shown = ", ".join(f"{value or 'nothing'} in {counted(count, 'file')}" for value, count in values.most_common(3))
        raise SeriesError(f"{keyword} {tag}: expected one value in a series, got {shown}")


def check_size(instances: Sequence[Instance]) -> tuple[int, int]:
    """Returns the rows and columns that all instances share.

    Raises:
        SeriesError: They differ, or are missing or absurd.
    """
    sizes = Counter((instance.header.get("Rows"), instance.header.get("Columns")) for instance in instances)
    (rows, columns), _ = sizes.most_common(1)[0]
    if len(sizes) > 1:
        odd = next(i for i in instances if (i.header.get("Rows"), i.header.get("Columns")) != (rows, columns))
        raise SeriesError(
            f"{odd.name}: Rows x Columns (0028,0010) (0028,0011): expected {rows} x {columns} as in the other images, "
            f"got {odd.header.get('Rows')} x {odd.header.get('Columns')}",
            hint="--remedy drop-localizers leaves localizers out",
        )
    if not rows or not columns or rows * columns > MAX_PLANE_PIXELS:
        raise SeriesError(
            f"{instances[0].name}: Rows x Columns (0028,0010) (0028,0011): expected 1 to {MAX_PLANE_PIXELS} pixels, "
            f"got {rows} x {columns}"
        )
    return rows, columns
