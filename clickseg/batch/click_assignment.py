"""Assigns clicks to the series to segment: those of a click file, or else those of DICOM SRs in the input."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from pydicom.uid import Comprehensive3DSRStorage, ComprehensiveSRStorage, EnhancedSRStorage, ExtensibleSRStorage

from clickseg.batch.selection import InputSeries
from clickseg.clicks.click import Clicks
from clickseg.clicks.find import FoundClicks
from clickseg.clicks.formats.structured_report import read_report_clicks, referenced_series_uid
from clickseg.clicks.image_clicks import AnyClicks, ImagePoint, UnresolvedClicks, resolve_positions
from clickseg.core.errors import ClickError
from clickseg.core.text import format_count
from clickseg.dicom.part10 import Instance
from clickseg.dicom.predecessor import Predecessor, is_written_by_clickseg
from clickseg.dicom.series import SeriesGeometry
from clickseg.dicom.series_files import format_series_list

_SR_SOP_CLASSES = (Comprehensive3DSRStorage, ComprehensiveSRStorage, EnhancedSRStorage, ExtensibleSRStorage)


@dataclass(frozen=True, slots=True)
class ClickReport:
    """A DICOM SR with clicks.

    Attributes:
        instance: The SR.
        sort_key: Sorts reports by age: content date and time, then SOP Instance UID.
        click_sets: The clicks: one set for each frame of reference, and one for those on images.
    """

    instance: Instance
    sort_key: tuple[str, str]
    click_sets: tuple[AnyClicks, ...]

    def clicks_on_series(self, series: SeriesGeometry) -> Clicks:
        """Returns the clicks of this report on a series, in LPS mm."""
        resolved = [
            resolve_positions(clicks_on_series(clicks, series), series)
            for clicks in self.click_sets
            if can_be_on_series(clicks, series)
        ]
        points = tuple(point for clicks in resolved for point in clicks.points)
        return replace(resolved[0], points=points) if points else Clicks()


@dataclass(frozen=True, slots=True)
class ClickAssignment:
    """The clicks and the predecessors of the series to segment.

    Attributes:
        clicks: The clicks for each series.
        predecessors: For each series the results of earlier runs in the input, sorted from newest to oldest.
        ignored: The click files and SRs that are not used.
    """

    clicks: tuple[Clicks, ...]
    predecessors: tuple[tuple[Predecessor, ...], ...]
    ignored: tuple[str, ...]


def find_click_reports(instances: Iterable[Instance]) -> tuple[ClickReport, ...]:
    """Returns the DICOM SRs with clicks, and ClickSeg's SRs without, sorted from newest to oldest.

    Raises:
        ClickError: A seed point is malformed.
    """
    reports = []
    for instance in instances:
        if instance.text("SOPClassUID") in _SR_SOP_CLASSES:
            click_sets = read_report_clicks(instance.header, instance.name)
            if not click_sets and is_written_by_clickseg(instance.header):
                click_sets = (Clicks(series_instance_uid=referenced_series_uid(instance.header), source=instance.name),)
            if click_sets:
                content_time = instance.text("ContentDate") + instance.text("ContentTime")
                reports.append(ClickReport(instance, (content_time, instance.text("SOPInstanceUID")), click_sets))
    return tuple(sorted(reports, key=lambda report: report.sort_key, reverse=True))


def assign_clicks(
    inputs: Sequence[InputSeries], found_clicks: FoundClicks, reports: Sequence[ClickReport]
) -> ClickAssignment:
    """Assigns clicks to series: those of a click file, or else for each series those of the newest report with clicks.

    Args:
        inputs: The series to segment.
        found_clicks: The clicks of click files, if any.
        reports: DICOM SRs, sorted from newest to oldest.

    Raises:
        ClickError: The clicks of a file match several series or none, or a voxel is outside its series.
    """
    references = [series[0] for series in inputs]
    predecessors = tuple(_find_predecessors(reports, series) for series in references)
    with_clicks = [report for report in reports if any(clicks.points for clicks in report.click_sets)]
    if found_clicks.clicks is not None:
        unused = (r.instance.name for r in with_clicks if r.instance.path.resolve() not in found_clicks.paths)
        return ClickAssignment(
            _assign_file_clicks(found_clicks.clicks, references), predecessors, (*found_clicks.ignored, *unused)
        )
    assigned = tuple(_clicks_of_newest_report(with_clicks, series) for series in references)
    used = {clicks.source for clicks in assigned}
    unused = (report.instance.name for report in with_clicks if report.instance.name not in used)
    return ClickAssignment(assigned, predecessors, tuple(unused))


def _clicks_of_newest_report(reports: Sequence[ClickReport], series: SeriesGeometry) -> Clicks:
    """Returns the clicks of the newest report with clicks on a series."""
    click_sets = (report.clicks_on_series(series) for report in reports)
    return next((clicks for clicks in click_sets if clicks.points), Clicks())


def _find_predecessors(reports: Sequence[ClickReport], series: SeriesGeometry) -> tuple[Predecessor, ...]:
    """Returns ClickSeg's own reports of a series."""
    return tuple(
        Predecessor(report.instance.header, clicks.digest)
        for report in reports
        for clicks in report.click_sets
        if isinstance(clicks, Clicks)
        and is_written_by_clickseg(report.instance.header)
        and clicks.series_instance_uid == series.files.series_uid
    )


