"""Clicks in DICOM SR (TID 1500): seed points of ClickSeg and other tools, and probes of OHIF."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydicom import Dataset

from clickseg.clicks.click import Click, Clicks, Polarity
from clickseg.clicks.image_clicks import AnyClicks, ImagePoint, UnresolvedClick, UnresolvedClicks
from clickseg.clicks.names import split_name
from clickseg.core.errors import ClickError
from clickseg.dicom.codes import CLICK_ORDER, CLICK_POLARITY, IMAGE_SOP_CLASSES, SEED_POINT
from clickseg.dicom.conversion import READ_ERRORS

_GROUP = ("125007", "DCM")
_TRACKING = ("112039", "DCM")
_FINDING = ("121071", "DCM")
_PURPOSE = ("130400", "DCM")
_CODE_KEYWORDS = ("CodeValue", "LongCodeValue", "URNCodeValue")
"""The attributes for the value of a code. A code has one of them (PS3.3, 8.8)."""

_POINTS = ("POINT", "MULTIPOINT")
_PROBE = ":Probe"
_CORNERSTONE = "cornerstone"


@dataclass(frozen=True, slots=True)
class _ReportClick:
    """A click in a measurement group. Its position is in LPS mm, or in an image."""

    label: str
    polarity: Polarity
    order: int
    position: tuple[float, float, float] | ImagePoint
    frame_of_reference_uid: str


def read_report_clicks(header: Dataset, source: str) -> tuple[AnyClicks, ...]:
    """Returns the clicks of a DICOM SR: one part for each frame of reference, and one for all clicks in images.

    A click is a measurement group with a point (SCOORD3D in the patient, or SCOORD in an image) whose purpose is seed
    point (130400, 128139), or which is a probe of cornerstone (OHIF). The label is the tracking identifier, or the
    finding of a probe. A click without polarity is a foreground click.

    Args:
        header: The SR.
        source: The name of the file.

    Raises:
        ClickError: A click is invalid.
    """
    try:
        clicks = [click for group in _measurement_groups(header) for click in _clicks(group)]
        series_uid = referenced_series_uid(header)
    except READ_ERRORS as error:
        raise ClickError(
            f"{source}: the seed points cannot be read: {type(error).__name__}: {error}",
            hint="remove the SR from the input",
        ) from error
    clicks.sort(key=lambda click: click.order)  # stable: clicks without a number keep their order
    in_images = tuple(
        UnresolvedClick(c.label, c.polarity, c.position) for c in clicks if isinstance(c.position, ImagePoint)
    )
    in_mm: dict[str, list[Click]] = {}
    for c in clicks:
        if not isinstance(c.position, ImagePoint):
            in_mm.setdefault(c.frame_of_reference_uid, []).append(Click(c.label, c.polarity, c.position))
    parts = tuple(Clicks(tuple(points), frame, series_uid, source) for frame, points in in_mm.items())
    return (*parts, UnresolvedClicks(in_images, source)) if in_images else parts


def referenced_series_uid(header: Dataset) -> str | None:
    """Returns the UID of the image series that an SR refers to, or None if it refers to several or to none."""
    series = {
        str(item.get("SeriesInstanceUID"))
        for study in header.get("CurrentRequestedProcedureEvidenceSequence", ())
        for item in study.get("ReferencedSeriesSequence", ())
        if any(
            instance.get("ReferencedSOPClassUID") in IMAGE_SOP_CLASSES
            for instance in item.get("ReferencedSOPSequence", ())
        )
    }
    return series.pop() if len(series) == 1 else None


def _measurement_groups(item: Dataset) -> Iterator[Dataset]:
    """Yields the measurement groups below a content item."""
    for child in item.get("ContentSequence", ()):
        if _concept_name(child) == _GROUP:
            yield child
        else:
            yield from _measurement_groups(child)


def _clicks(group: Dataset) -> Iterator[_ReportClick]:
    items = list(_descendants(group))
    purposes = {_concept_code(item) for item in items if _concept_name(item) == _PURPOSE}
    tracking = next((str(item.get("TextValue") or "") for item in items if _concept_name(item) == _TRACKING), "")
    is_probe = tracking.lower().startswith(_CORNERSTONE) and _PROBE in tracking
    if (SEED_POINT.value, SEED_POINT.scheme_designator) not in purposes and not is_probe:
        return
    label, polarity = split_name(_finding(items) if is_probe else tracking)
    codes = {_concept_name(item): _concept_code(item) for item in items if "ConceptCodeSequence" in item}
    polarity_code = codes.get((CLICK_POLARITY.value, CLICK_POLARITY.scheme_designator))
    order = codes.get((CLICK_ORDER.value, CLICK_ORDER.scheme_designator), ("0", ""))
    if polarity_code:  # ClickSeg stores the polarity separately, so the complete identifier is the label
        label, polarity = tracking, Polarity(polarity_code[0])
    for item in items:
        if item.get("GraphicType") in _POINTS:
            for position, frame in _positions(item):
                yield _ReportClick(label, polarity or Polarity.FOREGROUND, int(order[0]), position, frame)


def _finding(items: Sequence[Dataset]) -> str:
    """Returns the finding of a probe. OHIF stores text of the user as the meaning of its code."""
    for item in items:
        if _concept_name(item) == _FINDING and "ConceptCodeSequence" in item:
            return str(item.ConceptCodeSequence[0].CodeMeaning)
    return ""


def _positions(item: Dataset) -> Iterator[tuple[tuple[float, float, float] | ImagePoint, str]]:
    """Yields the points of an item with their frame of reference, which is empty for points in images."""
    data = [float(value) for value in item.GraphicData]
    if item.ValueType == "SCOORD3D":
        for x, y, z in zip(data[::3], data[1::3], data[2::3], strict=True):
            yield (x, y, z), str(item.ReferencedFrameOfReferenceUID)
        return
    image = item.ContentSequence[0].ReferencedSOPSequence[0]
    frame = image.get("ReferencedFrameNumber")
    for column, row in zip(data[::2], data[1::2], strict=True):
        yield ImagePoint(str(image.ReferencedSOPInstanceUID), column, row, int(frame) if frame else None), ""


def _descendants(item: Dataset) -> Iterator[Dataset]:
    """Yields all content items below a content item."""
    for child in item.get("ContentSequence", ()):
        yield child
        yield from _descendants(child)


def _concept_name(item: Dataset) -> tuple[str, str]:
    return _code_value_and_scheme(item.get("ConceptNameCodeSequence"))


def _concept_code(item: Dataset) -> tuple[str, str]:
    return _code_value_and_scheme(item.get("ConceptCodeSequence"))


def _code_value_and_scheme(sequence: Sequence[Dataset] | None) -> tuple[str, str]:
    if not sequence:
        return "", ""
    code = sequence[0]
    values = (code.get(keyword) for keyword in _CODE_KEYWORDS)
    return str(next(filter(None, values), "")), str(code.get("CodingSchemeDesignator", ""))
