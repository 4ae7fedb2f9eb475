"""The network of a run as it begins: random, or with the weights of a model."""

from __future__ import annotations

from pathlib import Path

import torch

from clickseg.engines.network_def import network_of
from clickseg.engines.torch_engine import load_state
from clickseg.errors import ModelError
from clickseg.models.package import load_package
from clickseg.training.config import Training
from clickseg.training.network_check import check_network
from clickseg.training.normalization import entries
from clickseg.training.processes import Processes
from clickseg.training.run_folder import is_begun
from clickseg.wording import first_line


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
