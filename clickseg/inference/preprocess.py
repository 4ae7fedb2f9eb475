"""Preprocesses series and clicks for the network: checks, resampling to the model grid, scaling, guidance channels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import highdicom as hd
import numpy as np

from clickseg.clicks.click import Clicks, ClickSequence
from clickseg.core.arrays import Box, Float32Array, IndexArray, Mask, full_box
from clickseg.core.errors import InputError, ModelError
from clickseg.dicom.predecessor import Predecessor
from clickseg.dicom.volume import SeriesVolume
from clickseg.inference import guidance, intensity, resample
from clickseg.inference.case import Case, PreprocessedCase
from clickseg.inference.click_binding import bind_clicks
from clickseg.inference.foreground import (
    CroppedImage,
    ForegroundImage,
    crop_box,
    crop_volumes,
    foreground_box,
    foreground_mask,
    plane_blocks,
)
from clickseg.inference.model_grid import ModelGrid
from clickseg.inference.model_input import GridImage, InMemoryImage, ModelInput, ScaledImage
from clickseg.inference.smoothing import SmoothedImage
from clickseg.inference.spline_image import make_spline_image
from clickseg.models.package import ModelPackage
from clickseg.models.spec import CropSpec, GaussianSmoothing, GridSpec, ModelSpec, PointwiseScaling, ZScoreScaling


def make_case(
    series: Sequence[SeriesVolume], clicks: Clicks, package: ModelPackage, predecessors: tuple[Predecessor, ...] = ()
) -> Case:
    """Makes the case of a model run, after checking series and clicks against the model.

    Args:
        series: One series for each input of the model, the reference series first.
        clicks: The clicks.
        package: The model.
        predecessors: Results of earlier runs for the reference series, sorted from newest to oldest.

    Raises:
        ClickError: A click does not fit the series or the model.
        InputError: The series are not in one frame of reference.
        ModelError: A series has another modality or unit, or the number of series differs from the model's inputs.
    """
    if len(series) != len(package.spec.inputs):
        names = " and ".join(spec.name for spec in package.spec.inputs)
        raise ModelError(
            f"model {package.name}: expected {len(package.spec.inputs)} series ({names}), got {len(series)}"
        )
    for volume, spec in zip(series, package.spec.inputs, strict=True):
        expected = [f"{choice.modality} {choice.unit}".strip() for choice in spec.image_specs]
        got = f"{volume.files.modality} {volume.unit}".strip()
        if got not in expected:
            raise ModelError(f"model {package.name}: input {spec.name}: expected {' or '.join(expected)}, got {got}")
    reference = series[0]
    frames = {volume.volume.frame_of_reference_uid for volume in series} - {None}
    if len(frames) > 1:
        got = ", ".join(sorted(map(str, frames)))
        raise InputError(f"model {package.name}: expected series in one frame of reference, got {got}")
    geometry = reference.volume.get_geometry()
    bound = bind_clicks(clicks, package.spec, geometry, reference.files.series_uid)
    for_modality = package.for_modality(reference.files.modality)
    grid = resample.resolve_grid(for_modality.spec.grid, geometry)
    return Case(tuple(series), bound, for_modality.with_grid(grid), predecessors)


def preprocess(case: Case) -> PreprocessedCase:
    """Brings a case to the model grid: crops, resamples and scales images, and rasterizes clicks.

    Raises:
        ClickError: No voxel of a click's ball is on the model grid.
        InputError: The first input has no voxel that the crop of the model chooses.
    """
    spec = case.package.spec
    images, grid = make_images([series.volume for series in case.series], spec)
    return PreprocessedCase(case, ModelInput(tuple(images), rasterize(case.clicks.points, grid, spec)), grid)


def rasterize(points: ClickSequence, grid: ModelGrid, spec: ModelSpec) -> tuple[IndexArray, ...]:
    """Returns the voxels of each guidance channel of a model: see ``guidance.rasterize_clicks``."""
    if spec.guidance is None:
        return ()
    return guidance.rasterize_clicks(points, grid.geometry, spec.guidance, is_cropped=grid.is_cropped)


def make_images(volumes: Sequence[hd.Volume], spec: ModelSpec) -> tuple[list[GridImage], ModelGrid]:
    """Returns the image of each input of a model, as the network sees it, and the model grid.

    Args:
        volumes: The volume [K, J, I] of each input, in its unit, that of the reference series first.
        spec: The model, configured for the modality of the first input.

    Raises:
        InputError: The inputs have no voxel that the crop of the model chooses.
    """
    source, is_common = volumes[0].get_geometry(), spec.has_common_grid
    are_aligned = [is_common or resample.has_same_grid(volume, source) for volume in volumes]
    volumes = [
        resample.bring_to_grid(volume, source) if number and is_aligned else volume
        for number, (volume, is_aligned) in enumerate(zip(volumes, are_aligned, strict=True))
    ]
    volumes, source_box = _prepare_volumes(volumes, spec)
    resampled = resample.model_geometry(volumes[0].get_geometry(), spec.grid)
    images = [
        _resample(volume, spec.grid, None if is_aligned else resampled)
        for volume, is_aligned in zip(volumes, are_aligned, strict=True)
    ]
    images, box = _prepare_images(images, spec)
    return images, ModelGrid(source, source_box, resampled, box)


def _prepare_volumes(volumes: Sequence[hd.Volume], spec: ModelSpec) -> tuple[list[hd.Volume], Box]:
    """Returns the volumes that are resampled, cropped and scaled if the model does so before, and their box."""
    crop = spec.crop if spec.crop and spec.crop.grid == "source" else None
    if crop is None:
        return _scale_volumes(volumes, spec), full_box(volumes[0].spatial_shape)
    if crop.values == "scaled":
        volumes = _scale_volumes(volumes, spec)
        return crop_volumes(volumes, crop_box(volumes, crop))
    box = crop_box(volumes, crop)
    if crop.statistics == "volume":
        return crop_volumes(_scale_volumes(volumes, spec), box)
    volumes, box = crop_volumes(volumes, box)
    return _scale_volumes(volumes, spec), box


def _scale_volumes(volumes: Sequence[hd.Volume], spec: ModelSpec) -> list[hd.Volume]:
    """Returns the volumes that are resampled: scaled if the model scales before resampling."""
    images = _scale_images([InMemoryImage(volume.array) for volume in volumes], spec, before=True)
    return [
        volume.with_array(_read_by_blocks(image)) if image_spec.scale_before_resampling else volume
        for volume, image, image_spec in zip(volumes, images, spec.inputs, strict=True)
    ]


def _read_by_blocks(image: GridImage) -> Float32Array:
    """Returns all values of an image; temporary memory of its scaling is that of some planes."""
    values = np.empty(image.shape, np.float32)
    for block in plane_blocks(image.shape):
        values[block] = image.crop(block)
    return values


def _prepare_images(images: Sequence[GridImage], spec: ModelSpec) -> tuple[list[GridImage], Box]:
    """Returns resampled images as the network sees them, cropped and scaled, and their box on the model grid."""
    crop = spec.crop if spec.crop and spec.crop.grid == "model" else None
    box = full_box(images[0].shape)
    if crop and crop.values == "source":
        images, box = _crop_images(images, crop)
    images = _scale_images(images, spec, before=False)
    if crop and crop.values == "scaled":
        images, box = _crop_images(images, crop)
    return images, box


def _crop_images(images: Sequence[GridImage], crop: CropSpec) -> tuple[list[GridImage], Box]:
    box = foreground_box(images, crop)
    return [CroppedImage(image, box) for image in images], box


def _resample(volume: hd.Volume, grid: GridSpec, geometry: hd.VolumeGeometry | None) -> GridImage:
    if geometry is None:
        return make_spline_image(volume, grid) if grid.image_order == 3 else resample.ResampledImage(volume, grid)
    return InMemoryImage(resample.resample_to_geometry(volume, geometry))


def _scale_images(images: Sequence[GridImage], spec: ModelSpec, *, before: bool) -> list[GridImage]:
    """Returns the image channels; those that the model scales before, or after resampling, are scaled."""
    scaled = [image_spec.scale_before_resampling is before for image_spec in spec.inputs]
    mask = foreground_mask(images) if spec.depends_on_foreground and any(scaled) else None
    return [
        _scale_image(image, steps, mask) if is_scaled else image
        for image, image_spec, is_scaled in zip(images, spec.inputs, scaled, strict=True)
        for steps in image_spec.channel_scalings[: None if is_scaled else 1]
    ]


def _scale_image(
    image: GridImage, steps: Sequence[PointwiseScaling | GaussianSmoothing], mask: Mask | None
) -> GridImage:
    """Returns an image after the steps of a scaling; the mask is the foreground, if a step depends on it."""
    for step in steps:
        if isinstance(step, GaussianSmoothing):
            image = SmoothedImage(image, step.sigma_vox)
        elif mask is not None and isinstance(step, ZScoreScaling) and step.foreground:
            image = ForegroundImage(image, mask, intensity.fit_scaler(step, partial(_foreground_values, image, mask)))
        else:
            image = ScaledImage(image, intensity.fit_scaler(step, partial(_blocks, image)))
    return image


def _blocks(image: GridImage) -> Iterator[Float32Array]:
    """Yields the values of an image in blocks of planes."""
    return map(image.crop, plane_blocks(image.shape))


def _foreground_values(image: GridImage, mask: Mask) -> Iterator[Float32Array]:
    """Yields the values of an image in the foreground, in blocks of planes."""
    return (image.crop(block)[mask[block]] for block in plane_blocks(image.shape))
