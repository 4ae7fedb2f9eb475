"""Cases on the model grid, kept in files that are mapped into memory, so that it does not grow with the dataset."""

from __future__ import annotations

from dataclasses import dataclass

import highdicom as hd
import numpy as np

from clickseg.arrays import Numbers, Values
from clickseg.boxes import whole
from clickseg.datasets.case import LabelledCase
from clickseg.errors import InputError
from clickseg.inference import intensity, resample
from clickseg.models.spec import ModelSpec


@dataclass(frozen=True, slots=True)
class GridCase:
    """A case on the model grid.

    Attributes:
        name: What it is called.
        modality: That of its first image.
        images: Scaled as the network is given them [C, I, J, K].
        truth: The number of the class of each voxel [I, J, K].
    """

    name: str
    modality: str
    images: Values
    truth: Numbers


def on_grid(case: LabelledCase, spec: ModelSpec) -> GridCase:
    """Brings a case to the model grid.

    Raises:
        InputError: The truth holds a class that the model does not have.
    """
    spec = spec.for_modality(case.images[0].modality)
    highest = int(case.truth.array.max(initial=0))
    if highest > len(spec.classes):
        raise InputError(f"case {case.name}: truth: expected classes up to {len(spec.classes)}, got {highest}")
    geometry = resample.model_geometry(case.images[0].volume.get_geometry(), spec.grid)
    images = [_image(case, number, geometry, spec) for number in range(len(case.images))]
    return GridCase(case.name, case.images[0].modality, np.stack(images), _truth(case.truth, spec))


def _image(case: LabelledCase, number: int, geometry: hd.VolumeGeometry, spec: ModelSpec) -> Values:
    volume = case.images[number].volume
    if number:
        values = resample.to_geometry(volume, geometry)
    else:
        image = resample.OnModelGrid(volume, spec.grid)
        values = image.part(whole(image.shape))
    return intensity.fitted(spec.inputs[number].scaling, lambda: [values])(values)


def _truth(truth: hd.Volume, spec: ModelSpec) -> Numbers:
    """Returns the class that has the largest part of each voxel."""
    best = _part_of(truth, 0, spec)
    labels = np.zeros(best.shape, np.uint8)
    for number in range(1, len(spec.classes) + 1):
        part = _part_of(truth, number, spec)
        labels[part >= best] = number
        best = np.maximum(best, part)
    return labels


def _part_of(truth: hd.Volume, number: int, spec: ModelSpec) -> Values:
    image = resample.OnModelGrid(truth.with_array((truth.array == number).astype(np.float32)), spec.grid)
    return image.part(whole(image.shape))
