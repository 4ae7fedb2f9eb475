"""From a series and clicks to what a network is given: checked, brought to the model grid, scaled, clicks drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import highdicom as hd

from clickseg.clicks.click import Clicks
from clickseg.core.arrays import Values, cut, whole
from clickseg.core.errors import ModelError
from clickseg.dicom.predecessor import EarlierResult
from clickseg.dicom.volume import Series
from clickseg.inference import guidance, intensity, resample
from clickseg.inference.case import Case, Prepared
from clickseg.inference.click_binding import bind
from clickseg.inference.model_input import GridImage, ModelInput, Scaled, Whole
from clickseg.models.package import ModelPackage
from clickseg.models.spec import Scaling

_PLANES_PER_BLOCK = 16
"""How many planes of a volume are looked at together where its scaling depends on all of them."""


def make_case(
    series: Sequence[Series], clicks: Clicks, package: ModelPackage, earlier: tuple[EarlierResult, ...] = ()
) -> Case:
    """Checks that series and clicks are what a model takes.

    Raises:
        ClickError: A click does not belong to the series or the model.
        ModelError: A series is of another modality or unit, or there are not as many as the model has inputs.
    """
    if len(series) != len(package.spec.inputs):
        names = " and ".join(each.name for each in package.spec.inputs)
        raise ModelError(
            f"model {package.name}: expected {len(package.spec.inputs)} series ({names}), got {len(series)}"
        )
    for each, spec in zip(series, package.spec.inputs, strict=True):
        expected = [f"{choice.modality} {choice.unit}".strip() for choice in spec.choices]
        got = f"{each.candidate.modality} {each.unit}".strip()
        if got not in expected:
            raise ModelError(f"model {package.name}: input {spec.name}: expected {' or '.join(expected)}, got {got}")
    reference = series[0]
    bound = bind(clicks, package.spec, reference.volume.get_geometry(), reference.candidate.series_uid)
    return Case(tuple(series), bound, package.for_modality(reference.candidate.modality), earlier)


def prepare(case: Case) -> Prepared:
    """Brings a case to the model grid: images resampled and scaled, clicks drawn."""
    spec = case.package.spec
    geometry = resample.model_geometry(case.reference.volume.get_geometry(), spec.grid)
    images = tuple(
        _scale_image(_resample_series(series, case, geometry), each.scaling)
        for series, each in zip(case.series, spec.inputs, strict=True)
    )
    balls = guidance.balls(case.clicks.points, geometry, spec.guidance) if spec.guidance else ()
    return Prepared(case, ModelInput(images, balls), geometry)


def _resample_series(series: Series, case: Case, geometry: hd.VolumeGeometry) -> GridImage:
    """Returns a series on the model grid: the reference along its own axes, another one wherever it lies."""
    if series is case.reference:
        return resample.OnModelGrid(series.volume, case.package.spec.grid)
    return Whole(resample.to_geometry(series.volume, geometry))


def _scale_image(image: GridImage, scaling: Scaling) -> Scaled:
    def blocks() -> Iterator[Values]:
        for first in range(0, image.shape[0], _PLANES_PER_BLOCK):
            yield image.part(cut(whole(image.shape), 0, slice(first, min(first + _PLANES_PER_BLOCK, image.shape[0]))))

    return Scaled(image, intensity.fitted(scaling, blocks))
