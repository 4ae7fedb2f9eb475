"""Runs ``clickseg segment`` of two versions on the same studies, and compares their results.

Usage: ``make compare-results OLD=REVISION NEW=.``, or ``python -m scripts.compare_results OLD NEW``. See
docs/development.md. It imports nothing of ``clickseg``: each version runs in processes of its own, from its own files.
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
_PET_CLICK_MM = (67.96875, 11.71875, -789.7271728515625)  # the centre of the tumour
_EPOCH = "1700000000"
_EMPTY = "empty"  # the folder that processes start in: Python looks for modules there first, and ClickSeg for models
_SHOWN_DIFFERENCES = 10


class ComparisonError(Exception):
    """Two versions cannot be compared."""


@dataclass(frozen=True, slots=True)
class Version:
    """A version of ClickSeg.

    Attributes:
        name: The revision or folder that was asked for.
        code: The folder that holds ``clickseg`` and ``models``.
        work: A folder of its own, for its cache and results.
    """

    name: str
    code: Path
    work: Path


@dataclass(frozen=True, slots=True)
class Case:
    """An input that both versions segment.

    Attributes:
        name: What it is called in the report.
        study: A folder of DICOM.
        clicks: A click file, or ``none``; None for the clicks in the study.
    """

    name: str
    study: Path
    clicks: str | None


def main(argv: Sequence[str] | None = None) -> int:
    """Compares two versions and prints how their results differ.

    Args:
        argv: The arguments, without the program's name; those of the process by default.

    Returns:
        0 where the results are the same, 1 where they are not, 2 where they cannot be compared.
    """
    arguments = _parse(argv)
    try:
        with tempfile.TemporaryDirectory(prefix="compare-results-") as folder:
            old = _checked_out(arguments.old, Path(folder, "old"))
            new = _checked_out(arguments.new, Path(folder, "new"))
            verdict = max(_print(case, _compare(case, old, new)) for case in _cases(old, Path(folder), arguments.data))
    except ComparisonError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{old.name} and {new.name}: {verdict}")
    return int(verdict > (Verdict.UIDS_DIFFER if arguments.uids == "may-differ" else Verdict.IDENTICAL))


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="compare-results", description="Compare the results of two versions.")
    parser.add_argument("old", nargs="?", default="HEAD", metavar="OLD", help="git revision or folder (default: HEAD)")
    parser.add_argument("new", nargs="?", default=".", metavar="NEW", help="git revision or folder (default: .)")
    parser.add_argument(
        "--uids",
        choices=("same", "may-differ"),
        default="same",
        help="whether results pass that are identical but for the UIDs made for them (default: same)",
    )
    data = Path(os.environ.get("CLICKSEG_TEST_DATA") or _DATA)
    parser.add_argument("--data", type=Path, default=data, help="folder of real data [CLICKSEG_TEST_DATA]")
    return parser.parse_args(argv)


def _checked_out(name: str, work: Path) -> Version:
    """Returns a version: a folder as it is, or the files of a git revision in a new folder."""
    (work / _EMPTY).mkdir(parents=True)
    code = Path(name).resolve() if Path(name).is_dir() else _extract(name, work / "code")
    version = Version(name, code, work)
    for needed in ("clickseg", "models"):
        if not (code / needed).is_dir():
            raise ComparisonError(f"{name}: expected a checkout of ClickSeg, found no folder {needed} in it")
    imported = _python(version, "-c", "import clickseg; print(clickseg.__file__)").strip()
    if not Path(imported).is_relative_to(code):
        raise ComparisonError(f"{name}: expected clickseg to be imported from {code}, got {imported}")
    return version


def _extract(revision: str, folder: Path) -> Path:
    git = shutil.which("git")
    if git is None:
        raise ComparisonError(f"{revision}: expected a folder, for git is not installed")
    archived = subprocess.run([git, "archive", "--format=tar", revision], capture_output=True, check=False)
    if archived.returncode != 0:
        message = archived.stderr.decode(errors="replace").strip()
        raise ComparisonError(f"{revision}: expected a folder or a git revision: {message}")
    with tarfile.open(fileobj=io.BytesIO(archived.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def _cases(old: Version, folder: Path, data: Path) -> Iterator[Case]:
    """Yields the demo study, and real PET where there is such."""
    _python(old, "-m", "clickseg", "demo", "--study-only", "-o", str(folder / "demo"))
    yield Case("demo", folder / "demo" / "study", None)
    study = (data / _PET).resolve()
    if not study.is_dir():
        print(f"pet_raw_sts001: skipped: no folder {study}: set CLICKSEG_TEST_DATA")
        return
    yield Case("pet_raw_sts001", study, "none")
    click = {"label": "lesion", "polarity": "foreground", "position_mm": _PET_CLICK_MM}
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
    """Segments a case with a version's own code and models, and returns the folder of results."""
    output = version.work / case.name
    clicks = [] if case.clicks is None else ["--clicks", case.clicks]
    command = ["segment", str(case.study), "-o", str(output), "-m", str(version.code / "models"), *clicks]
    _python(version, "-m", "clickseg", *command, "--nifti", "--statistics")
    return output


def _python(version: Version, *arguments: str) -> str:
    """Runs this Python on a version's code, without the settings of this machine, and returns its standard output.

    PYTHONPATH precedes site-packages, where another ClickSeg may be installed. The code's folder is not written to.
    """
    settings = ("CLICKSEG_", "HOLOSCAN_", "PYTHON")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(settings)}
    environ |= {
        "CLICKSEG_CACHE": str(version.work / "cache"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(version.code),
        "SOURCE_DATE_EPOCH": _EPOCH,
    }
    command = [sys.executable, *arguments]
    ended = subprocess.run(command, cwd=version.work / _EMPTY, env=environ, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        raise ComparisonError(f"{version.name}: {' '.join(arguments)}: exit code {ended.returncode}\n{ended.stderr}")
    return ended.stdout


def _print(case: Case, compared: Sequence[FileComparison]) -> Verdict:
    for file in compared:
        print(f"{case.name}: {file.name}: {file.verdict}")
        for line in file.differences[:_SHOWN_DIFFERENCES]:
            print(f"  {line}")
        if len(file.differences) > _SHOWN_DIFFERENCES:
            print(f"  and {len(file.differences) - _SHOWN_DIFFERENCES} more")
    sys.stdout.flush()
    return max(file.verdict for file in compared)


if __name__ == "__main__":
    raise SystemExit(main())
