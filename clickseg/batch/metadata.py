"""metadata.json: what a workflow engine is told of a run, beside its results or in place of them.

All values lie at the top and are plain: a condition of MONAI Deploy Workflow Manager reaches one level deep. They name
files, UIDs, classes and volumes, never a patient.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from clickseg.core.errors import ClickSegError
from clickseg.core.files import replace_whole
from clickseg.core.version import __version__

METADATA = "metadata.json"
SUCCESS, PARTIAL, FAILURE = "success", "partial", "failure"
VARIABLE = "CLICKSEG_METADATA"

Metadata: TypeAlias = Mapping[str, str | int | float]

_OF_EARLIER_VERSIONS = {"exception", "exception_message"}


def is_wanted(environ: Mapping[str, str]) -> bool:
    """Whether a run shall leave metadata."""
    return environ.get(VARIABLE) == "1"


def run_metadata(entries: Sequence[Mapping[str, Any]]) -> Metadata:
    """Returns the metadata of a run that came to its end.

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
        **_of_segments(segments),
    }
    for number, entry in enumerate(entries, 1):
        metadata.update((f"series_{number}_{name}", value) for name, value in _of_series(entry))
    return metadata


def with_error(error: ClickSegError, metadata: Metadata | None = None) -> Metadata:
    """Returns the metadata of a run that failed, under the names that Argo workflows of MONAI Deploy look for.

    Args:
        error: The first error.
        metadata: What is known of the run besides.
    """
    known = metadata or {"clickseg": __version__, "status": FAILURE}
    return {**known, "exception": type(error).__name__, "exception_message": str(error)}


def write_metadata(metadata: Metadata, output: Path) -> None:
    """Writes metadata to an output folder, which is made where it does not exist.

    Raises:
        OSError: It cannot be written.
    """
    output.mkdir(parents=True, exist_ok=True)
    replace_whole(output / METADATA, (json.dumps(metadata, indent=2) + "\n").encode())


def may_replace(output: Path) -> bool:
    """Whether there is no metadata.json in a folder yet, or one that a run left; another one is not ours."""
    try:
        content = json.loads((output / METADATA).read_bytes())
    except FileNotFoundError:
        return True
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and ("clickseg" in content or set(content) == _OF_EARLIER_VERSIONS)


def _of_series(entry: Mapping[str, Any]) -> Iterator[tuple[str, str | int | float]]:
    yield "uid", entry["series_instance_uid"]
    yield "modality", entry["modality"]
    if "error" in entry:
        yield from (("status", FAILURE), ("exception_message", entry["error"]))
        return
    yield "status", SUCCESS
    yield from ((kind, entry["files"][kind]) for kind in ("seg", "sr") if kind in entry["files"])
    yield from _of_segments(entry["segments"]).items()


def _of_segments(segments: Sequence[Mapping[str, Any]]) -> dict[str, str | int | float]:
    """Returns how many segments there are, of which classes, and their volume, also by class."""
    volumes: dict[str, float] = {}
    for segment in segments:
        volumes[segment["label"]] = volumes.get(segment["label"], 0.0) + segment["volume_ml"]
    return {
        "segments": len(segments),
        "labels": ", ".join(volumes),
        "volume_ml": round(sum(volumes.values()), 4),
        **{f"volume_ml_{_key(label)}": round(volume, 4) for label, volume in volumes.items()},
    }


def _key(label: str) -> str:
    """Returns a class's name as part of a key; a dot would end the key in a condition."""
    return re.sub(r"\W+", "_", label, flags=re.ASCII)
