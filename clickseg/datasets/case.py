"""A case whose truth is known: which files it is in, and what is in them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import highdicom as hd


@dataclass(frozen=True, slots=True)
class CaseFiles:
    """Where a case is.

    Attributes:
        name: What it is called; no other case of its dataset has the name.
        modalities: ``CT``, ``MR`` or ``PT``, one for each image.
        images: One for each input of a model: an image file, or a folder that holds a DICOM series.
        truth: A label map's file, a DICOM SEG or an RTSTRUCT; None for a case in which there is nothing to be found.
        fold: The part of a cross-validation that it is held out in, where the dataset says so.
    """

    name: str
    modalities: tuple[str, ...]
    images: tuple[Path, ...]
    truth: Path | None
    fold: int | None = None


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """An image of a case.

    Attributes:
        modality: ``CT``, ``MR`` or ``PT``.
        unit: ``HU``, ``SUVbw``, or empty.
        volume: Its values, float32, in LPS mm.
    """

    modality: str
    unit: str
    volume: hd.Volume


@dataclass(frozen=True, slots=True)
class LabelledCase:
    """A case in memory.

    Attributes:
        name: What it is called.
        images: One for each input of a model.
        truth: The number of the class of each voxel, uint8, on the grid of the first image; 0 where there is none.
    """

    name: str
    images: tuple[LabelledImage, ...]
    truth: hd.Volume
