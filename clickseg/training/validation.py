"""Validation during training: Dice coefficients of held-out cases by the number of clicks, on the model grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from monai.inferers import sliding_window_inference

from clickseg.clicks.simulated.clicker import VoxelChoice
from clickseg.core.arrays import LabelArray
from clickseg.training.cases import GridCase
from clickseg.training.checkpoint import TrainingState
from clickseg.training.clicking import BatchClicks
from clickseg.training.config import ClickingConfig, Strategy, TrainingConfig
from clickseg.training.interaction import previous_mask_channels
from clickseg.training.objective import make_autocast, monai_mode

CLICK_COUNTS = (0, 1, 3, 5)
"""The numbers of clicks, for each class, at which metrics are computed."""

VALIDATION_DICE = "val_dice/"
"""The prefix of the metrics."""

_CLICKING = ClickingConfig(
    strategies={Strategy.LARGEST_ERROR: 1.0}, voxel_sampling={VoxelChoice.LARGEST: 1.0}, jitter_mm=0.0
)


def validate(
    config: TrainingConfig, cases: Sequence[GridCase], state: TrainingState, device: torch.device
) -> Mapping[str, float]:
    """Returns the mean Dice coefficient of the held-out cases at several numbers of clicks; empty without cases.

    Args:
        config: The training configuration.
        cases: The held-out cases.
        state: The state of the run.
        device: The device of the network.
    """
    if not cases:
        return {}
    network = state.final_network.eval()
    dices = [_dice_by_clicks(config, case, network, device) for case in cases]
    counts = CLICK_COUNTS if config.model.guidance else (0,)
    return {
        f"{VALIDATION_DICE}{count}_clicks": float(np.mean([case_dices[count] for case_dices in dices]))
        for count in counts
    }


def _dice_by_clicks(
    config: TrainingConfig, case: GridCase, network: torch.nn.Module, device: torch.device
) -> list[float]:
    """Returns the Dice coefficients of a case after 0, 1, ... click rounds."""
    truth, image = np.ascontiguousarray(case.truth), torch.from_numpy(np.array(case.images))[None]
    clicks = BatchClicks(config.model, _CLICKING, [truth], np.random.default_rng(config.seed))
    predictions, dices = np.zeros((1, *truth.shape), np.uint8), []
    for count in range((max(CLICK_COUNTS) if config.model.guidance else 0) + 1):
        if count:
            clicks.add_round(predictions, [np.zeros_like(truth)])
        channels = [image, clicks.guidance_channels(), *previous_mask_channels(config.model, predictions)]
        predictions = _predict(config, torch.cat(channels, dim=1).to(device), network)
        dices.append(_mean_dice(predictions[0], truth))
    return dices


def _predict(config: TrainingConfig, inputs: torch.Tensor, network: torch.nn.Module) -> LabelArray:
    """Returns the predicted class of each voxel [B, I, J, K]."""
    window, (autocast, _) = config.model.window, make_autocast(config.optimization, inputs.device)
    with torch.no_grad(), autocast():
        logits = sliding_window_inference(
            inputs, window.roi, 1, network, window.overlap, monai_mode(window), window.sigma_scale
        )
    predictions: LabelArray = logits.argmax(dim=1).to(torch.uint8).cpu().numpy()
    return predictions


def _mean_dice(prediction: LabelArray, truth: LabelArray) -> float:
    """Returns the mean Dice over the classes in the prediction or the ground truth; 1 if both are empty."""
    labels = [label for label in np.union1d(prediction, truth) if label]
    dices = [
        2 * ((prediction == n) & (truth == n)).sum() / ((prediction == n).sum() + (truth == n).sum()) for n in labels
    ]
    return float(np.mean(dices)) if dices else 1.0
