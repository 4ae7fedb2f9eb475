"""Finding click files, and reading each with the reader of its format."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pydicom import dcmread

from clickseg.clicks.click import Clicks
from clickseg.clicks.formats.cvpr import read_cvpr
from clickseg.clicks.formats.grand_challenge import CoordinateSystem
from clickseg.clicks.formats.registry import JSON_FORMATS
from clickseg.clicks.formats.slicer import FCSV_SUFFIX, is_slicer_fcsv, parse_slicer_fcsv
from clickseg.clicks.formats.structured_report import read_report_clicks
from clickseg.clicks.image_clicks import AnyClicks, UnresolvedClicks
from clickseg.core.errors import ClickError
from clickseg.core.text import decode_text, format_count
from clickseg.core.validation import MAX_JSON_BYTES, parse_json
from clickseg.dicom.conversion import READ_ERRORS
from clickseg.dicom.part10 import MAX_INFLATED_BYTES, is_decompression_bomb

NO_CLICKS = "none"
"""The source that means: use no clicks, and ignore click files in the input folder."""

_CLICK_FILE_NAME = re.compile(rf"clicks\.json|.*(\.mrk\.json|{re.escape(FCSV_SUFFIX)})", re.IGNORECASE | re.DOTALL)
_JSON_SUFFIX = ".json"
_CLICK_WORDS = ("Multiple points", "background", "clicks", "foreground", "markups", "point_labels")
"""Texts in quotes of which each click file in JSON contains one."""

_PREAMBLE = slice(128, 132)
_ZIP = b"PK"


@dataclass(frozen=True, slots=True)
class FoundClicks:
    """The clicks to use, and the click files that are ignored.

    Attributes:
        clicks: The clicks, or None if no click file exists.
        paths: The click files that were read.
        ignored: The click files in the input folder that are ignored, because clicks were given explicitly.
    """

    clicks: AnyClicks | None
    paths: frozenset[Path] = frozenset()
    ignored: tuple[str, ...] = ()


def find_clicks(sources: Sequence[str] | Clicks, folder: Path, coordinate_system: CoordinateSystem) -> FoundClicks:
    """Returns the clicks of explicit sources, else those of the only click file in a folder or its subfolders.

    Args:
        sources: Click files; ``none`` for no clicks; clicks in memory; or empty to search the folder.
        folder: The input. If it is a file, the search is skipped.
        coordinate_system: The coordinate system of Grand Challenge files, which do not contain it.

    Raises:
        ClickError: A file cannot be read, the folder contains several click files, or its only one is a link to a file
            outside the folder.
    """
    files = _find_click_files(folder)
    if isinstance(sources, Clicks):
        return FoundClicks(sources, ignored=tuple(files))
    if tuple(sources) == (NO_CLICKS,):
        return FoundClicks(Clicks(), ignored=tuple(files))
    if sources:
        used = frozenset(Path(os.path.realpath(source)) for source in sources)  # resolve() fails on circular links
        ignored = tuple(name for name, path in files.items() if path not in used)
        return FoundClicks(
            _combine([read_clicks(Path(source), coordinate_system) for source in sources]), used, ignored
        )
    if len(files) > 1:
        raise ClickError(
            f"expected at most one click file in the input folder, got {len(files)}: {', '.join(files)}",
            hint="select one or several with --clicks FILE",
        )
    if not files:
        return FoundClicks(None)
    ((name, path),) = files.items()
    if not path.is_relative_to(folder.resolve()):
        raise ClickError(
            f"{name}: expected a file in the input folder, got a link to a file outside it",
            hint="pass the file with --clicks FILE",
        )
    return FoundClicks(read_clicks(path, coordinate_system, name), frozenset({path}))


def read_clicks(
    path: Path, coordinate_system: CoordinateSystem = CoordinateSystem.VOXEL, name: str | None = None
) -> AnyClicks:
    """Reads a click file of any known format.

    Args:
        path: The file.
        coordinate_system: The coordinate system of Grand Challenge files, which do not contain it.
        name: The name of the file in messages and the report; by default the file name.

    Raises:
        ClickError: The file cannot be read, or its format is unknown.
    """
    source = name or path.name
    try:
        with path.open("rb") as file:
            return parse_click_file(file, source, coordinate_system)
    except OSError as error:
        raise ClickError(f"{source}: cannot be read: {error.strerror}") from error


def parse_click_file(
    file: BinaryIO, source: str, coordinate_system: CoordinateSystem = CoordinateSystem.VOXEL
) -> AnyClicks:
    """Reads an open click file; see ``read_clicks``.

    Raises:
        ClickError: The format is unknown, or the content is invalid.
        OSError: The file cannot be read.
    """
    content = file.read(MAX_JSON_BYTES + 1)
    if content.startswith(_ZIP):
        return read_cvpr(file, source)
    if content[_PREAMBLE] == b"DICM":
        return _read_dicom_sr(file, source)
    text = decode_text(content, errors="replace")
    if is_slicer_fcsv(text):
        if len(content) > MAX_JSON_BYTES:
            raise ClickError(f"{source}: expected at most {MAX_JSON_BYTES} bytes")
        return parse_slicer_fcsv(text, source)
    looks_like_json = source.lower().endswith(_JSON_SUFFIX) or text.lstrip()[:1] in ("{", "[")
    data = parse_json(content, source, ClickError) if looks_like_json else None
    for json_format in JSON_FORMATS:
        if json_format.matches(data):
            return json_format.parse(data, source, coordinate_system)
    raise ClickError(
        f"{source}: unknown click file format: expected clicks.json, 3D Slicer markups (.mrk.json, .fcsv), Grand "
        "Challenge Multiple points, MONAI Label parameters, CVPR .npz, or DICOM SR"
    )


def _read_dicom_sr(file: BinaryIO, source: str) -> AnyClicks:
    try:
        header = None if is_decompression_bomb(file) else dcmread(file, stop_before_pixels=True)
    except READ_ERRORS as error:
        raise ClickError(f"{source}: not a DICOM SR: {type(error).__name__}") from error
    if header is None:
        raise ClickError(f"{source}: the deflated DICOM file inflates to more than {MAX_INFLATED_BYTES} bytes")
    parts = read_report_clicks(header, source)
    if not parts:
        raise ClickError(f"{source}: expected a DICOM SR with seed points or probes, got a DICOM file without them")
    if len(parts) > 1:
        raise ClickError(
            f"{source}: expected clicks in one frame of reference, or in images, got {len(parts)} groups of clicks"
        )
    return parts[0]


def _combine(parts: Sequence[AnyClicks]) -> AnyClicks:
    """Combines the clicks of several files, for example of one file for each polarity.

    Raises:
        ClickError: The files are of different series or frames of reference, or mix millimetres and voxels.
    """
    if len(parts) == 1:
        return parts[0]
    source = ", ".join(part.source for part in parts)
    in_mm = [part for part in parts if isinstance(part, Clicks)]
    unresolved = [part for part in parts if isinstance(part, UnresolvedClicks)]
    if in_mm and unresolved:
        raise ClickError(f"{source}: expected all clicks in millimetres, or all in voxels, got both")
    if unresolved:
        return UnresolvedClicks(tuple(point for part in unresolved for point in part.points), source)
    frames = {part.frame_of_reference_uid for part in in_mm} - {None}
    series = {part.series_instance_uid for part in in_mm} - {None}
    if len(frames) > 1 or len(series) > 1:
        raise ClickError(
            f"{source}: expected one series and one frame of reference, got {len(series)} series and "
            f"{format_count(len(frames), 'frame')} of reference"
        )
    points = tuple(point for part in in_mm for point in part.points)
    return Clicks(points, next(iter(frames), None), next(iter(series), None), source)


def _find_click_files(folder: Path) -> dict[str, Path]:
    """Returns the click files in a folder and its subfolders by name. Links to one file (Kubernetes) are one file."""
    if not folder.is_dir():
        return {}
    names = {
        path.resolve(): path.relative_to(folder).as_posix() for path in sorted(_find_candidates(folder), reverse=True)
    }
    return {name: path for path, name in sorted(names.items(), key=lambda item: item[1])}


def _find_candidates(folder: Path) -> Iterator[Path]:
    """Yields the files with the name of a click file, and other JSON files with the content of one."""
    for path in sorted(folder.rglob("*")):
        if _CLICK_FILE_NAME.fullmatch(path.name):
            if path.is_file():
                yield path
        elif path.name.lower().endswith(_JSON_SUFFIX):
            is_inside = path.is_file() and path.resolve().is_relative_to(folder.resolve())
            if is_inside and _has_clicks(path):
                yield path


def _has_clicks(path: Path) -> bool:
    """Whether a JSON file has the content of a click file, even if it is damaged; not if it is too large."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_JSON_BYTES + 1)
    except OSError:
        return False
    try:
        data = parse_json(content, path.name, ClickError)
    except ClickError:
        text = "" if len(content) > MAX_JSON_BYTES else decode_text(content, errors="replace")
        return any(f'"{word}"' in text for word in _CLICK_WORDS)
    return any(json_format.matches(data) for json_format in JSON_FORMATS)
