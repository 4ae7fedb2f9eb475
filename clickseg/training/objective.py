"""Loss, inferer, optimizer, learning-rate scheduler and mixed precision of a run."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from monai.inferers import Inferer, SimpleInferer, SlidingWindowInferer
from monai.losses import DiceCELoss, DiceFocalLoss, DiceLoss, GeneralizedDiceFocalLoss
from monai.optimizers import Novograd
from torch.optim.lr_scheduler import (
    ConstantLR,
    CosineAnnealingLR,
    LRScheduler,
    MultiStepLR,
    PolynomialLR,
)

from clickseg.inference.engines.torch_engine import has_bf16_instructions
from clickseg.models.spec import WindowSpec
from clickseg.training.config import LossConfig, OptimizationConfig, TrainingConfig

_LOSSES: dict[str, type[torch.nn.Module]] = {
    "DiceCELoss": DiceCELoss,
    "DiceLoss": DiceLoss,
    "DiceFocalLoss": DiceFocalLoss,
    "GeneralizedDiceFocalLoss": GeneralizedDiceFocalLoss,
}


def make_loss(config: LossConfig) -> torch.nn.Module:
    """Returns the loss of logits [B, O, I, J, K] and classes [B, 1, I, J, K]."""
    squared = {} if config.name == "GeneralizedDiceFocalLoss" else {"squared_pred": config.squared_pred}
    return _LOSSES[config.name](include_background=config.include_background, to_onehot_y=True, softmax=True, **squared)


def make_inferer(config: TrainingConfig) -> Inferer:
    """Returns the inferer that runs a network on a sample: on the complete patch, or with a sliding window."""
    if config.loss.target == "patch":
        return SimpleInferer()
    window = config.model.window
    return SlidingWindowInferer(
        window.roi,
        overlap=window.overlap,
        mode=monai_mode(window),
        sigma_scale=window.sigma_scale,
        cache_roi_weight_map=True,
    )


def monai_mode(window: WindowSpec) -> str:
    """Returns the weights of MONAI's sliding window that are those of a window, or closest to them."""
    return "constant" if window.mode == "constant" else "gaussian"


def make_optimizer(config: OptimizationConfig, network: torch.nn.Module) -> torch.optim.Optimizer:
    """Returns the optimizer of a network's weights."""
    weights, rate, decay = network.parameters(), config.learning_rate, config.weight_decay
    match config.optimizer:
        case "Adam":
            return torch.optim.Adam(weights, rate, weight_decay=decay)
        case "AdamW":
            return torch.optim.AdamW(weights, rate, weight_decay=decay)
        case "Novograd":
            novograd: torch.optim.Optimizer = Novograd(weights, rate, weight_decay=decay)
            return novograd
        case "SGD":
            return torch.optim.SGD(weights, rate, weight_decay=decay, momentum=0.99, nesterov=True)


def make_scheduler(config: OptimizationConfig, optimizer: torch.optim.Optimizer, epochs: int) -> LRScheduler:
    """Returns the scheduler that sets the learning rate after each epoch, with the parameters of SW-FastEdit."""
    match config.scheduler:
        case "none":
            return ConstantLR(optimizer, factor=1.0)
        case "cosine":
            return CosineAnnealingLR(optimizer, T_max=epochs, eta_min=1e-8)
        case "multistep":
            return MultiStepLR(optimizer, [epochs * step // 5 for step in range(1, 5)], gamma=0.333)
        case "polynomial":
            return PolynomialLR(optimizer, total_iters=epochs, power=2)


def make_autocast(
    config: OptimizationConfig, device: torch.device
) -> tuple[Callable[[], AbstractContextManager[Any]], bool]:
    """Returns the context of mixed precision, and whether the loss must be scaled, which only f16 needs."""
    precision = config.precision
    if precision == "auto":
        precision = "f16" if device.type == "cuda" else "bf16" if has_bf16_instructions() else "f32"
    if precision == "f32":
        return nullcontext, False
    dtype = torch.float16 if precision == "f16" else torch.bfloat16
    return lambda: torch.autocast(device.type, dtype=dtype), precision == "f16"
