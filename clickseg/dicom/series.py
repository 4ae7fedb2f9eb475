"""Series: which instances would form one volume, and whether they do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from clickseg.dicom.attributes import check_attributes
from clickseg.dicom.consistency import check_size, check_uids, check_whole
from clickseg.dicom.multi_volume import choose_volume
from clickseg.dicom.part10 import Instance
from clickseg.dicom.pixels import check_decodable
from clickseg.dicom.planes import planes_of
from clickseg.dicom.remedies import Remedies
from clickseg.dicom.sop_classes import MULTI_FRAME, SINGLE_FRAME
from clickseg.dicom.stack import Stack, make_stack
from clickseg.dicom.uids import content_uid
from clickseg.errors import SeriesError
from clickseg.wording import counted

MAX_VOXELS = 1 << 31
"""The largest volume that is allocated: 2048 slices of 1024 x 1024."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """Instances that would form one volume: those of a series, or one multi-frame instance of it.

    Attributes:
        instances: The images.
        others: Instances of the same series that are no CT, MR or PET images.
        remedies_used: What was done at the user's wish so far, in words.
    """

    instances: tuple[Instance, ...]
    others: tuple[Instance, ...] = ()
    remedies_used: tuple[str, ...] = ()

    @property
    def first(self) -> Instance:
        """An instance that speaks for the series."""
        return (self.instances or self.others)[0]

    @property
    def series_uid(self) -> str:
        """Series Instance UID."""
        return self.first.text("SeriesInstanceUID")

    @property
    def study_uid(self) -> str:
        """Study Instance UID."""
        return self.first.text("StudyInstanceUID")

    @property
    def frame_of_reference_uid(self) -> str:
        """Frame of Reference UID, empty where there is none."""
        return self.first.text("FrameOfReferenceUID")

    @property
    def modality(self) -> str:
        """Modality, such as ``PT``."""
        return self.first.text("Modality")

    @property
    def folder(self) -> str:
        """The folder of the first instance, relative to the scanned one."""
        return self.first.name.rpartition("/")[0] or "."

    def noted(self, remedy: str) -> Candidate:
        """Returns the candidate with one more remedy that was used."""
        return replace(self, remedies_used=(*self.remedies_used, remedy))


@dataclass(frozen=True, slots=True)
class CheckedSeries:
    """A candidate that forms a volume.

    Attributes:
        candidate: Its instances, with the remedies that were used.
        stack: Their planes in order, and the grid of the volume.
    """

    candidate: Candidate
    stack: Stack


def group(instances: Iterable[Instance]) -> tuple[Candidate, ...]:
    """Groups instances by series; each multi-frame instance is a candidate of its own."""
    series: dict[str, list[Instance]] = defaultdict(list)
    for instance in instances:
        series[instance.text("SeriesInstanceUID")].append(instance)
    return tuple(candidate for members in series.values() for candidate in _candidates(members))


def check(candidate: Candidate, remedies: Remedies) -> CheckedSeries:
    """Checks, by headers alone, that a candidate forms one volume.

    Args:
        candidate: What would be a volume.
        remedies: What may be done where it does not, at the user's wish.

    Raises:
        SeriesError: It does not; the message names files, positions and the remedy.
        PixelDataError: Its pixels cannot be decoded.
    """
    _check_is_image(candidate)
    candidate = _with_frame_of_reference(_without_localizers(candidate, remedies), remedies)
    check_attributes(candidate.instances)
    check_whole(candidate.instances)
    check_uids(candidate.instances)
    rows, columns = check_size(candidate.instances)
    for instance in candidate.instances:
        check_decodable(instance)
    planes = [plane for instance in candidate.instances for plane in planes_of(instance)]
    chosen = choose_volume(planes, remedies.volume)
    stack = make_stack(chosen, rows=rows, columns=columns, resample=remedies.resample)
    _check_voxels(stack)
    _check_frame_of_reference(candidate)
    if len(chosen) < len(planes):
        candidate = candidate.noted(f"volume {remedies.volume} of {len(planes) // len(chosen)} was taken")
    if stack.is_resampled:
        candidate = candidate.noted(f"resampled from {len(chosen)} to {stack.geometry.spatial_shape[0]} slices")
    return CheckedSeries(candidate, stack)


def _candidates(members: Sequence[Instance]) -> list[Candidate]:
    """One candidate for all single-frame images, and one for each multi-frame SOP instance."""
    images: dict[str, list[Instance]] = defaultdict(list)
    others: list[Instance] = []
    for member in members:
        sop_class = member.text("SOPClassUID")
        if sop_class in SINGLE_FRAME:
            images[""].append(member)
        elif sop_class in MULTI_FRAME:
            images[member.text("SOPInstanceUID")].append(member)
        else:
            others.append(member)
    return [Candidate(tuple(each), tuple(others)) for each in images.values()] or [Candidate((), tuple(others))]


def _check_is_image(candidate: Candidate) -> None:
    if candidate.instances:
        return
    sop_class = candidate.first.header.get("SOPClassUID")
    raise SeriesError(
        f"{candidate.first.name}: SOPClassUID (0008,0016): expected a CT, MR or PET image, classic or Enhanced, got "
        f"{getattr(sop_class, 'name', '') or 'nothing'}"
    )


def _without_localizers(candidate: Candidate, remedies: Remedies) -> Candidate:
    """Leaves out what is no slice of the volume, where the user wishes it; else refuses it."""
    localizers = [instance for instance in candidate.instances if "LOCALIZER" in instance.text("ImageType")]
    captures = [instance for instance in candidate.others if instance.pixel_bytes != 0]
    if not localizers and not captures:
        return candidate
    names = ", ".join(instance.name for instance in (*localizers, *captures)[:3])
    if len(localizers) == len(candidate.instances):
        raise SeriesError(f"all {len(localizers)} images of the series are localizers, such as {names}")
    kinds = [(len(localizers), "localizer"), (len(captures), "secondary capture")]
    found = f"{' and '.join(counted(count, kind) for count, kind in kinds if count)}: {names}"
    if not remedies.drop_localizers:
        raise SeriesError(f"among the slices are {found}", hint="--remedy drop-localizers leaves them out")
    kept = tuple(instance for instance in candidate.instances if instance not in localizers)
    return Candidate(kept, (), candidate.remedies_used).noted(f"left out {found}")


def _with_frame_of_reference(candidate: Candidate, remedies: Remedies) -> Candidate:
    """Gives the series a frame of reference of its own, where it has none and the user wishes it."""
    if not remedies.frame_of_reference or any(i.text("FrameOfReferenceUID") for i in candidate.instances):
        return candidate
    uid = content_uid("frame of reference", candidate.series_uid)
    instances = tuple(instance.with_attribute("FrameOfReferenceUID", uid) for instance in candidate.instances)
    return replace(candidate, instances=instances).noted("a frame of reference was made from the Series Instance UID")


def _check_frame_of_reference(candidate: Candidate) -> None:
    if not candidate.frame_of_reference_uid:
        raise SeriesError(
            f"{candidate.first.name}: FrameOfReferenceUID (0020,0052) is missing: nothing says where the series lies",
            hint="--remedy frame-of-reference gives the series a frame of its own",
        )


def _check_voxels(stack: Stack) -> None:
    slices, rows, columns = stack.geometry.spatial_shape
    if slices * rows * columns > MAX_VOXELS:
        raise SeriesError(f"{slices} x {rows} x {columns} voxels: expected at most {MAX_VOXELS}")
