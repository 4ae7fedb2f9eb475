"""Which clicks are for which of the series that are segmented."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pydicom.uid import Comprehensive3DSRStorage, ComprehensiveSRStorage, EnhancedSRStorage, ExtensibleSRStorage

from clickseg.clicks.click import Clicks
from clickseg.clicks.pending import AnyClicks, ImagePoint, PendingClicks, placed
from clickseg.clicks.read import FoundClicks
from clickseg.clicks.structured_report import clicks_of_report, series_of_report
from clickseg.dicom.part10 import Instance
from clickseg.dicom.predecessor import EarlierResult, is_own
from clickseg.dicom.series import CheckedSeries
from clickseg.errors import ClickError
from clickseg.selection import Inputs, listed

_REPORTS = (Comprehensive3DSRStorage, ComprehensiveSRStorage, EnhancedSRStorage, ExtensibleSRStorage)


@dataclass(frozen=True, slots=True)
class Report:
    """A DICOM SR with clicks.

    Attributes:
        instance: The file.
        age: What orders reports: content date and time, then UID.
        clicks: Its clicks.
    """

    instance: Instance
    age: tuple[str, str]
    clicks: AnyClicks


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
            clicks = clicks_of_report(instance.header, instance.name)
            if clicks is None and is_own(instance.header):
                clicks = Clicks(series_instance_uid=series_of_report(instance.header), source=instance.name)
            if clicks is not None:
                moment = instance.text("ContentDate") + instance.text("ContentTime")
                found.append(Report(instance, (moment, instance.text("SOPInstanceUID")), clicks))
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
    with_clicks = [report for report in reports if report.clicks.points]
    if files.clicks is not None:
        others = (r.instance.name for r in with_clicks if r.instance.path.resolve() not in files.paths)
        return Assigned(_of_file(files.clicks, series), earlier, (*files.passed_over, *others))
    newest = [next((report for report in with_clicks if is_for(report.clicks, each)), None) for each in series]
    clicks = (placed(r.clicks, each) if r else Clicks() for r, each in zip(newest, series, strict=True))
    used = {report.instance.name for report in newest if report is not None}
    others = (report.instance.name for report in with_clicks if report.instance.name not in used)
    return Assigned(tuple(clicks), earlier, tuple(others))


def _earlier(reports: Sequence[Report], series: CheckedSeries) -> tuple[EarlierResult, ...]:
    """Returns our own reports that are of a series."""
    return tuple(
        EarlierResult(report.instance.header, report.clicks.digest)
        for report in reports
        if isinstance(report.clicks, Clicks)
        and is_own(report.instance.header)
        and report.clicks.series_instance_uid == series.candidate.series_uid
    )


def _of_file(clicks: AnyClicks, series: Sequence[CheckedSeries]) -> tuple[Clicks, ...]:
    if not clicks.source:
        return tuple(Clicks() for _ in series)
    _check_clear(clicks, series)
    given = tuple(placed(clicks, each) if is_for(clicks, each) else Clicks() for each in series)
    if not any(each.source for each in given):
        named = clicks if isinstance(clicks, Clicks) else Clicks()
        raise ClickError(
            f"{clicks.source}: for series {named.series_instance_uid or 'any'} in frame of reference "
            f"{named.frame_of_reference_uid or 'any'}, but to be segmented: "
            + ", ".join(f"{listed([s.candidate])} in frame {s.candidate.frame_of_reference_uid}" for s in series[:4]),
            hint="--clicks none uses none",
        )
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
    images = {instance.text("SOPInstanceUID") for instance in candidate.instances}
    return not _is_of_images(clicks) or all(
        isinstance(click.place, ImagePoint) and click.place.sop_instance_uid in images for click in clicks.points
    )


def _is_of_images(clicks: PendingClicks) -> bool:
    return any(isinstance(click.place, ImagePoint) for click in clicks.points)
