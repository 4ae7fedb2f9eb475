"""Cases on the model grid."""

from __future__ import annotations

from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
import SimpleITK

from clickseg.clicks.click import Clicks
from clickseg.core.arrays import Float32Array
from clickseg.core.errors import InputError
from clickseg.core.sitk import to_sitk
from clickseg.datasets.case import LabelledCase, LabelledImage
from clickseg.dicom.files import scan
from clickseg.dicom.repairs import Repairs
from clickseg.dicom.series import check_series
from clickseg.dicom.series_files import group_by_series
from clickseg.dicom.volume import SeriesVolume, load_volume
from clickseg.inference.preprocess import make_case, preprocess
from clickseg.inference.resample import model_geometry
from clickseg.models.package import ModelPackage
from clickseg.training.cases import resample_case
from clickseg.training.config import TrainingConfig, read_config
from tests.helpers import phantoms, runs
from tests.helpers.training_cases import SMALL


@pytest.fixture
def series(tmp_path: Path) -> SeriesVolume:
    phantoms.write(tmp_path, phantoms.hook_volume(runs.GEOMETRY, 8.0, 0.3), "PT", "test")
    (candidate,) = group_by_series(scan(tmp_path).instances)
    return load_volume(check_series(candidate, Repairs()))


@pytest.fixture(params=["first_voxel", "edges"])
def fine_config(request: pytest.FixtureRequest) -> TrainingConfig:
    changes = ["model.grid.spacing_mm=[0.7, 1.1, 1.9]", f"model.grid.alignment={request.param}"]
    return read_config(["pet_lesion"], [*SMALL, *changes])


def make_labelled_case(series: SeriesVolume) -> LabelledCase:
    truth = series.volume.with_array((series.volume.array > series.volume.array.max() / 2).astype(np.uint8))
    return LabelledCase("case", (LabelledImage("PT", "SUVbw", series.volume),), truth)


def test_images_equal_the_network_input_of_inference(series: SeriesVolume, fine_config: TrainingConfig) -> None:
    package = ModelPackage("small", Path(), "0", fine_config.model)
    inputs = preprocess(make_case([series], Clicks(), package)).inputs

    grid_case = resample_case(make_labelled_case(series), fine_config.model)

    assert np.array_equal(grid_case.images, inputs.crop_images(tuple(slice(0, count) for count in inputs.shape)))


def test_a_second_image_equals_the_second_network_input_of_inference(series: SeriesVolume, tmp_path: Path) -> None:
    config = read_config(["pet_lesion", "pet_ct"], [*SMALL, "model.grid.spacing_mm=[0.7, 1.1, 1.9]"])
    larger = phantoms.hook_volume(phantoms.oblique_geometry((15, 13, 18)), 40.0, -100.0)
    ct = phantoms.read(phantoms.write(tmp_path / "CT", larger, "CT", "test"))
    case = make_labelled_case(series)
    both = LabelledCase("case", (*case.images, LabelledImage("CT", "HU", ct.volume)), case.truth)
    inputs = preprocess(make_case([series, ct], Clicks(), ModelPackage("both", Path(), "0", config.model))).inputs

    grid_case = resample_case(both, config.model)

    assert grid_case.images.shape[0] == 2
    assert np.array_equal(grid_case.images, inputs.crop_images(tuple(slice(0, count) for count in inputs.shape)))
    assert not np.allclose(grid_case.images[0], grid_case.images[1])


def test_the_ground_truth_agrees_with_itk(series: SeriesVolume, fine_config: TrainingConfig) -> None:
    case = make_labelled_case(series)

    grid_case = resample_case(case, fine_config.model)

    fraction = _resampled(case.truth, fine_config)
    expected, is_tie = fraction > 0.5, np.isclose(fraction, 0.5)
    assert 0 < expected.sum() < expected.size
    assert np.count_nonzero((grid_case.truth.astype(bool) != expected) & ~is_tie) <= 0.002 * expected.sum()


def test_a_class_that_the_model_does_not_have_is_rejected(series: SeriesVolume, fine_config: TrainingConfig) -> None:
    case = make_labelled_case(series)
    wrong = LabelledCase(case.name, case.images, case.truth.with_array(case.truth.array * 3))

    with pytest.raises(InputError, match="case case: ground truth: expected class numbers 0 to 1, got 3"):
        resample_case(wrong, fine_config.model)


def _resampled(truth: hd.Volume, fine_config: TrainingConfig) -> Float32Array:
    """Returns the fraction of each voxel of the model grid, by ITK: in patient coordinates and not along axes."""
    source = to_sitk(truth.with_array(truth.array.astype(np.float32)))
    grid = model_geometry(truth.get_geometry(), fine_config.model.grid)
    target = to_sitk(hd.Volume(np.zeros(grid.spatial_shape, np.uint8), grid.affine, "PATIENT"))
    resampled = SimpleITK.Resample(source, target, SimpleITK.Transform(), SimpleITK.sitkLinear, 0.0)
    values: Float32Array = SimpleITK.GetArrayFromImage(resampled)
    return values
