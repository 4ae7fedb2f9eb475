"""What made a result, as SEG and SR say it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import highdicom as hd
from pydicom import Dataset
from pydicom.sr.codedict import codes

from clickseg.core.version import __version__
from clickseg.dicom.predecessor import MANUFACTURER


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
