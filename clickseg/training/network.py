"""The network of a run as it begins, random or with the weights of a model, and whether it fits the model."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path

import torch

from clickseg.core.errors import DeviceMemoryError, EngineError, ModelError
from clickseg.core.text import first_line
from clickseg.inference.engines.cuda import out_of_memory
from clickseg.inference.engines.network import network_of
from clickseg.inference.engines.torch_engine import load_state
from clickseg.models.package import load_package
from clickseg.training.checkpoint import is_begun
from clickseg.training.config import Training
from clickseg.training.interaction import entries
from clickseg.training.processes import Processes

LESS_MEMORY = "a smaller patch or batch, such as those of -c gpu_11gb"

_RUN_ERRORS = (AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What networks raise on an input that does not fit."""


def make_network(how: Training, folder: Path, processes: Processes) -> torch.nn.Module:
    """Returns the network of a run as it begins; what it learnt is in the checkpoint.

    Args:
        how: What the run is told.
        folder: Where the checkpoint is, if the run has begun.
        processes: Those that train together, and the device of this one.

    Raises:
        ModelError: The network, or the weights to begin with, do not fit.
        DeviceMemoryError: The device has too little memory.
    """
    torch.manual_seed(how.seed)
    network = network_of(how.network, "network")
    if how.initial is not None and not is_begun(folder):
        _load_initial(network, Path(how.initial))
    network.to(processes.device)
    check_network(network, how, processes.device)
    return network


def _load_initial(network: torch.nn.Module, path: Path) -> None:
    given = load_state(load_package(path))
    try:
        found = network.load_state_dict(given.state_dict(), strict=False)
    except RuntimeError as error:
        raise ModelError(f"initial: the weights of {path.name} do not fit the network: {first_line(error)}") from error
    odd = {*found.unexpected_keys, *found.missing_keys} - entries(network) - entries(given)
    if odd:
        raise ModelError(f"initial: {path.name} is of another network: it differs in {', '.join(sorted(odd)[:3])}")


def check_network(network: torch.nn.Module, how: Training, device: torch.device) -> None:
    """Runs a network once on a patch, and on a window of the sliding window; it stays as it is.

    Args:
        network: The network, on the device.
        how: The run.
        device: Where it is.

    Raises:
        ModelError: It fails, or gives something else than logits of the same size.
        DeviceMemoryError: The device has too little memory.
    """
    trial = copy.deepcopy(network).train()
    for size in {how.patch, how.model.window.roi} if how.loss.of == "patch" else {how.model.window.roi}:
        logits = _run(trial, (1, how.model.input_channels, *size), device)
        _check_logits(logits, (1, how.model.output_channels, *size))


def _run(network: torch.nn.Module, shape: tuple[int, ...], device: torch.device) -> object:
    try:
        with torch.no_grad():
            return network(torch.zeros(shape, device=device))
    except out_of_memory() as error:
        raise DeviceMemoryError(f"network: out of memory: {first_line(error)}", hint=LESS_MEMORY) from error
    except _RUN_ERRORS as error:
        raise ModelError(
            f"network: cannot be run on {list(shape)}: {first_line(error)}",
            hint="in_channels are images, clicks and masks together; patch and window.roi are multiples of all strides",
        ) from error


def _check_logits(logits: object, expected: tuple[int, ...]) -> None:
    if not isinstance(logits, torch.Tensor):
        raise ModelError(f"network: expected one tensor while it is trained, got {type(logits).__name__}")
    if logits.shape != expected:
        raise ModelError(f"network: expected logits {list(expected)} while it is trained, got {list(logits.shape)}")


def check_finite(network: torch.nn.Module, epoch: int) -> None:
    """Refuses weights that nothing can be learnt from any more, before they replace those of the epoch before.

    Raises:
        EngineError: Some are infinite, or no numbers.
    """
    if not is_finite(network.state_dict()):
        raise EngineError(
            f"training: weights became infinite or no numbers in epoch {epoch}",
            hint="a smaller optimization.learning_rate, or optimization.precision=f32, in a new folder",
        )


def is_finite(state: Mapping[str, torch.Tensor]) -> bool:
    """Whether all weights are numbers, and statistics of normalization too."""
    return all(bool(torch.isfinite(each).all()) for each in state.values())
