"""Images for the benchmark of nnU-Net, for ClickSeg as series and for nnU-Net as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK
from scipy.ndimage import gaussian_filter, zoom

from clickseg.core.arrays import LabelArray, Triple
from clickseg.core.sitk import to_sitk
from clickseg.dicom.volume import SeriesVolume
from clickseg.evaluation.original.image_file import in_itk_order
from tests.helpers import phantoms
from tests.helpers.smooth_series import smooth_volume

_COARSE_MM = 5.0
_SMOOTH_VOXELS = 2.0
_LOW_HU, _HIGH_HU = -150.0, 250.0


def smooth_series(folder: Path, channels: Sequence[str]) -> list[SeriesVolume]:
    """Writes and reads a series for each channel; images after the first lack a part of the body."""
    modality = "CT" if "CT" in channels else "MR"
    series = []
    for number in range(len(channels)):
        volume = smooth_volume(modality, seed=11 + number)
        if number:
            volume.array[:, :, : volume.spatial_shape[2] // 3] = 0
        series.append(phantoms.read(phantoms.write(folder / str(number), volume, modality)))
    return series


def write_case(folder: Path, series: Sequence[SeriesVolume]) -> Path:
    """Writes the images of a case under the names that nnU-Net expects; returns the folder."""
    folder.mkdir()
    for number, each in enumerate(series):
        SimpleITK.WriteImage(to_sitk(in_itk_order(each.volume)[0]), str(folder / f"case_{number:04d}.mha"))
    return folder


def write_organs(folder: Path, shape: Triple, spacing_mm: tuple[float, float, float]) -> Path:
    """Writes a CT whose values change over the size of an organ and do not repeat; returns its folder.

    Args:
        folder: The folder.
        shape: The number of slices, rows and columns.
        spacing_mm: The spacing along these axes.
    """
    coarse_shape = [round(size * mm / _COARSE_MM) for size, mm in zip(shape, spacing_mm, strict=True)]
    coarse = gaussian_filter(np.random.default_rng(5).normal(size=coarse_shape), _SMOOTH_VOXELS).astype(np.float32)
    low, high = np.percentile(coarse, (1, 99))
    values = zoom(coarse, [size / of for size, of in zip(shape, coarse.shape, strict=True)], order=1)
    hounsfield = np.round(_LOW_HU + (_HIGH_HU - _LOW_HU) * (values - low) / (high - low)).astype(np.float32)
    slice_mm, row_mm, column_mm = spacing_mm
    geometry = phantoms.oblique_geometry(shape, pixel_spacing=(row_mm, column_mm), slice_spacing=slice_mm)
    return phantoms.write(folder, geometry.with_array(hounsfield))


def labels_in_itk_order(series: SeriesVolume, labels: LabelArray) -> LabelArray:
    """Returns a label map on the grid of a series [K, J, I] with slices in the direction of their normal, as ITK."""
    ordered: LabelArray = in_itk_order(series.volume.with_array(labels))[0].array
    return ordered
