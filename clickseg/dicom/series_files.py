"""Groups instances into series: the files that can be one volume."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from clickseg.core.text import join_names
from clickseg.dicom.codes import MULTI_FRAME_SOP_CLASSES, SINGLE_FRAME_SOP_CLASSES
from clickseg.dicom.part10 import Instance
from clickseg.dicom.planes import has_one_frame


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


def group_by_series(instances: Iterable[Instance]) -> tuple[SeriesFiles, ...]:
    """Groups instances by series; each multi-frame instance with several frames is a group of its own."""
    series: dict[str, list[Instance]] = defaultdict(list)
    for instance in instances:
        series[instance.text("SeriesInstanceUID")].append(instance)
    return tuple(files for members in series.values() for files in _split_series(members))


def format_series_list(series_files: Sequence[SeriesFiles]) -> str:
    """Returns the list of series for a message."""
    return join_names([str(files) for files in series_files], 6)


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
