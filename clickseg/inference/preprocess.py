"""Preprocesses series and clicks for the network: checks, resampling to the model grid, scaling, guidance channels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import highdicom as hd

from clickseg.clicks.click import Clicks
from clickseg.core.arrays import Float32Array, full_box, replace_axis_range
from clickseg.core.errors import ModelError
from clickseg.dicom.predecessor import Predecessor
from clickseg.dicom.volume import SeriesVolume
from clickseg.inference import guidance, intensity, resample
from clickseg.inference.case import Case, PreprocessedCase
from clickseg.inference.click_binding import bind_clicks
from clickseg.inference.model_input import GridImage, InMemoryImage, ModelInput, ScaledImage
from clickseg.inference.smoothing import SmoothedImage
from clickseg.models.package import ModelPackage
from clickseg.models.spec import GaussianSmoothing, ImageSpec, ModelSpec

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
    """Brings a case to the model grid: resamples and scales images, and rasterizes clicks."""
    spec = case.package.spec
    geometry = resample.model_geometry(case.reference_series.volume.get_geometry(), spec.grid)
    images = tuple(
        make_grid_image(series.volume, input_spec, spec, None if series is case.reference_series else geometry)
        for series, input_spec in zip(case.series, spec.inputs, strict=True)
    )
    balls = guidance.rasterize_clicks(case.clicks.points, geometry, spec.guidance) if spec.guidance else ()
    return PreprocessedCase(case, ModelInput(images, balls), geometry)


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
    if not image_spec.scale_before_resampling:
        return _scale_image(_resample(volume, model, geometry), image_spec)
    scaled = _scale_image(InMemoryImage(volume.array), image_spec)
    return _resample(volume.with_array(scaled.crop(full_box(scaled.shape))), model, geometry)


def _resample(volume: hd.Volume, model: ModelSpec, geometry: hd.VolumeGeometry | None) -> GridImage:
    if geometry is None:
        return resample.ResampledImage(volume, model.grid)
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
