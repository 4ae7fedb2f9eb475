"""Studies with several series of one modality in one frame of reference, told apart by their descriptions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import highdicom as hd

from tests.helpers import phantoms

CONTRASTS = {"T1c": "Ax T1 FSE +C", "T1": "Ax T1 FSE", "T2": "t2_tse_tra", "FLAIR": "t2_tirm_tra_dark-fluid"}
"""A description of the series of each input of a model of brain tumours."""


def described_uid(number: int, modality: str = "MR", name: str = "test") -> str:
    """Returns the Series Instance UID of the series with a number, counted from 1."""
    return f"{phantoms.header(modality, name).SeriesInstanceUID}.{number}"


def write_described_series(
    folder: Path, volumes: Sequence[tuple[str, hd.Volume]], modality: str = "MR", name: str = "test"
) -> Path:
    """Writes several series; returns the folder.

    Args:
        folder: The folder.
        volumes: The Series Description and the volume of each series.
        modality: The modality of all series.
        name: The name of the study; studies with the same name have the same frame of reference.
    """
    for number, (description, volume) in enumerate(volumes, 1):
        datasets = phantoms.instances(volume, modality, name)
        for dataset in datasets:
            dataset.SeriesInstanceUID = described_uid(number, modality, name)
            dataset.SeriesNumber, dataset.SeriesDescription = number, description
            dataset.SOPInstanceUID = f"{dataset.SOPInstanceUID}.{number}"
            dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        phantoms.save(folder / f"{modality}_{name}_{number}", datasets)
    return folder
