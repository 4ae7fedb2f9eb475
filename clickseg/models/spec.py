"""The definition of a model: the ``clickseg`` section of a MONAI Bundle's ``metadata.json``."""

from __future__ import annotations

import math
from collections import Counter
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from clickseg.clicks.click import Polarity
from clickseg.core.validation import StrictModel
from clickseg.models.class_codes import CodeTriple, find_class_codes


def _short_text_pattern(length: int) -> str:
    r"""Returns the pattern of DICOM text (SH, LO): no backslash or control characters, no space at either end."""
    return rf"^[^\\\x00-\x1f\s]([^\\\x00-\x1f]{{0,{length - 2}}}[^\\\x00-\x1f\s])?$"


MAX_WINDOW_VOXELS = 1 << 27
"""The largest window that is accepted: 512 x 512 x 512."""

SpacingMm = Annotated[float, Field(ge=0.05, le=100)]
GridSpacing = SpacingMm | Literal["source"]
PositiveFactor = Annotated[float, Field(gt=0)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
WeightsName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$")]
"""The name of a file in ``models/``; a path is rejected, because it could lead outside the package."""


def omit_if(default: object) -> Any:
    """Returns the settings of a field that is written only if its value is not the default.

    UIDs and sessions depend on the written specification: they stay the same if a version adds such a field.
    """
    return Field(exclude_if=lambda value: bool(value == default))


class Code(StrictModel):
    """A coded concept (PS3.3, 8.8)."""

    value: Annotated[str, Field(pattern=_short_text_pattern(16))]
    scheme: Annotated[str, Field(pattern=_short_text_pattern(16))]
    meaning: Annotated[str, Field(pattern=_short_text_pattern(64))]


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

    ``centre`` is what becomes 0: the mean, or the minimum.
    """

    kind: Literal["zscore"]
    nonzero: bool = False
    centre: Annotated[Literal["mean", "minimum"], omit_if("mean")] = "mean"


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


class ImageSpec(StrictModel):
    """The modality and unit of an image, and how its values are scaled for the network.

    ``scaling`` is one step, or a list of steps that are applied in order: on the model grid, or with
    ``scale_before_resampling`` on the source grid.
    """

    modality: Literal["CT", "MR", "PT"]
    unit: Literal["HU", "SUVbw", ""]
    scaling: Scaling | Annotated[tuple[Scaling, ...], Field(min_length=1)]
    scale_before_resampling: Annotated[bool, omit_if(False)] = False

    @property
    def scaling_steps(self) -> tuple[PointwiseScaling | GaussianSmoothing, ...]:
        """The steps of the scaling, in order."""
        return self.scaling if isinstance(self.scaling, tuple) else (self.scaling,)

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
    """

    name: str
    alternatives: tuple[AlternativeSpec, ...] = ()

    @property
    def image_specs(self) -> tuple[ImageSpec, ...]:
        """The specifications of the accepted images, one for each modality."""
        return (self, *self.alternatives)

    @property
    def modalities(self) -> tuple[str, ...]:
        """The accepted modalities of its series."""
        return tuple(image.modality for image in self.image_specs)


class GridSpec(StrictModel):
    """The model grid: the axes of the source grid, flipped and permuted to ``orientation``, at ``spacing_mm``.

    An axis with the spacing ``source`` keeps that of the series, and so does an axis whose spacing in the series is
    within ``spacing_tolerance``, two factors of ``spacing_mm``. With the orientation ``source``, the axes are those of
    the series: columns, rows, and slices in the direction of their normal, as ITK stores them.
    """

    spacing_mm: tuple[GridSpacing, GridSpacing, GridSpacing]
    spacing_tolerance: Annotated[tuple[PositiveFactor, PositiveFactor] | None, omit_if(None)] = None
    orientation: Annotated[str, Field(pattern=r"^([RLAPSI]{3}|source)$")] = "RAS"

    @property
    def depends_on_source(self) -> bool:
        """Whether the grid depends on the series: see ``resample.resolve_grid``."""
        is_partly_source = "source" in (self.orientation, *self.spacing_mm)
        return is_partly_source or self.spacing_tolerance is not None

    @property
    def resolved_spacing_mm(self) -> tuple[float, float, float]:
        """The spacing of a grid that does not depend on the series."""
        i, j, k = (float(length) for length in self.spacing_mm)
        return i, j, k

    @model_validator(mode="after")
    def _check_axes(self) -> Self:
        letters = {{"L": "R", "P": "A", "I": "S"}.get(letter, letter) for letter in self.orientation}
        if self.orientation != "source" and len(letters) != 3:
            raise ValueError(f"expected one letter of each of RL, AP and SI, got {self.orientation}")
        return self

    @model_validator(mode="after")
    def _check_tolerance(self) -> Self:
        if self.spacing_tolerance is not None and not self.spacing_tolerance[0] <= 1 <= self.spacing_tolerance[1]:
            raise ValueError(f"spacing_tolerance: expected factors around 1, got {list(self.spacing_tolerance)}")
        return self


class WindowSpec(StrictModel):
    """The sliding window, in voxels of the model grid, and how windows are blended (MONAI ``SlidingWindowInferer``).

    ``placement`` places windows at a fixed distance, the last one shifted back to the end of the volume, or evenly
    spread as in nnU-Net. ``mode`` weights the voxels of a window: by a Gaussian with ``sigma_scale`` as MONAI or as
    nnU-Net computes it, or all equally. ``padding_mode`` fills a window where it extends beyond a volume that is
    smaller: with 0, or with the value at the border.
    """

    roi: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]]
    overlap: Annotated[float, Field(ge=0, lt=1)] = 0.5
    sigma_scale: Annotated[float, Field(ge=0.01, le=100)] = 0.125
    placement: Annotated[Literal["fixed", "even"], omit_if("fixed")] = "fixed"
    mode: Annotated[Literal["gaussian", "constant", "nnunet"], omit_if("gaussian")] = "gaussian"
    padding_mode: Annotated[Literal["constant", "replicate"], omit_if("constant")] = "constant"

    @property
    def is_monai(self) -> bool:
        """Whether MONAI's ``SlidingWindowInferer`` has the same positions and weights."""
        return self.placement == "fixed" and self.mode != "nnunet"

    @model_validator(mode="after")
    def _check_size(self) -> Self:
        if math.prod(self.roi) > MAX_WINDOW_VOXELS:
            raise ValueError(f"window.roi: expected at most {MAX_WINDOW_VOXELS} voxels, got {math.prod(self.roi)}")
        return self


