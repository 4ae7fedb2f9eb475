"""The network of a run: its initial weights, and checks that it fits the model and stays finite."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path

import torch

from clickseg.core.errors import DeviceMemoryError, EngineError, ModelError
from clickseg.core.text import first_line
from clickseg.inference.engines.cuda import out_of_memory_errors
from clickseg.inference.engines.network import build_from_definition
from clickseg.inference.engines.torch_engine import load_network
from clickseg.models.package import load_package
from clickseg.training.checkpoint import has_checkpoint
from clickseg.training.config import TrainingConfig
from clickseg.training.interaction import normalization_entries
from clickseg.training.processes import Processes

MEMORY_HINT = "use a smaller patch_size or batch_size, such as those of -c gpu_11gb"

_FORWARD_ERRORS = (AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""The exceptions of networks for an input that does not fit."""


def make_network(config: TrainingConfig, folder: Path, processes: Processes) -> torch.nn.Module:
    """Returns the network of a run with its initial weights; trained weights are loaded later, from the checkpoint.

    Args:
        config: The training configuration.
        folder: The run folder, with the checkpoint if there is one.
        processes: The processes of the run.

    Raises:
        ModelError: The network, or the initial weights, do not fit.
        DeviceMemoryError: The device runs out of memory.
    """
    torch.manual_seed(config.seed)
    network = build_from_definition(config.network, "network")
    if config.initial_weights is not None and not has_checkpoint(folder):
        _load_initial_weights(network, Path(config.initial_weights))
    network.to(processes.device)
    check_network(network, config, processes.device)
    return network


def _load_initial_weights(network: torch.nn.Module, path: Path) -> None:
    source = load_network(load_package(path))
    try:
        keys = network.load_state_dict(source.state_dict(), strict=False)
    except RuntimeError as error:
        raise ModelError(
            f"initial_weights: the weights of {path.name} do not fit the network: {first_line(error)}"
        ) from error
    differing_keys = {*keys.unexpected_keys, *keys.missing_keys}
    differing_keys -= normalization_entries(network) | normalization_entries(source)
    if differing_keys:
        raise ModelError(
            f"initial_weights: {path.name} contains another network: "
            f"it differs in {', '.join(sorted(differing_keys)[:3])}"
        )


def check_network(network: torch.nn.Module, config: TrainingConfig, device: torch.device) -> None:
    """Runs a copy of a network once on a patch and once on a window of the sliding window.

    Args:
        network: The network, on the device.
        config: The training configuration.
        device: The device.

    Raises:
        ModelError: The network fails, or does not return logits of the expected shape.
        DeviceMemoryError: The device runs out of memory.
    """
    trial = copy.deepcopy(network).train()
    window = config.model.window.roi
    for size in {config.patch_size, window} if config.loss.target == "patch" else {window}:
        logits = _run(trial, (1, config.model.input_channels, *size), device)
        _check_logits(logits, (1, config.model.output_channels, *size))


def _run(network: torch.nn.Module, shape: tuple[int, ...], device: torch.device) -> object:
    try:
        with torch.no_grad():
            return network(torch.zeros(shape, device=device))
    except out_of_memory_errors() as error:
        raise DeviceMemoryError(f"network: out of memory: {first_line(error)}", hint=MEMORY_HINT) from error
    except _FORWARD_ERRORS as error:
        raise ModelError(
            f"network: cannot be run on {list(shape)}: {first_line(error)}",
            hint="in_channels is the number of image, click and mask channels; "
            "patch_size and window.roi must be multiples of the product of all strides",
        ) from error


def _check_logits(logits: object, expected: tuple[int, ...]) -> None:
    if not isinstance(logits, torch.Tensor):
        raise ModelError(f"network: expected one tensor in training mode, got {type(logits).__name__}")
    if logits.shape != expected:
        raise ModelError(f"network: expected logits {list(expected)} in training mode, got {list(logits.shape)}")


def check_finite(network: torch.nn.Module, epoch: int) -> None:
    """Rejects weights that are infinite or NaN, before they overwrite the checkpoint of the previous epoch.

    Raises:
        EngineError: Weights or statistics of normalization are infinite or NaN.
    """
    if not _is_finite(network.state_dict()):
        raise EngineError(
            f"training: weights became infinite or NaN in epoch {epoch}",
            hint="use a smaller optimization.learning_rate, or optimization.precision=f32, in a new run folder",
        )


def _is_finite(state: Mapping[str, torch.Tensor]) -> bool:
    return all(bool(torch.isfinite(values).all()) for values in state.values())
