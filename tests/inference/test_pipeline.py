"""The full run of one series gives the result that was computed by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from clickseg.clicks.click import Clicks, Polarity
from clickseg.core.errors import ModelError
from clickseg.inference.engines.choice import make_engine
from clickseg.inference.engines.engine import Precision
from clickseg.inference.runtime_settings import Runtime, RuntimeSettings
from clickseg.models.package import ModelPackage, load_package
from tests.helpers import phantoms, runs
from tests.helpers.full_run import segment_series

BG = Polarity.BACKGROUND


def segment_phantom(folder: Path, *clicks: object, **changes: object) -> np.ndarray:
    series = phantoms.read(runs.write_input(folder / "in") / "CT")
    package = load_package(runs.write_model(folder / "models", **changes) / "thresholder")
    engine = make_engine(package, RuntimeSettings(Runtime.OPENVINO, "cpu", Precision.F32))
    result = segment_series([series], Clicks(clicks), package, engine)
    return result.labels.mask(1)


def test_without_clicks_the_label_map_is_the_output_of_the_network(tmp_path: Path) -> None:
    np.testing.assert_array_equal(segment_phantom(tmp_path), runs.expected_labels())


def test_clicks_change_the_result_only_in_their_balls(tmp_path: Path) -> None:
    clicks = [runs.click(9, 11, 13), runs.click(3, 3, 4, polarity=BG)]

    mask = segment_phantom(tmp_path, *clicks)

    np.testing.assert_array_equal(mask, runs.expected_labels(*clicks))
    assert mask[9, 11, 13]
    assert not mask[3, 3, 4]
    assert runs.expected_labels()[3, 3, 4]


def test_postprocessing_is_applied_and_can_be_switched_off(tmp_path: Path) -> None:
    far = runs.click(9, 11, 13)
    series = phantoms.read(runs.write_input(tmp_path / "in") / "CT")
    package = load_package(runs.write_model(tmp_path / "m", postprocessing={"keep": "clicked"}) / "thresholder")
    engine = make_engine(package, RuntimeSettings(Runtime.OPENVINO, "cpu", Precision.F32))

    on = segment_series([series], Clicks((far,)), package, engine)
    off = segment_series([series], Clicks((far,)), package, engine, postprocessing=False)

    assert on.labels.mask(1).sum() == 33
    assert on.removed[0].component_count == 1
    np.testing.assert_array_equal(off.labels.mask(1), runs.expected_labels(far))
    assert off.removed == ()


def make_pet_ct_package(folder: Path) -> ModelPackage:
    """Makes a package with PET and CT: lesion where the CT is above 0 HU; the PET is ignored."""
    inputs = [
        {"name": "pet", "modality": "PT", "unit": "SUVbw", "scaling": phantoms.RANGE},
        {"name": "ct", "modality": "CT", "unit": "HU", "scaling": phantoms.RANGE},
    ]
    spacing = [round(float(value), 6) for value in runs.GEOMETRY.to_patient_orientation("RAS").spacing]
    section = phantoms.metadata(inputs=inputs, grid={"spacing_mm": spacing, "orientation": "RAS"})
    phantoms.write_linear_model(folder, section, weights=[[0, 0], [0, 1]], bias=[0, 0])
    return load_package(folder)


def test_a_second_input_is_resampled_to_the_grid_of_the_first(tmp_path: Path) -> None:
    pet = phantoms.read(phantoms.write(tmp_path / "pet", phantoms.hook_volume(runs.GEOMETRY, 100, 1), "PT"))
    fine = phantoms.oblique_geometry((23, 28, 31), pixel_spacing=(0.85, 0.45), slice_spacing=1.55)
    i, j, k = runs.GEOMETRY.map_reference_to_indices(
        fine.map_indices_to_reference(np.indices(fine.spatial_shape).reshape(3, -1).T)
    ).T
    plane = (60 * (i + 2 * j - k - 5)).reshape(fine.spatial_shape).astype(np.float32)
    ct = phantoms.read(phantoms.write(tmp_path / "ct", fine.with_array(plane), "CT"))
    package = make_pet_ct_package(tmp_path / "model")
    engine = make_engine(package, RuntimeSettings(Runtime.OPENVINO, "cpu", Precision.F32))

    mask = segment_series([pet, ct], Clicks(), package, engine).labels.mask(1)

    i, j, k = np.indices(runs.GEOMETRY.spatial_shape)
    value = 60 * (i + 2 * j - k - 5)
    inside = np.ones(value.shape, bool)
    inside[-1] = inside[:, -1] = inside[:, :, -1] = False  # the CT ends half a voxel before the PET
    is_clear = inside & (np.abs(value) > 30)
    np.testing.assert_array_equal(mask[is_clear], (value > 0)[is_clear])


def test_a_series_of_another_modality_is_rejected(tmp_path: Path) -> None:
    series = phantoms.read(runs.write_input(tmp_path / "in", modality="MR") / "MR")
    package = load_package(runs.write_model(tmp_path / "models") / "thresholder")
    engine = make_engine(package, RuntimeSettings(Runtime.OPENVINO, "cpu", Precision.F32))

    with pytest.raises(ModelError, match="input ct: expected CT HU, got MR"):
        segment_series([series], Clicks(), package, engine)
