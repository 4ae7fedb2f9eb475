"""What a training run is told: every value has its place, a default, and a description.

Presets and YAML files are read each over the one before it, and single values over all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, model_validator
from typing_extensions import Self

from clickseg.clicks.simulated.clicker import Choice
from clickseg.core.errors import InputError, UsageError
from clickseg.core.validation import Strict, parse
from clickseg.models.spec import ModelSpec

PRESETS = Path(__file__).parent / "presets"

MAX_YAML_BYTES = 1 << 20

_OVER = "most presets lie over another one: -c pet_lesion -c lesion"

Share = Annotated[float, Field(ge=0, le=1)]

Count = Annotated[int, Field(ge=1)]

Amount = Annotated[float, Field(ge=0)]

Length = Annotated[int, Field(ge=1, le=1024)]

Size = tuple[Length, Length, Length]


class Strategy(str, Enum):
    """Where simulated clicks go.

    ``error``: one into the largest error. ``corrective``: one into what is missed and one into what is false.
    ``patch``: the same, in the patch of the lowest Dice coefficient. ``any``: one into a class and one beside it,
    whatever was found.
    """

    ERROR = "error"
    CORRECTIVE = "corrective"
    PATCH = "patch"
    ANY = "any"


class Clicking(Strict):
    """The simulated user.

    Attributes:
        most: A sample is shown after 0, 1, ... rounds of clicks, up to a number drawn from 0 to this one. A round is
            what a strategy gives, for each class at most one click into what is missed and one into what is false.
            Where only clicks say what is meant there is one more before all of them, which is in it for certain.
        learn: ``each``: there is a gradient at each number of clicks; ``last``: at the last one only (SW-FastEdit).
        strategies: How often each strategy is taken.
        choices: How often each way to choose a voxel is taken.
        patch: The size of patches for the strategy ``patch``, in voxels.
        jitter_mm: The standard deviation of the distance from the voxel that was meant, along each axis.
        outside: How often a click lies just outside of the border.
    """

    most: Annotated[int, Field(ge=0, le=100)] = 10
    learn: Literal["each", "last"] = "each"
    strategies: dict[Strategy, Amount] = Field(default={Strategy.ERROR: 2.0, Strategy.CORRECTIVE: 1.0})
    choices: dict[Choice, Amount] = Field(default={Choice.LARGEST: 2.0, Choice.DEPTH: 1.0, Choice.UNIFORM: 0.5})
    patch: Size = (16, 16, 16)
    jitter_mm: Amount = 2.0
    outside: Share = 0.0

    @model_validator(mode="after")
    def _check_weights(self) -> Self:
        for name, weights in (("strategies", self.strategies), ("choices", self.choices)):
            if not sum(weights.values()):
                raise ValueError(f"clicking.{name}: expected one above 0")
        return self


class Synthesis(Strict):
    """Volumes of random shapes and contrasts, in most of which only the clicks say what is meant (after SynthSeg).

    Attributes:
        share: How many of the samples are such.
        looks: What they look like: ``uptake`` is dark with bright objects, ``contrast`` is anything. Of a model with
            several inputs PET looks like the first and all else like the second, whatever is said here.
        automatic: How often all the bright objects are of the first class, and none needs a click.
        surroundings: How often what lies beyond the border of a case is filled with such a volume.
        distractors: How often such objects are put beside what is meant; they are no error before they are clicked.
    """

    share: Share = 0.5
    looks: Annotated[tuple[Literal["uptake", "contrast"], ...], Field(min_length=1)] = ("uptake",)
    automatic: Share = 0.0
    surroundings: Share = 0.5
    distractors: Share = 0.3


class Augmentation(Strict):
    """How samples are changed (MONAI transforms); each ``*_share`` is how often.

    Attributes:
        rotation_degrees: The largest angle about each axis.
        scaling: The largest relative change of size along each axis.
        intensity: The largest relative change of intensity.
        contrast: The exponents of the contrast, from and to.
    """

    affine_share: Share = 0.7
    rotation_degrees: Annotated[float, Field(ge=0, le=180)] = 30.0
    scaling: Annotated[float, Field(ge=0, lt=1)] = 0.2
    flip_share: Share = 0.5
    intensity_share: Share = 0.5
    intensity: Share = 0.3
    contrast_share: Share = 0.3
    contrast: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] = (0.6, 1.6)
    noise_share: Share = 0.3
    noise: Amount = 0.1
    blur_share: Share = 0.2
    low_resolution_share: Share = 0.2


class Loss(Strict):
    """What is minimized.

    Attributes:
        name: A loss of MONAI.
        of: ``patch``, or ``stitched``: what the sliding window gives for the patch, which then is larger than a window.
        squared_pred: Whether predictions are squared in the denominator of the Dice coefficient.
        include_background: Whether the background counts.
    """

    name: Literal["DiceCELoss", "DiceLoss", "DiceFocalLoss", "GeneralizedDiceFocalLoss"] = "DiceCELoss"
    of: Literal["patch", "stitched"] = "patch"
    squared_pred: bool = False
    include_background: bool = True


class Optimization(Strict):
    """How it is minimized.

    Attributes:
        accumulate: How many gradients make one step.
        average: The decay of the running average of the weights that is kept in the end; 0 for the last weights.
        clip_norm: The largest norm of a gradient; 0 for any.
        precision: ``auto`` is bf16 on a CPU that has it, f16 on a GPU.
        fix_statistics_after: After how many epochs the statistics of batch normalization stay as they are; None for
            never. Small batches need it: a network that learns by their own statistics does not know the running ones.
    """

    optimizer: Literal["Adam", "AdamW", "Novograd", "SGD"] = "AdamW"
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Amount = 1e-4
    scheduler: Literal["none", "cosine", "multistep", "polynomial"] = "cosine"
    accumulate: Count = 1
    average: Annotated[float, Field(ge=0, lt=1)] = 0.995
    clip_norm: Amount = 1.0
    precision: Literal["auto", "f32", "bf16", "f16"] = "auto"
    fix_statistics_after: Annotated[int, Field(ge=0)] | None = None


class Card(Strict):
    """What the model package says of itself beside the ``clickseg`` section."""

    title: str = "Segmentation guided by clicks"
    version: Annotated[str, Field(pattern=r"^[0-9]+\.[0-9]+\.[0-9]+$")] = "0.1.0"
    authors: str = ""
    copyright: str = ""
    data_source: str = ""
    intended_use: str = "Research. Not for clinical use."
    references: tuple[str, ...] = ()


class Training(Strict):
    """A training run.

    Attributes:
        name: What the model package is called.
        card: What it says of itself.
        model: Its ``clickseg`` section.
        network: Its ``network_def``: a network of MONAI and its arguments.
        truth: The names of each class in SEG and RTSTRUCT (docs/datasets.md); nothing for all that may be a lesion.
        patch: The size of samples in voxels of the model grid.
        batch: How many samples are shown together, on each device.
        epochs: How many epochs there are.
        steps: How many batches an epoch has.
        positive: How many of the samples of cases hold something of what is to be found.
        initial: Weights to begin with: a model package, of the same network up to its normalization.
        validate_every: After how many epochs cases that are held out are looked at; 0 for never.
        workers: How many processes make samples; 0 for the process that trains.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
    card: Card = Card()
    model: ModelSpec
    network: dict[str, Any]
    seed: Annotated[int, Field(ge=0)] = 0
    truth: tuple[tuple[str, ...], ...] = ()
    patch: Size = (48, 48, 48)
    batch: Count = 2
    epochs: Count = 100
    steps: Count = 100
    positive: Share = 0.8
    initial: str | None = None
    validate_every: Annotated[int, Field(ge=0)] = 0
    workers: Annotated[int, Field(ge=0)] = 0
    clicking: Clicking = Clicking()
    synthesis: Synthesis = Synthesis()
    augmentation: Augmentation = Augmentation()
    loss: Loss = Loss()
    optimization: Optimization = Optimization()

    @model_validator(mode="after")
    def _check_model(self) -> Self:
        if self.model.activation != "softmax":
            raise ValueError("model.activation: expected softmax: a label map holds classes that exclude each other")
        channels = [each.channel for each in self.model.classes]
        if channels != [*range(1, self.model.output_channels)]:
            raise ValueError(
                f"model.classes.channel: expected 1, 2, ... in this order, a class for each; got {channels}"
            )
        if self.model.guidance is None and self.clicking.most:
            raise ValueError("clicking.most: expected 0 for a model without guidance")
        if self.synthesis.share and self.model.guidance is None:
            raise ValueError("synthesis.share: expected 0 for a model without guidance: only clicks say what is meant")
        return self


