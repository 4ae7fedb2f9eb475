"""The presets: what a file that contains only weights does not contain, for published models."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from clickseg.core.errors import ModelError


@dataclass(frozen=True, slots=True)
class Preset:
    """Everything but the weights and the network of one published model.

    Attributes:
        name: The name of the preset.
        description: What the model segments, and where it is published.
        network: The class of its network; empty if the source does not state it.
        section: The ``clickseg`` section.
        assumed: Fields of the section that its source does not state, each with what was assumed.
        any_output_channels: Whether networks with other numbers of output channels fit: their classes are numbered.
    """

    name: str
    description: str
    network: str
    section: Mapping[str, Any]
    assumed: Mapping[str, str]
    any_output_channels: bool

    @property
    def input_channels(self) -> int:
        """The number of image and click channels."""
        return count_input_channels(self.section)

    @property
    def output_channels(self) -> int:
        """The number of logit channels."""
        count: int = self.section["output_channels"]
        return count

    def fits(self, input_channels: int | None, output_channels: int | None) -> bool:
        """Whether the preset may describe a network; None is an unknown number of channels."""
        fits_input = input_channels in (None, self.input_channels)
        return fits_input and (self.any_output_channels or output_channels in (None, self.output_channels))


def load_presets() -> tuple[Preset, ...]:
    """Returns all presets, in the order of their names."""
    folder = resources.files("clickseg.models.importers.weights") / "presets"
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".json")), key=lambda file: file.name)
    return tuple(_parse(file.name.removesuffix(".json"), json.loads(file.read_text("utf-8"))) for file in files)


def find_preset(name: str) -> Preset:
    """Returns the preset of a name.

    Raises:
        ModelError: It does not exist.
    """
    presets = {preset.name: preset for preset in load_presets()}
    if name not in presets:
        raise ModelError(f"preset: expected one of {', '.join(presets)}; got {name!r}")
    return presets[name]


def count_input_channels(section: Mapping[str, Any]) -> int:
    """Returns the number of image, click and mask channels of a section."""
    guidance = section.get("guidance")
    fields = guidance if isinstance(guidance, Mapping) else {}
    channels = (section["inputs"], fields.get("channels"), fields.get("previous_mask"))
    return sum(len(each) for each in channels if isinstance(each, list))  # others are errors of the section


def _parse(name: str, content: Mapping[str, Any]) -> Preset:
    return Preset(
        name=name,
        description=content["description"],
        network=content["network"],
        section=content["section"],
        assumed=content["assumed"],
        any_output_channels=content.get("any_output_channels", False),
    )
