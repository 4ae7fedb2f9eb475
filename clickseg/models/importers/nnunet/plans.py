"""Reads ``plans.json``: how nnU-Net prepares images, and the network, for each of its configurations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator
from typing_extensions import Self

from clickseg.core.errors import ModelError
from clickseg.core.text import join_names
from clickseg.core.validation import validate_record

PLANS = "plans.json"
CONFIGURATIONS = "configurations"

_MAX_PARENTS = 16
INTENSITIES = ("foreground_intensity_properties_per_channel", "foreground_intensity_properties_by_modality")
"""The key of the intensities, and the key that older versions wrote."""

_Voxels = Annotated[int, Field(ge=1, le=4096)]
_Millimetres = Annotated[float, Field(gt=0, le=10_000)]
_Axis = Annotated[int, Field(ge=0, le=2)]


class Record(BaseModel):
    """A part of a file of nnU-Net: fields that are not listed are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class Architecture(Record):
    """The network of a configuration: its class, and the arguments of the constructor."""

    network_class_name: Annotated[str, Field(max_length=200)]
    arch_kwargs: dict[str, Any]


class Configuration(Record):
    """A configuration, such as ``3d_fullres``; axes are those after ``transpose_forward``."""

    patch_size: Annotated[tuple[_Voxels, ...], Field(min_length=2, max_length=3)]
    spacing: Annotated[tuple[_Millimetres, ...], Field(min_length=2, max_length=3)]
    normalization_schemes: Annotated[tuple[str, ...], Field(min_length=1, max_length=64)]
    use_mask_for_norm: tuple[bool, ...] = ()
    preprocessor_name: str = "DefaultPreprocessor"
    resampling_fn_data: str
    resampling_fn_data_kwargs: dict[str, Any] = Field(default_factory=dict)
    resampling_fn_probabilities: str
    resampling_fn_probabilities_kwargs: dict[str, Any] = Field(default_factory=dict)
    previous_stage: str | None = None
    architecture: Architecture | None = None


class Intensities(Record):
    """The intensities of the foreground of all training images, of one channel."""

    mean: float
    std: Annotated[float, Field(ge=0)]
    percentile_00_5: float
    percentile_99_5: float


class _Plans(Record):
    """The part of ``plans.json`` that concerns all configurations."""

    dataset_name: str = ""
    image_reader_writer: str
    label_manager: str = "LabelManager"
    transpose_forward: tuple[_Axis, _Axis, _Axis]

    @model_validator(mode="after")
    def _check_axes(self) -> Self:
        if len(set(self.transpose_forward)) < 3:
            raise ValueError(f"transpose_forward: expected each axis once, got {list(self.transpose_forward)}")
        return self


@dataclass(frozen=True, slots=True)
class Plans:
    """The plans for one configuration.

    Attributes:
        dataset_name: The name of the dataset; empty if the plans have none.
        image_reader_writer: The class that reads images.
        label_manager: The class that interprets labels.
        transpose_forward: The order of the axes of the network.
        configuration_name: The name of the configuration.
        configuration: The configuration.
        entries: All entries of the configuration, with those that it inherits.
        intensities: The entry with the intensities of the channels.
        keys: The keys of the plans.
    """

    dataset_name: str
    image_reader_writer: str
    label_manager: str
    transpose_forward: tuple[int, int, int]
    configuration_name: str
    configuration: Configuration
    entries: Mapping[str, Any]
    intensities: Mapping[str, Any]
    keys: tuple[str, ...]

    @property
    def where(self) -> str:
        """The place of the configuration, for messages."""
        return configuration_place(self.configuration_name)

    def channel_intensities(self, channel: int) -> Intensities:
        """Returns the intensities of a channel.

        Raises:
            ModelError: The plans have none.
        """
        where = f"{PLANS}: {INTENSITIES[0]}#{channel}"
        return validate_record(Intensities, self.intensities.get(str(channel)), where, ModelError)


def read_plans(content: Any, configuration_name: str) -> Plans:
    """Returns the plans for a configuration.

    Args:
        content: The content of the file.
        configuration_name: The name of the configuration.

    Raises:
        ModelError: The plans have no such configuration, or a value is missing or invalid.
    """
    plans = validate_record(_Plans, content, PLANS, ModelError)
    entries = _inherited_entries(content.get(CONFIGURATIONS), configuration_name)
    _reject_other_configurations(entries, configuration_place(configuration_name))
    intensities: Any = next((content[key] for key in INTENSITIES if key in content), None)
    return Plans(
        plans.dataset_name,
        plans.image_reader_writer,
        plans.label_manager,
        plans.transpose_forward,
        configuration_name,
        validate_record(Configuration, entries, configuration_place(configuration_name), ModelError),
        entries,
        intensities if isinstance(intensities, dict) else {},
        tuple(content),
    )


def configuration_place(name: str) -> str:
    """Returns the place of a configuration, for messages."""
    return f"{PLANS}: {CONFIGURATIONS}#{name:.80}"


def _inherited_entries(configurations: Any, name: str) -> dict[str, Any]:
    """Returns the entries of a configuration; those that it inherits are replaced by its own."""
    known = configurations if isinstance(configurations, dict) else {}
    chain: list[dict[str, Any]] = []
    while name:
        entries = known.get(name)
        if not isinstance(entries, dict):
            raise ModelError(f"{PLANS}: {CONFIGURATIONS}: expected one of {join_names(known, 12)}; got {name!r:.80}")
        if len(chain) == _MAX_PARENTS:
            raise ModelError(f"{configuration_place(name)}: inherits_from: expected at most {_MAX_PARENTS} parents")
        chain.append(entries)
        name = entries.get("inherits_from", "")
        if not isinstance(name, str):
            raise ModelError(f"{PLANS}: {CONFIGURATIONS}: inherits_from: expected a name, got {name!r:.80}")
    return {key: value for entries in reversed(chain) for key, value in entries.items()}


def _reject_other_configurations(entries: Mapping[str, Any], where: str) -> None:
    """Rejects cascades, and networks for slices."""
    if entries.get("previous_stage"):
        raise ModelError(
            f"{where}: previous_stage: cascades are not supported: the network also needs the labels of "
            f"{entries['previous_stage']!r:.80}",
            hint="use the configuration 3d_fullres or 3d_lowres of the same dataset",
        )
    patch = entries.get("patch_size")
    if isinstance(patch, list) and len(patch) == 2:
        raise ModelError(
            f"{where}: patch_size: networks for slices (2d) are not yet supported: expected three sizes, got {patch}",
            hint="use the configuration 3d_fullres or 3d_lowres of the same dataset",
        )
