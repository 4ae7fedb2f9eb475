"""Rejects series whose slices are there by name only, or leaves out these files if the user requests it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from clickseg.core.errors import SeriesError
from clickseg.core.text import format_count
from clickseg.dicom.file_owners import find_owners
from clickseg.dicom.files import Scan
from clickseg.dicom.incomplete import BROKEN_LINK, FileStates, find_files_without_content, format_files
from clickseg.dicom.repairs import Repairs
from clickseg.dicom.series_files import SeriesFiles


def find_missing_files(scan_result: Scan, all_files: Sequence[SeriesFiles]) -> dict[str, FileStates]:
    """Returns the files without content of each series of a scan, by the name of the first file of the series.

    If the names of several series are alike, a file is one of the series to which its number belongs. If the number
    does not show it, the file is one of each of these series, because any of them can lack a slice.

    Args:
        scan_result: The scan.
        all_files: All series of the scan.
    """
    states = {files.first_file_name: _states(files, scan_result) for files in all_files}
    candidates: dict[str, list[SeriesFiles]] = defaultdict(list)
    for files in all_files:
        for name in states[files.first_file_name]:
            candidates[name].append(files)
    for name, series in candidates.items():
        if len(series) > 1:
            owners = [files.first_file_name for files in find_owners(name, series)]
            for first_name in (files.first_file_name for files in series):
                state = states[first_name].pop(name)
                if first_name in owners:
                    states[first_name][name] = state if len(owners) == 1 else f"{state}, of this or another series"
    return states


def leave_out_missing_files(files: SeriesFiles, states: FileStates, repairs: Repairs) -> SeriesFiles:
    """Returns the files of a series after the check that no slice is there by name only.

    Args:
        files: The instances of the series.
        states: The files without content of the series.
        repairs: The repairs that the user allows: ``incomplete`` leaves out slices without DICOM content.

    Raises:
        SeriesError: Files have no content, and the repair was not requested.
    """
    if not states:
        return files
    summary = format_files(states)
    if repairs.incomplete:
        return files.with_repair(f"left out {summary}")
    has_links = any(state.startswith(BROKEN_LINK) for state in states.values())
    action = "copy the targets of the links, or send these files again" if has_links else "send these files again"
    raise SeriesError(
        f"slices are missing: the series has {format_count(len(files.instances), 'readable file')}, and {summary}",
        hint=f"{action}; --repair incomplete continues without them",
    )


def _states(files: SeriesFiles, scan_result: Scan) -> FileStates:
    slices = [instance.name for instance in files.instances]
    return find_files_without_content(scan_result.folder, slices, scan_result.unread_files)
