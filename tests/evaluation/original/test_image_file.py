"""MONAI places the model grid of an oblique image at its first voxel, as ClickSeg does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from clickseg.evaluation.original.image_file import exact_affine, in_itk_order, write_image
from tests.helpers import phantoms
from tests.helpers.oracles import MetaTensor, Spacing

nibabel = pytest.importorskip("nibabel")


def test_values_and_positions_are_those_of_the_volume(tmp_path: Path) -> None:
    volume = phantoms.distinct_volume(phantoms.oblique_geometry())

    write_image(volume, tmp_path / "image.nii.gz")

    image = nibabel.load(tmp_path / "image.nii.gz")
    voxel = (5, 7, 2)  # i, j, k
    x, y, z = volume.map_indices_to_reference(np.array([voxel[::-1]]))[0]
    assert image.get_fdata()[voxel] == volume.array[voxel[::-1]]
    np.testing.assert_allclose(image.affine @ [*voxel, 1], [-x, -y, z, 1], atol=1e-6)


def test_monai_begins_the_model_grid_at_the_first_voxel_of_an_oblique_image(tmp_path: Path) -> None:
    volume = phantoms.distinct_volume(phantoms.oblique_geometry((36, 56, 64)))
    write_image(volume, tmp_path / "image.nii.gz")

    image = nibabel.load(tmp_path / "image.nii.gz")
    resampled = Spacing(pixdim=(3, 3, 4))(MetaTensor(image.get_fdata()[np.newaxis], affine=image.affine))

    np.testing.assert_allclose(resampled.affine[:3, 3], image.affine[:3, 3], atol=1e-9)


def test_the_axes_are_perpendicular() -> None:
    geometry = phantoms.oblique_geometry()

    affine = exact_affine(phantoms.distinct_volume(geometry))

    axes = affine[:3, :3] / np.array(geometry.spacing)
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-14)
    np.testing.assert_allclose(affine, geometry.affine, atol=1e-8)


@pytest.mark.parametrize("is_reversed", [False, True])
def test_slices_are_in_the_direction_of_their_normal(is_reversed: bool) -> None:
    volume = phantoms.distinct_volume(phantoms.oblique_geometry())
    volume = volume.flip_spatial(0) if is_reversed else volume

    ordered, _ = in_itk_order(volume)

    slices, rows, columns = (ordered.affine[:3, axis] for axis in range(3))
    assert np.cross(columns, rows) @ slices > 0
    assert in_itk_order(ordered)[1] is False
