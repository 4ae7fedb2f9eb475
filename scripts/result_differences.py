"""Compares two folders of results file by file: identical, identical but for UIDs, or different.

A change in how ClickSeg makes UIDs changes those of all results. Two results are identical but for UIDs if their values
are equal after each UID that only one of the folders holds is replaced by its number in order of appearance. UIDs that
both folders hold, as those of the source, and registered ones (SOP Classes, transfer syntaxes) are compared as they
are.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path
from typing import Any

from pydicom import DataElement, Dataset, dcmread
from pydicom.multival import MultiValue
from pydicom.uid import UID

REPORT = "report.json"

_MEASURED = ("peak_memory_mb", "seconds")
"""Keys of the report whose values differ from run to run."""

_META_LENGTH = "(0002,0000)"
"""Its value depends on the length of the instance's UID."""

_SHOWN_CHARACTERS = 70


class Verdict(IntEnum):
    """The outcome of a comparison; the larger, the worse."""

    IDENTICAL = 0
    UIDS_DIFFER = 1
    DIFFERENT = 2

    def __str__(self) -> str:
        return ("identical", "identical but for UIDs", "different")[self]


@dataclass(frozen=True, slots=True)
class FileComparison:
    """A file of one folder compared with its counterpart in the other.

    Attributes:
        name: What the file is, such as ``series 1 seg``.
        verdict: The outcome.
        differences: A line for each value that differs; empty unless the files are different.
    """

    name: str
    verdict: Verdict
    differences: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Value:
    """A value in a file.

    Attributes:
        text: The value; equal texts mean equal values.
        uids: The UIDs in an element of value representation UI.
        is_plain: Whether UIDs may stand anywhere in the text: in file names and in the report.
    """

    text: str
    uids: tuple[str, ...] = ()
    is_plain: bool = False


_Values = Mapping[str, _Value]
"""Values by their path in the file, in the file's order."""

_Rename = Callable[[_Value], _Value]


@dataclass(frozen=True, slots=True)
class _File:
    """A file.

    Attributes:
        values: Its values, the file's name among them.
        digest: Of its bytes; empty for the report, which holds measured times.
    """

    values: _Values
    digest: str = ""


def compare_results(old: Path, new: Path) -> tuple[FileComparison, ...]:
    """Compares the results of two runs on the same input.

    Args:
        old: A folder with ``report.json`` and the files that it names.
        new: Another one.

    Returns:
        A comparison for each file in any of the two folders.

    Raises:
        OSError: A folder has no report, or a file cannot be read.
        ValueError: A report is not JSON.
        pydicom.errors.InvalidDicomError: A ``.dcm`` file is not DICOM.
    """
    before, after = _read_folder(old), _read_folder(new)
    old_uids, new_uids = _uids_of(before), _uids_of(after)
    rename_old, rename_new = _renaming(old_uids, new_uids), _renaming(new_uids, old_uids)
    return tuple(
        FileComparison(name, Verdict.DIFFERENT, (f"only in {'OLD' if name in before else 'NEW'}",))
        if name not in before or name not in after
        else _compare(name, before[name], after[name], (rename_old, rename_new))
        for name in dict.fromkeys([*before, *after])
    )


def _compare(name: str, old: _File, new: _File, renames: tuple[_Rename, _Rename]) -> FileComparison:
    if old.values == new.values:
        if old.digest == new.digest:
            return FileComparison(name, Verdict.IDENTICAL)
        return FileComparison(name, Verdict.DIFFERENT, ("equal values in another encoding",))
    before, after = (
        {path: rename(value).text for path, value in file.values.items()}
        for file, rename in zip((old, new), renames, strict=True)
    )
    differences = tuple(_differences(before, after))
    return FileComparison(name, Verdict.DIFFERENT if differences else Verdict.UIDS_DIFFER, differences)


