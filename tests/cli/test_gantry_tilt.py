"""``--repair gantry-tilt`` from the command line to the files: report, SEG, preview, clicks and sessions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageChops
from pydicom import dcmread

from clickseg.core.label_map import LabelMap
from clickseg.inference.measurements import MeasurementCache
from clickseg.models.package import load_package
from clickseg.results.preview import draw_preview
from tests.helpers import phantoms, tilted
from tests.helpers.runs import run_clickseg
from tests.helpers.tilted import make_tilted_series, tilted_orientation

TWO_SPACINGS = [1.5] * 20 + [3.0] * 10


@pytest.fixture
def study(tmp_path: Path) -> Path:
    phantoms.save(tmp_path / "in" / "CT", make_tilted_series(TWO_SPACINGS, tilted_orientation(15)))
    return tmp_path / "in"


def write_model(folder: Path, threshold_hu: float) -> Path:
    """Writes a model that segments voxels above a threshold, and the balls of clicks; its grid is that of the series.

    The smallest spacing is 1.5 mm along the table; the grid has half of it.
    """
    slice_spacing_mm = 0.75 * np.cos(np.radians(15))
    grid = {"spacing_mm": [*tilted.PIXEL_SPACING_MM[::-1], slice_spacing_mm], "orientation": "RAS"}
    section = phantoms.metadata(grid=grid, guidance=phantoms.GUIDANCE, window={"roi": [32, 32, 32], "overlap": 0.25})
    bias = -threshold_hu / 1000  # the model scales -1000 to 1000 HU to -1 to 1
    phantoms.write_linear_model(folder / "thresholder", section, [[0, 0, 0], [1, 100, -100]], [0, bias])
    return folder


def write_voxel_clicks(path: Path, *voxels: tuple[int, int, int]) -> Path:
    """Writes a Grand Challenge click file with background clicks at voxels (i, j, k)."""
    points = [{"point": list(voxel), "name": "background"} for voxel in voxels]
    path.write_text(json.dumps({"type": "Multiple points", "points": points, "version": {"major": 1, "minor": 0}}))
    return path


def segment(study: Path, out: Path, models: Path, *options: object) -> dict:
    """Segments a study, and returns the entry of its series in the report."""
    command = ("segment", study, "-o", out, "-m", models, "--precision", "f32", "--repair", "gantry-tilt")
    result = run_clickseg(*command, *options)
    assert result.returncode == 0, result.stderr
    (entry,) = json.loads((out / "report.json").read_text())["series"]
    return entry


def test_a_tilted_series_is_segmented_measured_and_drawn_upright(study: Path, tmp_path: Path) -> None:
    models, out = write_model(tmp_path / "models", 110), tmp_path / "out"

    entry = segment(study, out, models)

    assert entry["inputs"][0]["repairs"] == [
        "corrected a gantry tilt of 15.0 degrees",
        "resampled from 31 to 83 slices",
    ]
    assert entry["segments"][0]["volume_ml"] == pytest.approx(tilted.VOLUME_ML, rel=0.02)
    series = phantoms.read(study / "CT", "gantry-tilt")
    labels = LabelMap((series.volume.array > 110).astype(np.uint8), False, 1)
    assert MeasurementCache(series).measure(labels)[1].volume_ml == pytest.approx(
        entry["segments"][0]["volume_ml"], abs=1e-4
    )
    drawn = draw_preview(series.volume, "HU", labels, (), load_package(models / "thresholder").spec)
    with Image.open((out / entry["files"]["seg"]).with_suffix(".png")) as preview:
        assert ImageChops.difference(preview.convert("RGB"), drawn).getbbox() is None


def test_voxel_clicks_mark_the_pixels_of_their_slice(study: Path, tmp_path: Path) -> None:
    models = write_model(tmp_path / "models", 110)
    voxels = [(46, 31, 15), (45, 32, 24)]  # in planes of both spacings; k counts along the normal
    clicks = write_voxel_clicks(tmp_path / "points.json", *voxels)

    before = segment(study, tmp_path / "before", models)
    after = segment(study, tmp_path / "after", models, "--clicks", clicks)

    masks = [
        read_masks(tmp_path / name / entry["files"]["seg"]) for name, entry in (("before", before), ("after", after))
    ]
    ordered = sorted((study / "CT").iterdir(), key=lambda path: float(dcmread(path).ImagePositionPatient[2]))
    for i, j, k in voxels:
        uid = str(dcmread(ordered[k]).SOPInstanceUID)
        removed = (masks[0][uid] > 0) & (masks[1][uid] == 0)
        assert removed[j, i]
        assert np.abs(np.argwhere(removed) - (j, i)).max() <= 3  # a ball of radius 2, shifted by at most a pixel


def read_masks(seg: Path) -> dict[str, np.ndarray]:
    """Returns the mask of each source of a SEG by its SOP Instance UID."""
    dataset = dcmread(seg)
    frames = dataset.pixel_array.reshape(-1, dataset.Rows, dataset.Columns)
    sources = [
        str(group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID)
        for group in dataset.PerFrameFunctionalGroupsSequence
    ]
    return dict(zip(sources, frames, strict=True))


def test_a_session_of_a_tilted_series_gives_the_files_of_segment(study: Path, tmp_path: Path) -> None:
    models = write_model(tmp_path / "models", 110)
    position_mm = tilted.CENTROID_MM.tolist()
    click = {"label": "hook", "polarity": "background", "position_mm": position_mm}
    clicks = tmp_path / "clicks.json"
    clicks.write_text(json.dumps({"version": 1, "clicks": [click]}))
    segment(study, tmp_path / "out", models, "--session", tmp_path / "session")

    refined = run_clickseg(
        *("refine", study, "-o", tmp_path / "refined", "-m", models, "--session", tmp_path / "session"),
        *("--precision", "f32", "--repair", "gantry-tilt"),
        *("--add", ",".join(str(value) for value in position_mm), "--label", "hook", "--background"),
    )

    assert refined.returncode == 0, refined.stderr
    segment(study, tmp_path / "full", models, "--clicks", clicks)
    files = [
        {path.name: path.read_bytes() for path in (tmp_path / name).glob("*.dcm")}
        for name in ("out", "refined", "full")
    ]
    assert files[1] == files[2]
    assert files[1] != files[0]