def read_config(names: Sequence[str], changes: Sequence[str]) -> Training:
    """Returns a configuration.

    Args:
        names: Files, or the names of presets; what a later one says counts.
        changes: ``PATH=VALUE``, such as ``optimization.learning_rate=0.01``; the value as YAML.

    Raises:
        InputError: A file cannot be read, or a value does not fit.
        UsageError: A change is not of this form.
    """
    content: dict[str, Any] = {}
    for name in names:
        content = merged(content, _read(name))
    for change in changes:
        content = merged(content, _nested(change))
    try:
        return parse(Training, content, "training configuration", InputError)
    except InputError as error:
        raise InputError(str(error), hint=_OVER if str(error).endswith(": missing") else None) from error


def preset_names() -> tuple[str, ...]:
    """Returns the names of the presets."""
    return tuple(sorted(path.stem for path in PRESETS.glob("*.yaml")))


def merged(content: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a configuration with another one over it; a list, and a network, replaces the one that was there."""
    result = dict(content)
    for key, value in more.items():
        before = result.get(key)
        is_inner = isinstance(before, dict) and isinstance(value, dict) and "_target_" not in value
        result[key] = merged(before, value) if is_inner and isinstance(before, dict) else value
    return result


def as_yaml(how: Training) -> str:
    """Returns a configuration with every value in its place."""
    text: str = yaml.safe_dump(how.model_dump(mode="json"), sort_keys=False)
    return text


def _read(name: str) -> dict[str, Any]:
    path = PRESETS / f"{name}.yaml" if name in preset_names() else Path(name)
    try:
        with path.open("rb") as file:
            text = file.read(MAX_YAML_BYTES + 1)
    except OSError as error:
        known = ", ".join(preset_names())
        raise InputError(f"{name}: cannot be read: {error.strerror}", hint=f"a file, or one of {known}") from error
    if len(text) > MAX_YAML_BYTES:
        raise InputError(f"{path.name}: expected at most {MAX_YAML_BYTES} bytes of YAML")
    return _mapping(text, path.name)


def _nested(change: str) -> dict[str, Any]:
    path, equals, text = change.partition("=")
    if not equals or not all(path.split(".")):
        raise UsageError(f"expected PATH=VALUE, such as optimization.learning_rate=0.01, got {change!r}")
    nested: Any = _value(text, change)
    for key in reversed(path.split(".")):
        nested = {key: nested}
    return dict(nested)


def _mapping(text: bytes, name: str) -> dict[str, Any]:
    content = _value(text, name)
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise InputError(f"{name}: expected names and values")
    return content


def _value(text: bytes | str, name: str) -> Any:
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{name}: not YAML") from error
