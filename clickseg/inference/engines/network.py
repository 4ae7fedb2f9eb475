"""Builds the network of a bundle's ``inference.json`` without evaluating any of its expressions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from clickseg.core.errors import LibraryError, ModelError
from clickseg.core.text import first_line
from clickseg.core.validation import read_json
from clickseg.inference.engines.allocation import check_allocation
from clickseg.inference.engines.cuda_runtime import load_cuda_runtime
from clickseg.inference.engines.dints import build_dints
from clickseg.inference.engines.mean_of_networks import MeanOfNetworks
from clickseg.inference.engines.networks_side_by_side import NetworksSideBySide
from clickseg.inference.engines.unets import make_plain_conv_unet, make_residual_encoder_unet
from clickseg.models.package import INFERENCE_CONFIG, ModelPackage

_BUILD_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""Exceptions of network constructors for invalid arguments."""

_NAMESPACE = "monai.networks.nets."
_NETWORKS = (
    "AHNet",
    "AttentionUnet",
    "BasicUNet",
    "BasicUNetPlusPlus",
    "DAF3D",
    "DiNTS",
    "DynUNet",
    "HighResNet",
    "MedNeXt",
    "MedNeXtS",
    "MedNeXtB",
    "MedNeXtM",
    "MedNeXtL",
    "SegResNet",
    "SegResNetDS",
    "SegResNetVAE",
    "SwinUNETR",
    "UNETR",
    "UNet",
    "VNet",
)
"""The segmentation networks of MONAI 1.6 whose constructors neither read files nor download.

Not listed: FlexibleUNet and HoVerNet download weights; Quicknat and HoVerNet are only for 2D images; VISTA3D and
SegResNetDS2 need prompts, HyenaNDUNETR a library for GPUs; RegUNet, LocalNet, GlobalNet and VoxelMorph register images.
"""

_Constructor = Callable[[], torch.nn.Module]

_NNUNET_NETWORKS: Mapping[str, Callable[[Mapping[str, Any], str], _Constructor]] = {
    "PlainConvUNet": make_plain_conv_unet,
    "ResidualEncoderUNet": make_residual_encoder_unet,
}
"""The networks of nnU-Net, with the functions that check their arguments."""

MEAN_OF_NETWORKS = "MeanOfNetworks"
"""The name of the mean of several networks, in ``_target_``."""

NETWORKS_SIDE_BY_SIDE = "NetworksSideBySide"
"""The name of several networks with one output after the other, in ``_target_``."""

_OTHERS_TEXT = f"{', '.join(_NNUNET_NETWORKS)}, {MEAN_OF_NETWORKS} or {NETWORKS_SIDE_BY_SIDE}"
_MAX_MEMBERS = 32

_FORBIDDEN_ARGUMENTS = ("pretrained", "use_hyena", "hyena_stages")
"""AHNet would download weights, and SwinUNETR would import a library for GPUs."""


def build_network(package: ModelPackage) -> torch.nn.Module:
    """Returns the network that ``network_def`` defines, with random weights.

    Only listed classes of ``monai.networks.nets``, the networks of nnU-Net, their mean and networks side by side are
    built, and only from plain JSON values: expressions (``$``), references (``@``, ``%``), ``_requires_`` and nested
    ``_target_`` are rejected, except for DiNTS ``TopologyInstance`` and the members of the last two.
    ``_target_`` is the full name of MONAI's class, or the name without its modules.

    Raises:
        ModelError: ``network_def`` is missing, names another class, has arguments that the class does not accept, or
            defines a network that is too large.
        LibraryError: The network needs a library that is not installed.
    """
    config = read_json(package.path / INFERENCE_CONFIG, ModelError)
    definition = config.get("network_def") if isinstance(config, dict) else None
    return build_from_definition(definition, f"model {package.name}: {INFERENCE_CONFIG.name}: network_def")


def build_from_definition(definition: Any, where: str) -> torch.nn.Module:
    """Returns the network of a definition, under the same restrictions as ``build_network``.

    Args:
        definition: The value of ``network_def``.
        where: The file and the key of the definition, for messages.

    Raises:
        ModelError: As for ``build_network``.
    """
    construct = _constructor(definition, where)
    try:
        check_allocation(construct, where)
        return construct()
    except ModelError:
        raise
    except ImportError as error:
        raise LibraryError(f"{where}: {definition['_target_']}: {first_line(error)}") from error
    except _BUILD_ERRORS as error:
        raise ModelError(f"{where}: {definition['_target_']} cannot be built: {first_line(error)}") from error


