"""How well cases that are held out are found while a network is trained: with ever more clicks, on the model grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from monai.inferers import sliding_window_inference

from clickseg.clicks.simulated.clicker import Choice
from clickseg.core.arrays import Numbers
from clickseg.training.cases import GridCase
from clickseg.training.checkpoint import State
from clickseg.training.clicking import BatchClicks
from clickseg.training.config import Clicking, Strategy, Training
from clickseg.training.interaction import mask_channels
from clickseg.training.objective import make_cast

SHOWN = (0, 1, 3, 5)
"""Numbers of clicks."""

_CLICKS = Clicking(strategies={Strategy.ERROR: 1.0}, choices={Choice.LARGEST: 1.0}, jitter_mm=0.0)


def validate(how: Training, cases: Sequence[GridCase], state: State, device: torch.device) -> Mapping[str, float]:
    """Returns the mean Dice coefficient at several numbers of clicks; nothing where no case is held out.

    Args:
        how: The run.
        cases: Cases that it does not learn from.
        state: Its state.
        device: Where to compute.
    """
    if not cases:
        return {}
    network = state.best_network.eval()
    dices = [_dices(how, case, network, device) for case in cases]
    shown = SHOWN if how.model.guidance else (0,)
    return {f"dice/{count} clicks": float(np.mean([each[count] for each in dices])) for count in shown}


def _dices(how: Training, case: GridCase, network: torch.nn.Module, device: torch.device) -> list[float]:
    truth, image = np.ascontiguousarray(case.truth), torch.from_numpy(np.array(case.images))[None]
    clicks = BatchClicks(how.model, _CLICKS, [truth], np.random.default_rng(how.seed))
    found, dices = np.zeros((1, *truth.shape), np.uint8), []
    for count in range((max(SHOWN) if how.model.guidance else 0) + 1):
        if count:
            clicks.add(found, [np.zeros_like(truth)])
        inputs = torch.cat([image, clicks.channels(), *mask_channels(how.model, found)], dim=1).to(device)
        found = _found(how, inputs, network)
        dices.append(_dice(found[0], truth))
    return dices


def _found(how: Training, inputs: torch.Tensor, network: torch.nn.Module) -> Numbers:
    window, (cast, _) = how.model.window, make_cast(how.optimization, inputs.device)
    with torch.no_grad(), cast():
        logits = sliding_window_inference(
            inputs, window.roi, 1, network, window.overlap, "gaussian", window.sigma_scale
        )
    found: Numbers = logits.argmax(dim=1).to(torch.uint8).cpu().numpy()
    return found


def _dice(found: Numbers, truth: Numbers) -> float:
    """Returns the mean over the classes that are there or were found; 1 where there is none of any."""
    labels = [label for label in np.union1d(found, truth) if label]
    each = [2 * ((found == n) & (truth == n)).sum() / ((found == n).sum() + (truth == n).sum()) for n in labels]
    return float(np.mean(each)) if each else 1.0
