"""The images that a network takes, and how their values are scaled."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from clickseg.core.validation import StrictModel
from clickseg.models.spec.fields import omit_if

DescriptionPattern = Annotated[str, Field(min_length=1, max_length=256)]


class RangeScaling(StrictModel):
    """Maps values from ``a_min``..``a_max`` to ``b_min``..``b_max`` (MONAI ``ScaleIntensityRange``)."""

    kind: Literal["range"]
    a_min: float
    a_max: float
    b_min: float = 0.0
    b_max: float = 1.0
    clip: bool = True


class SquareRootScaling(StrictModel):
    """Clips values to ``minimum`` (at least 0) and ``maximum``, and takes the square root."""

    kind: Literal["square_root"]
    minimum: Annotated[float, Field(ge=0)] = 0.0
    maximum: float


class PercentileScaling(StrictModel):
    """Maps the percentiles ``lower`` and ``upper`` of the volume to ``b_min`` and ``b_max``."""

    kind: Literal["percentile"]
    lower: Annotated[float, Field(ge=0, le=100)]
    upper: Annotated[float, Field(ge=0, le=100)]
    b_min: float = 0.0
    b_max: float = 1.0
    clip: bool = True


class ZScoreScaling(StrictModel):
    """Unit variance, over all voxels or over the nonzero ones, and zero mean (MONAI ``NormalizeIntensity``) or minimum.

    ``centre`` is what becomes 0: the mean, or the minimum. With ``foreground``, the voxels are those where any input of
    the model, in its unit, is not 0, and the holes between them; voxels outside keep their value (nnU-Net).
    """

    kind: Literal["zscore"]
    nonzero: bool = False
    centre: Annotated[Literal["mean", "minimum"], omit_if("mean")] = "mean"
    foreground: Annotated[bool, omit_if(False)] = False

    @model_validator(mode="after")
    def _check_voxels(self) -> Self:
        if self.nonzero and self.foreground:
            raise ValueError("zscore: expected only one of nonzero and foreground, got both")
        return self


class SigmoidScaling(StrictModel):
    """The logistic function of each value."""

    kind: Literal["sigmoid"]


class TanhScaling(StrictModel):
    """``factor * tanh(value / factor)``: close to the value near 0, and between ``-factor`` and ``factor``."""

    kind: Literal["tanh"]
    factor: Annotated[float, Field(gt=0)] = 1.0


class GaussianSmoothing(StrictModel):
    """Smooths the image on the model grid by a Gaussian of ``sigma_vox`` voxels (MONAI ``GaussianSmooth``)."""

    kind: Literal["gaussian"]
    sigma_vox: Annotated[float, Field(gt=0, le=8)]


PointwiseScaling = RangeScaling | SquareRootScaling | PercentileScaling | ZScoreScaling | SigmoidScaling | TanhScaling
"""A scaling that changes each value by itself."""

Scaling = Annotated[PointwiseScaling | GaussianSmoothing, Field(discriminator="kind")]


Scalings = Scaling | Annotated[tuple[Scaling, ...], Field(min_length=1)]
"""One step, or several that are applied in order."""


class ImageSpec(StrictModel):
    """The modality and unit of an image, and how its values are scaled for the network.

    ``scaling`` is one step, or a list of steps that are applied in order: on the model grid, or with
    ``scale_before_resampling`` on the source grid.
    """

    modality: Literal["CT", "MR", "PT"]
    unit: Literal["HU", "SUVbw", ""]
    scaling: Scalings
    scale_before_resampling: Annotated[bool, omit_if(False)] = False

    @property
    def scaling_steps(self) -> tuple[PointwiseScaling | GaussianSmoothing, ...]:
        """The steps of the scaling, in order."""
        return _steps(self.scaling)

    @property
    def depends_on_foreground(self) -> bool:
        """Whether its scaling depends on the foreground of all inputs."""
        return any(isinstance(step, ZScoreScaling) and step.foreground for step in self.scaling_steps)

    @model_validator(mode="after")
    def _check_steps(self) -> Self:
        if self.scale_before_resampling and any(isinstance(step, GaussianSmoothing) for step in self.scaling_steps):
            raise ValueError("scaling: gaussian smooths on the model grid: expected scale_before_resampling false")
        return self


class AlternativeSpec(ImageSpec):
    """Another modality that the series may have.

    ``min_value``, in the unit of this modality, replaces ``min_value`` of the postprocessing: SUV has no meaning in CT.
    """

    min_value: float | None = None


class InputSpec(ImageSpec):
    """One image channel of the network.

    The result refers to the series of the first input; the others are resampled to its grid. If a model has only one
    input, this may have ``alternatives``: a series of any of these modalities is segmented, each separately.

    ``descriptions`` tell the series of several inputs of one modality apart: patterns of the Series Description with
    ``*``, ``?``, ``[..]`` and ``{a,b}``; those that begin with ``!`` exclude.

    Each of the ``further_scalings`` adds a channel with the same image in another scaling, after the channel of this
    input.
    """

    name: str
    alternatives: tuple[AlternativeSpec, ...] = ()
    descriptions: Annotated[tuple[DescriptionPattern, ...], Field(max_length=64), omit_if(())] = ()
    further_scalings: Annotated[tuple[Scalings, ...], Field(max_length=32), omit_if(())] = ()

    @property
    def image_specs(self) -> tuple[ImageSpec, ...]:
        """The specifications of the accepted images, one for each modality."""
        return (self, *self.alternatives)

    @property
    def modalities(self) -> tuple[str, ...]:
        """The accepted modalities of its series."""
        return tuple(image.modality for image in self.image_specs)

    @property
    def channel_scalings(self) -> tuple[tuple[PointwiseScaling | GaussianSmoothing, ...], ...]:
        """The steps of the scaling of each channel."""
        return (self.scaling_steps, *(_steps(scaling) for scaling in self.further_scalings))

    @model_validator(mode="after")
    def _check_further_scalings(self) -> Self:
        if self.further_scalings and (self.alternatives or self.scale_before_resampling):
            raise ValueError("further_scalings: expected no alternatives, and scale_before_resampling false")
        further = [step for steps in self.channel_scalings[1:] for step in steps]
        if any(isinstance(step, ZScoreScaling) and step.foreground for step in further):
            raise ValueError("further_scalings: expected no zscore with foreground")
        return self


def _steps(scaling: Scalings) -> tuple[PointwiseScaling | GaussianSmoothing, ...]:
    return scaling if isinstance(scaling, tuple) else (scaling,)
