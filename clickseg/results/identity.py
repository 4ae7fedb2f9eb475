"""What a result is known by: the run's clock, UIDs made from the object's own content, and what made it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from typing import Generic, TypeVar

import highdicom as hd
from pydicom import Dataset, dcmwrite
from pydicom.charset import convert_encodings, default_encoding
from pydicom.dataelem import RawDataElement
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import correct_ambiguous_vr, write_dataset
from pydicom.sr.codedict import codes
from pydicom.tag import BaseTag
from pydicom.valuerep import DA, DT, TM

from clickseg.core.version import __version__
from clickseg.dicom.codes import content_uid
from clickseg.dicom.predecessor import MANUFACTURER

PLACEHOLDER = "2.25.0"
"""Stands for a UID of the object until its content is known."""

_OWN_TEXT = ("ContentDescription", "ContentSequence", "SegmentSequence", "SeriesDescription")
"""What does not come from the source."""

_LONG = ("PerFrameFunctionalGroupsSequence", "ReferencedSeriesSequence", "SourceImageSequence")
"""Sequences that hold no UID of the object's own: with an item for each frame or source, they take the most time."""

_SEQUENCE_HEAD = 12
"""Bytes in front of the items of a sequence: tag, value representation, length (PS3.5, 7.1.2)."""

D = TypeVar("D", bound=Dataset)

_DATES = ("ContentDate", "InstanceCreationDate", "SeriesDate")
_TIMES = ("ContentTime", "InstanceCreationTime", "SeriesTime")


@dataclass(frozen=True, slots=True)
class Document(Generic[D]):
    """A finished object.

    Attributes:
        dataset: What it is.
        content: The same as the bytes of a DICOM file.
    """

    dataset: D
    content: bytes

    @property
    def uid(self) -> str:
        """Its SOP Instance UID."""
        return str(self.dataset.SOPInstanceUID)


@dataclass(frozen=True, slots=True)
class Algorithm:
    """A model, run once.

    Attributes:
        model: The model package's name.
        model_version: Its version.
        weights_sha256: SHA-256 of the weights that ran.
        clicks_sha256: Digest of the clicks; empty where there were none.
        precision: What the network computed in.
    """

    model: str
    model_version: str
    weights_sha256: str
    clicks_sha256: str
    precision: str

    @property
    def name(self) -> str:
        """A name for Segment Algorithm Name (0062,0009), at most 64 characters."""
        return f"{MANUFACTURER} {self.model}"[:64]

    @property
    def type(self) -> str:
        """Segment Algorithm Type (0062,0008)."""
        return "SEMIAUTOMATIC" if self.clicks_sha256 else "AUTOMATIC"

    def identification(self) -> hd.AlgorithmIdentificationSequence:
        """Returns the Segmentation Algorithm Identification Sequence (0062,0007)."""
        parameters = {
            "model": f"{self.model} {self.model_version}",
            "weights_sha256": self.weights_sha256,
            "precision": self.precision,
        }
        if self.clicks_sha256:
            parameters["clicks_sha256"] = self.clicks_sha256
        return hd.AlgorithmIdentificationSequence(
            name=self.name,
            family=codes.DCM.ArtificialIntelligence,
            version=__version__,
            parameters=parameters,
        )


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a result comes from, as its SEG and its SR both say it.

    Attributes:
        algorithm: What made the result.
        clock: The time of the run.
        documents: The earlier results that it carries on, by ``predecessors``.
    """

    algorithm: Algorithm
    clock: datetime
    documents: Sequence[Dataset] = ()


def identify(dataset: D, clock: datetime) -> Document[D]:
    """Stamps a new object with a time, and gives it UIDs that are a hash of everything else in it.

    Args:
        dataset: A new SEG or SR. The UIDs of its instance, its series, its dimension organization and its segments'
            tracking are replaced, whatever they were.
        clock: The time of the run.
    """
    for keyword in _DATES:
        setattr(dataset, keyword, DA(clock.date()))
    for keyword in _TIMES:
        setattr(dataset, keyword, TM(clock.time()))
    dataset.ContributingEquipmentSequence[-1].ContributionDateTime = DT(clock.replace(tzinfo=None))  # highdicom's own
    if not all(str(dataset.get(keyword) or "").isascii() for keyword in _OWN_TEXT):
        dataset.SpecificCharacterSet = "ISO_IR 192"  # that of the source may not have our letters
    own = list(_own_uids(dataset))
    for item, keyword, _ in own:
        setattr(item, keyword, PLACEHOLDER)
    half = _half_encoded(dataset)
    content = encoded(half)
    for item, keyword, role in own:
        setattr(item, keyword, content_uid(role, content))
    return Document(dataset, encoded(half))


def encoded(dataset: Dataset) -> bytes:
    """Returns an object as the bytes of a DICOM file."""
    file = BytesIO()
    dcmwrite(file, dataset, enforce_file_format=True)
    return file.getvalue()


def _own_uids(dataset: Dataset) -> Iterator[tuple[Dataset, str, str]]:
    """Yields where an object's own UIDs stand, and the role of each; the same role has the same UID."""
    yield dataset, "SOPInstanceUID", "instance"
    yield dataset.file_meta, "MediaStorageSOPInstanceUID", "instance"
    yield dataset, "SeriesInstanceUID", "series"
    for sequence in ("DimensionOrganizationSequence", "DimensionIndexSequence"):
        for item in dataset.get(sequence, ()):
            yield item, "DimensionOrganizationUID", "dimensions"
    for segment in dataset.get("SegmentSequence", ()):
        if "TrackingUID" in segment:
            yield segment, "TrackingUID", f"segment {segment.SegmentNumber}"


def _half_encoded(dataset: Dataset) -> Dataset:
    """Returns a copy that shares its elements with an object, but whose long sequences are bytes already.

    It is to be written in Explicit VR Little Endian: pydicom then takes what is bytes as it is.
    """
    short = Dataset({element.tag: element for element in dataset if element.keyword not in _LONG})
    correct_ambiguous_vr(short, is_little_endian=True)
    copy = Dataset({**dict(short.items()), **_long_sequences(dataset)})
    names = dataset.get("SpecificCharacterSet")
    copy.set_original_encoding(False, True, convert_encodings(names) if names else default_encoding)
    copy.file_meta = dataset.file_meta
    return copy


def _long_sequences(dataset: Dataset) -> dict[BaseTag, RawDataElement]:
    long = {}
    for keyword in _LONG:
        if keyword in dataset:
            tag, file = dataset[keyword].tag, DicomBytesIO()
            file.is_little_endian, file.is_implicit_VR = True, False
            write_dataset(file, Dataset({tag: dataset[keyword]}), dataset.get("SpecificCharacterSet", default_encoding))
            items = file.getvalue()[_SEQUENCE_HEAD:]
            long[tag] = RawDataElement(tag, "SQ", len(items), items, 0, False, True)
    return long
