"""SHA-256 of the files of a dataset, for the record of what was trained or judged with."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from clickseg.datasets.case import CaseFiles
from clickseg.digest import file_sha256
from clickseg.errors import InputError


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