def _assign_file_clicks(clicks: AnyClicks, references: Sequence[SeriesGeometry]) -> tuple[Clicks, ...]:
    """Returns, for each series, its clicks among those of a click file."""
    if not clicks.source:
        return tuple(Clicks() for _ in references)
    _check_unambiguous(clicks, references)
    assigned = tuple(
        resolve_positions(clicks_on_series(clicks, series), series) if can_be_on_series(clicks, series) else Clicks()
        for series in references
    )
    if not any(clicks_of_series.source for clicks_of_series in assigned):
        named = clicks if isinstance(clicks, Clicks) else Clicks()
        raise ClickError(
            f"{clicks.source}: the clicks are for series {named.series_instance_uid or 'any'} in frame of reference "
            f"{named.frame_of_reference_uid or 'any'}, but the series to be segmented are: "
            + ", ".join(
                f"{format_series_list([s.files])} in frame {s.files.frame_of_reference_uid}" for s in references[:4]
            ),
            hint="pass other clicks with --clicks FILE, or --clicks none to use no clicks",
        )
    unassigned = len(clicks.points) - sum(len(clicks_of_series.points) for clicks_of_series in assigned)
    if isinstance(clicks, UnresolvedClicks) and unassigned:
        raise ClickError(
            f"{clicks.source}: {format_count(unassigned, 'click')} on images that are not in the segmented series"
        )
    return assigned


def _check_unambiguous(clicks: AnyClicks, references: Sequence[SeriesGeometry]) -> None:
    """Rejects clicks that match several series. In LPS mm, clicks are the same in all series of one frame."""
    frames = {series.files.frame_of_reference_uid for series in references}
    has_only_voxels = isinstance(clicks, UnresolvedClicks) and not _has_image_points(clicks)
    has_no_uid = isinstance(clicks, Clicks) and not (clicks.series_instance_uid or clicks.frame_of_reference_uid)
    if (has_only_voxels and len(references) > 1) or (has_no_uid and len(frames) > 1):
        raise ClickError(
            f"{clicks.source}: the clicks do not define their series, and several series are to be segmented: "
            f"{format_series_list([series.files for series in references])}",
            hint="select one with --series",
        )


def can_be_on_series(clicks: AnyClicks, series: SeriesGeometry) -> bool:
    """Returns whether clicks can be on a series, by the UIDs that the clicks contain."""
    files = series.files
    if isinstance(clicks, Clicks):
        return clicks.series_instance_uid in (None, files.series_uid) and clicks.frame_of_reference_uid in (
            None,
            files.frame_of_reference_uid,
        )
    return not _has_image_points(clicks) or bool(clicks_on_series(clicks, series).points)


def clicks_on_series(clicks: AnyClicks, series: SeriesGeometry) -> AnyClicks:
    """Returns the clicks without those on images of other series."""
    if isinstance(clicks, Clicks) or not _has_image_points(clicks):
        return clicks
    images = {instance.text("SOPInstanceUID") for instance in series.files.instances}
    own = (c for c in clicks.points if isinstance(c.position, ImagePoint) and c.position.sop_instance_uid in images)
    return replace(clicks, points=tuple(own))


def _has_image_points(clicks: UnresolvedClicks) -> bool:
    return any(isinstance(click.position, ImagePoint) for click in clicks.points)
