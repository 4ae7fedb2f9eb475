"""Finding and reading clicks: which source counts, and which reader knows its form."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from clickseg.clicks.click import Clicks
from clickseg.clicks.clicks_json import is_clicks_json, parse_clicks_json
from clickseg.clicks.slicer_markups import is_slicer_markups, parse_slicer_markups
from clickseg.errors import ClickError
from clickseg.validation import read_json

NONE = "none"
"""As a source: use no clicks, whatever lies in the input folder."""

_READERS = ((is_slicer_markups, parse_slicer_markups), (is_clicks_json, parse_clicks_json))


@dataclass(frozen=True, slots=True)
class FoundClicks:
    """The clicks that count, and what was found beside them.

    Attributes:
        clicks: Empty where there are none.
        passed_over: Click files that do not count, since an explicit source wins.
    """

    clicks: Clicks
    passed_over: tuple[str, ...] = ()


def find_clicks(source: str | None, folder: Path) -> FoundClicks:
    """Returns the clicks of an explicit source, else those of the one click file in a folder tree.

    Args:
        source: A click file; ``none`` for no clicks at all; None to look in the folder.
        folder: The input folder.

    Raises:
        ClickError: A file cannot be read, or the folder holds several.
    """
    found = tuple(sorted(_click_files(folder)))
    names = tuple(path.relative_to(folder).as_posix() for path in found)
    if source == NONE:
        return FoundClicks(Clicks(), names)
    if source is not None:
        return FoundClicks(
            read_clicks(Path(source)),
            tuple(n for n, p in zip(names, found, strict=True) if not _same(p, source)),
        )
    if len(found) > 1:
        raise ClickError(f"{len(found)} click files in the input: {', '.join(names)}", hint="name one with --clicks")
    return FoundClicks(read_clicks(found[0], names[0]) if found else Clicks())


def read_clicks(path: Path, name: str | None = None) -> Clicks:
    """Reads a file of clicks, in whichever known form it is.

    Args:
        path: The file.
        name: What to call it in messages and the report; its own name by default.

    Raises:
        ClickError: It cannot be read, or is of no known form.
    """
    data = read_json(path, ClickError)
    for is_form, parse_form in _READERS:
        if is_form(data):
            return parse_form(data, name or path.name)
    raise ClickError(f"{path.name}: no known form of clicks: expected clicks.json or 3D Slicer markups (.mrk.json)")


def _click_files(folder: Path) -> Iterable[Path]:
    if not folder.is_dir():
        return ()
    return {path for pattern in ("clicks.json", "*.mrk.json") for path in folder.rglob(pattern) if path.is_file()}


def _same(path: Path, source: str) -> bool:
    return path.resolve() == Path(source).resolve()
