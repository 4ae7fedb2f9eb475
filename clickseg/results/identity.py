"""The identity of a result: the run's clock, UIDs made from a digest of all inputs, and the algorithm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from datetime import datetime
from io import BytesIO
from typing import Generic, TypeVar

import highdicom as hd
import pydicom
from pydicom import Dataset, dcmwrite
from pydicom.sr.codedict import codes
from pydicom.valuerep import DA, DT, TM

from clickseg.core.version import __version__
from clickseg.dicom.codes import content_digest, content_uid
from clickseg.dicom.predecessor import MANUFACTURER
from clickseg.dicom.source_digest import source_digest

_NEW_TEXT = ("ContentDescription", "ContentSequence", "SegmentSequence", "SeriesDescription")
"""Attributes with text that is not copied from the source."""

DatasetT = TypeVar("DatasetT", bound=Dataset)

_DATES = ("ContentDate", "InstanceCreationDate", "SeriesDate")
_TIMES = ("ContentTime", "InstanceCreationTime", "SeriesTime")


@dataclass(frozen=True, slots=True)
class Identity:
    """The time and the UIDs of a new DICOM object.

    Attributes:
        clock: The date and time of the run.
        digest: A digest of all inputs of the object, including the time.
    """

    clock: datetime
    digest: bytes

    def uid(self, role: str) -> str:
        """Returns the UID for one role in the object, such as ``series``."""
        return content_uid(role, self.digest)


@dataclass(frozen=True, slots=True)
class Document(Generic[DatasetT]):
    """A complete DICOM object.

    Attributes:
        dataset: The object.
        content: The same object, encoded as a DICOM file.
    """

    dataset: DatasetT
    content: bytes

    @property
    def uid(self) -> str:
        """The SOP Instance UID."""
        return str(self.dataset.SOPInstanceUID)


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One run of a model, as the algorithm of a result.

    Attributes:
        model: The name of the model package.
        model_version: The version of the model package.
        weights_sha256: SHA-256 of the weights.
        clicks_sha256: Digest of the clicks; empty without clicks.
        precision: The numeric precision of the network.
    """

    model: str
    model_version: str
    weights_sha256: str
    clicks_sha256: str
    precision: str

    @property
    def name(self) -> str:
        """Segment Algorithm Name (0062,0009), at most 64 characters."""
        return f"{MANUFACTURER} {self.model}"[:64]

    @property
    def type(self) -> str:
        """Segment Algorithm Type (0062,0008): SEMIAUTOMATIC if clicks guided the model, else AUTOMATIC."""
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
    """The origin of a result, stored in both SEG and SR.

    Attributes:
        algorithm: The algorithm that made the result.
        clock: The date and time of the run.
        predecessors: References to the predecessor documents of the result, made by ``predecessor_documents``.
    """

    algorithm: Algorithm
    clock: datetime
    predecessors: Sequence[Dataset] = ()

    @property
    def digest(self) -> bytes:
        """A digest of everything except the time."""
        return content_digest(*astuple(self.algorithm), *(document.to_json() for document in self.predecessors))


def make_identity(
    kind: str, clock: datetime, sources: Sequence[Dataset], *inputs: str | bytes | memoryview
) -> Identity:
    """Returns the time and the UIDs of a new object, derived from all its inputs.

    Args:
        kind: The kind of object; objects of different kinds get different UIDs from the same inputs.
        clock: The date and time of the run.
        sources: The headers of the series, made by ``reference_headers``.
        inputs: All other inputs of the object, in a fixed order.
    """
    versions = content_digest(__version__, hd.__version__, pydicom.__version__)
    time = clock.replace(tzinfo=None).isoformat()  # the form in which the object contains it
    return Identity(clock, content_digest(kind, versions, time, source_digest(sources), *inputs))


def finish_document(dataset: DatasetT, identity: Identity) -> Document[DatasetT]:
    """Sets the dates and times of a new object, replaces the UIDs that highdicom generates, and encodes the object.

    Args:
        dataset: A new SEG or SR, made with the UIDs of its identity.
        identity: The time and the UIDs of the object.
    """
    for keyword in _DATES:
        setattr(dataset, keyword, DA(identity.clock.date()))
    for keyword in _TIMES:
        setattr(dataset, keyword, TM(identity.clock.time()))
    contribution = dataset.ContributingEquipmentSequence[-1]  # added by highdicom
    contribution.ContributionDateTime = DT(identity.clock.replace(tzinfo=None))
    if not all(str(dataset.get(keyword) or "").isascii() for keyword in _NEW_TEXT):
        dataset.SpecificCharacterSet = "ISO_IR 192"  # the source's character set may lack letters of the new text
    for sequence in ("DimensionOrganizationSequence", "DimensionIndexSequence"):
        for item in dataset.get(sequence, ()):
            item.DimensionOrganizationUID = identity.uid("dimensions")
    return Document(dataset, encode_dicom(dataset))


def encode_dicom(dataset: Dataset) -> bytes:
    """Returns the bytes of a DICOM file with an object."""
    file = BytesIO()
    dcmwrite(file, dataset, enforce_file_format=True)
    return file.getvalue()