class ClickChannel(StrictModel):
    """One guidance channel; ``takes`` lists the pairs of label and polarity whose clicks it contains."""

    takes: Annotated[tuple[tuple[str, Polarity], ...], Field(min_length=1)]


class MaskChannel(StrictModel):
    """One channel with the result before the last click: 1 in the voxels of the classes in ``takes``."""

    takes: Annotated[tuple[str, ...], Field(min_length=1)]


class GuidanceSpec(StrictModel):
    """How clicks are encoded as channels: 1 in a ball of voxels around each click, 0 elsewhere.

    A model with ``previous_mask`` channels refines its own result: it is run without clicks, then once for each click
    in order. Each run has the result of the previous run as input: 1 in the voxels of the channel's classes, 0
    elsewhere, and 0 everywhere in the first run. With ``required``, a series is segmented only if it has a foreground
    click.
    """

    kind: Literal["ball"]
    radius_vox: Annotated[float, Field(ge=0, le=32)]
    channels: Annotated[tuple[ClickChannel, ...], Field(min_length=1)]
    previous_mask: tuple[MaskChannel, ...] = ()
    required: bool = False


class ClassSpec(StrictModel):
    """One class of the output: its logit channel, and its codes in DICOM.

    Codes and colour that are not given are found by the name: see ``class_codes``. ``type_modifier`` is the side of a
    paired structure.
    """

    name: Annotated[str, Field(pattern=_short_text_pattern(64))]
    channel: Annotated[int, Field(ge=0)]
    colour: tuple[
        Annotated[int, Field(ge=0, le=255)],
        Annotated[int, Field(ge=0, le=255)],
        Annotated[int, Field(ge=0, le=255)],
    ]
    category: Code
    type: Code
    type_modifier: Annotated[Code | None, omit_if(None)] = None
    anatomic_region: Code | None = None
    aliases: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _fill_codes(cls, content: object) -> object:
        """Adds colour and codes by name; codes are only added together, so that they do not contradict each other."""
        if not isinstance(content, dict) or not isinstance(content.get("name"), str):
            return content
        codes = find_class_codes(content["name"], _number_or_zero(content.get("channel")))
        filled = {"colour": codes.colour, **content}
        if "type" not in content:
            found = {"type": codes.type, "type_modifier": codes.type_modifier, "anatomic_region": codes.anatomic_region}
            concepts = {"category": codes.category, **found}
            filled = {**{key: _code_fields(code) for key, code in concepts.items() if code}, **filled}
        return filled


def _number_or_zero(value: object) -> int:
    return value if isinstance(value, int) else 0


