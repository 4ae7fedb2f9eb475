"""Which clicks are for which of the series that are segmented."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from pydicom.uid import Comprehensive3DSRStorage, ComprehensiveSRStorage, EnhancedSRStorage, ExtensibleSRStorage

from clickseg.batch.selection import Inputs
from clickseg.clicks.click import Clicks
from clickseg.clicks.find import FoundClicks
from clickseg.clicks.formats.structured_report import clicks_of_report, series_of_report
from clickseg.clicks.image_clicks import AnyClicks, ImagePoint, PendingClicks, placed
from clickseg.core.errors import ClickError
from clickseg.core.text import counted
from clickseg.dicom.part10 import Instance
from clickseg.dicom.predecessor import EarlierResult, is_own
from clickseg.dicom.series import CheckedSeries, listed

_REPORTS = (Comprehensive3DSRStorage, ComprehensiveSRStorage, EnhancedSRStorage, ExtensibleSRStorage)


@dataclass(frozen=True, slots=True)
class Report:
    """A DICOM SR with clicks.

    Attributes:
        instance: The file.
        age: What orders reports: content date and time, then UID.
        parts: Its clicks: those of each frame of reference, and those in images.
    """

    instance: Instance
    age: tuple[str, str]
    parts: tuple[AnyClicks, ...]

    def clicks_for(self, series: CheckedSeries) -> Clicks:
        """Returns the clicks that are for a series, in LPS mm."""
        fitting = [placed(for_series(part, series), series) for part in self.parts if is_for(part, series)]
        points = tuple(point for part in fitting for point in part.points)
        return replace(fitting[0], points=points) if points else Clicks()


@dataclass(frozen=True, slots=True)
class Assigned:
    """What goes to the series.

    Attributes:
        clicks: The clicks for each series.
        earlier: For each series the results of earlier runs that were found beside it, the newest first.
        passed_over: The sources of clicks that do not count.
    """

    clicks: tuple[Clicks, ...]
    earlier: tuple[tuple[EarlierResult, ...], ...]
    passed_over: tuple[str, ...]


def find_reports(instances: Iterable[Instance]) -> tuple[Report, ...]:
    """Returns the DICOM SRs that hold clicks, and our own that hold none, the newest first.

    Raises:
        ClickError: A seed point is malformed.
    """
    found = []
    for instance in instances:
        if instance.text("SOPClassUID") in _REPORTS:
            parts = clicks_of_report(instance.header, instance.name)
            if not parts and is_own(instance.header):
                parts = (Clicks(series_instance_uid=series_of_report(instance.header), source=instance.name),)
            if parts:
                moment = instance.text("ContentDate") + instance.text("ContentTime")
                found.append(Report(instance, (moment, instance.text("SOPInstanceUID")), parts))
    return tuple(sorted(found, key=lambda report: report.age, reverse=True))


def assign(inputs: Sequence[Inputs], files: FoundClicks, reports: Sequence[Report]) -> Assigned:
    """Gives clicks to the series that they are for: those of a file, else those of the newest report for each series.

    Args:
        inputs: The series to segment.
        files: The click file that counts, if any.
        reports: DICOM SRs, the newest first.

    Raises:
        ClickError: It is not clear for which series the clicks of a file are, they are for none of them, or a voxel
            lies outside.
    """
    series = [each[0] for each in inputs]
    earlier = tuple(_earlier(reports, each) for each in series)
    with_clicks = [report for report in reports if any(part.points for part in report.parts)]
    if files.clicks is not None:
        others = (r.instance.name for r in with_clicks if r.instance.path.resolve() not in files.paths)
        return Assigned(_of_file(files.clicks, series), earlier, (*files.passed_over, *others))
    clicks = tuple(_of_newest(with_clicks, each) for each in series)
    used = {each.source for each in clicks}
    others = (report.instance.name for report in with_clicks if report.instance.name not in used)
    return Assigned(clicks, earlier, tuple(others))


def _of_newest(reports: Sequence[Report], series: CheckedSeries) -> Clicks:
    """Returns the clicks of the newest report that holds some for a series."""
    found = (report.clicks_for(series) for report in reports)
    return next((clicks for clicks in found if clicks.points), Clicks())


def _earlier(reports: Sequence[Report], series: CheckedSeries) -> tuple[EarlierResult, ...]:
    """Returns our own reports that are of a series."""
    return tuple(
        EarlierResult(report.instance.header, part.digest)
        for report in reports
        for part in report.parts
        if isinstance(part, Clicks)
        and is_own(report.instance.header)
        and part.series_instance_uid == series.candidate.series_uid
    )


def _of_file(clicks: AnyClicks, series: Sequence[CheckedSeries]) -> tuple[Clicks, ...]:
    if not clicks.source:
        return tuple(Clicks() for _ in series)
    _check_clear(clicks, series)
    given = tuple(placed(for_series(clicks, each), each) if is_for(clicks, each) else Clicks() for each in series)
    if not any(each.source for each in given):
        named = clicks if isinstance(clicks, Clicks) else Clicks()
        raise ClickError(
            f"{clicks.source}: for series {named.series_instance_uid or 'any'} in frame of reference "
            f"{named.frame_of_reference_uid or 'any'}, but to be segmented: "
            + ", ".join(f"{listed([s.candidate])} in frame {s.candidate.frame_of_reference_uid}" for s in series[:4]),
            hint="--clicks none uses none",
        )
    if isinstance(clicks, PendingClicks) and (left := len(clicks.points) - sum(len(each.points) for each in given)):
        raise ClickError(f"{clicks.source}: {counted(left, 'click')} in images that are not to be segmented")
    return given


def _check_clear(clicks: AnyClicks, series: Sequence[CheckedSeries]) -> None:
    """Refuses clicks that could be for one series or another; LPS mm are the same in all series of one frame."""
    frames = {each.candidate.frame_of_reference_uid for each in series}
    is_voxels = isinstance(clicks, PendingClicks) and not _is_of_images(clicks)
    is_nameless = isinstance(clicks, Clicks) and not (clicks.series_instance_uid or clicks.frame_of_reference_uid)
    if (is_voxels and len(series) > 1) or (is_nameless and len(frames) > 1):
        raise ClickError(
            f"{clicks.source} names no series, and there are several to segment: "
            f"{listed([each.candidate for each in series])}",
            hint="name one with --series",
        )


def is_for(clicks: AnyClicks, series: CheckedSeries) -> bool:
    """Whether clicks may be for a series, by the UIDs that they name."""
    candidate = series.candidate
    if isinstance(clicks, Clicks):
        return clicks.series_instance_uid in (None, candidate.series_uid) and clicks.frame_of_reference_uid in (
            None,
            candidate.frame_of_reference_uid,
        )
    return not _is_of_images(clicks) or bool(for_series(clicks, series).points)


def for_series(clicks: AnyClicks, series: CheckedSeries) -> AnyClicks:
    """Returns the clicks without those in images of other series."""
    if isinstance(clicks, Clicks) or not _is_of_images(clicks):
        return clicks
    images = {instance.text("SOPInstanceUID") for instance in series.candidate.instances}
    own = (c for c in clicks.points if isinstance(c.place, ImagePoint) and c.place.sop_instance_uid in images)
    return replace(clicks, points=tuple(own))


def _is_of_images(clicks: PendingClicks) -> bool:
    return any(isinstance(click.place, ImagePoint) for click in clicks.points)
