"""Cases on the model grid, cached in memory-mapped files so that memory does not grow with the dataset."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import highdicom as hd
import numpy as np

from clickseg.core.arrays import Float32Array, LabelArray, full_box
from clickseg.core.errors import InputError
from clickseg.core.files import write_bytes
from clickseg.core.progress import Progress
from clickseg.datasets.case import CaseFiles, LabelledCase
from clickseg.datasets.read import read_case
from clickseg.datasets.regions import resolve_class_names
from clickseg.inference import resample
from clickseg.inference.preprocess import make_images
from clickseg.models.spec import ModelSpec
from clickseg.training.config import TrainingConfig


@dataclass(frozen=True, slots=True)
class GridCase:
    """A case on the model grid.

    Attributes:
        name: The name of the case.
        modality: The modality of the first image.
        images: The images with scaled intensities, as the network receives them [C, I, J, K].
        truth: The ground truth: the class number of each voxel [I, J, K].
    """

    name: str
    modality: str
    images: Float32Array
    truth: LabelArray


def load_grid_cases(
    cases: Sequence[CaseFiles], config: TrainingConfig, folder: Path, progress: Progress
) -> Iterator[GridCase]:
    """Yields cases on the model grid; resampled cases are cached in a folder and reused.

    Args:
        cases: The files of the cases.
        config: The training configuration, with the model.
        folder: The folder of the cache.
        progress: Called after each case.

    Raises:
        InputError: A case cannot be read, or does not fit the model.
        OutputError: The folder cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number, case in enumerate(cases, 1):
        images, truth = folder / f"{case.name}.images.npy", folder / f"{case.name}.truth.npy"
        if not truth.is_file():
            class_names = resolve_class_names(config.truth_names, config.model.classes)
            grid_case = resample_case(read_case(case, class_names), config.model)
            _write_array(grid_case.images, images)
            _write_array(grid_case.truth, truth)  # last: if it exists, both files are complete
        yield GridCase(case.name, case.modalities[0], np.load(images, mmap_mode="r"), np.load(truth, mmap_mode="r"))
        progress(number, len(cases))


def _write_array(array: np.ndarray[tuple[int, ...], np.dtype[np.generic]], path: Path) -> None:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    write_bytes(path, buffer.getvalue())


def resample_case(case: LabelledCase, spec: ModelSpec) -> GridCase:
    """Resamples a case to the model grid and scales its intensities.

    Raises:
        InputError: The ground truth contains a class that the model does not have.
    """
    spec = spec.for_modality(case.images[0].modality)
    highest = int(case.truth.array.max(initial=0))
    if highest > len(spec.classes):
        raise InputError(
            f"case {case.name}: ground truth: expected class numbers 0 to {len(spec.classes)}, got {highest}"
        )
    images, _ = make_images([image.volume for image in case.images], spec)
    arrays = [image.crop(full_box(image.shape)) for image in images]
    return GridCase(case.name, case.images[0].modality, np.stack(arrays), _resample_truth(case.truth, spec))


def _resample_truth(truth: hd.Volume, spec: ModelSpec) -> LabelArray:
    """Returns for each voxel the class that covers the largest fraction of the voxel."""
    largest = _class_fraction(truth, 0, spec)
    labels = np.zeros(largest.shape, np.uint8)
    for label in range(1, len(spec.classes) + 1):
        fraction = _class_fraction(truth, label, spec)
        labels[fraction >= largest] = label
        largest = np.maximum(largest, fraction)
    return labels


def _class_fraction(truth: hd.Volume, label: int, spec: ModelSpec) -> Float32Array:
    image = resample.ResampledImage(truth.with_array((truth.array == label).astype(np.float32)), spec.grid)
    return image.crop(full_box(image.shape))