def _constructor(definition: Any, where: str) -> _Constructor:
    """Returns the function that makes the network of a definition, whose arguments are checked before."""
    if not isinstance(definition, dict) or not isinstance(definition.get("_target_"), str):
        raise ModelError(f"{where}: expected an object with _target_, got {definition!r}")
    target = definition["_target_"]
    arguments = {key: value for key, value in definition.items() if key != "_target_"}
    if target == MEAN_OF_NETWORKS:
        return _mean_constructor(arguments, where)
    if target == NETWORKS_SIDE_BY_SIDE:
        return _side_by_side_constructor(arguments, where)
    if target in _NNUNET_NETWORKS:
        return _NNUNET_NETWORKS[target](arguments, where)
    make = _network_maker(target, where)
    _check_arguments(arguments, where, has_space=make is build_dints)
    return lambda: make(arguments)


def _mean_constructor(arguments: dict[str, Any], where: str) -> _Constructor:
    """Returns the constructor of the mean of ``count`` networks with the definition ``network``."""
    network: Any = arguments.get("network")
    count: Any = arguments.get("count")
    is_number = isinstance(count, int) and not isinstance(count, bool)
    if set(arguments) != {"count", "network"} or not is_number or not 1 <= count <= _MAX_MEMBERS:
        raise ModelError(f"{where}: {MEAN_OF_NETWORKS}: expected network, and count from 1 to {_MAX_MEMBERS}")
    _reject_targets(network, (MEAN_OF_NETWORKS, NETWORKS_SIDE_BY_SIDE), f"{where}.network")
    construct = _constructor(network, f"{where}.network")
    return lambda: MeanOfNetworks([construct() for _ in range(count)])


def _side_by_side_constructor(arguments: dict[str, Any], where: str) -> _Constructor:
    """Returns the constructor of networks side by side, with the definitions in ``networks``."""
    networks: Any = arguments.get("networks")
    if set(arguments) != {"networks"} or not isinstance(networks, list) or not 1 <= len(networks) <= _MAX_MEMBERS:
        raise ModelError(f"{where}: {NETWORKS_SIDE_BY_SIDE}: expected a list of 1 to {_MAX_MEMBERS} networks")
    constructors = []
    for number, network in enumerate(networks):
        _reject_targets(network, (NETWORKS_SIDE_BY_SIDE,), f"{where}.networks.{number}")
        constructors.append(_constructor(network, f"{where}.networks.{number}"))
    return lambda: NetworksSideBySide([construct() for construct in constructors])


def _reject_targets(network: Any, targets: tuple[str, ...], where: str) -> None:
    """Rejects networks that contain networks deeper than the project needs."""
    if isinstance(network, dict) and network.get("_target_") in targets:
        raise ModelError(f"{where}: expected another network than {' or '.join(targets)}")


def _network_maker(target: str, where: str) -> Callable[[dict[str, Any]], torch.nn.Module]:
    """Returns the function that makes a network of MONAI from its arguments."""
    load_cuda_runtime()
    import monai.networks.nets as nets

    name = target.rpartition(".")[2]
    network: Callable[..., torch.nn.Module] | None = getattr(nets, name, None) if name in _NETWORKS else None
    if network is None or target not in (name, _NAMESPACE + name, f"{network.__module__}.{name}"):
        raise ModelError(
            f"{where}._target_: expected {_NAMESPACE}X, X one of {', '.join(_NETWORKS)}; or {_OTHERS_TEXT}; "
            f"got {target!r}"
        )
    return build_dints if name == "DiNTS" else lambda arguments: network(**arguments)


def _check_arguments(arguments: dict[str, Any], where: str, *, has_space: bool) -> None:
    for name in _FORBIDDEN_ARGUMENTS:
        if arguments.get(name):
            raise ModelError(f"{where}.{name}: expected false, got {arguments[name]!r}")
    space = arguments.get("dints_space")
    if has_space and isinstance(space, dict):
        arguments = {**arguments, "dints_space": {key: value for key, value in space.items() if key != "_target_"}}
    _check_plain(arguments, where)


def _check_plain(value: Any, where: str) -> None:
    """Rejects values that MONAI's configuration parser would evaluate."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key.startswith("_"):
                raise ModelError(f"{where}: {key!r} is not allowed: expected only plain arguments")
            _check_plain(item, f"{where}.{key}")
    elif isinstance(value, list):
        for item in value:
            _check_plain(item, where)
    elif isinstance(value, str) and value[:1] in ("$", "@", "%"):
        raise ModelError(f"{where}: {value!r} is not allowed: expressions in a package are not evaluated")
