"""Translates the ``network_def`` of a bundle: plain JSON values with the full name of MONAI's class."""

from __future__ import annotations

import math
from typing import Any

from clickseg.core.errors import ModelError
from clickseg.models.importers.monai_bundle.components import Component, read_component
from clickseg.models.importers.source_model import ImportNote, Outcome

_NAMESPACE = "monai.networks.nets"
_MAX_ELEMENTS = 100_000
_TOPOLOGY = "TopologyInstance"
_OUTPUT_ARGUMENTS = ("out_channels", "num_classes")


def translate_network(value: Any, key: str) -> tuple[dict[str, Any], tuple[ImportNote, ...]]:
    """Returns the definition of a network as plain JSON values, and what was done with its arguments.

    Args:
        value: The value of ``network_def``, with resolved references.
        key: Its key.

    Raises:
        ModelError: The network is not one of MONAI's, has two axes, or arguments that cannot be determined.
    """
    network = read_component(value, key)
    if "." in network.target and not network.target.startswith(f"{_NAMESPACE}."):
        raise network.error(
            "the network is defined by the bundle's own code, which is not executed",
            hint="export the model to TorchScript, for example with `python -m monai.bundle ckpt_export`, and use the "
            ".ts file",
        )
    notes = [ImportNote(key, Outcome.TRANSLATED, f"network_def: {network.target}")]
    if network.value("spatial_dims", 3) != 3:
        raise network.error("networks for slices are not yet supported: expected spatial_dims 3")
    arguments = dict(network.arguments)
    if network.target.endswith("SwinUNETR") and "img_size" in arguments:
        del arguments["img_size"]
        text = "MONAI 1.5 removed it: the weights do not depend on it"
        notes.append(ImportNote(f"{key}#img_size", Outcome.IGNORED, text))
    target = network.target if "." in network.target else f"{_NAMESPACE}.{network.target}"
    definition = {"_target_": target, **{name: _argument(item, network, name) for name, item in arguments.items()}}
    return definition, tuple(notes)


def output_channels(definition: dict[str, Any]) -> int | None:
    """Returns the number of output channels that a definition contains; None if it contains none."""
    for name in _OUTPUT_ARGUMENTS:
        if isinstance(definition.get(name), int):
            channels: int = definition[name]
            return channels
    return None


def _argument(value: Any, network: Component, name: str) -> Any:
    if name == "dints_space" and isinstance(value, dict):
        space = read_component(value, f"{network.key}#{name}")
        if space.name != _TOPOLOGY or not space.is_of_monai:
            raise space.error(f"expected {_TOPOLOGY}")
        arguments = {key: plain(item, f"{space.key}#{key}") for key, item in space.arguments.items() if key != "device"}
        return {"_target_": _TOPOLOGY, **arguments}
    return plain(value, f"{network.key}#{name}")


def plain(value: Any, where: str) -> Any:
    """Returns a value as plain JSON: arrays and tensors become lists.

    Raises:
        ModelError: The value cannot be determined, is an object, or a number that is not finite.
    """
    if isinstance(value, list):
        return [plain(item, where) for item in value]
    if isinstance(value, dict):
        special = [key for key in value if key.startswith("_")]
        if special:
            raise ModelError(f"{where}: {special[0]}: expected plain arguments, got {value[special[0]]!r:.80}")
        return {key: plain(item, f"{where}#{key}") for key, item in value.items()}
    if value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value)):
        return value
    elements = getattr(value, "tolist", None)
    if elements is not None and math.prod(value.shape) <= _MAX_ELEMENTS:
        return plain(elements(), where)
    error = getattr(value, "error", None)
    raise error if isinstance(error, ModelError) else ModelError(f"{where}: expected plain values, got {value!r:.80}")
