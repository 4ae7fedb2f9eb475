"""Builds the network of a bundle's ``inference.json`` without evaluating any of its expressions."""

from __future__ import annotations

from typing import Any

import torch

from clickseg.core.errors import ModelError
from clickseg.core.validation import read_json
from clickseg.inference.engines.cuda_runtime import load_cuda_runtime
from clickseg.models.package import INFERENCE_CONFIG, ModelPackage

_BUILD_ERRORS = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""Exceptions of network constructors for invalid arguments."""

_NAMESPACE = "monai.networks.nets."
_NETWORKS = (
    "AttentionUnet",
    "BasicUNet",
    "BasicUNetPlusPlus",
    "DynUNet",
    "HighResNet",
    "SegResNet",
    "SegResNetDS",
    "SegResNetVAE",
    "SwinUNETR",
    "UNETR",
    "UNet",
    "VNet",
)
"""Segmentation networks whose constructors neither read files nor download; other constructors may."""


def build_network(package: ModelPackage) -> torch.nn.Module:
    """Returns the network that ``network_def`` defines, with random weights.

    Only listed classes of ``monai.networks.nets`` are built, and only from plain JSON values: expressions (``$``),
    references (``@``, ``%``), ``_requires_`` and nested ``_target_`` are rejected.

    Raises:
        ModelError: ``network_def`` is missing, names another class, or has arguments that the class does not accept.
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
    if not isinstance(definition, dict) or not isinstance(definition.get("_target_"), str):
        raise ModelError(f"{where}: expected an object with _target_, got {definition!r}")
    arguments = {key: value for key, value in definition.items() if key != "_target_"}
    _check_plain(arguments, where)
    network_class = _network_class(definition["_target_"], where)
    try:
        network: torch.nn.Module = network_class(**arguments)
    except _BUILD_ERRORS as error:
        raise ModelError(f"{where}: {definition['_target_']} cannot be built: {error}") from error
    return network


def _network_class(target: str, where: str) -> type[torch.nn.Module]:
    load_cuda_runtime()
    import monai.networks.nets as nets

    name = target.rpartition(".")[2]
    network: type[torch.nn.Module] | None = getattr(nets, name, None) if name in _NETWORKS else None
    if network is None or target not in (_NAMESPACE + name, f"{network.__module__}.{name}"):
        raise ModelError(f"{where}._target_: expected {_NAMESPACE}X, X one of {', '.join(_NETWORKS)}; got {target!r}")
    return network


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
