"""Real DICOM with its oddities: each folder has the outcome that docs/fixtures.md says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from clickseg.core.errors import InputError
from clickseg.core.label_map import LabelMap
from clickseg.dicom.files import scan
from clickseg.dicom.series import Remedies, check, group
from clickseg.dicom.volume import Series, load_volume
from clickseg.results.identity import encoded
from tests.helpers.dicom_results import make_results, violations

DOCS = Path(__file__).parents[2] / "docs" / "fixtures.md"
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def rows() -> list[tuple[str, str, str]]:
    """Folder, remedies and outcome of each row of the table in the docs."""
    lines = [line for line in DOCS.read_text().splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [(folder.strip("`"), remedies.strip("`"), outcome) for folder, remedies, outcome in cells]


def outcomes(folder: Path, remedies: str) -> Iterator[tuple[str, Series | None]]:
    """What becomes of each series of a folder, in words, and the series where it could be read."""
    asked = Remedies.parse(remedies.split())
    for candidate in group(scan(folder).instances):
        try:
            series = load_volume(check(candidate, asked))
        except InputError as error:
            yield f"{candidate.modality}: {error}", None
        else:
            shape = " x ".join(str(count) for count in series.volume.spatial_shape)
            yield f"{candidate.modality} {shape} {series.unit}".strip(), series


@pytest.mark.parametrize(("folder", "remedies", "outcome"), rows(), ids=lambda value: str(value)[:60])
def test_a_folder_has_the_outcome_that_the_docs_say(fixtures: Path, folder: str, remedies: str, outcome: str) -> None:
    found = [text for text, _ in outcomes(fixtures / folder, remedies)] or ["no DICOM"]

    expected = outcome.split("<br>")
    assert [each for each in expected if not any(each in text for text in found)] == []
    assert [text for text in found if not any(each in text for each in expected)] == []


def test_every_folder_is_in_the_table(fixtures: Path) -> None:
    listed = {folder.partition("/")[0] for folder, _, _ in rows()}

    assert {path.name for path in fixtures.iterdir()} == listed


def volumes() -> list[tuple[str, str]]:
    """The rows whose outcome is one volume."""
    return [(folder, remedies) for folder, remedies, outcome in rows() if " x " in outcome]


@pytest.mark.parametrize(("folder", "remedies"), volumes())
def test_dciodvfy_finds_no_error_in_what_a_folder_yields(
    fixtures: Path, dciodvfy: str, tmp_path: Path, folder: str, remedies: str
) -> None:
    read = [series for _, series in outcomes(fixtures / folder, remedies) if series is not None]

    assert read
    for series in read:
        array = np.zeros(series.volume.spatial_shape, dtype=np.uint8)
        array[1:, array.shape[1] // 4 : array.shape[1] // 2, array.shape[2] // 3 : array.shape[2] // 2] = 1
        found = make_results(series, LabelMap(array, False, 1))
        empty = make_results(series, LabelMap(np.zeros_like(array), False, 1))
        for dataset in (found.segmentation, found.report, empty.report):
            path = tmp_path / "result.dcm"
            path.write_bytes(encoded(dataset))
            errors = [error for error in violations(path, dciodvfy) if not _is_source_uid(error)]
            assert errors == []


def _is_source_uid(error: str) -> bool:
    """mr_brain_papaya_oblique20 has UIDs that begin with 0.0: a reference to them cannot be any other."""
    return error.startswith('Error - Illegal root for UID - "0.0.0.0.')
