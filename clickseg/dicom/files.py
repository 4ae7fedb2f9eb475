"""Finding the DICOM instances of a folder tree, headers only."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from clickseg.core.errors import InputError
from clickseg.core.files import file_sha256
from clickseg.core.text import counted
from clickseg.dicom.part10 import TEXTS, Conversions, Damage, Instance, is_dicom, read_header

_LOOKED_AT = 1000
"""How many files behind a link are looked at for one that is DICOM."""


@dataclass(frozen=True, slots=True)
class Scan:
    """What a folder tree holds.

    Attributes:
        folder: The folder that was scanned (the parent, where a single file was).
        instances: DICOM instances in the order of their names.
        damaged: Files that are DICOM but cannot be used, by name. To leave one out could shorten a volume.
        passed_over: How many other files were left aside, by reason.
    """

    folder: Path
    instances: tuple[Instance, ...]
    damaged: Mapping[str, Damage]
    passed_over: Mapping[str, int]

    def check_undamaged(self, series_uids: Sequence[str] = ()) -> None:
        """Refuses damaged files that may belong to what is wanted and that no series can be refused for.

        Args:
            series_uids: The series that are wanted; none for all.

        Raises:
            InputError: There are some; the message names them.
        """
        whole = {instance.text("SeriesInstanceUID") for instance in self.instances}
        self._refuse(
            lambda damage: (
                not damage.series_uid
                or (damage.series_uid not in whole and (not series_uids or damage.series_uid in series_uids))
            )
        )

    def check_series(self, series_uid: str) -> None:
        """Refuses a series with damaged files.

        Raises:
            InputError: There are some; the message names them.
        """
        self._refuse(lambda damage: damage.series_uid == series_uid)

    def _refuse(self, is_meant: Callable[[Damage], bool]) -> None:
        meant = {name: damage.reason for name, damage in self.damaged.items() if is_meant(damage)}
        if meant:
            named = "; ".join(f"{name}: {reason}" for name, reason in list(meant.items())[:3])
            raise InputError(
                f"{counted(len(meant), 'damaged DICOM file')}: {named}", hint="send them again, or remove them"
            )


def scan(path: Path) -> Scan:
    """Finds every DICOM instance below a folder, whatever its file is called.

    Args:
        path: A folder, or one DICOM file.

    Returns:
        The instances, and a count of what was passed over: files that are not DICOM, empty ones, a DICOMDIR, links
        to folders or nowhere, special files, byte-identical copies.

    Raises:
        InputError: The path does not exist, or a file or a folder cannot be read.
    """
    if not path.exists():
        raise InputError(f"no such file or folder: {path}")
    folder = path if path.is_dir() else path.parent
    passed_over: Counter[str] = Counter()
    instances: list[Instance] = []
    damaged: dict[str, Damage] = {}
    for file, found in _found(path, folder):
        if isinstance(found, Instance):
            instances.append(found)
        elif isinstance(found, Damage):
            damaged[file.relative_to(folder).as_posix()] = found
        else:
            passed_over[found] += 1
    return Scan(folder, _without_copies(instances, passed_over), damaged, dict(sorted(passed_over.items())))


def _found(path: Path, folder: Path) -> Iterator[tuple[Path, Instance | Damage | str]]:
    conversions = Conversions(TEXTS)
    for file in _files(path):
        yield file, _read(file, folder, conversions)


def _files(path: Path) -> Iterator[Path]:
    """Yields the files below a folder in a fixed order, and the links to folders, which are not entered."""
    if not path.is_dir():
        yield path
        return

    def refuse(error: OSError) -> None:
        raise InputError(f"{error.filename}: cannot be read: {error.strerror}") from error

    for parent, folders, names in os.walk(path, onerror=refuse):
        folders.sort()
        links = [name for name in folders if Path(parent, name).is_symlink()]
        yield from (Path(parent, name) for name in sorted([*names, *links]))


def _read(path: Path, folder: Path, conversions: Conversions) -> Instance | Damage | str:
    """Returns the instance in a file, its damage, or the reason for which the file is passed over."""
    if path.is_symlink():
        if not path.exists():
            return "broken link"
        is_inside = path.resolve().is_relative_to(folder.resolve())
        if path.is_dir():
            behind = () if is_inside else islice(_files(path), _LOOKED_AT)
            has_dicom = any(each.is_file() and is_dicom(each) for each in behind)
            return Damage("a link out of the folder is not followed") if has_dicom else "link to a folder"
        if not is_inside:
            return Damage("a link out of the folder is not followed") if is_dicom(path) else "link out of the folder"
    if not path.is_file():
        return "special file"
    name = path.relative_to(folder).as_posix()
    try:
        return read_header(path, name, conversions)
    except OSError as error:
        raise InputError(f"{name}: cannot be read: {error.strerror}") from error


def _without_copies(instances: list[Instance], passed_over: Counter[str]) -> tuple[Instance, ...]:
    """Leaves out files that are byte for byte the same as an earlier one of the same SOP instance."""
    uids = Counter(instance.text("SOPInstanceUID") for instance in instances)
    seen: set[str] = set()
    kept: list[Instance] = []
    for instance in instances:
        digest = file_sha256(instance.path) if uids[instance.text("SOPInstanceUID")] > 1 else None
        if digest in seen:
            passed_over["copy of another file"] += 1
            continue
        kept.append(instance)
        if digest is not None:
            seen.add(digest)
    return tuple(kept)
