"""A case whose truth is known: which files it is in, what is in them, and the digests of a dataset's files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import highdicom as hd

from clickseg.core.errors import InputError
from clickseg.core.files import file_sha256

DATALIST_HINT = (
    "a JSON datalist names the cases that count; one in which there is nothing to be found has no label there"
)
"""What to do about images without labels."""


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


@dataclass(frozen=True, slots=True)
class Digests:
    """What a dataset holds, wherever it lies and whatever its folders are called.

    Attributes:
        sha256: Of all cases, by their names.
        cases: Of the files of each case, by its name.
    """

    sha256: str
    cases: Mapping[str, str]


def digests_of(cases: Sequence[CaseFiles]) -> Digests:
    """Returns the digests of some cases; of a folder of DICOM all files in it count, whatever they are called.

    Raises:
        InputError: A file cannot be read.
    """
    paths = {path for case in cases for path in (*case.images, case.truth) if path is not None}
    try:
        known = {path: _path_sha256(path) for path in sorted(paths)}
    except OSError as error:
        raise InputError(f"{error.filename}: cannot be read: {error.strerror}") from error
    of_cases = {case.name: _case_sha256(case, known) for case in sorted(cases, key=lambda each: each.name)}
    return Digests(_joined([part for item in of_cases.items() for part in item]), of_cases)


def _case_sha256(case: CaseFiles, known: Mapping[Path, str]) -> str:
    images = [
        part for path, modality in zip(case.images, case.modalities, strict=True) for part in (modality, known[path])
    ]
    return _joined([*images, "truth", known[case.truth] if case.truth else "none"])


def _path_sha256(path: Path) -> str:
    if not path.is_dir():
        return file_sha256(path)
    files = (Path(parent, name) for parent, _, names in os.walk(path) for name in names)
    return _joined(sorted(file_sha256(file) for file in files if file.is_file()))


def _joined(parts: Iterable[str]) -> str:
    """Returns the digest of some texts; the length of each says where the next one begins."""
    return hashlib.sha256("".join(f"{len(part)}:{part}" for part in parts).encode()).hexdigest()
