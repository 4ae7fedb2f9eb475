"""Public DICOM data: each folder has the outcome that is documented in docs/developers/fixtures.md."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from clickseg.core.errors import InputError
from clickseg.core.label_map import LabelMap
from clickseg.dicom.files import scan
from clickseg.dicom.repairs import Repairs
from clickseg.dicom.series import check_series
from clickseg.dicom.series_files import group_by_series
from clickseg.dicom.volume import SeriesVolume, load_volume
from clickseg.results.identity import encode_dicom
from tests.helpers.dicom_results import dciodvfy_errors, make_results

PAGE = Path(__file__).parents[2] / "docs" / "developers" / "fixtures.md"
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def read_rows() -> list[tuple[str, str, str]]:
    """Returns folder, repairs and outcome of each row of the documented table."""
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [(folder.strip("`"), repairs.strip("`"), outcome) for folder, repairs, outcome in cells]


def series_outcomes(folder: Path, repair_names: str) -> Iterator[tuple[str, SeriesVolume | None]]:
    """Yields the outcome of each series of a folder as text, and the series if it could be read."""
    repairs = Repairs.parse(repair_names.split())
    for files in group_by_series(scan(folder).instances):
        try:
            series = load_volume(check_series(files, repairs))
        except InputError as error:
            yield f"{files.modality}: {error}", None
        else:
            shape = " x ".join(str(count) for count in series.volume.spatial_shape)
            yield f"{files.modality} {shape} {series.unit}".strip(), series


@pytest.mark.parametrize(("folder", "repairs", "outcome"), read_rows(), ids=lambda value: str(value)[:60])
def test_a_folder_has_the_documented_outcome(fixtures: Path, folder: str, repairs: str, outcome: str) -> None:
    actual = [text for text, _ in series_outcomes(fixtures / folder, repairs)] or ["no DICOM"]

    expected = outcome.split("<br>")
    assert [part for part in expected if not any(part in text for text in actual)] == []
    assert [text for text in actual if not any(part in text for part in expected)] == []


def test_every_folder_is_in_the_table(fixtures: Path) -> None:
    documented = {folder.partition("/")[0] for folder, _, _ in read_rows()}

    assert {path.name for path in fixtures.iterdir()} == documented


def rows_with_volumes() -> list[tuple[str, str]]:
    """Returns folder and repairs of the rows with a volume."""
    return [(folder, repairs) for folder, repairs, outcome in read_rows() if " x " in outcome]


@pytest.mark.parametrize(("folder", "repairs"), rows_with_volumes())
def test_dciodvfy_finds_no_error_in_the_results(
    fixtures: Path, dciodvfy: str, tmp_path: Path, folder: str, repairs: str
) -> None:
    volumes = [series for _, series in series_outcomes(fixtures / folder, repairs) if series is not None]

    assert volumes
    for series in volumes:
        array = np.zeros(series.volume.spatial_shape, dtype=np.uint8)
        array[1:, array.shape[1] // 4 : array.shape[1] // 2, array.shape[2] // 3 : array.shape[2] // 2] = 1
        segmented = make_results(series, LabelMap(array, False, 1))
        empty = make_results(series, LabelMap(np.zeros_like(array), False, 1))
        for dataset in (segmented.segmentation, segmented.report, empty.report):
            path = tmp_path / "result.dcm"
            path.write_bytes(encode_dicom(dataset))
            errors = [error for error in dciodvfy_errors(path, dciodvfy) if not _is_source_uid(error)]
            assert errors == []


def _is_source_uid(error: str) -> bool:
    """Whether an error is about a UID of mr_brain_papaya_oblique20 that begins with 0.0; references must repeat it."""
    return error.startswith('Error - Illegal root for UID - "0.0.0.0.')
