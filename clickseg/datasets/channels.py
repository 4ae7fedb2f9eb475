"""Selects the images of a case that are the inputs of a model, by the names of the channels in ``dataset.json``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from clickseg.core.errors import InputError
from clickseg.core.text import format_count
from clickseg.core.validation import read_json, validate_record

DATASET_JSON = "dataset.json"
_IGNORE_LABEL = "ignore"

_CHANNEL_NAMES = {
    "CT": r"(ce|cect|ldct)?-?ct",
    "PT": r"(fdg|psma)?[-_ ]?(pet|pt)|suv(bw)?",
    "MR": r"mri?|(mri?[-_ ]?)?(t1|t2|t1w|t2w|t1c|t1ce|t1gd|t1n|t2f|pd|flair|adc|dwi|hbv)",
}
"""Patterns of channel names by modality; in nnU-Net and the Medical Segmentation Decathlon users choose the names."""


class OtherModalityError(InputError):
    """The dataset is complete, but its images do not have the modalities of the model."""


class DatasetJson(BaseModel):
    """The content of a ``dataset.json``: ``modality`` in nnU-Net v1, ``channel_names`` in nnU-Net v2."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    channel_names: dict[str, str] | None = None
    modality: dict[str, str] | None = None
    labels: dict[str, Any] = Field(default_factory=dict)

    def channels(self, file_name: str) -> tuple[str, ...] | None:
        """Returns the names of the channels in their order; None if the file does not define them.

        Args:
            file_name: The name of the file, for messages.

        Raises:
            InputError: The channels are not numbered from 0.
        """
        names = self.channel_names or self.modality
        if names is None:
            return None
        if sorted(names) != sorted(str(number) for number in range(len(names))):
            raise InputError(f"{file_name}: channel_names: expected channels numbered from 0, got {', '.join(names)}")
        return tuple(names[str(number)] for number in range(len(names)))


def read_channel_names(folder: Path) -> tuple[str, ...] | None:
    """Returns the channel names in the ``dataset.json`` of a folder; None if the file or the names do not exist.

    Raises:
        InputError: The file is invalid, or declares an ignore label.
    """
    path = folder / DATASET_JSON
    if not path.exists():
        return None
    content = validate_record(DatasetJson, read_json(path, InputError), DATASET_JSON, InputError)
    if _IGNORE_LABEL in content.labels or _IGNORE_LABEL in content.labels.values():
        raise InputError(f"{DATASET_JSON}: labels: {_IGNORE_LABEL}: voxels without ground truth are not supported")
    return content.channels(DATASET_JSON)


def choose_channels(
    names: Sequence[str] | None, count: int, modalities: Sequence[str], dataset_name: str
) -> tuple[int, ...]:
    """Returns the index of the channel for each input of a model.

    If the names of all channels contain their modality, the channels are selected by modality; otherwise by order.

    Args:
        names: The names of the channels, if they are known.
        count: The number of images of each case.
        modalities: The modalities of the model's inputs.
        dataset_name: The name of the dataset, for messages.

    Raises:
        OtherModalityError: The channels are not the inputs of the model.
        InputError: The number of names is not the number of images.
    """
    channel_modalities = [channel_modality(name) for name in names or ()]
    if names is not None and len(names) != count:
        raise InputError(
            f"{dataset_name}: {DATASET_JSON} has {format_count(len(names), 'channel')}, "
            f"got {format_count(count, 'image')} for each case"
        )
    if channel_modalities and None not in channel_modalities:
        selected = tuple(index for index, modality in enumerate(channel_modalities) if modality in modalities)
        if sorted(str(channel_modalities[index]) for index in selected) == sorted(modalities):
            return _order_channels(selected, channel_modalities, modalities)
    elif count == len(modalities) and all(
        modality in (None, expected) for modality, expected in zip(channel_modalities, modalities, strict=False)
    ):
        return tuple(range(count))
    raise OtherModalityError(
        f"{dataset_name}: expected the channels {', '.join(modalities)}, got "
        f"{', '.join(names) if names else format_count(count, 'image') + ' for each case'}",
        hint="a JSON datalist lists the images of each case in the order of the model's inputs",
    )


def channel_modality(name: str) -> str | None:
    """Returns the modality that the name of a channel contains; None if it contains none."""
    return next(
        (
            modality
            for modality, pattern in _CHANNEL_NAMES.items()
            if re.fullmatch(pattern, name.strip(), re.IGNORECASE)
        ),
        None,
    )


def _order_channels(
    selected: Sequence[int], channel_modalities: Sequence[str | None], modalities: Sequence[str]
) -> tuple[int, ...]:
    """Returns channels in the order of a model's inputs; channels of the same modality keep their order."""
    queues = {
        modality: [index for index in selected if channel_modalities[index] == modality] for modality in modalities
    }
    return tuple(queues[modality].pop(0) for modality in modalities)
