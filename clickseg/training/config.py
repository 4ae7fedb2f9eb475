"""The configuration of a training run: all keys, with defaults and descriptions.

Presets and YAML files are merged in order: a later one overrides an earlier one. ``KEY=VALUE`` overrides all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, model_validator
from typing_extensions import Self

from clickseg.clicks.simulated.clicker import VoxelChoice
from clickseg.core.errors import InputError, UsageError
from clickseg.core.validation import StrictModel, validate_record
from clickseg.models.spec import ModelSpec
from clickseg.training.renamed_keys import check_renamed_keys

PRESETS = Path(__file__).parent / "presets"

MAX_YAML_BYTES = 1 << 20

_PARTIAL_PRESET_HINT = "most presets extend another preset: -c pet_lesion -c lesion"

Probability = Annotated[float, Field(ge=0, le=1)]

PositiveInteger = Annotated[int, Field(ge=1)]

NonNegative = Annotated[float, Field(ge=0)]

PatchLength = Annotated[int, Field(ge=1, le=1024)]

PatchSize = tuple[PatchLength, PatchLength, PatchLength]


class Strategy(str, Enum):
    """Where simulated clicks are placed.

    ``largest_error``: one click into the largest error region. ``corrective``: one foreground click into a false
    negative and one background click into a false positive. ``patch_based``: corrective clicks in the patch with the
    lowest Dice coefficient. ``non_corrective``: one click inside the class and one outside, whatever the prediction is.
    """

    LARGEST_ERROR = "largest_error"
    CORRECTIVE = "corrective"
    PATCH_BASED = "patch_based"
    NON_CORRECTIVE = "non_corrective"


class ClickingConfig(StrictModel):
    """The simulated user.

    Attributes:
        max_rounds: The largest number of click rounds. The number of rounds of a batch is drawn uniformly from 0 to
            this number. The network predicts before the first round and after each round. In a round, each class gets
            the clicks of one random strategy: at most one foreground and one background click. Samples in which only
            clicks define the foreground have one additional foreground click before the first prediction.
        backprop: ``each``: a loss and a gradient for each prediction; ``last``: for the last prediction only
            (SW-FastEdit).
        strategies: The relative weight of each strategy.
        voxel_sampling: The relative weight of each way to select a voxel of an error region.
        patch_size: The size of patches for the strategy ``patch_based``, in voxels.
        jitter_mm: The standard deviation of the distance between the clicked and the intended voxel, along each axis.
        outside_probability: The probability that a click is just outside the border of the class.
    """

    max_rounds: Annotated[int, Field(ge=0, le=100)] = 10
    backprop: Literal["each", "last"] = "each"
    strategies: dict[Strategy, NonNegative] = Field(default={Strategy.LARGEST_ERROR: 2.0, Strategy.CORRECTIVE: 1.0})
    voxel_sampling: dict[VoxelChoice, NonNegative] = Field(
        default={VoxelChoice.LARGEST: 2.0, VoxelChoice.DEPTH: 1.0, VoxelChoice.UNIFORM: 0.5}
    )
    patch_size: PatchSize = (16, 16, 16)
    jitter_mm: NonNegative = 2.0
    outside_probability: Probability = 0.0

    @model_validator(mode="after")
    def _check_weights(self) -> Self:
        for name, weights in (("strategies", self.strategies), ("voxel_sampling", self.voxel_sampling)):
            if not sum(weights.values()):
                raise ValueError(f"clicking.{name}: expected at least one weight above 0")
        return self


class SynthesisConfig(StrictModel):
    """Synthetic volumes of random shapes and contrasts (after SynthSeg); in most only clicks define the foreground.

    Attributes:
        probability: The probability that a sample is synthetic.
        appearances: The appearances of the image: ``uptake`` is dark with bright objects, ``contrast`` has arbitrary
            contrasts. Ignored for models with several inputs: there PET has ``uptake`` and all others ``contrast``.
        unprompted: The probability that an ``uptake`` sample needs no clicks: all its bright objects are of the first
            class.
        padding_probability: The probability that a patch is filled with a synthetic volume where it extends beyond the
            case.
        distractor_probability: The probability that a synthetic object is added next to the foreground of a case. It is
            ignored in the loss until it has a background click.
    """

    probability: Probability = 0.5
    appearances: Annotated[tuple[Literal["uptake", "contrast"], ...], Field(min_length=1)] = ("uptake",)
    unprompted: Probability = 0.0
    padding_probability: Probability = 0.5
    distractor_probability: Probability = 0.3


class AugmentationConfig(StrictModel):
    """Random changes of samples by MONAI transforms. Each ``*_probability`` is the ``prob`` of one transform.

    Attributes:
        rotation_degrees: The largest angle about each axis.
        scale_range: The largest relative change of size along each axis.
        intensity_factor: The largest relative change of intensity.
        contrast_gamma: The smallest and the largest exponent of the contrast.
        noise_std: The largest standard deviation of the noise.
    """

    affine_probability: Probability = 0.7
    rotation_degrees: Annotated[float, Field(ge=0, le=180)] = 30.0
    scale_range: Annotated[float, Field(ge=0, lt=1)] = 0.2
    flip_probability: Probability = 0.5
    intensity_probability: Probability = 0.5
    intensity_factor: Probability = 0.3
    contrast_probability: Probability = 0.3
    contrast_gamma: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] = (0.6, 1.6)
    noise_probability: Probability = 0.3
    noise_std: NonNegative = 0.1
    blur_probability: Probability = 0.2
    low_resolution_probability: Probability = 0.2


class LossConfig(StrictModel):
    """The loss.

    Attributes:
        name: A loss class of MONAI.
        target: ``patch``: the network receives the complete patch; ``stitched``: the sliding window runs over the
            patch, which is then larger than a window, and the loss is computed on the stitched logits.
        squared_pred: Whether predictions are squared in the denominator of the Dice coefficient.
        include_background: Whether the loss includes the background channel.
    """

    name: Literal["DiceCELoss", "DiceLoss", "DiceFocalLoss", "GeneralizedDiceFocalLoss"] = "DiceCELoss"
    target: Literal["patch", "stitched"] = "patch"
    squared_pred: bool = False
    include_background: bool = True


class OptimizationConfig(StrictModel):
    """Optimizer, learning rate, mixed precision and batch normalization.

    Attributes:
        accumulation_steps: The number of gradients that are accumulated for one optimizer step.
        ema_decay: The decay of the exponential moving average (EMA) of the weights. The model package contains the
            averaged weights; with 0, the last weights.
        clip_norm: The largest norm of a gradient; 0 disables clipping.
        precision: ``auto`` is f16 on a GPU, bf16 on a CPU that supports it, and f32 otherwise.
        freeze_batch_norm_after_epochs: The number of epochs after which the running statistics of batch normalization
            are frozen and used in training; None for never. Small batches need this: a network that is trained with the
            statistics of each batch does not fit the running statistics that inference uses.
    """

    optimizer: Literal["Adam", "AdamW", "Novograd", "SGD"] = "AdamW"
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: NonNegative = 1e-4
    scheduler: Literal["none", "cosine", "multistep", "polynomial"] = "cosine"
    accumulation_steps: PositiveInteger = 1
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.995
    clip_norm: NonNegative = 1.0
    precision: Literal["auto", "f32", "bf16", "f16"] = "auto"
    freeze_batch_norm_after_epochs: Annotated[int, Field(ge=0)] | None = None


class CardConfig(StrictModel):
    """Texts of the model card and of the bundle's metadata."""

    title: str = "Segmentation guided by clicks"
    version: Annotated[str, Field(pattern=r"^[0-9]+\.[0-9]+\.[0-9]+$")] = "0.1.0"
    authors: str = ""
    copyright: str = ""
    data_source: str = ""
    intended_use: str = "Research. Not for clinical use."
    references: tuple[str, ...] = ()


