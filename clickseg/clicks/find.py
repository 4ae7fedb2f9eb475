"""Finding and reading click files: which source counts, and which reader knows its form."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from pydicom import dcmread

from clickseg.clicks.click import Clicks
from clickseg.clicks.formats.cvpr import read_cvpr
from clickseg.clicks.formats.grand_challenge import Frame
from clickseg.clicks.formats.registry import JSON_FORMS
from clickseg.clicks.formats.slicer import FCSV_SUFFIX, is_slicer_fcsv, parse_slicer_fcsv
from clickseg.clicks.formats.structured_report import clicks_of_report
from clickseg.clicks.image_clicks import AnyClicks, PendingClicks
from clickseg.core.errors import ClickError
from clickseg.core.validation import MAX_JSON_BYTES, load_json, read_json
from clickseg.dicom.part10 import MAX_INFLATED_BYTES, READ_ERRORS, inflates_beyond_bounds

NONE = "none"
"""As a source: use no clicks, whatever lies in the input folder."""

_KNOWN_NAMES = ("clicks.json", "*.mrk.json", f"*{FCSV_SUFFIX}")
_PREAMBLE = slice(128, 132)
_ZIP = b"PK"


@dataclass(frozen=True, slots=True)
class FoundClicks:
    """The clicks that count, and what was found beside them.

    Attributes:
        clicks: None where there is no click file.
        paths: The click files, where there are any.
        passed_over: Click files that do not count, since an explicit source wins.
    """

    clicks: AnyClicks | None
    paths: frozenset[Path] = frozenset()
    passed_over: tuple[str, ...] = ()


def find_clicks(sources: Sequence[str] | Clicks, folder: Path, frame: Frame) -> FoundClicks:
    """Returns the clicks of explicit sources, else those of the one click file in a folder tree.

    Args:
        sources: Click files; ``none`` for no clicks at all; nothing to look in the folder; or clicks in memory.
        folder: The input; where it is a file, there is nothing to look in.
        frame: What the numbers of a file are that names no frame.

    Raises:
        ClickError: A file cannot be read, the folder holds several, or the one that it holds is a link out of it.
    """
    found = _click_files(folder)
    if isinstance(sources, Clicks):
        return FoundClicks(sources, passed_over=tuple(found))
    if tuple(sources) == (NONE,):
        return FoundClicks(Clicks(), passed_over=tuple(found))
    if sources:
        own = frozenset(Path(os.path.realpath(source)) for source in sources)  # resolve() raises on a loop of links
        others = tuple(name for name, path in found.items() if path not in own)
        return FoundClicks(_together([read_clicks(Path(source), frame) for source in sources]), own, others)
    if len(found) > 1:
        raise ClickError(
            f"{len(found)} click files in the input: {', '.join(found)}", hint="name those that count with --clicks"
        )
    if not found:
        return FoundClicks(None)
    ((name, path),) = found.items()
    if not path.is_relative_to(folder.resolve()):
        raise ClickError(f"{name}: a link out of the input is not followed", hint="name the file with --clicks")
    return FoundClicks(read_clicks(path, frame, name), frozenset({path}))


def read_clicks(path: Path, frame: Frame = Frame.VOXEL, name: str | None = None) -> AnyClicks:
    """Reads a file of clicks, in whichever known form it is.

    Args:
        path: The file.
        frame: What the numbers of a file are that names no frame.
        name: What to call it in messages and the report; its own name by default.

    Raises:
        ClickError: It cannot be read, or is of no known form.
    """
    source = name or path.name
    try:
        with path.open("rb") as file:
            return clicks_in(file, source, frame)
    except OSError as error:
        raise ClickError(f"{source}: cannot be read: {error.strerror}") from error


def clicks_in(file: BinaryIO, source: str, frame: Frame = Frame.VOXEL) -> AnyClicks:
    """Reads an open file of clicks; see ``read_clicks``.

    Raises:
        ClickError: It is of no known form.
        OSError: It cannot be read.
    """
    content = file.read(MAX_JSON_BYTES + 1)
    if content.startswith(_ZIP):
        return read_cvpr(file, source)
    if content[_PREAMBLE] == b"DICM":
        return _from_dicom(file, source)
    text = content.decode(errors="replace")
    if is_slicer_fcsv(text):
        return parse_slicer_fcsv(text, source)
    looks_like_json = source.lower().endswith(".json") or text.lstrip()[:1] in ("{", "[")
    data = load_json(content, source, ClickError) if looks_like_json else None
    for form in JSON_FORMS:
        if form.matches(data):
            return form.parse(data, source, frame)
    raise ClickError(
        f"{source}: no known form of clicks: expected clicks.json, 3D Slicer markups (.mrk.json, .fcsv), Grand "
        "Challenge Multiple points, MONAI Label parameters, CVPR .npz, or DICOM SR"
    )


def _from_dicom(file: BinaryIO, source: str) -> AnyClicks:
    try:
        header = None if inflates_beyond_bounds(file) else dcmread(file, stop_before_pixels=True)
    except READ_ERRORS as error:
        raise ClickError(f"{source}: no DICOM SR: {type(error).__name__}") from error
    if header is None:
        raise ClickError(f"{source}: it inflates to more than {MAX_INFLATED_BYTES} bytes")
    parts = clicks_of_report(header, source)
    if not parts:
        raise ClickError(f"{source}: a DICOM file without seed points or probes")
    if len(parts) > 1:
        raise ClickError(f"{source}: expected clicks in one frame of reference or in images, got {len(parts)} of these")
    return parts[0]


def _together(parts: Sequence[AnyClicks]) -> AnyClicks:
    """Returns clicks of several files, such as a list of each polarity, as if they came from one.

    Raises:
        ClickError: They name different series or frames of reference, or some are in mm and some in voxels.
    """
    if len(parts) == 1:
        return parts[0]
    source = ", ".join(part.source for part in parts)
    in_mm = [part for part in parts if isinstance(part, Clicks)]
    pending = [part for part in parts if isinstance(part, PendingClicks)]
    if in_mm and pending:
        raise ClickError(f"{source}: expected all clicks in millimetres or all in voxels")
    if pending:
        return PendingClicks(tuple(point for part in pending for point in part.points), source)
    frames = {part.frame_of_reference_uid for part in in_mm} - {None}
    series = {part.series_instance_uid for part in in_mm} - {None}
    if len(frames) > 1 or len(series) > 1:
        raise ClickError(f"{source}: expected one series and one frame of reference, got {len(frames | series)} UIDs")
    points = tuple(point for part in in_mm for point in part.points)
    return Clicks(points, next(iter(frames), None), next(iter(series), None), source)


def _click_files(folder: Path) -> dict[str, Path]:
    """Returns the click files below a folder by name; two names of one file, as Kubernetes mounts it, are one."""
    if not folder.is_dir():
        return {}
    names = {path.resolve(): path.relative_to(folder).as_posix() for path in sorted(_candidates(folder), reverse=True)}
    return {name: path for path, name in sorted(names.items(), key=lambda item: item[1])}


def _candidates(folder: Path) -> Iterator[Path]:
    """Yields the files that are clicks by their name, and other JSON that is by its content."""
    by_name = {path for pattern in _KNOWN_NAMES for path in folder.rglob(pattern) if path.is_file()}
    yield from by_name
    for path in sorted(folder.rglob("*.json")):
        is_new = path not in by_name and path.is_file() and path.resolve().is_relative_to(folder.resolve())
        if is_new and any(form.matches(data) for data in _json(path) for form in JSON_FORMS):
            yield path


def _json(path: Path) -> Iterable[Any]:
    """Returns the content of a file that is small enough and JSON, else nothing."""
    try:
        return [read_json(path, ClickError)]
    except ClickError:
        return []
