"""What a result is known by: the run's clock, UIDs from a digest of all that determines an object, and what made it."""

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
from clickseg.dicom.source_headers import source_digest

_OWN_TEXT = ("ContentDescription", "ContentSequence", "SegmentSequence", "SeriesDescription")
"""What does not come from the source."""

D = TypeVar("D", bound=Dataset)

_DATES = ("ContentDate", "InstanceCreationDate", "SeriesDate")
_TIMES = ("ContentTime", "InstanceCreationTime", "SeriesTime")


@dataclass(frozen=True, slots=True)
class Identity:
    """The time and the UIDs of a new object.

    Attributes:
        clock: The time of the run.
        digest: A digest of all inputs of the object, the time included.
    """

    clock: datetime
    digest: bytes

    def uid(self, role: str) -> str:
        """Returns the UID of the object for a role, such as ``series``."""
        return content_uid(role, self.digest)


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

    @property
    def digest(self) -> bytes:
        """A digest of all but the time."""
        return content_digest(*astuple(self.algorithm), *(document.to_json() for document in self.documents))


def make_identity(
    kind: str, clock: datetime, sources: Sequence[Dataset], *inputs: str | bytes | memoryview
) -> Identity:
    """Returns the time and the UIDs of a new object, from all that it is made of.

    Args:
        kind: The kind of object: the same inputs of another kind give other UIDs.
        clock: The time of the run.
        sources: The headers of the series, by ``reference_headers``.
        inputs: Whatever else the object depends on, in a fixed order.
    """
    versions = content_digest(__version__, hd.__version__, pydicom.__version__)
    time = clock.replace(tzinfo=None).isoformat()  # as it is written
    return Identity(clock, content_digest(kind, versions, time, source_digest(sources), *inputs))


def finish(dataset: D, identity: Identity) -> Document[D]:
    """Stamps a new object with its time, replaces the UIDs that highdicom generates, and encodes it.

    Args:
        dataset: A new SEG or SR, made with the UIDs of its identity.
        identity: Its time and its UIDs.
    """
    for keyword in _DATES:
        setattr(dataset, keyword, DA(identity.clock.date()))
    for keyword in _TIMES:
        setattr(dataset, keyword, TM(identity.clock.time()))
    contribution = dataset.ContributingEquipmentSequence[-1]  # highdicom's own
    contribution.ContributionDateTime = DT(identity.clock.replace(tzinfo=None))
    if not all(str(dataset.get(keyword) or "").isascii() for keyword in _OWN_TEXT):
        dataset.SpecificCharacterSet = "ISO_IR 192"  # that of the source may not have our letters
    for sequence in ("DimensionOrganizationSequence", "DimensionIndexSequence"):
        for item in dataset.get(sequence, ()):
            item.DimensionOrganizationUID = identity.uid("dimensions")
    return Document(dataset, encoded(dataset))


def encoded(dataset: Dataset) -> bytes:
    """Returns an object as the bytes of a DICOM file."""
    file = BytesIO()
    dcmwrite(file, dataset, enforce_file_format=True)
    return file.getvalue()
