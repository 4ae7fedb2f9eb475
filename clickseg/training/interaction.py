"""One iteration: a batch is shown with ever more clicks, each into what the network got wrong.

Batch normalization learns by the statistics of the batch, or by the running ones, as in use (``set_training``).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from monai.engines import SupervisedTrainer
from monai.utils.enums import CommonKeys
from torch.nn.modules.batchnorm import _NormBase

from clickseg.clicks.simulated.regions import Depth, depth_on_host
from clickseg.core.arrays import Numbers
from clickseg.models.spec import ModelSpec
from clickseg.training.clicking import BatchClicks
from clickseg.training.config import Training
from clickseg.training.samples import Batch

_CERTAIN = 20.0
"""A logit that leaves no doubt, and no gradient."""


@dataclass(frozen=True, slots=True)
class Stepper:
    """How a gradient becomes a step.

    Attributes:
        cast: Gives the context in which the network is run: mixed precision, or none.
        scaler: Scales losses, so that small gradients of 16 bits do not vanish; it may be switched off.
        clip_norm: The largest norm of a gradient; 0 for any.
        accumulate: How many gradients make one step.
        after: Called after each step.
    """

    cast: Callable[[], AbstractContextManager[Any]]
    scaler: torch.amp.GradScaler
    clip_norm: float
    accumulate: int
    after: Callable[[], None]


class Interaction:
    """What a ``SupervisedTrainer`` does in one iteration."""

    def __init__(self, how: Training, stepper: Stepper, depth: Depth = depth_on_host) -> None:
        """Begins.

        Args:
            how: What the run is told.
            stepper: How a gradient becomes a step.
            depth: Measures how deep voxels lie in what is clicked.
        """
        self._how, self._stepper, self._depth = how, stepper, depth
        self._gradients = 0

    def __call__(self, engine: SupervisedTrainer, batch: Batch) -> dict[str, Any]:
        """Shows a batch with 0, 1, ... clicks, and takes a step for each showing, or for the last."""
        rng = np.random.default_rng([self._how.seed, engine.state.iteration, 1])
        showings = 1 + int(rng.integers(self._how.clicking.most + 1))
        image, truth = batch["image"].to(engine.state.device), batch["truth"][:, 0].long()
        objects = [each.numpy() for each in batch["objects"][:, 0].to(torch.uint8)]
        clicks = BatchClicks(self._how.model, self._how.clicking, list(truth.to(torch.uint8).numpy()), rng, self._depth)
        clicks.add_first(batch["must_click"].tolist())
        found, losses = np.zeros(truth.shape, np.uint8), []
        for showing in range(1, showings + 1):
            inputs = torch.cat([image, *(each.to(image) for each in self._shown(clicks, found))], dim=1)
            if self._how.clicking.learn == "each" or showing == showings:
                known = ~clicks.unsaid(objects)
                logits, loss = self._learnt(engine, inputs, truth.to(image.device), known.to(image.device))
                losses.append(loss)
            else:
                logits = self._seen(engine, inputs)
            found = logits.argmax(dim=1).to(torch.uint8).cpu().numpy()
            if showing < showings:
                clicks.add(found, objects)
        return {CommonKeys.LOSS: float(np.mean(losses)), "first": losses[0], "last": losses[-1]}

    def end_epoch(self, engine: SupervisedTrainer) -> None:
        """Takes a step with the gradients that are left over, so that nothing but the weights goes on."""
        if self._gradients % self._stepper.accumulate:
            self._step(engine)
        self._gradients = 0

    def _shown(self, clicks: BatchClicks, found: Numbers) -> list[torch.Tensor]:
        return [clicks.channels(), *mask_channels(self._how.model, found)]

    def _learnt(
        self, engine: SupervisedTrainer, inputs: torch.Tensor, truth: torch.Tensor, known: torch.Tensor
    ) -> tuple[torch.Tensor, float]:
        """Returns the logits and the loss of one showing, after its gradient."""
        stepper = self._stepper
        set_training(engine.network, is_fixed=self._is_fixed(engine.state.epoch))
        with stepper.cast():
            logits = engine.inferer(inputs, engine.network).float()
        loss = engine.loss_function(_settled(logits, truth, known), truth[:, None])
        stepper.scaler.scale(loss / stepper.accumulate).backward()
        self._gradients += 1
        if self._gradients % stepper.accumulate == 0:
            self._step(engine)
        return logits.detach(), float(loss.detach())

    def _is_fixed(self, epoch: int) -> bool:
        """Whether the statistics of normalization stay as they are in an epoch, counted from 1."""
        after = self._how.optimization.fix_statistics_after
        return after is not None and epoch > after

    def _step(self, engine: SupervisedTrainer) -> None:
        stepper = self._stepper
        if stepper.clip_norm:
            stepper.scaler.unscale_(engine.optimizer)
            torch.nn.utils.clip_grad_norm_(engine.network.parameters(), stepper.clip_norm)
        stepper.scaler.step(engine.optimizer)
        stepper.scaler.update()
        engine.optimizer.zero_grad()
        stepper.after()

    def _seen(self, engine: SupervisedTrainer, inputs: torch.Tensor) -> torch.Tensor:
        engine.network.eval()
        with torch.no_grad(), self._stepper.cast():
            logits: torch.Tensor = engine.inferer(inputs, engine.network)
        return logits


def mask_channels(spec: ModelSpec, found: Numbers) -> list[torch.Tensor]:
    """Returns the channels that show what was found before the last click [B, M, I, J, K]; none for most models."""
    names = ["", *(each.name for each in spec.classes)]
    masks = [
        np.isin(found, [names.index(name) for name in channel.takes]).astype(np.float32)
        for channel in spec.previous_mask
    ]
    return [torch.from_numpy(np.stack(masks, axis=1))] if masks else []


def _settled(logits: torch.Tensor, truth: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Returns logits [B, K, I, J, K] that are right beyond doubt where nobody can know the truth yet."""
    certain = torch.nn.functional.one_hot(truth, logits.shape[1]).movedim(-1, 1).to(logits) * _CERTAIN
    return torch.where(known[:, None], logits, certain)


def set_training(network: torch.nn.Module, *, is_fixed: bool) -> None:
    """Makes a network learn.

    Args:
        network: The network.
        is_fixed: Whether its running statistics stay as they are, and are gone by: then what it finds in one place
            depends on nothing that is far from it, and is the same for a patch as for a window.
    """
    network.train()
    for module in network.modules():
        if is_fixed and isinstance(module, _NormBase) and module.track_running_stats:
            module.eval()


def entries(network: torch.nn.Module) -> frozenset[str]:
    """Returns the names of all weights and statistics of normalization; modules have all names that they go by."""
    return frozenset(
        f"{name}.{entry}"
        for name, module in network.named_modules(remove_duplicate=False)
        if isinstance(module, _NormBase)
        for entry in module.state_dict()
    )