def _differences(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[str]:
    for path in dict.fromkeys([*old, *new]):
        before, after = old.get(path), new.get(path)
        if before is None or after is None:
            yield f"{path}: only in {'NEW' if before is None else 'OLD'}: {_shorten(before or after or '')}"
        elif before != after:
            yield f"{path}: {_shorten(before)} -> {_shorten(after)}"


def _shorten(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."


def _uids_of(files: Mapping[str, _File]) -> list[str]:
    """Returns the UIDs in the DICOM files of a folder, in order of appearance; registered ones are left out."""
    values = (value for file in files.values() for value in file.values.values())
    uids = dict.fromkeys(uid for value in values for uid in value.uids)
    return [uid for uid in uids if UID(uid).name == uid]


def _renaming(uids: Iterable[str], others: Iterable[str]) -> _Rename:
    """Returns what replaces the UIDs that only one folder holds by their number in order of appearance.

    Args:
        uids: The UIDs of the folder, in order of appearance.
        others: Those of the other folder.
    """
    kept = frozenset(others)
    own = [uid for uid in uids if uid not in kept]
    names = {uid: f"UID {number}" for number, uid in enumerate(own, 1)}
    pattern = re.compile("|".join(rf"(?<![\d.]){re.escape(uid)}(?!\.?\d)" for uid in own) or r"(?!)")

    def rename(value: _Value) -> _Value:
        if value.uids:
            return replace(value, text="\\".join(names.get(uid, uid) for uid in value.uids))
        return replace(value, text=pattern.sub(lambda found: names[found[0]], value.text)) if value.is_plain else value

    return rename


def _read_folder(folder: Path) -> dict[str, _File]:
    """Returns the files of a folder by what they are; files that the report does not name go by their names."""
    report = json.loads((folder / REPORT).read_text())
    named = {
        f"series {number} {kind}": folder / name
        for number, entry in enumerate(report["series"], 1)
        for kind, name in sorted(entry.get("files", {}).items())
    }
    known = {folder / REPORT, *named.values()}
    others = {path.name: path for path in sorted(folder.iterdir()) if path not in known}
    files = {name: _read_file(path) for name, path in {**named, **others}.items()}
    return {**files, "report": _File(dict(_json_values(report)))}


def _read_file(path: Path) -> _File:
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    values = {"file name": _Value(path.name, is_plain=True)}
    if path.suffix != ".dcm":
        return _File({**values, "content": _Value(_describe_bytes(content))}, digest)
    dataset = dcmread(path)
    meta = {name: value for name, value in _dicom_values(dataset.file_meta) if not name.startswith(_META_LENGTH)}
    return _File({**values, **meta, **dict(_dicom_values(dataset))}, digest)


def _dicom_values(dataset: Dataset, prefix: str = "") -> Iterator[tuple[str, _Value]]:
    """Yields the values of a dataset and of the items of its sequences by tag path."""
    for element in dataset:
        path = f"{prefix}{element.tag}"
        yield f"{path} {element.keyword}", _element_value(element)
        if element.VR == "SQ":
            for number, item in enumerate(element.value):
                yield from _dicom_values(item, f"{path}[{number}].")


def _element_value(element: DataElement) -> _Value:
    value = element.value
    if element.VR == "SQ":
        return _Value(f"{len(value)} items{', of undefined length' if element.is_undefined_length else ''}")
    if element.VR == "UI" and value:
        uids = tuple(str(uid) for uid in (value if isinstance(value, MultiValue) else [value]))
        return _Value("\\".join(uids), uids)
    return _Value(f"{element.VR} {_describe_bytes(value) if isinstance(value, bytes) else repr(value)}")


def _describe_bytes(content: bytes) -> str:
    return f"{len(content)} bytes, SHA-256 {hashlib.sha256(content).hexdigest()}"


def _json_values(value: Any, path: str = "") -> Iterator[tuple[str, _Value]]:
    if isinstance(value, dict) and value:
        for key, each in value.items():
            if key not in _MEASURED:
                yield from _json_values(each, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and value:
        for number, each in enumerate(value):
            yield from _json_values(each, f"{path}[{number}]")
    else:
        yield path, _Value(json.dumps(value), is_plain=True)
