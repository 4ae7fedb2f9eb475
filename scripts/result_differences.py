"""Compares two folders of results file by file: identical, identical except UIDs, or different.

If the generation of UIDs changes, the UIDs of all results change. Two results are identical except UIDs if their values
are equal after each UID that only one folder contains is replaced by its number in the order of appearance. UIDs that
both folders contain (those of the source series) and registered UIDs (SOP Classes, transfer syntaxes) must be equal.
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

_MEASURED_KEYS = ("peak_memory_mb", "seconds")
"""Keys of the report whose values differ from run to run."""

_META_LENGTH_TAG = "(0002,0000)"
"""File Meta Information Group Length, which depends on the length of the SOP Instance UID."""

_MAX_VALUE_CHARACTERS = 70


class Verdict(IntEnum):
    """The outcome of a comparison, ordered from equal to different."""

    IDENTICAL = 0
    UIDS_DIFFER = 1
    DIFFERENT = 2

    def __str__(self) -> str:
        return ("identical", "identical except UIDs", "different")[self]


@dataclass(frozen=True, slots=True)
class FileComparison:
    """The comparison of a file in one folder with its counterpart in the other folder.

    Attributes:
        name: The role of the file, such as ``series 1 seg``.
        verdict: The outcome.
        differences: One line for each value that differs; empty unless the verdict is ``DIFFERENT``.
    """

    name: str
    verdict: Verdict
    differences: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Value:
    """A value in a file.

    Attributes:
        text: The value as text; values are equal if their texts are equal.
        uids: The UIDs, if the value is that of a DICOM element with the value representation UI.
        has_embedded_uids: Whether any part of the text can be a UID, as in file names and in the report.
    """

    text: str
    uids: tuple[str, ...] = ()
    has_embedded_uids: bool = False


_Values = Mapping[str, _Value]
"""Values by their path in the file, in the order of the file."""

_ReplaceUids = Callable[[_Value], _Value]


@dataclass(frozen=True, slots=True)
class _File:
    """A file.

    Attributes:
        values: Its values, including the name of the file.
        digest: The SHA-256 of its bytes; empty for the report, which contains measured times.
    """

    values: _Values
    digest: str = ""


def compare_results(old: Path, new: Path) -> tuple[FileComparison, ...]:
    """Compares the results of two runs on the same input.

    Args:
        old: The folder of the first run, with ``report.json`` and the files that it names.
        new: The folder of the second run.

    Returns:
        A comparison for each file of either folder.

    Raises:
        OSError: A folder has no report, or a file cannot be read.
        ValueError: A report is not JSON.
        pydicom.errors.InvalidDicomError: A ``.dcm`` file is not DICOM.
    """
    before, after = _read_folder(old), _read_folder(new)
    old_uids, new_uids = _find_uids(before), _find_uids(after)
    replace_old, replace_new = _make_uid_replacer(old_uids, new_uids), _make_uid_replacer(new_uids, old_uids)
    return tuple(
        FileComparison(name, Verdict.DIFFERENT, (f"only in {'OLD' if name in before else 'NEW'}",))
        if name not in before or name not in after
        else _compare(name, before[name], after[name], (replace_old, replace_new))
        for name in dict.fromkeys([*before, *after])
    )


def _compare(name: str, old: _File, new: _File, replacers: tuple[_ReplaceUids, _ReplaceUids]) -> FileComparison:
    if old.values == new.values:
        if old.digest == new.digest:
            return FileComparison(name, Verdict.IDENTICAL)
        return FileComparison(name, Verdict.DIFFERENT, ("equal values, but different bytes",))
    before, after = (
        {path: replace_uids(value).text for path, value in file.values.items()}
        for file, replace_uids in zip((old, new), replacers, strict=True)
    )
    differences = tuple(_compare_values(before, after))
    return FileComparison(name, Verdict.DIFFERENT if differences else Verdict.UIDS_DIFFER, differences)


def _compare_values(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[str]:
    for path in dict.fromkeys([*old, *new]):
        before, after = old.get(path), new.get(path)
        if before is None or after is None:
            yield f"{path}: only in {'NEW' if before is None else 'OLD'}: {_shorten(before or after or '')}"
        elif before != after:
            yield f"{path}: {_shorten(before)} -> {_shorten(after)}"


def _shorten(text: str) -> str:
    return text if len(text) <= _MAX_VALUE_CHARACTERS else f"{text[:_MAX_VALUE_CHARACTERS]}..."


def _find_uids(files: Mapping[str, _File]) -> list[str]:
    """Returns the UIDs in the DICOM files of a folder, in order of appearance, without registered UIDs."""
    values = (value for file in files.values() for value in file.values.values())
    uids = dict.fromkeys(uid for value in values for uid in value.uids)
    return [uid for uid in uids if UID(uid).name == uid]


def _make_uid_replacer(uids: Iterable[str], other_uids: Iterable[str]) -> _ReplaceUids:
    """Returns a function that replaces UIDs of one folder by their number in the order of appearance.

    Args:
        uids: The UIDs of the folder, in order of appearance.
        other_uids: The UIDs of the other folder, which are not replaced.
    """
    common = frozenset(other_uids)
    own = [uid for uid in uids if uid not in common]
    names = {uid: f"UID {number}" for number, uid in enumerate(own, 1)}
    pattern = re.compile("|".join(rf"(?<![\d.]){re.escape(uid)}(?!\.?\d)" for uid in own) or r"(?!)")

    def replace_uids(value: _Value) -> _Value:
        if value.uids:
            return replace(value, text="\\".join(names.get(uid, uid) for uid in value.uids))
        return (
            replace(value, text=pattern.sub(lambda match: names[match[0]], value.text))
            if value.has_embedded_uids
            else value
        )

    return replace_uids


def _read_folder(folder: Path) -> dict[str, _File]:
    """Returns the files of a folder by their role; files that the report does not name, by their file name."""
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
    values = {"file name": _Value(path.name, has_embedded_uids=True)}
    if path.suffix != ".dcm":
        return _File({**values, "content": _Value(_describe_bytes(content))}, digest)
    dataset = dcmread(path)
    meta = {name: value for name, value in _dicom_values(dataset.file_meta) if not name.startswith(_META_LENGTH_TAG)}
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
        for key, item in value.items():
            if key not in _MEASURED_KEYS:
                yield from _json_values(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and value:
        for number, item in enumerate(value):
            yield from _json_values(item, f"{path}[{number}]")
    else:
        yield path, _Value(json.dumps(value), has_embedded_uids=True)
