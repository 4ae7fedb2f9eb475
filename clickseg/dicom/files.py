"""Finds the DICOM instances below a folder; reads only their headers."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from clickseg.core.errors import InputError
from clickseg.core.files import file_sha256
from clickseg.core.text import format_count, join_names
from clickseg.dicom.conversion import ConversionCache
from clickseg.dicom.part10 import TEXT_KEYWORDS, Damage, Instance, is_dicom, read_header

_MAX_LINKED_FILES = 1000
"""The number of files behind a link to a folder that are checked for DICOM."""

LINK_REASON = "link to DICOM files outside the folder"

_UNREAD_REASONS = ("broken link", "empty file", "link to a file outside the folder", "not DICOM")
"""The reasons for which a file is ignored that may be a slice without content."""


@dataclass(frozen=True, slots=True)
class Scan:
    """The content of a folder and its subfolders.

    Attributes:
        folder: The folder that was scanned; for a single file, its folder.
        instances: DICOM instances, sorted by file name.
        damaged: DICOM files that cannot be used, by name. They are reported because a volume could lack their slices.
        ignored: The number of other files, by the reason for which they are ignored.
        unread_files: The names of the ignored files that may be slices without content: empty files, files that are not
            DICOM, and links to files.
    """

    folder: Path
    instances: tuple[Instance, ...]
    damaged: Mapping[str, Damage]
    ignored: Mapping[str, int]
    unread_files: tuple[str, ...] = ()

    def check_undamaged(self, series_uids: Sequence[str] = ()) -> None:
        """Rejects the scan if damaged files may belong to a requested series.

        A damaged file of a series that has readable files is not reported here: only that series is rejected.

        Args:
            series_uids: The requested series; empty for all.

        Raises:
            InputError: Damaged files, or links to files outside the folder, may belong to a requested series; the
                message names them.
        """
        readable_uids = {instance.text("SeriesInstanceUID") for instance in self.instances}
        self._check_no_damage(
            lambda damage: (
                not damage.series_uid
                or (damage.series_uid not in readable_uids and (not series_uids or damage.series_uid in series_uids))
            )
        )

    def check_series_undamaged(self, series_uid: str) -> None:
        """Rejects a series with damaged files.

        Raises:
            InputError: The series has damaged files; the message names them.
        """
        self._check_no_damage(lambda damage: damage.series_uid == series_uid)

    def _check_no_damage(self, is_relevant: Callable[[Damage], bool]) -> None:
        reasons = {name: damage.reason for name, damage in self.damaged.items() if is_relevant(damage)}
        links = [name for name, reason in reasons.items() if reason == LINK_REASON]
        if len(links) < len(reasons):
            damaged = [f"{name}: {reason}" for name, reason in reasons.items() if reason != LINK_REASON]
            raise InputError(
                f"{format_count(len(damaged), 'damaged DICOM file')}: {'; '.join(damaged[:3])}",
                hint="send the damaged files again, or remove them",
            )
        if links:
            raise InputError(
                f"{format_count(len(links), 'link')} to DICOM files outside the folder: {join_names(links)}",
                hint="links are not followed: copy the files to which they refer into the folder",
            )


def scan(path: Path) -> Scan:
    """Finds every DICOM instance below a folder, regardless of file names.

    Args:
        path: A folder, or one DICOM file.

    Returns:
        The instances, the damaged files, and the number of ignored files: not DICOM, empty files, a DICOMDIR, links to
        folders, broken links, special files, byte-identical copies.

    Raises:
        InputError: The path does not exist, or a file or a folder cannot be read.
    """
    if not path.exists():
        raise InputError(f"no such file or folder: {path}")
    folder = path if path.is_dir() else path.parent
    ignored: Counter[str] = Counter()
    instances: list[Instance] = []
    damaged: dict[str, Damage] = {}
    unread_files: list[str] = []
    for file, content in _read_files(path, folder):
        if isinstance(content, Instance):
            instances.append(content)
        elif isinstance(content, Damage):
            damaged[file.relative_to(folder).as_posix()] = content
        else:
            ignored[content] += 1
            unread_files += [file.relative_to(folder).as_posix()] if content in _UNREAD_REASONS else []
    kept = _remove_copies(instances, ignored)
    return Scan(folder, kept, damaged, dict(sorted(ignored.items())), tuple(unread_files))


def _read_files(path: Path, folder: Path) -> Iterator[tuple[Path, Instance | Damage | str]]:
    conversions = ConversionCache(TEXT_KEYWORDS)
    for file in _list_files(path):
        yield file, _read_file(file, folder, conversions)


def _list_files(path: Path) -> Iterator[Path]:
    """Yields the files below a folder in a fixed order, and the links to folders, which are not entered."""
    if not path.is_dir():
        yield path
        return

    def raise_input_error(error: OSError) -> None:
        raise InputError(f"{error.filename}: cannot be read: {error.strerror}") from error

    for parent, folders, names in os.walk(path, onerror=raise_input_error):
        folders.sort()
        links = [name for name in folders if Path(parent, name).is_symlink()]
        yield from (Path(parent, name) for name in sorted([*names, *links]))


def _read_file(path: Path, folder: Path, conversions: ConversionCache) -> Instance | Damage | str:
    """Returns the instance in a file, its damage, or the reason for which the file is ignored."""
    if path.is_symlink():
        if not path.exists():
            return "broken link"
        is_inside = path.resolve().is_relative_to(folder.resolve())
        if path.is_dir():
            linked_files = () if is_inside else islice(_list_files(path), _MAX_LINKED_FILES)
            has_dicom = any(file.is_file() and is_dicom(file) for file in linked_files)
            return Damage(LINK_REASON) if has_dicom else "link to a folder"
        if not is_inside:
            return Damage(LINK_REASON) if is_dicom(path) else "link to a file outside the folder"
    if not path.is_file():
        return "special file"
    name = path.relative_to(folder).as_posix()
    try:
        return read_header(path, name, conversions)
    except OSError as error:
        raise InputError(f"{name}: cannot be read: {error.strerror}") from error


def _remove_copies(instances: list[Instance], ignored: Counter[str]) -> tuple[Instance, ...]:
    """Returns the instances without byte-identical copies of an SOP Instance; counts the copies in ``ignored``."""
    uids = Counter(instance.text("SOPInstanceUID") for instance in instances)
    seen: set[str] = set()
    kept: list[Instance] = []
    for instance in instances:
        digest = file_sha256(instance.path) if uids[instance.text("SOPInstanceUID")] > 1 else None
        if digest in seen:
            ignored["copy of another file"] += 1
            continue
        kept.append(instance)
        if digest is not None:
            seen.add(digest)
    return tuple(kept)
