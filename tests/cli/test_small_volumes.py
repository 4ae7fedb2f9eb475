"""Volumes at the limits of windows and grids: few slices, single rows, thin and thick slices."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from tests.helpers import phantoms
from tests.helpers.runs import run_clickseg

INSIDE, OUTSIDE, THRESHOLD = 500, -100, 200


@pytest.mark.parametrize(
    ("shape", "spacing_mm"),
    [
        ((2, 12, 14), (4.0, 2.5, 2.0)),
        ((13, 3, 4), (4.0, 2.5, 2.0)),
        ((13, 1, 14), (4.0, 2.5, 2.0)),
        ((13, 12, 1), (4.0, 2.5, 2.0)),
        ((9, 12, 14), (0.1, 2.5, 2.0)),
        ((5, 20, 24), (25.0, 0.25, 0.2)),
    ],
    ids=["two slices", "few pixels", "one row", "one column", "thin slices", "thick slices"],
)
def test_each_voxel_above_the_threshold_is_segmented(
    tmp_path: Path, shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]
) -> None:
    slice_mm, row_mm, column_mm = spacing_mm
    geometry = phantoms.oblique_geometry(shape, pixel_spacing=(row_mm, column_mm), slice_spacing=slice_mm)
    inside = np.tensordot(1 / np.array(shape), np.indices(shape), axes=1) < 0.7  # a corner of the volume
    volume = geometry.with_array(np.where(inside, INSIDE, OUTSIDE).astype(np.float32))
    phantoms.write(tmp_path / "in", volume)
    section = phantoms.metadata(grid={"spacing_mm": [column_mm, row_mm, slice_mm], "orientation": "RAS"})
    bias = -THRESHOLD / 1000  # the model scales -1000 to 1000 HU to -1 to 1
    phantoms.write_linear_model(tmp_path / "model", section, [[0], [1]], [0, bias])

    command = ("segment", tmp_path / "in", "-o", tmp_path / "out", "-m", tmp_path / "model", "--precision", "f32")
    result = run_clickseg(*command, "--statistics")

    assert result.returncode == 0, result.stderr
    (entry,) = json.loads((tmp_path / "out/report.json").read_text())["series"]
    (segment,) = entry["segments"]
    voxel_count = np.count_nonzero(inside)
    assert 0 < voxel_count < inside.size
    assert segment["volume_ml"] == pytest.approx(voxel_count * np.prod(spacing_mm) / 1000, abs=1e-4)
    assert (segment["statistics"]["min"], segment["statistics"]["max"]) == (INSIDE, INSIDE)
    assert int(dcmread(tmp_path / "out" / entry["files"]["seg"]).pixel_array.sum()) == voxel_count
