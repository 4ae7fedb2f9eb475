"""Series: which instances would form one volume, whether they do, and the remedies for those that do not.

A remedy is what the user asks for; nothing of it happens unasked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from clickseg.core.errors import InputError, SeriesError, UsageError
from clickseg.core.text import counted, first_names
from clickseg.dicom.checks import check_attributes, check_size, check_uids, check_whole
from clickseg.dicom.codes import MULTI_FRAME, SINGLE_FRAME, content_uid
from clickseg.dicom.files import Scan
from clickseg.dicom.multi_volume import choose_volume
from clickseg.dicom.part10 import Instance
from clickseg.dicom.pixels import check_decodable
from clickseg.dicom.planes import planes_of
from clickseg.dicom.stack import Stack, make_stack
from clickseg.dicom.suv import is_attenuation_corrected

REMEDY_NAMES = ("drop-localizers", "frame-of-reference", "resample", "volume=N")
MAX_VOXELS = 1 << 31
"""The largest volume that is allocated: 2048 slices of 1024 x 1024."""


@dataclass(frozen=True, slots=True)
class Remedies:
    """The remedies that the user asked for.

    Attributes:
        drop_localizers: Leave localizers and secondary captures out of a series.
        frame_of_reference: Give a series without Frame of Reference UID one of its own, made from its Series UID.
        resample: Interpolate linearly onto a uniform grid where slices are missing or unevenly spaced.
        volume: Of a series that holds several volumes (time points, b-values, echoes), take this one, from 1.
    """

    drop_localizers: bool = False
    frame_of_reference: bool = False
    resample: bool = False
    volume: int | None = None

    @classmethod
    def parse(cls, names: Iterable[str]) -> Remedies:
        """Reads remedies by their names.

        Raises:
            UsageError: A name is unknown.
        """
        remedies = cls()
        for name in names:
            remedies = remedies._with(name.strip())
        return remedies

    def _with(self, name: str) -> Remedies:
        key, _, value = name.partition("=")
        if key == "volume" and value.isdecimal() and int(value) > 0:
            return replace(self, volume=int(value))
        field = name.replace("-", "_")
        if field not in ("drop_localizers", "frame_of_reference", "resample"):
            raise UsageError(f"unknown remedy {name!r}: expected {', '.join(REMEDY_NAMES)}")
        return replace(self, **{field: True})


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

    @property
    def key(self) -> str:
        """What tells the candidates of a scan apart: the first file, since one series may hold several volumes."""
        return self.first.name

    def __str__(self) -> str:
        return f"{self.modality or 'no modality'} {self.series_uid or 'without UID'} in {self.folder}"

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


@dataclass(frozen=True, slots=True)
class RejectedSeries:
    """A candidate that forms no volume.

    Attributes:
        candidate: Its instances.
        error: What is wrong with it.
    """

    candidate: Candidate
    error: InputError


def check_all(found: Scan, remedies: Remedies) -> tuple[tuple[CheckedSeries, ...], tuple[RejectedSeries, ...]]:
    """Returns the series of a scan that form a volume, and those that do not."""
    formed: list[CheckedSeries] = []
    rejected: list[RejectedSeries] = []
    for candidate in group(found.instances):
        try:
            found.check_series(candidate.series_uid)
            formed.append(check(candidate, remedies))
        except InputError as error:
            rejected.append(RejectedSeries(candidate, error))
    return tuple(formed), tuple(rejected)


def is_corrected(series: CheckedSeries) -> bool:
    """Whether a series is no PET, or PET that is corrected for attenuation."""
    return series.candidate.modality != "PT" or is_attenuation_corrected(series.candidate.first.header)


def listed(candidates: Sequence[Candidate]) -> str:
    """Returns series as messages list them."""
    return first_names([str(candidate) for candidate in candidates], 6)


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


def _with_frame_of_reference(candidate: Candidate, remedies: Remedies) -> Candidate:
    """Gives the series a frame of reference of its own, where it has none and the user wishes it."""
    if not remedies.frame_of_reference or any(i.text("FrameOfReferenceUID") for i in candidate.instances):
        return candidate
    uid = content_uid("frame of reference", candidate.series_uid)
    instances = tuple(instance.with_attribute("FrameOfReferenceUID", uid) for instance in candidate.instances)
    return replace(candidate, instances=instances).noted("a frame of reference was made from the Series Instance UID")


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


def _check_voxels(stack: Stack) -> None:
    slices, rows, columns = stack.geometry.spatial_shape
    if slices * rows * columns > MAX_VOXELS:
        raise SeriesError(f"{slices} x {rows} x {columns} voxels: expected at most {MAX_VOXELS}")


def _check_frame_of_reference(candidate: Candidate) -> None:
    if not candidate.frame_of_reference_uid:
        raise SeriesError(
            f"{candidate.first.name}: FrameOfReferenceUID (0020,0052) is missing: nothing says where the series lies",
            hint="--remedy frame-of-reference gives the series a frame of its own",
        )
