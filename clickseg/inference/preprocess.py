"""Preprocesses series and clicks for the network: checks, resampling to the model grid, scaling, guidance channels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import highdicom as hd

from clickseg.clicks.click import Clicks, ClickSequence
from clickseg.core.arrays import Box, Float32Array, IndexArray, full_box, replace_axis_range
from clickseg.core.errors import ModelError
from clickseg.dicom.predecessor import Predecessor
from clickseg.dicom.volume import SeriesVolume
from clickseg.inference import guidance, intensity, resample
from clickseg.inference.case import Case, PreprocessedCase
from clickseg.inference.click_binding import bind_clicks
from clickseg.inference.foreground import CroppedImage, crop_box, crop_volumes, foreground_box
from clickseg.inference.model_grid import ModelGrid
from clickseg.inference.model_input import GridImage, InMemoryImage, ModelInput, ScaledImage
from clickseg.inference.smoothing import SmoothedImage
from clickseg.inference.spline import make_spline_image
from clickseg.models.package import ModelPackage
from clickseg.models.spec import CropSpec, GaussianSmoothing, GridSpec, ImageSpec, ModelSpec

_PLANES_PER_BLOCK = 16
"""Number of planes per block when the scaling depends on all values of a volume."""


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
    spec, source = case.package.spec, case.reference_series.volume.get_geometry()
    volumes, source_box = _make_volumes(case)
    resampled = resample.model_geometry(volumes[0].get_geometry(), spec.grid)
    images = [
        _resample(volume, spec.grid, None if series is case.reference_series else resampled)
        for volume, series in zip(volumes, case.series, strict=True)
    ]
    images, box = _make_images(images, spec)
    grid = ModelGrid(source, source_box, resampled, box)
    return PreprocessedCase(case, ModelInput(tuple(images), rasterize(case.clicks.points, grid, spec)), grid)


def rasterize(points: ClickSequence, grid: ModelGrid, spec: ModelSpec) -> tuple[IndexArray, ...]:
    """Returns the voxels of each guidance channel of a model: see ``guidance.rasterize_clicks``."""
    if spec.guidance is None:
        return ()
    return guidance.rasterize_clicks(points, grid.geometry, spec.guidance, is_cropped=grid.is_cropped)


def _make_volumes(case: Case) -> tuple[list[hd.Volume], Box]:
    """Returns the volumes that are resampled, cropped and scaled if the model does so before, and their box."""
    spec, volumes = case.package.spec, [series.volume for series in case.series]
    crop = spec.crop if spec.crop and spec.crop.grid == "source" else None
    if crop is None:
        return _scale_volumes(volumes, spec), full_box(volumes[0].spatial_shape)
    if crop.values == "scaled":
        volumes = _scale_volumes(volumes, spec)
        return crop_volumes(volumes, crop_box(volumes[0], crop))
    box = crop_box(volumes[0], crop)
    if crop.statistics == "volume":
        return crop_volumes(_scale_volumes(volumes, spec), box)
    volumes, box = crop_volumes(volumes, box)
    return _scale_volumes(volumes, spec), box


def _scale_volumes(volumes: Sequence[hd.Volume], spec: ModelSpec) -> list[hd.Volume]:
    return [_scale_volume(volume, image_spec) for volume, image_spec in zip(volumes, spec.inputs, strict=True)]


def _make_images(images: Sequence[GridImage], spec: ModelSpec) -> tuple[list[GridImage], Box]:
    """Returns resampled images as the network sees them, cropped and scaled, and their box on the model grid."""
    crop = spec.crop if spec.crop and spec.crop.grid == "model" else None
    box = full_box(images[0].shape)
    if crop and crop.values == "source":
        images, box = _crop_images(images, crop)
    images = [
        image if image_spec.scale_before_resampling else _scale_image(image, image_spec)
        for image, image_spec in zip(images, spec.inputs, strict=True)
    ]
    if crop and crop.values == "scaled":
        images, box = _crop_images(images, crop)
    return images, box


def _crop_images(images: Sequence[GridImage], crop: CropSpec) -> tuple[list[GridImage], Box]:
    box = foreground_box(images[0], crop)
    return [CroppedImage(image, box) for image in images], box


def make_grid_image(
    volume: hd.Volume, image_spec: ImageSpec, model: ModelSpec, geometry: hd.VolumeGeometry | None
) -> GridImage:
    """Returns a volume on the model grid, scaled before or after resampling.

    Args:
        volume: The volume, in its unit.
        image_spec: How its values are scaled.
        model: The model.
        geometry: The model grid, to which the volume is resampled by its position in the patient; None for the
            reference series, which is resampled along its own axes.
    """
    image = _resample(_scale_volume(volume, image_spec), model.grid, geometry)
    return image if image_spec.scale_before_resampling else _scale_image(image, image_spec)


def _scale_volume(volume: hd.Volume, spec: ImageSpec) -> hd.Volume:
    """Returns the volume that is resampled: scaled if the model scales before resampling."""
    if not spec.scale_before_resampling:
        return volume
    scaled = _scale_image(InMemoryImage(volume.array), spec)
    return volume.with_array(scaled.crop(full_box(scaled.shape)))


def _resample(volume: hd.Volume, grid: GridSpec, geometry: hd.VolumeGeometry | None) -> GridImage:
    if geometry is None:
        return make_spline_image(volume, grid) if grid.image_order == 3 else resample.ResampledImage(volume, grid)
    return InMemoryImage(resample.resample_to_geometry(volume, geometry))


def _scale_image(image: GridImage, spec: ImageSpec) -> GridImage:
    """Returns an image after the steps of its scaling."""
    for step in spec.scaling_steps:
        if isinstance(step, GaussianSmoothing):
            image = SmoothedImage(image, step.sigma_vox)
        else:
            image = ScaledImage(image, intensity.fit_scaler(step, partial(_blocks, image)))
    return image


def _blocks(image: GridImage) -> Iterator[Float32Array]:
    """Yields the values of an image in blocks of planes."""
    for first in range(0, image.shape[0], _PLANES_PER_BLOCK):
        stop = min(first + _PLANES_PER_BLOCK, image.shape[0])
        yield image.crop(replace_axis_range(full_box(image.shape), 0, slice(first, stop)))
