"""Cases on the model grid."""

from __future__ import annotations

from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
import SimpleITK

from clickseg.clicks.click import Clicks
from clickseg.core.arrays import Values
from clickseg.core.errors import InputError
from clickseg.core.sitk import to_sitk
from clickseg.datasets.case import LabelledCase, LabelledImage
from clickseg.dicom.files import scan
from clickseg.dicom.series import Remedies, check, group
from clickseg.dicom.volume import Series, load_volume
from clickseg.inference.preprocess import make_case, prepare
from clickseg.inference.resample import model_geometry
from clickseg.models.package import ModelPackage
from clickseg.training.cases import on_grid
from clickseg.training.config import Training, read_config
from tests.helpers import phantoms, runs
from tests.helpers.training_cases import SMALL


@pytest.fixture
def series(tmp_path: Path) -> Series:
    phantoms.write(tmp_path, phantoms.hook(runs.GEOMETRY, 8.0, 0.3), "PT", "test")
    (candidate,) = group(scan(tmp_path).instances)
    return load_volume(check(candidate, Remedies()))


@pytest.fixture
def fine() -> Training:
    return read_config(["pet_lesion"], [*SMALL, "model.grid.spacing_mm=[0.7, 1.1, 1.9]"])


def case_of(series: Series) -> LabelledCase:
    truth = series.volume.with_array((series.volume.array > series.volume.array.max() / 2).astype(np.uint8))
    return LabelledCase("case", (LabelledImage("PT", "SUVbw", series.volume),), truth)


def test_images_are_what_a_network_is_given_when_it_is_used(series: Series, fine: Training) -> None:
    package = ModelPackage("small", Path(), "0", fine.model)
    inputs = prepare(make_case([series], Clicks(), package)).inputs

    found = on_grid(case_of(series), fine.model)

    assert np.array_equal(found.images, inputs.part(tuple(slice(0, count) for count in inputs.shape)))


def test_a_second_image_is_what_a_network_of_two_inputs_is_given(series: Series, tmp_path: Path) -> None:
    how = read_config(["pet_lesion", "pet_ct"], [*SMALL, "model.grid.spacing_mm=[0.7, 1.1, 1.9]"])
    larger = phantoms.hook(phantoms.oblique_geometry((15, 13, 18)), 40.0, -100.0)
    ct = phantoms.read(phantoms.write(tmp_path / "CT", larger, "CT", "test"))
    case = case_of(series)
    both = LabelledCase("case", (*case.images, LabelledImage("CT", "HU", ct.volume)), case.truth)
    inputs = prepare(make_case([series, ct], Clicks(), ModelPackage("both", Path(), "0", how.model))).inputs

    found = on_grid(both, how.model)

    assert found.images.shape[0] == 2
    assert np.array_equal(found.images, inputs.part(tuple(slice(0, count) for count in inputs.shape)))
    assert not np.allclose(found.images[0], found.images[1])


def test_truth_is_where_itk_finds_it(series: Series, fine: Training) -> None:
    case = case_of(series)

    found = on_grid(case, fine.model)

    expected = _resampled(case.truth, fine) > 0.5
    assert 0 < expected.sum() < expected.size
    assert np.count_nonzero(found.truth.astype(bool) != expected) <= 0.002 * expected.sum()


def test_a_class_that_the_model_does_not_have_is_named(series: Series, fine: Training) -> None:
    case = case_of(series)
    wrong = LabelledCase(case.name, case.images, case.truth.with_array(case.truth.array * 3))

    with pytest.raises(InputError, match="case case: truth: expected classes up to 1, got 3"):
        on_grid(wrong, fine.model)


def _resampled(truth: hd.Volume, fine: Training) -> Values:
    """Returns the part of each voxel of the model grid, by ITK: through patient coordinates and not along axes."""
    source = to_sitk(truth.with_array(truth.array.astype(np.float32)))
    grid = model_geometry(truth.get_geometry(), fine.model.grid)
    target = to_sitk(hd.Volume(np.zeros(grid.spatial_shape, np.uint8), grid.affine, "PATIENT"))
    resampled = SimpleITK.Resample(source, target, SimpleITK.Transform(), SimpleITK.sitkLinear, 0.0)
    values: Values = SimpleITK.GetArrayFromImage(resampled)
    return values
