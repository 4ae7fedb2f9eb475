"""nnU-Net's raw datasets: ``imagesTr/X_0000.nii.gz`` (a number for each channel) and ``labelsTr/X.nii.gz``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from clickseg.datasets.case import CaseFiles
from clickseg.datasets.channels import channel_names, choose_channels
from clickseg.datasets.files import check_pairs, images_in
from clickseg.errors import InputError
from clickseg.wording import counted

_NUMBERED = re.compile(r"(?P<case>.+)_(?P<channel>\d{4})")


def is_nnunet(data: Path) -> bool:
    """Whether a folder has images that are all numbered, and no label of an image's name."""
    images, labels = data / "imagesTr", data / "labelsTr"
    if not (images.is_dir() and labels.is_dir()):
        return False
    names = images_in(images)
    return bool(names) and all(map(_NUMBERED.fullmatch, names)) and not names.keys() & images_in(labels).keys()


def find_nnunet(data: Path, modalities: tuple[str, ...]) -> tuple[CaseFiles, ...]:
    """Returns the cases of a raw dataset; ``dataset.json`` says which channel is of which modality.

    Raises:
        InputError: Images, labels and channels do not fit together, or the channels are not those of the model.
    """
    images, labels = _by_case(images_in(data / "imagesTr")), images_in(data / "labelsTr")
    check_pairs(images, labels, data)
    count = len(next(iter(images.values())))
    for name, channels in images.items():
        if [*channels] != [*range(count)]:
            found = ", ".join(f"{number:04d}" for number in channels)
            raise InputError(f"imagesTr: {name}: expected {counted(count, 'channel')} from 0000 on, got {found}")
    chosen = choose_channels(channel_names(data), count, modalities, data.name)
    return tuple(
        CaseFiles(name, modalities, tuple(images[name][number] for number in chosen), label)
        for name, label in labels.items()
    )


def _by_case(images: Mapping[str, Path]) -> dict[str, dict[int, Path]]:
    cases: dict[str, dict[int, Path]] = {}
    for name, path in images.items():
        match = _NUMBERED.fullmatch(name)
        if match:
            cases.setdefault(match["case"], {})[int(match["channel"])] = path
    return cases
