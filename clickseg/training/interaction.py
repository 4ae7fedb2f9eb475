"""One iteration: the network predicts a batch several times, with more simulated clicks into its errors each time."""

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

from clickseg.clicks.simulated.regions import DepthFunction, depth_on_host
from clickseg.core.arrays import LabelArray
from clickseg.models.spec import ModelSpec
from clickseg.training.clicking import BatchClicks
from clickseg.training.config import TrainingConfig
from clickseg.training.samples import Batch

FIRST_PREDICTION, LAST_PREDICTION = "first_prediction", "last_prediction"
"""Keys of the losses of single predictions in the output of the engine."""

_CERTAIN_LOGIT = 20.0
"""A logit whose probability is 1 in the precision of the loss, so that it has no gradient."""


@dataclass(frozen=True, slots=True)
class StepSettings:
    """Settings of backpropagation and of an optimizer step.

    Attributes:
        autocast: Returns the context in which the network runs: mixed precision, or a null context.
        scaler: Scales the loss so that small f16 gradients do not underflow; may be disabled.
        clip_norm: The largest norm of a gradient; 0 disables clipping.
        accumulation_steps: The number of gradients that are accumulated for one optimizer step.
        after_step: Called after each optimizer step.
    """

    autocast: Callable[[], AbstractContextManager[Any]]
    scaler: torch.amp.GradScaler
    clip_norm: float
    accumulation_steps: int
    after_step: Callable[[], None]


class Interaction:
    """The ``iteration_update`` of a MONAI ``SupervisedTrainer``: predictions, click rounds and optimizer steps."""

    def __init__(self, config: TrainingConfig, settings: StepSettings, depth: DepthFunction = depth_on_host) -> None:
        """Starts without accumulated gradients.

        Args:
            config: The training configuration.
            settings: Settings of backpropagation and of an optimizer step.
            depth: Computes the distance of voxels to the border of an error region.
        """
        self._config, self._settings, self._depth = config, settings, depth
        self._gradients = 0

    def __call__(self, engine: SupervisedTrainer, batch: Batch) -> dict[str, Any]:
        """Predicts a batch after 0, 1, ... click rounds; trains on each prediction, or on the last (``backprop``).

        Returns:
            The mean loss, the loss of the first and the loss of the last trained prediction.
        """
        rng = np.random.default_rng([self._config.seed, engine.state.iteration, 1])
        rounds = int(rng.integers(self._config.clicking.max_rounds + 1))
        image, truth = batch["image"].to(engine.state.device), batch["truth"][:, 0].long()
        distractors = [numbers.numpy() for numbers in batch["distractors"][:, 0].to(torch.uint8)]
        labels = list(truth.to(torch.uint8).numpy())
        truth = truth.to(image.device)
        clicks = BatchClicks(self._config.model, self._config.clicking, labels, rng, self._depth)
        clicks.add_initial_clicks(batch["needs_click"].tolist())
        predictions, losses = np.zeros(truth.shape, np.uint8), []
        for round_number in range(rounds + 1):
            guidance = [clicks.guidance_channels(), *previous_mask_channels(self._config.model, predictions)]
            inputs = torch.cat([image, *(channels.to(image) for channels in guidance)], dim=1)
            if self._config.clicking.backprop == "each" or round_number == rounds:
                in_loss = ~clicks.ignored_voxels(distractors)
                logits, loss = self._train_on(engine, inputs, truth, in_loss.to(image.device))
                losses.append(loss)
            else:
                logits = self._predict(engine, inputs)
            predictions = logits.argmax(dim=1).to(torch.uint8).cpu().numpy()
            if round_number < rounds:
                clicks.add_round(predictions, distractors)
        return {
            CommonKeys.LOSS: float(np.mean(losses)),
            FIRST_PREDICTION: losses[0],
            LAST_PREDICTION: losses[-1],
        }

    def end_epoch(self, engine: SupervisedTrainer) -> None:
        """Takes a step with the remaining accumulated gradients, so that a checkpoint does not need to contain them."""
        if self._gradients % self._settings.accumulation_steps:
            self._step(engine)
        self._gradients = 0

    def _train_on(
        self, engine: SupervisedTrainer, inputs: torch.Tensor, truth: torch.Tensor, in_loss: torch.Tensor
    ) -> tuple[torch.Tensor, float]:
        """Predicts a batch and backpropagates the loss; returns the logits [B, O, I, J, K] and the loss."""
        settings = self._settings
        set_train_mode(engine.network, freeze_batch_norm=self._is_batch_norm_frozen(engine.state.epoch))
        with settings.autocast():
            logits = engine.inferer(inputs, engine.network).float()
        loss = engine.loss_function(_replace_ignored_logits(logits, truth, in_loss), truth[:, None])
        settings.scaler.scale(loss / settings.accumulation_steps).backward()
        self._gradients += 1
        if self._gradients % settings.accumulation_steps == 0:
            self._step(engine)
        return logits.detach(), float(loss.detach())

    def _is_batch_norm_frozen(self, epoch: int) -> bool:
        """Whether the statistics of batch normalization are frozen in an epoch; epochs start at 1."""
        after = self._config.optimization.freeze_batch_norm_after_epochs
        return after is not None and epoch > after

    def _step(self, engine: SupervisedTrainer) -> None:
        settings = self._settings
        if settings.clip_norm:
            settings.scaler.unscale_(engine.optimizer)
            torch.nn.utils.clip_grad_norm_(engine.network.parameters(), settings.clip_norm)
        settings.scaler.step(engine.optimizer)
        settings.scaler.update()
        engine.optimizer.zero_grad()
        settings.after_step()

    def _predict(self, engine: SupervisedTrainer, inputs: torch.Tensor) -> torch.Tensor:
        """Returns the logits [B, O, I, J, K] of a batch, without a gradient."""
        engine.network.eval()
        with torch.no_grad(), self._settings.autocast():
            logits: torch.Tensor = engine.inferer(inputs, engine.network)
        return logits


