"""Folders of TotalSegmentator's models as it downloads them, with small random networks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.helpers import nnunet_models as nn

NAMES = {
    291: "Dataset291_TotalSegmentator_part1_organs_1559subj",
    292: "Dataset292_TotalSegmentator_part2_vertebrae_1532subj",
    293: "Dataset293_TotalSegmentator_part3_cardiac_1559subj",
    294: "Dataset294_TotalSegmentator_part4_muscles_1559subj",
    295: "Dataset295_TotalSegmentator_part5_ribs_1559subj",
    297: "Dataset297_TotalSegmentator_total_3mm_1559subj",
    298: "Dataset298_TotalSegmentator_total_6mm_1559subj",
}
CLASSES = {
    291: ("spleen", "kidney_right", "liver"),
    292: ("sacrum", "vertebrae_L5"),
    293: ("heart", "aorta", "sternum"),
    294: ("humerus_left", "skull"),
    295: ("rib_left_1", "rib_right_1", "costal_cartilages"),
    297: ("spleen", "liver", "heart"),
    298: ("spleen", "liver"),
}
"""Some of the classes of each dataset, in its order."""

BACKGROUND = 1.0
"""Is added to the logit of the background, so that no model covers the classes of all others."""

PARTS = (291, 292, 293, 294, 295)
_SPACING_MM = {297: 3.0, 298: 6.0}
_TRAINER = "nnUNetTrainerNoMirroring"


def write_dataset(folder: Path, number: int, **configuration: Any) -> Path:
    """Writes the folder of a dataset into a folder; its intensities and weights depend on the number."""
    spacing = _SPACING_MM.get(number, 1.5)
    settings = {"patch_size": [16, 16, 16], "spacing": [spacing] * 3} | configuration
    intensities = nn.INTENSITIES | {"mean": 10.0 * (number - 290), "std": 90.0 + number - 290}
    plans = nn.make_plans(
        nn.make_configuration(**settings),
        dataset_name=NAMES[number],
        foreground_intensity_properties_per_channel={"0": intensities},
    )
    labels = {"background": 0} | {name: value for value, name in enumerate(CLASSES[number], 1)}
    state = nn.make_state(nn.network_of(plans, 1, len(labels)), seed=number)
    state["decoder.seg_layers.0.bias"][0] += BACKGROUND
    checkpoint = nn.make_checkpoint(state, trainer_name=_TRAINER, inference_allowed_mirroring_axes=None)
    model = folder / NAMES[number] / f"{_TRAINER}__nnUNetPlans__3d_fullres"
    return nn.write_model(model, plans, nn.make_dataset(labels=labels), {"0": checkpoint}).parent


def write_datasets(folder: Path, numbers: Sequence[int]) -> Path:
    """Writes the folders of several datasets."""
    for number in numbers:
        write_dataset(folder, number)
    return folder
