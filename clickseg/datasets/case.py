"""A labelled case: its files, its images and ground truth in memory, and the digests of the files of a dataset."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import highdicom as hd

from clickseg.core.errors import InputError
from clickseg.core.files import file_sha256

DATALIST_HINT = "a JSON datalist selects the cases of a dataset; an entry without label is a case without foreground"
"""The hint for images without labels."""


@dataclass(frozen=True, slots=True)
class CaseFiles:
    """The files of a case.

    Attributes:
        name: The name of the case, unique in its dataset.
        modalities: ``CT``, ``MR`` or ``PT``, one for each image.
        images: One path for each input of a model: an image file, or a folder that contains a DICOM series.
        truth: The ground truth: a label map file, a DICOM SEG or an RTSTRUCT; None for a case without foreground.
        fold: The cross-validation fold in which the case is held out, if the dataset defines it.
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
        volume: The values, float32, in LPS mm.
    """

    modality: str
    unit: str
    volume: hd.Volume


@dataclass(frozen=True, slots=True)
class LabelledCase:
    """A case in memory.

    Attributes:
        name: The name of the case.
        images: One for each input of a model.
        truth: The ground truth: the class number of each voxel, uint8, on the grid of the first image; 0 is background.
    """

    name: str
    images: tuple[LabelledImage, ...]
    truth: hd.Volume


@dataclass(frozen=True, slots=True)
class Digests:
    """The SHA-256 digests of a dataset as hexadecimal text; they do not depend on the paths of its files.

    Attributes:
        sha256: The digest of all cases and their names.
        cases: The digest of the files of each case, by name.
    """

    sha256: str
    cases: Mapping[str, str]


def compute_digests(cases: Sequence[CaseFiles]) -> Digests:
    """Returns the digests of cases; the digest of a DICOM folder includes all its files, without their names.

    Raises:
        InputError: A file cannot be read.
    """
    paths = {path for case in cases for path in (*case.images, case.truth) if path is not None}
    try:
        sha256_by_path = {path: _path_sha256(path) for path in sorted(paths)}
    except OSError as error:
        raise InputError(f"{error.filename}: cannot be read: {error.strerror}") from error
    sha256_by_case = {
        case.name: _case_sha256(case, sha256_by_path) for case in sorted(cases, key=lambda case: case.name)
    }
    return Digests(_texts_sha256([part for item in sha256_by_case.items() for part in item]), sha256_by_case)


def _case_sha256(case: CaseFiles, sha256_by_path: Mapping[Path, str]) -> str:
    images = [
        part
        for path, modality in zip(case.images, case.modalities, strict=True)
        for part in (modality, sha256_by_path[path])
    ]
    return _texts_sha256([*images, "truth", sha256_by_path[case.truth] if case.truth else "none"])


def _path_sha256(path: Path) -> str:
    if not path.is_dir():
        return file_sha256(path)
    files = (Path(parent, name) for parent, _, names in os.walk(path) for name in names)
    return _texts_sha256(sorted(file_sha256(file) for file in files if file.is_file()))


def _texts_sha256(parts: Iterable[str]) -> str:
    """Returns the digest of texts; each text is preceded by its length, so that the sequence is unambiguous."""
    return hashlib.sha256("".join(f"{len(part)}:{part}" for part in parts).encode()).hexdigest()
