"""Identifies the network of a state dict, and proves it: all weights must fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from clickseg.core.errors import ModelError
from clickseg.models.importers.source_model import ImportNote, ImportOptions, Outcome
from clickseg.models.importers.torch_files import check_weights
from clickseg.models.importers.weights.architectures.architecture import Shapes
from clickseg.models.importers.weights.architectures.recognition import NAMES, common_prefixes, find_architecture
from clickseg.models.spec import ModelSpec

if TYPE_CHECKING:
    import torch

NetworkBuilder = Callable[[Mapping[str, Any], str], "torch.nn.Module"]
"""Builds the network of a ``network_def``; the second argument is its place, for messages. Raises ``ModelError``."""

_NETWORK_KEY = "network_def"
MAX_NOTES = 32
"""The largest number of notes about keys that are not weights."""

_CHANNEL_ARGUMENTS = {"inputs": ("in_channels",), "outputs": ("out_channels", "num_classes")}


@dataclass(frozen=True, slots=True)
class Identified:
    """A network and its weights, which fit.

    Attributes:
        network_def: The network.
        built: The network with its weights.
        state: Its weights, with the names of the network.
        prefix: What is before these names in the source.
        input_channels: The number of input channels; None if it has another argument for them.
        output_channels: The number of output channels; None if it has another argument for them.
        notes: What was found and assumed.
    """

    network_def: Mapping[str, Any]
    built: torch.nn.Module
    state: Mapping[str, torch.Tensor]
    prefix: str
    input_channels: int | None
    output_channels: int | None
    notes: tuple[ImportNote, ...]

    @property
    def network(self) -> str:
        """The name of its class."""
        return str(self.network_def["_target_"]).rpartition(".")[2]


def identify(
    state: Mapping[str, torch.Tensor],
    stated: Mapping[str, Any] | None,
    options: ImportOptions,
    build: NetworkBuilder,
    where: str,
) -> Identified:
    """Returns the network of a state dict.

    Args:
        state: The weights; a prefix that all names have is removed.
        stated: The ``network_def``, if it is stated; None to find it by the shapes of the weights.
        options: Changes of arguments of the network, with keys such as ``network_def.norm``.
        build: Builds a network.
        where: The file, for messages.

    Raises:
        ModelError: The network is not known, or the weights do not fit it.
    """
    check_weights(state, where)
    shapes = {name: tuple(values.shape) for name, values in state.items()}
    found = _find(shapes, where) if stated is None else _take_stated(stated, shapes, where)
    definition, prefixes, notes = found
    changes = network_changes(options)
    definition = {**definition, **changes}
    built = build(definition, f"{where}: {_NETWORK_KEY}")
    own, prefix = _fitting_weights(built, state, prefixes, where)
    channels = {key: _first_number(definition, names) for key, names in _CHANNEL_ARGUMENTS.items()}
    remaining = [note for note in notes if note.key.removeprefix(_NETWORK_KEY + ".") not in changes]
    others = [name for name in state if not name.startswith(prefix)]
    text = f"not a weight of the network: its name does not begin with {prefix}"
    remaining += [ImportNote(name[:64], Outcome.IGNORED, text) for name in others[:MAX_NOTES]]
    return Identified(definition, built, own, prefix, channels["inputs"], channels["outputs"], tuple(remaining))


_Found = tuple[Mapping[str, Any], list[str], tuple[ImportNote, ...]]


def _find(shapes: Shapes, where: str) -> _Found:
    """Returns the definition of the network of weights, the prefixes that they may have, and notes."""
    found = find_architecture(shapes)
    if found is None:
        raise ModelError(
            f"{where}: the weights are those of no network that is found by its weights: {', '.join(NAMES)}",
            hint=f"state the network as {_NETWORK_KEY} in a JSON file next to it",
        )
    architecture, prefix = found
    name = architecture.definition["_target_"]
    notes = [ImportNote(_NETWORK_KEY, Outcome.TRANSLATED, f"{name}, found by the shapes of its weights")]
    notes += [
        ImportNote(f"{_NETWORK_KEY}.{argument}", Outcome.ASSUMED, text) for argument, text in architecture.assumed
    ]
    return architecture.definition, [prefix], tuple(notes)


def _take_stated(stated: Mapping[str, Any], shapes: Shapes, where: str) -> _Found:
    if not isinstance(stated, Mapping):
        raise ModelError(f"{where}: {_NETWORK_KEY}: expected an object with _target_, got {stated!r:.40}")
    return stated, common_prefixes(shapes), (ImportNote(_NETWORK_KEY, Outcome.TRANSLATED, "as stated"),)


def network_changes(options: ImportOptions) -> dict[str, Any]:
    """Returns the changes of arguments of the network, by argument."""
    prefix = _NETWORK_KEY + "."
    return {key.removeprefix(prefix): value for key, value in options.changes.items() if key.startswith(prefix)}


def without_network_changes(options: ImportOptions) -> ImportOptions:
    """Returns options without the changes of arguments of the network."""
    others = {key: value for key, value in options.changes.items() if not key.startswith(_NETWORK_KEY + ".")}
    return replace(options, changes=others)


def check_changes(options: ImportOptions) -> None:
    """Rejects changes of keys that a file without a configuration does not have.

    Raises:
        ModelError: A key is neither a field of the section nor an argument of the network.
    """
    for key in without_network_changes(options).changes:
        if key.partition(".")[0] not in ModelSpec.model_fields:
            raise ModelError(f"{key}: expected a field of the clickseg section, or {_NETWORK_KEY}.ARGUMENT")


def _fitting_weights(
    network: torch.nn.Module, state: Mapping[str, torch.Tensor], prefixes: list[str], where: str
) -> tuple[dict[str, torch.Tensor], str]:
    """Loads the weights without the first prefix that makes them fit; returns them, and the prefix."""
    reason: RuntimeError | None = None
    for prefix in prefixes:
        own = {name.removeprefix(prefix): values for name, values in state.items() if name.startswith(prefix)}
        try:
            network.load_state_dict(own, strict=True)
        except RuntimeError as error:
            reason = reason or error
        else:
            return own, prefix
    summary, *details = str(reason).splitlines()
    raise ModelError(
        f"{where}: the weights do not fit {type(network).__name__}: {(details or [summary])[0].strip()}",
        hint=f"state its arguments with {_NETWORK_KEY}.ARGUMENT, or the network in a JSON file next to it",
    ) from reason


def _first_number(definition: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    return next((definition[name] for name in names if isinstance(definition.get(name), int)), None)
