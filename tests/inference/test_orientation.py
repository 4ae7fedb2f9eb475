"""Axes are reoriented as in nibabel, and every voxel is restored, for any orientation of a series in the patient."""

from __future__ import annotations

from itertools import permutations, product
from pathlib import Path

import nibabel.orientations
import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st

from clickseg.inference.orientation import reorientation_to, stored_orientation
from clickseg.inference.resample import ResampledImage, model_geometry
from clickseg.models.spec import ModelSpec
from tests.helpers import phantoms
from tests.helpers.inference import full_image, label_map_from_logits

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
ORIENTATIONS = ["".join(letters) for axes in permutations(["RL", "AP", "IS"]) for letters in product(*axes)]
angles = st.tuples(*[st.floats(-3.2, 3.2)] * 3)


@given(angles, st.sampled_from(ORIENTATIONS))
@settings(max_examples=200)
def test_the_reorientation_equals_nibabel(rotation_angles: tuple[float, ...], orientation: str) -> None:
    geometry = phantoms.oblique_geometry(axes=phantoms.rotation_matrix(*rotation_angles))

    reoriented = reorientation_to(geometry, orientation).apply(geometry)

    ours = nibabel.orientations.io_orientation(LPS_TO_RAS @ geometry.affine)
    target = nibabel.orientations.axcodes2ornt(tuple(orientation))
    transform = nibabel.orientations.ornt_transform(ours, target)
    expected = geometry.affine @ nibabel.orientations.inv_ornt_aff(transform, geometry.spatial_shape)
    np.testing.assert_allclose(reoriented.affine, expected, atol=1e-9)


@given(angles, st.sampled_from(ORIENTATIONS))
@settings(max_examples=200)
def test_writing_to_a_reoriented_view_restores_every_voxel(
    rotation_angles: tuple[float, ...], orientation: str
) -> None:
    volume = phantoms.distinct_volume(phantoms.oblique_geometry(axes=phantoms.rotation_matrix(*rotation_angles)))
    reorientation = reorientation_to(volume, orientation)

    reoriented = reorientation.apply(volume).array

    restored = np.empty_like(volume.array)
    reorientation.view(restored)[...] = reoriented
    np.testing.assert_array_equal(restored, volume.array)


@given(angles, st.sampled_from(ORIENTATIONS), st.data())
@settings(max_examples=200)
def test_the_source_box_of_a_reoriented_box_contains_the_same_voxels(
    rotation_angles: tuple[float, ...], orientation: str, data: st.DataObject
) -> None:
    volume = phantoms.distinct_volume(phantoms.oblique_geometry(axes=phantoms.rotation_matrix(*rotation_angles)))
    reorientation = reorientation_to(volume, orientation)
    reoriented = reorientation.apply(volume).array
    first, second, third = (sorted(data.draw(st.tuples(*[st.integers(0, count)] * 2))) for count in reoriented.shape)
    box = slice(*first), slice(*second), slice(*third)

    source = reorientation.source_box(box, volume.array.shape)

    np.testing.assert_array_equal(reorientation.view(volume.array[source]), reoriented[box])


@pytest.mark.parametrize("degrees", [0, 30, 45, 55, 60, 90, 135, 180])
@pytest.mark.parametrize("orientation", ["RAS", "SAR", "PIR"])
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_each_voxel_gets_the_label_of_its_own_logits(degrees: float, orientation: str, activation: str) -> None:
    axes = phantoms.rotation_matrix(np.radians(degrees), np.radians(degrees) / 2, np.radians(degrees) / 3)
    geometry = phantoms.oblique_geometry((12, 12, 12), axes=axes, pixel_spacing=(1.5, 1.5), slice_spacing=1.5)
    volume = phantoms.hook_volume(geometry, 4.0, -4.0)
    grid = {"spacing_mm": [1.5, 1.5, 1.5], "orientation": orientation}
    classes = [phantoms.organ("hook", 1)]
    spec = ModelSpec.model_validate(phantoms.metadata(grid=grid, activation=activation, classes=classes))
    image = full_image(ResampledImage(volume, spec.grid))

    labels = label_map_from_logits(
        np.stack([np.zeros_like(image), image]), model_geometry(geometry, spec.grid), geometry, spec
    )

    np.testing.assert_array_equal(labels.mask(1), volume.array > 0)


@pytest.mark.parametrize("axes", ["as is", "columns reversed", "rows along the body", "steep"])
def test_the_stored_orientation_is_that_of_itk(tmp_path: Path, axes: str) -> None:
    rotation = {
        "as is": np.eye(3),
        "columns reversed": np.diag([-1.0, 1.0, -1.0]),
        "rows along the body": np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]),
        "steep": phantoms.rotation_matrix(0.9, -0.6, 0.7),
    }[axes]
    geometry = phantoms.oblique_geometry(axes=rotation)
    phantoms.write(tmp_path, phantoms.hook_volume(geometry), "CT", "test")
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path)))

    orientation = stored_orientation(phantoms.read(tmp_path).volume)

    direction = reader.Execute().GetDirection()
    assert orientation == SimpleITK.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(direction)
