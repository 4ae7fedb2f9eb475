"""A series in which all voxels have the same value is read with a warning."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset

from tests.helpers import phantoms

WARNING = "the result does not depend on the image"


def make_series(modality: str, stored: np.ndarray | int) -> list[Dataset]:
    """Returns a series with the stored values [K, J, I], or with one value."""
    geometry = phantoms.oblique_geometry((4, 9, 10))
    datasets = phantoms.instances(phantoms.distinct_volume(geometry), modality)
    planes = np.broadcast_to(np.asarray(stored, "<i2"), (4, 9, 10))
    for dataset, plane in zip(datasets, planes, strict=True):
        dataset.PixelData = plane.tobytes()
        dataset.RescaleSlope, dataset.RescaleIntercept = "1", "0"
    return datasets


@pytest.mark.parametrize(
    ("modality", "stored", "value"),
    [("MR", 317, "317"), ("MR", 0, "0"), ("PT", 0, "0 SUVbw"), ("CT", -1000, "-1000 HU"), ("CT", 0, "0 HU")],
)
def test_a_constant_image_is_read_with_a_warning_that_contains_its_value(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, modality: str, stored: int, value: str
) -> None:
    series = phantoms.read(phantoms.save(tmp_path, make_series(modality, stored)))

    assert (series.volume.array == series.volume.array[0, 0, 0]).all()
    assert f"all voxels have the value {value}: {WARNING}" in caplog.text


def test_an_image_that_is_constant_except_for_padding_is_read_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stored = np.full((4, 9, 10), 40)
    stored[:, :2] = -2000
    datasets = make_series("CT", stored)
    for dataset in datasets:
        dataset.PixelPaddingValue = -2000

    phantoms.read(phantoms.save(tmp_path, datasets))

    assert f"all voxels have the value 40 HU: {WARNING}" in caplog.text


def test_a_resampled_constant_image_is_read_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    datasets = make_series("MR", 5)
    del datasets[2]

    phantoms.read(phantoms.save(tmp_path, datasets), "resample")

    assert WARNING in caplog.text


@pytest.mark.parametrize("voxel", [(0, 0, 0), (3, 8, 9), (2, 4, 4)])
def test_an_image_with_one_other_voxel_is_read_without_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, voxel: tuple[int, int, int]
) -> None:
    stored = np.zeros((4, 9, 10))
    stored[voxel] = 1

    phantoms.read(phantoms.save(tmp_path, make_series("MR", stored)))

    assert WARNING not in caplog.text


def test_an_image_with_another_value_in_each_slice_is_read_without_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stored = np.arange(4)[:, np.newaxis, np.newaxis]

    phantoms.read(phantoms.save(tmp_path, make_series("MR", stored)))

    assert WARNING not in caplog.text
