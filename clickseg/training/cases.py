"""Cases on the model grid, kept in files that are mapped into memory, so that it does not grow with the dataset."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import highdicom as hd
import numpy as np

from clickseg.core.arrays import Numbers, Values, whole
from clickseg.core.errors import InputError
from clickseg.core.files import write_bytes
from clickseg.core.progress import Progress
from clickseg.datasets.case import CaseFiles, LabelledCase
from clickseg.datasets.read import read_case
from clickseg.datasets.regions import names_of
from clickseg.inference import intensity, resample
from clickseg.models.spec import ModelSpec
from clickseg.training.config import Training


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


def gather(files: Sequence[CaseFiles], how: Training, folder: Path, progress: Progress) -> Iterator[GridCase]:
    """Yields cases on the model grid; those that were kept in a folder before are taken from there.

    Args:
        files: The cases.
        how: The run, with its model.
        folder: Where they are kept.
        progress: Told after each.

    Raises:
        InputError: A case cannot be read, or does not fit the model.
        OutputError: The folder cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number, each in enumerate(files, 1):
        images, truth = folder / f"{each.name}.images.npy", folder / f"{each.name}.truth.npy"
        if not truth.is_file():
            case = on_grid(read_case(each, names_of(how.truth, how.model.classes)), how.model)
            _write(case.images, images)
            _write(case.truth, truth)  # last: it says that both are whole
        yield GridCase(each.name, each.modalities[0], np.load(images, mmap_mode="r"), np.load(truth, mmap_mode="r"))
        progress(number, len(files))


def _write(array: np.ndarray[tuple[int, ...], np.dtype[np.generic]], path: Path) -> None:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    write_bytes(path, buffer.getvalue())


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