def _code_fields(code: CodeTriple) -> dict[str, str]:
    return dict(zip(("value", "scheme", "meaning"), code, strict=True))


class CropSpec(StrictModel):
    """The box of the volume that the network sees; outside it, everything is background (MONAI ``CropForeground``).

    It is the bounding box of the voxels of the first input that are above 0, or not 0: in its unit, or after its
    scaling; on the source grid, before resampling, or on the model grid. ``margin_vox`` widens it, at most to the
    complete volume. With values of the source, the crop comes before the scaling, which then depends on the box only;
    with the ``statistics`` of the volume, the complete source volume is scaled, and then cropped.
    """

    voxels: Literal["positive", "nonzero"]
    values: Literal["source", "scaled"]
    grid: Literal["source", "model"]
    margin_vox: Annotated[int, Field(ge=0, le=1024)] = 0
    statistics: Annotated[Literal["box", "volume"], omit_if("box")] = "box"


class PostprocessingSpec(StrictModel):
    """Which voxels and components are removed from the result.

    ``min_value`` removes voxels whose value in the first input is lower, in its unit (an alternative has its own);
    ``min_volume_ml`` removes smaller components; ``keep`` keeps all components, the ``keep_count`` largest of each
    class, or those with a foreground click of their class. ``keep`` applies to all classes, or to ``keep_classes``.
    Components are found on the source grid, or on the model grid before its labels are brought to the source grid.
    """

    min_value: float | None = None
    min_volume_ml: Annotated[float, Field(ge=0)] = 0.0
    keep: Literal["all", "largest", "clicked"] = "all"
    keep_count: Annotated[int, Field(ge=1), omit_if(1)] = 1
    keep_classes: Annotated[tuple[str, ...] | None, Field(min_length=1), omit_if(None)] = None
    connectivity: Annotated[Literal["faces", "full"], omit_if("faces")] = "faces"
    grid: Annotated[Literal["source", "model"], omit_if("source")] = "source"

    @property
    def keeps_everything(self) -> bool:
        """Whether no voxel is ever removed."""
        return self.min_value is None and not self.min_volume_ml and self.keep == "all"

    def keep_rule(self, class_name: str) -> Literal["all", "largest", "clicked"]:
        """Returns which components of a class are kept."""
        return self.keep if self.keep_classes is None or class_name in self.keep_classes else "all"

    @model_validator(mode="after")
    def _check_keep(self) -> Self:
        if self.keep_count > 1 and self.keep != "largest":
            raise ValueError(f"keep_count: expected 1, or keep largest, got keep {self.keep}")
        if self.keep_classes is not None and self.keep == "all":
            raise ValueError("keep_classes: expected keep largest or clicked, got keep all")
        return self