class TrainingConfig(StrictModel):
    """The configuration of a training run.

    Attributes:
        name: The name of the model package.
        card: Texts of the model card.
        model: The ``clickseg`` section of the model package.
        network: The ``network_def`` of the model package: a MONAI network and its arguments.
        seed: The seed of all random numbers.
        truth_names: For each class the names of its segments in DICOM SEG and of its ROIs in RTSTRUCT
            (docs/datasets.md). Empty: every name that may be a lesion for a model of one class, otherwise the names and
            aliases of the classes.
        patch_size: The size of samples in voxels of the model grid.
        batch_size: The number of samples of a batch, on each device.
        epochs: The number of epochs.
        steps_per_epoch: The number of batches of an epoch.
        foreground_probability: The probability that a patch of a case is positioned around a foreground voxel.
        initial_weights: A model package with the initial weights. Its network must be the same, except for the
            normalization.
        validate_every: The number of epochs between two validations on the held-out cases; 0 for no validation.
        num_workers: The number of processes that prepare samples; with 0 the training process prepares them.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
    card: CardConfig = CardConfig()
    model: ModelSpec
    network: dict[str, Any]
    seed: Annotated[int, Field(ge=0)] = 0
    truth_names: tuple[tuple[str, ...], ...] = ()
    patch_size: PatchSize = (48, 48, 48)
    batch_size: PositiveInteger = 2
    epochs: PositiveInteger = 100
    steps_per_epoch: PositiveInteger = 100
    foreground_probability: Probability = 0.8
    initial_weights: str | None = None
    validate_every: Annotated[int, Field(ge=0)] = 0
    num_workers: Annotated[int, Field(ge=0)] = 0
    clicking: ClickingConfig = ClickingConfig()
    synthesis: SynthesisConfig = SynthesisConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    loss: LossConfig = LossConfig()
    optimization: OptimizationConfig = OptimizationConfig()

    @model_validator(mode="after")
    def _check_model(self) -> Self:
        if self.model.grid.depends_on_source:
            raise ValueError("model.grid: expected a grid that does not depend on the series")
        if self.model.crop is not None:
            raise ValueError("model.crop: expected no crop: samples are taken from the complete volume")
        if self.loss.target == "stitched" and not self.model.window.is_monai:
            raise ValueError(
                "loss.target stitched: expected window.placement fixed, and window.mode gaussian or constant: the loss "
                "is computed on the windows of MONAI"
            )
        if self.model.activation != "softmax":
            raise ValueError("model.activation: expected softmax: classes of a label map exclude each other")
        channels = [class_spec.channel for class_spec in self.model.classes]
        if channels != [*range(1, self.model.output_channels)]:
            raise ValueError(
                f"model.classes.channel: expected 1, 2, ... in this order, one channel for each class; got {channels}"
            )
        if self.model.guidance is None and self.clicking.max_rounds:
            raise ValueError("clicking.max_rounds: expected 0 for a model without guidance")
        if self.synthesis.probability and self.model.guidance is None:
            raise ValueError(
                "synthesis.probability: expected 0 for a model without guidance: "
                "only clicks define the foreground of synthetic volumes"
            )
        return self


def read_config(names: Sequence[str], changes: Sequence[str]) -> TrainingConfig:
    """Reads and merges presets, YAML files and single values.

    Args:
        names: Files, or names of presets; a later one overrides an earlier one.
        changes: ``KEY=VALUE``, such as ``optimization.learning_rate=0.01``, with the value as YAML.

    Raises:
        InputError: A file cannot be read, or a key or value is invalid.
        UsageError: A change is not of the form ``KEY=VALUE``.
    """
    content: dict[str, Any] = {}
    for name in names:
        content = merge_configs(content, _read_file(name))
    for change in changes:
        content = merge_configs(content, _parse_change(change))
    try:
        return validate_record(TrainingConfig, content, "training configuration", InputError)
    except InputError as error:
        is_partial = str(error).endswith("missing")
        raise InputError(str(error), hint=_PARTIAL_PRESET_HINT if is_partial else None) from error


def preset_names() -> tuple[str, ...]:
    """Returns the names of the presets."""
    return tuple(sorted(path.stem for path in PRESETS.glob("*.yaml")))


def merge_configs(base: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    """Merges two configurations; mappings are merged key by key, lists and networks are replaced."""
    result = dict(base)
    for key, value in override.items():
        before = result.get(key)
        is_merged = isinstance(before, dict) and isinstance(value, dict) and "_target_" not in value
        result[key] = merge_configs(before, value) if is_merged and isinstance(before, dict) else value
    return result


def config_to_yaml(config: TrainingConfig) -> str:
    """Returns a configuration with all its values as YAML."""
    text: str = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
    return text


def parse_yaml(text: bytes | str, source: str) -> Any:
    """Parses YAML.

    Args:
        text: The YAML.
        source: The file or the option that contains the text, for messages.

    Raises:
        InputError: The text is not valid YAML.
    """
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{source}: expected valid YAML") from error


def _read_file(name: str) -> dict[str, Any]:
    path = PRESETS / f"{name}.yaml" if name in preset_names() else Path(name)
    try:
        with path.open("rb") as file:
            text = file.read(MAX_YAML_BYTES + 1)
    except OSError as error:
        presets = ", ".join(preset_names())
        hint = f"expected a file, or one of the presets {presets}"
        raise InputError(f"{name}: cannot be read: {error.strerror}", hint=hint) from error
    if len(text) > MAX_YAML_BYTES:
        raise InputError(f"{path.name}: expected at most {MAX_YAML_BYTES} bytes of YAML")
    content = parse_yaml(text, path.name)
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise InputError(f"{path.name}: expected a YAML mapping of keys to values")
    check_renamed_keys(content, path.name)
    return content


def _parse_change(change: str) -> dict[str, Any]:
    """Returns the nested mappings of ``KEY=VALUE``."""
    path, equals, text = change.partition("=")
    if not equals or not all(path.split(".")):
        raise UsageError(f"expected KEY=VALUE, such as optimization.learning_rate=0.01, got {change!r}")
    nested: Any = parse_yaml(text, change)
    for key in reversed(path.split(".")):
        nested = {key: nested}
    check_renamed_keys(nested, f"--set {change}")
    return dict(nested)
