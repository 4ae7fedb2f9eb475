"""Clicks in DICOM SR (TID 1500): our own seed points, those of others, and the probes of OHIF."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydicom import Dataset

from clickseg.clicks.click import Click, Clicks, Polarity
from clickseg.clicks.image_clicks import AnyClicks, ImagePoint, PendingClick, PendingClicks
from clickseg.clicks.names import split_name
from clickseg.core.errors import ClickError
from clickseg.dicom.codes import CLICK_ORDER, CLICK_POLARITY, IMAGES, SEED_POINT
from clickseg.dicom.part10 import READ_ERRORS

_GROUP = ("125007", "DCM")
_TRACKING = ("112039", "DCM")
_FINDING = ("121071", "DCM")
_PURPOSE = ("130400", "DCM")
_VALUES = ("CodeValue", "LongCodeValue", "URNCodeValue")
"""A code has its value in one of these (PS3.3, 8.8)."""

_POINTS = ("POINT", "MULTIPOINT")
_PROBE = ":Probe"
_CORNERSTONE = "cornerstone"


@dataclass(frozen=True, slots=True)
class _Found:
    """A click in a measurement group; its place is in millimetres, or in an image."""

    label: str
    polarity: Polarity
    order: int
    place: tuple[float, float, float] | ImagePoint
    frame_of_reference_uid: str


def clicks_of_report(header: Dataset, source: str) -> tuple[AnyClicks, ...]:
    """Returns the clicks of a DICOM SR: those of each frame of reference, and those in images.

    A click is a measurement group with a point (SCOORD3D in the patient, or SCOORD in an image) that says it is a seed
    point (130400, 128139), or that a probe of cornerstone (OHIF) made. Its label is the tracking identifier, or the
    finding of a probe. Without a polarity it is foreground.

    Args:
        header: The SR.
        source: What to call it.

    Raises:
        ClickError: A click is malformed.
    """
    try:
        found = [click for group in _groups(header) for click in _clicks(group)]
        series_uid = series_of_report(header)
    except READ_ERRORS as error:
        raise ClickError(
            f"{source}: its seed points cannot be read: {type(error).__name__}: {error}",
            hint="remove the SR from the input",
        ) from error
    found.sort(key=lambda click: click.order)  # stable: clicks that say no order stay as they are
    pending = tuple(PendingClick(c.label, c.polarity, c.place) for c in found if isinstance(c.place, ImagePoint))
    in_mm: dict[str, list[Click]] = {}
    for c in found:
        if not isinstance(c.place, ImagePoint):
            in_mm.setdefault(c.frame_of_reference_uid, []).append(Click(c.label, c.polarity, c.place))
    parts = tuple(Clicks(tuple(points), frame, series_uid, source) for frame, points in in_mm.items())
    return (*parts, PendingClicks(pending, source)) if pending else parts


def series_of_report(header: Dataset) -> str | None:
    """Returns the one series of images among the evidence, else None."""
    series = {
        str(item.get("SeriesInstanceUID"))
        for study in header.get("CurrentRequestedProcedureEvidenceSequence", ())
        for item in study.get("ReferencedSeriesSequence", ())
        if any(instance.get("ReferencedSOPClassUID") in IMAGES for instance in item.get("ReferencedSOPSequence", ()))
    }
    return series.pop() if len(series) == 1 else None


def _groups(item: Dataset) -> Iterator[Dataset]:
    """Yields the measurement groups below a content item."""
    for child in item.get("ContentSequence", ()):
        if _concept(child) == _GROUP:
            yield child
        else:
            yield from _groups(child)


def _clicks(group: Dataset) -> Iterator[_Found]:
    items = list(_descendants(group))
    purposes = {_code(item) for item in items if _concept(item) == _PURPOSE}
    tracking = next((str(item.get("TextValue") or "") for item in items if _concept(item) == _TRACKING), "")
    is_probe = tracking.lower().startswith(_CORNERSTONE) and _PROBE in tracking
    if (SEED_POINT.value, SEED_POINT.scheme_designator) not in purposes and not is_probe:
        return
    label, polarity = split_name(_finding(items) if is_probe else tracking)
    said = {_concept(item): _code(item) for item in items if "ConceptCodeSequence" in item}
    word = said.get((CLICK_POLARITY.value, CLICK_POLARITY.scheme_designator))
    order = said.get((CLICK_ORDER.value, CLICK_ORDER.scheme_designator), ("0", ""))
    name = tracking if word else label  # ours say the polarity beside the label
    said_polarity = Polarity(word[0]) if word else polarity or Polarity.FOREGROUND
    for item in items:
        if item.get("GraphicType") in _POINTS:
            for place, frame in _places(item):
                yield _Found(name, said_polarity, int(order[0]), place, frame)


def _finding(items: Sequence[Dataset]) -> str:
    """Returns what a probe is said to be of: OHIF puts the user's own words into the meaning of the finding."""
    for item in items:
        if _concept(item) == _FINDING and "ConceptCodeSequence" in item:
            return str(item.ConceptCodeSequence[0].CodeMeaning)
    return ""


def _places(item: Dataset) -> Iterator[tuple[tuple[float, float, float] | ImagePoint, str]]:
    """Yields the points of an item, each with its frame of reference, which a point in an image has not."""
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
    for child in item.get("ContentSequence", ()):
        yield child
        yield from _descendants(child)


def _concept(item: Dataset) -> tuple[str, str]:
    return _pair(item.get("ConceptNameCodeSequence"))


def _code(item: Dataset) -> tuple[str, str]:
    return _pair(item.get("ConceptCodeSequence"))


def _pair(sequence: Sequence[Dataset] | None) -> tuple[str, str]:
    if not sequence:
        return "", ""
    code = sequence[0]
    values = (code.get(keyword) for keyword in _VALUES)
    return str(next(filter(None, values), "")), str(code.get("CodingSchemeDesignator", ""))
