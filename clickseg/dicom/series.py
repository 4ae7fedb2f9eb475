"""Groups instances into series, checks that a series is a regular volume, and repairs irregular series.

A repair is applied only if the user requests it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from clickseg.core.errors import InputError, SeriesError, UsageError
from clickseg.core.text import format_count, join_names
from clickseg.dicom.checks import check_attributes, check_not_concatenated, check_uids, common_size
from clickseg.dicom.codes import MULTI_FRAME_SOP_CLASSES, SINGLE_FRAME_SOP_CLASSES, content_uid
from clickseg.dicom.files import Scan
from clickseg.dicom.image_types import OtherImages, find_images_without_slice_geometry, find_other_images
from clickseg.dicom.incomplete import find_files_without_content, format_files
from clickseg.dicom.mosaic import check_no_mosaics
from clickseg.dicom.multi_volume import choose_volume, has_coinciding_volumes
from clickseg.dicom.part10 import Instance
from clickseg.dicom.pixels import check_decodable
from clickseg.dicom.planes import Plane, has_one_frame, read_planes
from clickseg.dicom.split_series import find_split_series
from clickseg.dicom.stack import Stack, make_stack
from clickseg.dicom.suv import is_attenuation_corrected

REPAIR_NAMES = ("drop-localizers", "frame-of-reference", "gantry-tilt", "incomplete", "resample", "volume=N")
MAX_VOXELS = 1 << 31
"""The largest volume that is allocated, in voxels: 2048 slices of 1024 x 1024."""


@dataclass(frozen=True, slots=True)
class Repairs:
    """The repairs that the user requested.

    Attributes:
        drop_localizers: Exclude localizers, secondary captures and other images that are not slices from a series.
        frame_of_reference: Create a Frame of Reference UID from the Series Instance UID if a series has none.
        gantry_tilt: Shift the slices of a series with gantry tilt onto an upright grid, and repeat them on a uniform
            grid if slices are missing or unevenly spaced.
        incomplete: Continue without slices whose files have no DICOM content.
        resample: Interpolate linearly onto a uniform grid if slices are missing or unevenly spaced.
        volume: The volume to use, from 1, if a series contains several volumes (time points, b-values, echoes).
    """

    drop_localizers: bool = False
    frame_of_reference: bool = False
    gantry_tilt: bool = False
    incomplete: bool = False
    resample: bool = False
    volume: int | None = None

    @classmethod
    def parse(cls, names: Iterable[str]) -> Repairs:
        """Parses the names of repairs.

        Raises:
            UsageError: A name is unknown.
        """
        repairs = cls()
        for name in names:
            repairs = repairs._add(name.strip())
        return repairs

    @classmethod
    def parse_options(cls, values: Iterable[str]) -> Repairs:
        """Parses the values of repeated options, each with one name or several names that are separated by commas.

        Raises:
            UsageError: A name is unknown.
        """
        return cls.parse(name for value in values for name in value.split(","))

    def _add(self, name: str) -> Repairs:
        key, _, value = name.partition("=")
        if key == "volume" and value.isdecimal() and int(value) > 0:
            return replace(self, volume=int(value))
        field = name.replace("-", "_")
        if field not in ("drop_localizers", "frame_of_reference", "gantry_tilt", "incomplete", "resample"):
            raise UsageError(f"unknown repair {name!r}: expected {', '.join(REPAIR_NAMES)}")
        return replace(self, **{field: True})


@dataclass(frozen=True, slots=True)
class SeriesFiles:
    """The instances that can be one volume: the images of a series with one frame each, or one multi-frame instance.

    Attributes:
        instances: The images.
        other_instances: Instances of the same series that are not CT, MR or PET images.
        applied_repairs: The repairs that were applied so far, as text for messages and reports.
    """

    instances: tuple[Instance, ...]
    other_instances: tuple[Instance, ...] = ()
    applied_repairs: tuple[str, ...] = ()

    @property
    def first_instance(self) -> Instance:
        """The instance from which attributes of the series are read."""
        return (self.instances or self.other_instances)[0]

    @property
    def series_uid(self) -> str:
        """Series Instance UID."""
        return self.first_instance.text("SeriesInstanceUID")

    @property
    def study_uid(self) -> str:
        """Study Instance UID."""
        return self.first_instance.text("StudyInstanceUID")

    @property
    def frame_of_reference_uid(self) -> str:
        """Frame of Reference UID; empty if missing."""
        return self.first_instance.text("FrameOfReferenceUID")

    @property
    def modality(self) -> str:
        """Modality, such as ``PT``."""
        return self.first_instance.text("Modality")

    @property
    def folder(self) -> str:
        """The folder of the first instance, relative to the scanned folder."""
        return self.first_instance.name.rpartition("/")[0] or "."

    @property
    def first_file_name(self) -> str:
        """The name of the first file, which identifies these files in a scan.

        The series UID does not identify them: several multi-frame instances can belong to one series.
        """
        return self.first_instance.name

    def __str__(self) -> str:
        return f"{self.modality or 'no modality'} {self.series_uid or 'without UID'} in {self.folder}"

    def with_repair(self, description: str) -> SeriesFiles:
        """Returns a copy with one more applied repair."""
        return SeriesFiles(self.instances, self.other_instances, (*self.applied_repairs, description))


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
    accepted: list[SeriesGeometry] = []
    rejected: list[RejectedSeries] = []
    all_files = group_by_series(scan_result.instances)
    split_errors = find_split_volumes(all_files)
    for files in all_files:
        try:
            scan_result.check_series_undamaged(files.series_uid)
            if files.first_file_name in split_errors:
                raise split_errors[files.first_file_name]
            accepted.append(check_series(leave_out_files_without_content(files, scan_result, repairs), repairs))
        except InputError as error:
            rejected.append(RejectedSeries(files, error))
    return tuple(accepted), tuple(rejected)


def find_split_volumes(all_files: Iterable[SeriesFiles]) -> dict[str, SeriesError]:
    """Returns errors, by the name of the first file, for series of one image that are the slices of one volume."""
    return find_split_series(files.first_instance for files in all_files if len(files.instances) == 1)


def leave_out_files_without_content(files: SeriesFiles, scan_result: Scan, repairs: Repairs) -> SeriesFiles:
    """Returns the files of a series after the check that no slice is there by name only.

    Args:
        files: The instances of the series.
        scan_result: The scan that contains the series.
        repairs: The repairs that the user allows: ``incomplete`` leaves out slices without DICOM content.

    Raises:
        SeriesError: Files without DICOM content are named like the slices, and the repair was not requested.
    """
    slices = [instance.name for instance in files.instances]
    states = find_files_without_content(scan_result.folder, slices, scan_result.unread_files)
    if not states:
        return files
    summary = format_files(states)
    if repairs.incomplete:
        return files.with_repair(f"left out {summary}")
    raise SeriesError(
        f"slices are missing: the series has {format_count(len(slices), 'readable file')}, and {summary}",
        hint="send these files again; --repair incomplete continues without them",
    )


def has_required_corrections(series: SeriesGeometry) -> bool:
    """Whether a series has the corrections of its modality: PET must be corrected for attenuation."""
    return series.files.modality != "PT" or is_attenuation_corrected(series.files.first_instance.header)


def format_series_list(series_files: Sequence[SeriesFiles]) -> str:
    """Returns the list of series for a message."""
    return join_names([str(files) for files in series_files], 6)


def group_by_series(instances: Iterable[Instance]) -> tuple[SeriesFiles, ...]:
    """Groups instances by series; each multi-frame instance with several frames is a group of its own."""
    series: dict[str, list[Instance]] = defaultdict(list)
    for instance in instances:
        series[instance.text("SeriesInstanceUID")].append(instance)
    return tuple(files for members in series.values() for files in _split_series(members))


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
    files = _repair_frame_of_reference(_drop_localizers(files, repairs), repairs)
    check_attributes(files.instances)
    files = _drop_images_without_slice_geometry(files, repairs)
    check_not_concatenated(files.instances)
    check_uids(files.instances)
    rows, columns = common_size(files.instances)
    for instance in files.instances:
        check_decodable(instance)
    planes = [plane for instance in files.instances for plane in read_planes(instance)]
    files, planes = _drop_other_images(files, planes, repairs)
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


def _split_series(members: Sequence[Instance]) -> list[SeriesFiles]:
    """Returns a group of all single-frame images, one of the multi-frame instances with one frame, and the others."""
    images: dict[str, list[Instance]] = defaultdict(list)
    other_instances: list[Instance] = []
    for member in members:
        sop_class = member.text("SOPClassUID")
        if sop_class in SINGLE_FRAME_SOP_CLASSES:
            images[""].append(member)
        elif sop_class in MULTI_FRAME_SOP_CLASSES:
            images["one frame" if has_one_frame(member) else member.text("SOPInstanceUID")].append(member)
        else:
            other_instances.append(member)
    groups = [SeriesFiles(tuple(instances), tuple(other_instances)) for instances in images.values()]
    return groups or [SeriesFiles((), tuple(other_instances))]


def _check_has_images(files: SeriesFiles) -> None:
    if files.instances:
        return
    sop_class = files.first_instance.header.get("SOPClassUID")
    raise SeriesError(
        f"{files.first_instance.name}: SOPClassUID (0008,0016): "
        f"expected a CT, MR or PET image, classic or Enhanced, got {getattr(sop_class, 'name', '') or 'no value'}"
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


def _drop_localizers(files: SeriesFiles, repairs: Repairs) -> SeriesFiles:
    """Excludes images that are not slices of the volume if the repair is requested; otherwise rejects the series."""
    localizers = [instance for instance in files.instances if "LOCALIZER" in instance.text("ImageType")]
    captures = [instance for instance in files.other_instances if instance.pixel_bytes != 0]
    if not localizers and not captures:
        return files
    names = ", ".join(instance.name for instance in (*localizers, *captures)[:3])
    if len(localizers) == len(files.instances):
        raise SeriesError(f"all {len(localizers)} images of the series are localizers, such as {names}")
    kinds = [(len(localizers), "localizer"), (len(captures), "secondary capture")]
    summary = f"{' and '.join(format_count(count, kind) for count, kind in kinds if count)}: {names}"
    if not repairs.drop_localizers:
        raise SeriesError(f"the series contains {summary}", hint="--repair drop-localizers excludes these images")
    kept = tuple(instance for instance in files.instances if instance not in localizers)
    return SeriesFiles(kept, (), files.applied_repairs).with_repair(f"excluded {summary}")


def _drop_images_without_slice_geometry(files: SeriesFiles, repairs: Repairs) -> SeriesFiles:
    """Excludes images that cannot be slices if the repair is requested; otherwise rejects the series."""
    others = find_images_without_slice_geometry(files.instances)
    if others is None:
        return files
    _check_may_drop(others, repairs)
    kept = tuple(instance for instance in files.instances if not others.contains(instance))
    return replace(files, instances=kept).with_repair(f"excluded {others}")


def _drop_other_images(files: SeriesFiles, planes: list[Plane], repairs: Repairs) -> tuple[SeriesFiles, list[Plane]]:
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


def _check_voxel_count(stack: Stack) -> None:
    slices, rows, columns = stack.geometry.spatial_shape
    if slices * rows * columns > MAX_VOXELS:
        raise SeriesError(f"{slices} x {rows} x {columns} voxels: expected at most {MAX_VOXELS}")


def _check_frame_of_reference(files: SeriesFiles) -> None:
    if not files.frame_of_reference_uid:
        raise SeriesError(
            f"{files.first_instance.name}: FrameOfReferenceUID (0020,0052) is missing: "
            "the position in the patient is undefined",
            hint="--repair frame-of-reference creates a frame of reference for the series",
        )
