"""The complete ``clickseg`` section of a model package."""

from __future__ import annotations

from collections import Counter
from itertools import accumulate, pairwise
from typing import Annotated, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from clickseg.clicks.click import Polarity
from clickseg.core.validation import StrictModel
from clickseg.models.spec.classes import ClassSpec
from clickseg.models.spec.fields import omit_if
from clickseg.models.spec.grid import CropSpec, GridSpec
from clickseg.models.spec.guidance import GuidanceSpec, MaskChannel
from clickseg.models.spec.images import AlternativeSpec, ImageSpec, InputSpec
from clickseg.models.spec.postprocessing import PostprocessingSpec
from clickseg.models.spec.window import WindowSpec

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
WeightsName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$")]
"""The name of a file in ``models/``; a path is rejected, because it could lead outside the package."""


class ModelSpec(StrictModel):
    """The complete ``clickseg`` section of a model package.

    ``crop`` is the part of the volume that the network sees. ``mirror_axes`` are axes of the model grid (0, 1, 2 for I,
    J, K): logits are the mean over a window and its mirror images along all combinations of these axes, as in nnU-Net.
    ``interpolation`` is what is interpolated from the model grid to the source grid: logits or probabilities linearly,
    or the labels of the model grid, each source voxel the label of the nearest voxel. With ``overwrite``, the classes
    of a sigmoid model exclude each other: a voxel has the last of the classes above 0, in their order. ``heads`` are
    the numbers of channels of several softmax outputs, each with background in its first channel: a voxel has the class
    of the last head that is not background there.
    """

    default: bool = False
    inputs: Annotated[tuple[InputSpec, ...], Field(min_length=1)]
    grid: GridSpec
    window: WindowSpec
    guidance: GuidanceSpec | None = None
    activation: Literal["softmax", "sigmoid"]
    overwrite: Annotated[bool, omit_if(False)] = False
    output_channels: Annotated[int, Field(ge=1, le=1024)]
    heads: Annotated[tuple[Annotated[int, Field(ge=2)], ...], omit_if(())] = ()
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
        return self.image_channels + clicks + len(self.previous_mask)

    @property
    def image_channels(self) -> int:
        """The number of image channels; an input has one for each of its scalings."""
        return sum(1 + len(entry.further_scalings) for entry in self.inputs)

    @property
    def head_channels(self) -> tuple[slice, ...]:
        """The channels of each softmax output."""
        stops = list(accumulate(self.heads or (self.output_channels,)))
        return tuple(slice(start, stop) for start, stop in pairwise([0, *stops]))

    @property
    def has_overlapping_classes(self) -> bool:
        """Whether a voxel can belong to several classes."""
        return self.activation == "sigmoid" and not self.overwrite

    @property
    def previous_mask(self) -> tuple[MaskChannel, ...]:
        """The channels with the result before the last click."""
        return self.guidance.previous_mask if self.guidance else ()

    @property
    def has_common_grid(self) -> bool:
        """Whether all inputs are brought to the grid of the first one before anything else, as nnU-Net expects them."""
        crops_by_all = self.crop is not None and self.crop.inputs == "any"
        return self.grid.alignment != "first_voxel" or crops_by_all or self.depends_on_foreground

    @property
    def depends_on_foreground(self) -> bool:
        """Whether the scaling of an input depends on the foreground of all inputs."""
        return any(image.depends_on_foreground for entry in self.inputs for image in entry.image_specs)

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
    def _check_foreground(self) -> Self:
        orders = {image.scale_before_resampling for entry in self.inputs for image in entry.image_specs}
        if self.depends_on_foreground and len(orders) > 1:
            raise ValueError("zscore.foreground: expected the same scale_before_resampling for all inputs, got both")
        return self

    @model_validator(mode="after")
    def _check_overwrite(self) -> Self:
        if self.overwrite and self.activation != "sigmoid":
            raise ValueError(f"overwrite: expected activation sigmoid, got {self.activation}")
        return self

    @model_validator(mode="after")
    def _check_heads(self) -> Self:
        if not self.heads:
            return self
        if self.activation != "softmax" or sum(self.heads) != self.output_channels:
            raise ValueError(
                f"heads: expected activation softmax, and numbers of channels with the sum {self.output_channels}, "
                f"got {self.activation} and {list(self.heads)}"
            )
        backgrounds = {head.start for head in self.head_channels}
        wrong = [spec.name for spec in self.classes if spec.channel in backgrounds]
        if wrong:
            raise ValueError(f"classes.channel: {wrong[0]} has the first channel of a head, which is its background")
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
