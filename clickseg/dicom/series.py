"""Checks that a series is a regular volume, and repairs irregular series.

A repair is applied only if the user requests it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from clickseg.core.errors import InputError, SeriesError
from clickseg.dicom.checks import check_attributes, check_not_concatenated, check_uids, common_size
from clickseg.dicom.codes import content_uid
from clickseg.dicom.excluded_images import drop_images_without_slice_geometry, drop_localizers, drop_other_images
from clickseg.dicom.files import Scan
from clickseg.dicom.missing_files import find_missing_files, leave_out_missing_files
from clickseg.dicom.mosaic import check_no_mosaics
from clickseg.dicom.multi_volume import choose_volume
from clickseg.dicom.pet_corrections import is_attenuation_corrected
from clickseg.dicom.pixels import check_decodable
from clickseg.dicom.planes import read_planes
from clickseg.dicom.repairs import Repairs
from clickseg.dicom.series_files import SeriesFiles, group_by_series
from clickseg.dicom.split_series import find_split_series
from clickseg.dicom.stack import Stack, make_stack

MAX_VOXELS = 1 << 31
"""The largest volume that is allocated, in voxels: 2048 slices of 1024 x 1024."""


@dataclass(frozen=True, slots=True)
class SeriesGeometry:
    """A series that is a regular volume, without its pixels.

    Attributes:
        files: The instances, with the repairs that were applied.
        stack: The sorted planes, and the grid of the volume.
    """

    files: SeriesFiles
    stack: Stack


@dataclass(frozen=True, slots=True)
class RejectedSeries:
    """A series that is not a regular volume.

    Attributes:
        files: The instances.
        error: The reason for the rejection.
    """

    files: SeriesFiles
    error: InputError


def check_all_series(
    scan_result: Scan, repairs: Repairs
) -> tuple[tuple[SeriesGeometry, ...], tuple[RejectedSeries, ...]]:
    """Returns the series of a scan that are regular volumes, and the rejected series."""
    results = check_each_series(scan_result, repairs)
    accepted = tuple(result for result in results if isinstance(result, SeriesGeometry))
    return accepted, tuple(result for result in results if isinstance(result, RejectedSeries))


def check_each_series(scan_result: Scan, repairs: Repairs) -> list[SeriesGeometry | RejectedSeries]:
    """Returns the result for each series of a scan, in the order of ``group_by_series``."""
    all_files = group_by_series(scan_result.instances)
    split_errors = find_split_series(files.first_instance for files in all_files if len(files.instances) == 1)
    missing_files = find_missing_files(scan_result, all_files)
    results: list[SeriesGeometry | RejectedSeries] = []
    for files in all_files:
        name = files.first_file_name
        try:
            scan_result.check_series_undamaged(files.series_uid)
            if name in split_errors:
                raise split_errors[name]
            results.append(check_series(leave_out_missing_files(files, missing_files[name], repairs), repairs))
        except InputError as error:
            results.append(RejectedSeries(files, _with_given_repairs(error, repairs)))
    return results


def _with_given_repairs(error: InputError, repairs: Repairs) -> InputError:
    """Returns an error whose hint requests a further repair together with those that were given."""
    hint = repairs.add_to_hint(error.hint or "") or None
    if hint == error.hint:
        return error
    completed = type(error)(str(error), hint=hint)
    completed.__cause__ = error
    return completed


def has_required_corrections(series: SeriesGeometry) -> bool:
    """Whether a series has the corrections of its modality: PET must be corrected for attenuation."""
    return series.files.modality != "PT" or is_attenuation_corrected(series.files.first_instance.header)


def check_series(files: SeriesFiles, repairs: Repairs) -> SeriesGeometry:
    """Checks, by the headers alone, that a series is a regular volume, and applies repairs.

    Args:
        files: The instances of the series.
        repairs: The repairs that the user allows.

    Raises:
        SeriesError: The series is not a regular volume; the message names files, positions and a possible repair.
        PixelDataError: The pixels cannot be decoded.
    """
    _check_has_images(files)
    check_no_mosaics(files.instances)
    files = _repair_frame_of_reference(drop_localizers(files, repairs), repairs)
    check_attributes(files.instances)
    files = drop_images_without_slice_geometry(files, repairs)
    check_not_concatenated(files.instances)
    check_uids(files.instances)
    rows, columns = common_size(files.instances)
    for instance in files.instances:
        check_decodable(instance)
    planes = [plane for instance in files.instances for plane in read_planes(instance)]
    files, planes = drop_other_images(files, planes, repairs)
    chosen = choose_volume(planes, repairs.volume)
    stack = make_stack(
        chosen.planes, rows=rows, columns=columns, resample=repairs.resample, correct_tilt=repairs.gantry_tilt
    )
    _check_voxel_count(stack)
    _check_frame_of_reference(files)
    if chosen.volume_count > 1:
        files = files.with_repair(f"used volume {repairs.volume} of {chosen.volume_count}")
    if stack.shifts is not None:
        files = files.with_repair(f"corrected a gantry tilt of {stack.shifts.tilt_degrees:.1f} degrees")
    if stack.is_resampled:
        files = files.with_repair(f"resampled from {len(chosen.planes)} to {stack.geometry.spatial_shape[0]} slices")
    return SeriesGeometry(files, stack)


def _check_has_images(files: SeriesFiles) -> None:
    if files.instances:
        return
    sop_class = files.first_instance.header.get("SOPClassUID")
    raise SeriesError(
        f"{files.first_instance.name}: SOPClassUID (0008,0016): "
        f"expected a CT, MR or PET image, classic or Enhanced, got {getattr(sop_class, 'name', '') or 'no value'}",
        hint="use a CT, MR or PET series of the study",
    )


def _repair_frame_of_reference(files: SeriesFiles, repairs: Repairs) -> SeriesFiles:
    """Creates a Frame of Reference UID if the series has none and the repair is requested."""
    if not repairs.frame_of_reference or any(i.text("FrameOfReferenceUID") for i in files.instances):
        return files
    uid = content_uid("frame of reference", files.series_uid)
    instances = tuple(instance.with_attribute("FrameOfReferenceUID", uid) for instance in files.instances)
    return replace(files, instances=instances).with_repair(
        "created a Frame of Reference UID from the Series Instance UID"
    )


def _check_voxel_count(stack: Stack) -> None:
    slices, rows, columns = stack.geometry.spatial_shape
    if slices * rows * columns > MAX_VOXELS:
        raise SeriesError(
            f"{slices} x {rows} x {columns} voxels: expected at most {MAX_VOXELS}",
            hint="send a part of the series, or reconstruct it with fewer pixels",
        )


def _check_frame_of_reference(files: SeriesFiles) -> None:
    if not files.frame_of_reference_uid:
        raise SeriesError(
            f"{files.first_instance.name}: FrameOfReferenceUID (0020,0052) is missing: "
            "the position in the patient is undefined",
            hint="--repair frame-of-reference creates a frame of reference for the series",
        )
