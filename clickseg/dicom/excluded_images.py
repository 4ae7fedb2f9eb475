"""Excludes images that are not slices from a series if the user requests it; otherwise rejects the series."""

from __future__ import annotations

from dataclasses import replace

from clickseg.core.errors import SeriesError
from clickseg.core.text import format_count
from clickseg.dicom.image_types import OtherImages, find_images_without_slice_geometry, find_other_images
from clickseg.dicom.multi_volume import has_coinciding_volumes
from clickseg.dicom.planes import Plane
from clickseg.dicom.repairs import Repairs
from clickseg.dicom.series_files import SeriesFiles


def drop_localizers(files: SeriesFiles, repairs: Repairs) -> SeriesFiles:
    """Excludes images that are not slices of the volume if the repair is requested; otherwise rejects the series."""
    localizers = [instance for instance in files.instances if "LOCALIZER" in instance.text("ImageType")]
    captures = [instance for instance in files.other_instances if instance.pixel_bytes != 0]
    if not localizers and not captures:
        return files
    names = ", ".join(instance.name for instance in (*localizers, *captures)[:3])
    if len(localizers) == len(files.instances):
        raise SeriesError(
            f"all {len(localizers)} images of the series are localizers, such as {names}",
            hint="use another series of the study",
        )
    kinds = [(len(localizers), "localizer"), (len(captures), "secondary capture")]
    summary = f"{' and '.join(format_count(count, kind) for count, kind in kinds if count)}: {names}"
    if not repairs.drop_localizers:
        raise SeriesError(f"the series contains {summary}", hint="--repair drop-localizers excludes these images")
    kept = tuple(instance for instance in files.instances if instance not in localizers)
    return SeriesFiles(kept, (), files.applied_repairs).with_repair(f"excluded {summary}")


def drop_images_without_slice_geometry(files: SeriesFiles, repairs: Repairs) -> SeriesFiles:
    """Excludes images that cannot be slices if the repair is requested; otherwise rejects the series."""
    others = find_images_without_slice_geometry(files.instances)
    if others is None:
        return files
    _check_may_drop(others, repairs)
    kept = tuple(instance for instance in files.instances if not others.contains(instance))
    return replace(files, instances=kept).with_repair(f"excluded {others}")


def drop_other_images(files: SeriesFiles, planes: list[Plane], repairs: Repairs) -> tuple[SeriesFiles, list[Plane]]:
    """Excludes projections and reformats from the planes if the repair is requested; otherwise rejects the series."""
    others = find_other_images(planes)
    if others is None or has_coinciding_volumes(planes):
        return files, planes
    _check_may_drop(others, repairs)
    kept = [plane for plane in planes if not others.contains(plane)]
    instances = {id(plane.instance): plane.instance for plane in kept}
    return replace(files, instances=tuple(instances.values())).with_repair(f"excluded {others}"), kept


def _check_may_drop(others: OtherImages, repairs: Repairs) -> None:
    if not repairs.drop_localizers:
        raise SeriesError(
            f"the series contains {others}: expected {others.expected} as in the slices of the volume",
            hint="--repair drop-localizers excludes these images",
        )