def previous_mask_channels(spec: ModelSpec, predictions: LabelArray) -> list[torch.Tensor]:
    """Returns the previous-mask channels [B, M, I, J, K], as a list of one tensor; empty for models without them.

    Args:
        spec: The model.
        predictions: The predicted class of each voxel before the last click [B, I, J, K].
    """
    names = ["", *(class_spec.name for class_spec in spec.classes)]
    masks = [
        np.isin(predictions, [names.index(name) for name in channel.takes]).astype(np.float32)
        for channel in spec.previous_mask
    ]
    return [torch.from_numpy(np.stack(masks, axis=1))] if masks else []


def _replace_ignored_logits(logits: torch.Tensor, truth: torch.Tensor, in_loss: torch.Tensor) -> torch.Tensor:
    """Replaces the logits of voxels that the loss ignores by logits without loss or gradient.

    Args:
        logits: The logits [B, O, I, J, K].
        truth: The class of each voxel [B, I, J, K].
        in_loss: The mask of the voxels that the loss includes [B, I, J, K].
    """
    certain = torch.nn.functional.one_hot(truth, logits.shape[1]).movedim(-1, 1).to(logits) * _CERTAIN_LOGIT
    return torch.where(in_loss[:, None], logits, certain)


def set_train_mode(network: torch.nn.Module, *, freeze_batch_norm: bool) -> None:
    """Switches a network to training.

    Args:
        network: The network.
        freeze_batch_norm: Whether batch normalization uses its running statistics and does not update them. Then the
            output at a voxel does not depend on distant voxels, and is the same in a patch and in a window.
    """
    network.train()
    for module in network.modules():
        if freeze_batch_norm and isinstance(module, _NormBase) and module.track_running_stats:
            module.eval()


def normalization_entries(network: torch.nn.Module) -> frozenset[str]:
    """Returns the names of the weights and statistics of normalization in a state dict.

    A module that the network contains under several names is listed under each of them.
    """
    return frozenset(
        f"{name}.{entry}"
        for name, module in network.named_modules(remove_duplicate=False)
        if isinstance(module, _NormBase)
        for entry in module.state_dict()
    )
