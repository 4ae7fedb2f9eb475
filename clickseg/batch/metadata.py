"""``metadata.json``: the outcome of a run, for a workflow engine; also written if the run fails.

All values are plain and at the top level: a condition of MONAI Deploy Workflow Manager reaches one level deep. They
contain file names, UIDs, class names and volumes, never patient data.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from clickseg.core.errors import ClickSegError
from clickseg.core.files import replace_atomically
from clickseg.core.json_text import to_json
from clickseg.core.version import __version__

METADATA_FILE = "metadata.json"
SUCCESS, PARTIAL, FAILURE = "success", "partial", "failure"
METADATA_VARIABLE = "CLICKSEG_METADATA"

Metadata: TypeAlias = Mapping[str, str | int | float]

_OLD_KEYS = {"exception", "exception_message"}
"""The keys that earlier versions wrote, without the version of ClickSeg."""


def is_metadata_enabled(environ: Mapping[str, str]) -> bool:
    """Returns whether a run must write metadata."""
    return environ.get(METADATA_VARIABLE) == "1"


def run_metadata(entries: Sequence[Mapping[str, Any]]) -> Metadata:
    """Returns the metadata of a run that has finished.

    Args:
        entries: The report's entries, one for each series.
    """
    failed = sum("error" in entry for entry in entries)
    segments = [segment for entry in entries for segment in entry.get("segments", ())]
    metadata: dict[str, str | int | float] = {
        "clickseg": __version__,
        "status": FAILURE if failed == len(entries) else PARTIAL if failed else SUCCESS,
        "series": len(entries),
        "series_failed": failed,
        **_segment_values(segments),
    }
    for number, entry in enumerate(entries, 1):
        metadata.update((f"series_{number}_{name}", value) for name, value in _series_values(entry))
    return metadata


def add_error(error: ClickSegError, metadata: Metadata | None = None) -> Metadata:
    """Returns the metadata of a run that failed, with the keys that Argo workflows of MONAI Deploy read.

    Args:
        error: The first error.
        metadata: The metadata of the run without the error, if any.
    """
    known = metadata or {"clickseg": __version__, "status": FAILURE}
    return {**known, "exception": type(error).__name__, "exception_message": str(error)}


def write_metadata(metadata: Metadata, output: Path) -> None:
    """Writes metadata to an output folder; creates the folder if it does not exist.

    Raises:
        OSError: The file cannot be written.
    """
    output.mkdir(parents=True, exist_ok=True)
    replace_atomically(output / METADATA_FILE, (to_json(metadata) + "\n").encode())


def can_replace_metadata(output: Path) -> bool:
    """Returns whether a folder has no ``metadata.json``, or one of ClickSeg; a file of another program is kept."""
    try:
        content = json.loads((output / METADATA_FILE).read_bytes())
    except FileNotFoundError:
        return True
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and ("clickseg" in content or set(content) == _OLD_KEYS)


def _series_values(entry: Mapping[str, Any]) -> Iterator[tuple[str, str | int | float]]:
    yield "uid", entry["series_instance_uid"]
    yield "modality", entry["modality"]
    if "error" in entry:
        yield from (("status", FAILURE), ("exception_message", entry["error"]))
        return
    yield "status", SUCCESS
    yield from ((kind, entry["files"][kind]) for kind in ("seg", "sr") if kind in entry["files"])
    yield from _segment_values(entry["segments"]).items()


def _segment_values(segments: Sequence[Mapping[str, Any]]) -> dict[str, str | int | float]:
    """Returns the number of segments, their class names, and their volume, in total and for each class."""
    volumes: dict[str, float] = {}
    for segment in segments:
        volumes[segment["label"]] = volumes.get(segment["label"], 0.0) + segment["volume_ml"]
    return {
        "segments": len(segments),
        "labels": ", ".join(volumes),
        "volume_ml": round(sum(volumes.values()), 4),
        **{f"volume_ml_{_key_part(label)}": round(volume, 4) for label, volume in volumes.items()},
    }


def _key_part(label: str) -> str:
    """Returns the name of a class as part of a key. In a condition, a dot would end the key."""
    return re.sub(r"\W+", "_", label, flags=re.ASCII)
