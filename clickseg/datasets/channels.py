"""Which images of a case are the inputs of a model, by what a dataset says of its channels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from clickseg.core.errors import InputError
from clickseg.core.text import counted
from clickseg.core.validation import parse, read_json

DESCRIPTION = "dataset.json"
_IGNORED = "ignore"

_MODALITIES = {
    "CT": r"(ce|cect|ldct)?-?ct",
    "PT": r"(fdg|psma)?[-_ ]?(pet|pt)|suv(bw)?",
    "MR": r"mri?|(mri?[-_ ]?)?(t1|t2|t1w|t2w|t1c|t1ce|t1gd|t1n|t2f|pd|flair|adc|dwi|hbv)",
}
"""What channels are called, by modality; nnU-Net and the Medical Segmentation Decathlon leave names to the user."""


class OtherModalityError(InputError):
    """What is there is whole, but of other modalities than a model's."""


class Description(BaseModel):
    """What is read of a ``dataset.json``: nnU-Net's first form says ``modality``, its second ``channel_names``."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    channel_names: dict[str, str] | None = None
    modality: dict[str, str] | None = None
    labels: dict[str, Any] = Field(default_factory=dict)

    def channels(self, where: str) -> tuple[str, ...] | None:
        """Returns the names of the channels in their order; None where they have none.

        Raises:
            InputError: They are not numbered from 0.
        """
        named = self.channel_names or self.modality
        if named is None:
            return None
        if sorted(named) != sorted(str(number) for number in range(len(named))):
            raise InputError(f"{where}: channel_names: expected channels numbered from 0, got {', '.join(named)}")
        return tuple(named[str(number)] for number in range(len(named)))


def channel_names(folder: Path) -> tuple[str, ...] | None:
    """Returns what ``dataset.json`` calls the channels of a folder's images; None where nothing says it.

    Raises:
        InputError: The file is damaged, or declares voxels that are to be ignored.
    """
    path = folder / DESCRIPTION
    if not path.exists():
        return None
    description = parse(Description, read_json(path, InputError), DESCRIPTION, InputError)
    if _IGNORED in description.labels or _IGNORED in description.labels.values():
        raise InputError(
            f"{DESCRIPTION}: labels: {_IGNORED}: voxels of which nothing is known cannot be trained or judged with"
        )
    return description.channels(DESCRIPTION)


def choose_channels(names: Sequence[str] | None, count: int, modalities: Sequence[str], where: str) -> tuple[int, ...]:
    """Returns which channel is which input of a model.

    Channels whose names all tell their modality are chosen by it; all others in their order.

    Args:
        names: What the channels are called, where it is said.
        count: How many images each case has.
        modalities: Of the model's inputs.
        where: The dataset, for messages.

    Raises:
        OtherModalityError: The channels are not those of the model.
        InputError: It is not clear which they are.
    """
    found = [modality_of(name) for name in names or ()]
    if names is not None and len(names) != count:
        raise InputError(f"{where}: {DESCRIPTION} has {counted(len(names), 'channel')}, got {counted(count, 'image')}")
    if found and None not in found:
        chosen = tuple(n for n, modality in enumerate(found) if modality in modalities)
        if sorted(str(found[n]) for n in chosen) == sorted(modalities):
            return _ordered(chosen, found, modalities)
    elif count == len(modalities) and all(m in (None, w) for m, w in zip(found, modalities, strict=False)):
        return tuple(range(count))
    raise OtherModalityError(
        f"{where}: expected the channels {', '.join(modalities)}, got "
        f"{', '.join(names) if names else counted(count, 'image') + ' for each case'}",
        hint="a JSON datalist names the images of each case in the order of the model's inputs",
    )


def modality_of(name: str) -> str | None:
    """Returns the modality that the name of a channel stands for, where it stands for one."""
    return next((m for m, form in _MODALITIES.items() if re.fullmatch(form, name.strip(), re.IGNORECASE)), None)


def _ordered(chosen: Sequence[int], found: Sequence[str | None], modalities: Sequence[str]) -> tuple[int, ...]:
    """Returns channels in the order of a model's inputs; those of one modality stay as they are."""
    queues = {modality: [n for n in chosen if found[n] == modality] for modality in modalities}
    return tuple(queues[modality].pop(0) for modality in modalities)
