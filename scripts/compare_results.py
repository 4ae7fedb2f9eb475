"""Runs ``clickseg segment`` of two versions on the same studies, and compares their results.

Usage: ``make compare-results OLD=REVISION NEW=.``, or ``python -m scripts.compare_results OLD NEW``. See
docs/developers/testing.md. This module does not import ``clickseg``: each version runs in separate processes, from its
own files.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom.errors import InvalidDicomError

from scripts.result_differences import FileComparison, Verdict, compare_results

_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
_PET = Path("fixtures", "pet_raw_sts001", "FDG_PET", "image")
_PET_CLICK_LPS_MM = (67.96875, 11.71875, -789.7271728515625)  # the centre of the tumour
_SOURCE_DATE_EPOCH = "1700000000"
_EMPTY_FOLDER = "empty"
"""The working folder of processes; empty, because Python searches it first for modules, and ClickSeg for models."""

_MAX_PRINTED_DIFFERENCES = 10


class ComparisonError(Exception):
    """Two versions cannot be compared."""


@dataclass(frozen=True, slots=True)
class Version:
    """A version of ClickSeg.

    Attributes:
        name: The requested revision or folder.
        code: The folder that contains ``clickseg`` and ``models``.
        work: A folder for the cache and the results of this version.
    """

    name: str
    code: Path
    work: Path


@dataclass(frozen=True, slots=True)
class Case:
    """An input that both versions segment.

    Attributes:
        name: The name in the output.
        study: A folder of DICOM.
        clicks: A click file, or ``none`` for no clicks; None if the clicks are in the study.
    """

    name: str
    study: Path
    clicks: str | None


def main(argv: Sequence[str] | None = None) -> int:
    """Compares two versions and prints the differences of their results.

    Args:
        argv: The arguments without the name of the program; by default those of the process.

    Returns:
        0 if the results are the same, 1 if they differ, 2 if they cannot be compared.
    """
    arguments = _parse_arguments(argv)
    try:
        with tempfile.TemporaryDirectory(prefix="compare-results-") as folder:
            old = _make_version(arguments.old, Path(folder, "old"))
            new = _make_version(arguments.new, Path(folder, "new"))
            verdict = max(
                _print_comparison(case, _compare(case, old, new))
                for case in _find_cases(old, Path(folder), arguments.data)
            )
    except ComparisonError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{old.name} and {new.name}: {verdict}")
    return int(verdict > (Verdict.UIDS_DIFFER if arguments.uids == "may-differ" else Verdict.IDENTICAL))


def _parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="compare-results", description="Compare the results of two versions.")
    parser.add_argument("old", nargs="?", default="HEAD", metavar="OLD", help="git revision or folder (default: HEAD)")
    parser.add_argument("new", nargs="?", default=".", metavar="NEW", help="git revision or folder (default: .)")
    parser.add_argument(
        "--uids",
        choices=("same", "may-differ"),
        default="same",
        help="whether results pass that are identical except UIDs that ClickSeg made (default: same)",
    )
    data = Path(os.environ.get("CLICKSEG_TEST_DATA") or _DATA)
    parser.add_argument("--data", type=Path, default=data, help="folder of real data [CLICKSEG_TEST_DATA]")
    return parser.parse_args(argv)


def _make_version(name: str, work: Path) -> Version:
    """Returns a version: an existing folder, or a new folder with the files of a git revision."""
    (work / _EMPTY_FOLDER).mkdir(parents=True)
    code = Path(name).resolve() if Path(name).is_dir() else _extract_revision(name, work / "code")
    version = Version(name, code, work)
    for folder in ("clickseg", "models"):
        if not (code / folder).is_dir():
            raise ComparisonError(f"{name}: expected a checkout of ClickSeg, but it contains no folder {folder}")
    imported = _run_python(version, "-c", "import clickseg; print(clickseg.__file__)").strip()
    if not Path(imported).is_relative_to(code):
        raise ComparisonError(f"{name}: expected clickseg to be imported from {code}, got {imported}")
    return version


def _extract_revision(revision: str, folder: Path) -> Path:
    git = shutil.which("git")
    if git is None:
        raise ComparisonError(f"{revision}: expected a folder, because git is not installed")
    completed = subprocess.run([git, "archive", "--format=tar", revision], capture_output=True, check=False)
    if completed.returncode != 0:
        message = completed.stderr.decode(errors="replace").strip()
        raise ComparisonError(f"{revision}: expected a folder or a git revision: {message}")
    with tarfile.open(fileobj=io.BytesIO(completed.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def _find_cases(old: Version, folder: Path, data: Path) -> Iterator[Case]:
    """Yields the demo study, and cases of real PET if the data exist."""
    _run_python(old, "-m", "clickseg", "demo", "--study-only", "-o", str(folder / "demo"))
    yield Case("demo", folder / "demo" / "study", None)
    study = (data / _PET).resolve()
    if not study.is_dir():
        print(f"pet_raw_sts001: skipped: no folder {study}: set CLICKSEG_TEST_DATA")
        return
    yield Case("pet_raw_sts001", study, "none")
    click = {"label": "lesion", "polarity": "foreground", "position_mm": _PET_CLICK_LPS_MM}
    clicks = folder / "clicks.json"
    clicks.write_text(json.dumps({"version": 1, "clicks": [click]}))
    yield Case("pet_raw_sts001, one click", study, str(clicks))


def _compare(case: Case, old: Version, new: Version) -> tuple[FileComparison, ...]:
    before, after = (_segment(case, version) for version in (old, new))
    try:
        return compare_results(before, after)
    except (OSError, ValueError, InvalidDicomError) as error:
        raise ComparisonError(f"{case.name}: results cannot be read: {error}") from error


def _segment(case: Case, version: Version) -> Path:
    """Segments a case with the code and the models of a version, and returns the folder of results."""
    output = version.work / case.name
    clicks = [] if case.clicks is None else ["--clicks", case.clicks]
    command = ["segment", str(case.study), "-o", str(output), "-m", str(version.code / "models"), *clicks]
    _run_python(version, "-m", "clickseg", *command, "--nifti", "--statistics")
    return output


def _run_python(version: Version, *arguments: str) -> str:
    """Runs this Python with the code of a version, without the settings of this machine; returns the standard output.

    PYTHONPATH precedes site-packages, which can contain another ClickSeg. Nothing is written to the folder of the code.
    """
    prefixes = ("CLICKSEG_", "HOLOSCAN_", "PYTHON")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}
    environ |= {
        "CLICKSEG_CACHE": str(version.work / "cache"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(version.code),
        "SOURCE_DATE_EPOCH": _SOURCE_DATE_EPOCH,
    }
    command = [sys.executable, *arguments]
    completed = subprocess.run(
        command, cwd=version.work / _EMPTY_FOLDER, env=environ, capture_output=True, text=True, check=False
    )
    if completed.returncode != 0:
        raise ComparisonError(
            f"{version.name}: {' '.join(arguments)}: exit code {completed.returncode}\n{completed.stderr}"
        )
    return completed.stdout


def _print_comparison(case: Case, files: Sequence[FileComparison]) -> Verdict:
    for file in files:
        print(f"{case.name}: {file.name}: {file.verdict}")
        for line in file.differences[:_MAX_PRINTED_DIFFERENCES]:
            print(f"  {line}")
        if len(file.differences) > _MAX_PRINTED_DIFFERENCES:
            print(f"  and {len(file.differences) - _MAX_PRINTED_DIFFERENCES} more")
    sys.stdout.flush()
    return max(file.verdict for file in files)


if __name__ == "__main__":
    raise SystemExit(main())
