"""The default model on real PET, through the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw
from pydicom import dcmread

from clickseg.clicks.click import Click, Clicks, Polarity
from clickseg.clicks.clicks_json import write_clicks_json
from clickseg.dicom.volume import Series
from tests import phantoms, runs
from tests.test_demo import dice, mask_of

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def contoured(rtstruct: Path, name: str, series: Series) -> np.ndarray:
    """The voxels of an RTSTRUCT's region of interest, polygon by polygon."""
    structures = dcmread(rtstruct)
    (number,) = (roi.ROINumber for roi in structures.StructureSetROISequence if roi.ROIName == name)
    (contours,) = (roi for roi in structures.ROIContourSequence if roi.ReferencedROINumber == number)
    mask = np.zeros(series.volume.spatial_shape, bool)
    for contour in contours.ContourSequence:
        points = np.array(contour.ContourData, dtype=float).reshape(-1, 3)
        indices = series.volume.map_reference_to_indices(points)
        picture = Image.new("1", mask.shape[:0:-1])
        ImageDraw.Draw(picture).polygon([(float(i), float(j)) for _, j, i in indices], fill=1, outline=1)
        mask[round(indices[:, 0].mean())] ^= np.array(picture)
    return mask


def at(series: Series, index: np.ndarray) -> tuple[float, float, float]:
    x, y, z = series.volume.map_indices_to_reference(np.round(index)[np.newaxis])[0]
    return float(x), float(y), float(z)


def hottest_far_from(series: Series, centre: np.ndarray, distance_mm: float) -> np.ndarray:
    """The voxel of the highest SUV at some distance from a place."""
    offsets = (np.stack(np.indices(series.volume.spatial_shape), axis=-1) - centre) * series.volume.spacing
    values = np.where(np.linalg.norm(offsets, axis=-1) > distance_mm, series.volume.array, 0)
    return np.array(np.unravel_index(values.argmax(), values.shape))


@pytest.mark.slow
def test_one_click_in_the_tumour_and_one_in_the_hottest_organ(fixtures: Path, tmp_path: Path) -> None:
    patient = fixtures / "pet_raw_sts001" / "FDG_PET"
    series = phantoms.read(patient / "image")
    tumour = contoured(patient / "mask" / "1-1.dcm", "GTV_Mass", series)
    centre = np.argwhere(tumour).mean(axis=0)
    clicks = (
        Click("lesion", Polarity.FOREGROUND, at(series, centre)),
        Click("lesion", Polarity.BACKGROUND, at(series, hottest_far_from(series, centre, 150))),
    )
    write_clicks_json(Clicks(clicks, series.volume.frame_of_reference_uid), tmp_path / "c.json")

    scores = {}
    for name, options in {"model": [], "raw network": ["--postprocessing", "off"]}.items():
        out = tmp_path / name
        ended = runs.clickseg("segment", patient / "image", "--clicks", tmp_path / "c.json", "-o", out, *options)
        assert ended.returncode == 0, ended.stderr
        (entry,) = json.loads((out / "report.json").read_text())["series"]
        found = mask_of(out / entry["files"]["seg"], patient / "image")
        scores[name] = (dice(found, tumour), entry["segments"][0]["volume_ml"])

    assert scores["model"][0] >= 0.6
    assert scores["raw network"][0] < 0.4
    assert scores["raw network"][1] > 2000


def test_the_pet_model_takes_the_pet_of_a_pet_ct_study_and_says_so(fixtures: Path, tmp_path: Path) -> None:
    study = fixtures / "petct_ibsi" / "STS_002"

    ended = runs.clickseg("segment", study, "-o", tmp_path / "out")

    assert ended.returncode == 0, ended.stderr
    assert "PT series in PET/image: model pet_lesion" in ended.stderr
    assert "passed over: CT in CT/image: model pet_lesion takes PT" in ended.stderr
    assert "passed over: MR in MR_T1/image: model pet_lesion takes PT" in ended.stderr
    (entry,) = json.loads((tmp_path / "out" / "report.json").read_text())["series"]
    assert entry["modality"] == "PT"


def test_a_named_series_overrides_the_choice(fixtures: Path, tmp_path: Path) -> None:
    study = fixtures / "petct_ibsi" / "STS_002"
    uids = {m: phantoms.checked(study / m / "image").candidate.series_uid for m in ("PET", "CT")}

    pet = runs.clickseg("segment", study, "-o", tmp_path / "pet", "--series", uids["PET"])
    ct = runs.clickseg("segment", study, "-o", tmp_path / "ct", "--series", uids["CT"])

    assert pet.returncode == 0
    assert ct.returncode == 1
    assert "error: no model for CT series: there are pet_lesion (for PT)" in ct.stderr