class ModelSpec(StrictModel):
    """The complete ``clickseg`` section of a model package.

    ``crop`` is the part of the volume that the network sees. ``mirror_axes`` are axes of the model grid (0, 1, 2 for I,
    J, K): logits are the mean over a window and its mirror images along all combinations of these axes, as in nnU-Net.
    ``interpolation`` is what is interpolated from the model grid to the source grid: logits or probabilities linearly,
    or the labels of the model grid, each source voxel the label of the nearest voxel.
    """

    default: bool = False
    inputs: Annotated[tuple[InputSpec, ...], Field(min_length=1)]
    grid: GridSpec
    window: WindowSpec
    guidance: GuidanceSpec | None = None
    activation: Literal["softmax", "sigmoid"]
    output_channels: Annotated[int, Field(ge=1, le=1024)]
    classes: Annotated[tuple[ClassSpec, ...], Field(min_length=1)]
    crop: Annotated[CropSpec | None, omit_if(None)] = None
    mirror_axes: Annotated[tuple[Literal[0, 1, 2], ...], omit_if(())] = ()
    interpolation: Annotated[Literal["logits", "probabilities", "labels"], omit_if("logits")] = "logits"
    postprocessing: PostprocessingSpec = PostprocessingSpec()
    weights: dict[WeightsName, Sha256] = Field(default_factory=dict)

    @property
    def input_channels(self) -> int:
        """The number of image, click and mask channels, which are in this order."""
        clicks = len(self.guidance.channels) if self.guidance else 0
        return len(self.inputs) + clicks + len(self.previous_mask)

    @property
    def previous_mask(self) -> tuple[MaskChannel, ...]:
        """The channels with the result before the last click."""
        return self.guidance.previous_mask if self.guidance else ()

    def for_modality(self, modality: str) -> Self:
        """Returns the settings for series of one modality, without alternatives.

        Args:
            modality: One of the modalities of the first input.
        """
        first, *additional = self.inputs
        (chosen,) = (image for image in first.image_specs if image.modality == modality)
        changes = {name: getattr(chosen, name) for name in ImageSpec.model_fields} | {"alternatives": ()}
        min_value = chosen.min_value if isinstance(chosen, AlternativeSpec) else self.postprocessing.min_value
        rules = self.postprocessing.model_copy(update={"min_value": min_value})
        inputs = (first.model_copy(update=changes), *additional)
        return self.model_copy(update={"inputs": inputs, "postprocessing": rules})

    @model_validator(mode="after")
    def _check_alternatives(self) -> Self:
        if len(self.inputs) > 1 and any(image.alternatives for image in self.inputs):
            raise ValueError(f"inputs.alternatives: expected a model with one input, got {len(self.inputs)} inputs")
        modalities = self.inputs[0].modalities
        if len(set(modalities)) < len(modalities):
            raise ValueError(f"inputs.alternatives.modality: expected each modality once, got {', '.join(modalities)}")
        return self

    @model_validator(mode="after")
    def _check_classes(self) -> Self:
        first = 1 if self.activation == "softmax" else 0
        channels = [spec.channel for spec in self.classes]
        if min(channels) < first or max(channels) >= self.output_channels or len(set(channels)) < len(channels):
            raise ValueError(
                f"classes.channel: expected different channels from {first} to {self.output_channels - 1}, "
                f"got {channels}"
            )
        names = Counter(name.casefold() for spec in self.classes for name in (spec.name, *spec.aliases))
        duplicates = [name for name, count in names.items() if count > 1]
        if duplicates:
            raise ValueError(f"classes: the name or alias {duplicates[0]!r} is used more than once")
        return self

    @model_validator(mode="after")
    def _check_guidance(self) -> Self:
        known = {spec.name for spec in self.classes}
        unknown = {label for label, _ in self.accepted_clicks} - known
        if unknown:
            raise ValueError(f"guidance.channels.takes: expected labels among {sorted(known)}, got {sorted(unknown)}")
        unknown = {name for channel in self.previous_mask for name in channel.takes} - known
        if unknown:
            raise ValueError(
                f"guidance.previous_mask.takes: expected classes among {sorted(known)}, got {sorted(unknown)}"
            )
        return self

    @model_validator(mode="after")
    def _check_mirror_axes(self) -> Self:
        if list(self.mirror_axes) != sorted(set(self.mirror_axes)):
            raise ValueError(f"mirror_axes: expected different axes in ascending order, got {list(self.mirror_axes)}")
        return self

    @model_validator(mode="after")
    def _check_crop(self) -> Self:
        if self.crop and self.crop.statistics == "volume" and (self.crop.values, self.crop.grid) != ("source",) * 2:
            raise ValueError(
                "crop.statistics volume: expected values source and grid source, got "
                f"{self.crop.values} and {self.crop.grid}"
            )
        match self.crop:
            case CropSpec(grid="source", values="scaled") | CropSpec(statistics="volume"):
                expected, images = True, [image for entry in self.inputs for image in entry.image_specs]
            case CropSpec(grid="model", values="source"):
                expected, images = False, list(self.inputs[0].image_specs)
            case _:
                return self
        if any(image.scale_before_resampling is not expected for image in images):
            raise ValueError(
                f"crop: {self.crop.values} values on the {self.crop.grid} grid: expected inputs with "
                f"scale_before_resampling {str(expected).lower()}"
            )
        return self

    @model_validator(mode="after")
    def _check_postprocessing(self) -> Self:
        rules, known = self.postprocessing, [spec.name for spec in self.classes]
        unknown = sorted({*(rules.keep_classes or ())} - {*known})
        if unknown:
            raise ValueError(f"postprocessing.keep_classes: expected classes among {sorted(known)}, got {unknown}")
        if rules.grid == "model" and self.interpolation != "labels":
            raise ValueError(
                f"postprocessing.grid model: expected interpolation of labels, got {self.interpolation}: components of "
                "labels are removed before these labels are interpolated"
            )
        min_values = [rules.min_value, *(image.min_value for entry in self.inputs for image in entry.alternatives)]
        if rules.grid == "model" and any(value is not None for value in min_values):
            raise ValueError("postprocessing.grid model: expected no min_value, which refers to voxels of the source")
        return self

    @property
    def accepted_clicks(self) -> frozenset[tuple[str, Polarity]]:
        """The pairs of label and polarity for which the model has a guidance channel."""
        channels = self.guidance.channels if self.guidance else ()
        return frozenset(pair for channel in channels for pair in channel.takes)
