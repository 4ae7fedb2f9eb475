"""Reads the checkpoints of folds: weights, and what the trainer stored about the inference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clickseg.core.errors import ModelError
from clickseg.models.importers.torch_files import check_weights, find_state_dict

if TYPE_CHECKING:
    import torch

_WEIGHTS, _MIRRORING = "network_weights", "inference_allowed_mirroring_axes"
_ALIASES = ("decoder.encoder.", ".all_modules.")
"""Parts of names under which nnU-Net's state dicts contain weights again."""

TRAINERS_WITH_BATCH_NORM = ("nnUNetTrainerBN",)
"""The trainers that replace the normalization of the network in the plans."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The content of a checkpoint.

    Attributes:
        configuration: The name of the configuration; empty if the checkpoint has none.
        trainer: The name of the trainer; empty if the checkpoint has none.
        mirror_axes: The axes that are flipped in the inference.
        state: The weights, each under one name.
        others: The keys that are not used.
    """

    configuration: str
    trainer: str
    mirror_axes: tuple[int, ...]
    state: dict[str, torch.Tensor]
    others: tuple[str, ...]


def read_checkpoint(content: Any, where: str) -> Checkpoint:
    """Returns the content of a checkpoint.

    Args:
        content: What the file contains.
        where: The file, for messages.

    Raises:
        ModelError: It is not a checkpoint of nnU-Net.
    """
    if not isinstance(content, Mapping) or _WEIGHTS not in content:
        raise ModelError(f"{where}: expected a checkpoint of nnU-Net, with {_WEIGHTS}")
    state = find_state_dict(content[_WEIGHTS], f"{where}: {_WEIGHTS}")
    arguments = content.get("init_args")
    configuration = arguments.get("configuration") if isinstance(arguments, Mapping) else None
    trainer = content.get("trainer_name")
    used = (_WEIGHTS, _MIRRORING, "init_args", "trainer_name")
    return Checkpoint(
        configuration if isinstance(configuration, str) else "",
        trainer if isinstance(trainer, str) else "",
        _mirror_axes(content.get(_MIRRORING), where),
        {name: values for name, values in state.items() if not any(alias in name for alias in _ALIASES)},
        tuple(str(key)[:64] for key in content if key not in used),
    )


def check_fit(network: torch.nn.Module, checkpoint: Checkpoint, where: str) -> None:
    """Rejects weights that are not those of a network.

    Args:
        network: The network of the plans.
        checkpoint: The checkpoint with the weights.
        where: The file, for messages.

    Raises:
        ModelError: A weight is missing, unknown, or has another shape.
    """
    check_weights(checkpoint.state, where)
    expected = {name: tuple(values.shape) for name, values in network.state_dict().items()}
    got = {name: tuple(values.shape) for name, values in checkpoint.state.items()}
    for name in sorted({*expected, *got}):
        if expected.get(name) != got.get(name):
            raise ModelError(
                f"{where}: the weights do not fit {type(network).__name__} of the plans: {name[:80]}: expected "
                f"{_shape_text(expected.get(name))}, got {_shape_text(got.get(name))}",
                hint=f"the trainer {checkpoint.trainer[:80]} may build another network than that of the plans; only "
                "networks of the plans are supported",
            )


def joined_state(states: Mapping[str, Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Returns the weights of one network, or of the mean of several."""
    if len(states) == 1:
        return dict(next(iter(states.values())))
    return {
        f"members.{number}.network.{name}": values
        for number, state in enumerate(states.values())
        for name, values in state.items()
    }


def _mirror_axes(axes: Any, where: str) -> tuple[int, ...]:
    values = axes if isinstance(axes, tuple | list) else () if axes is None else (axes,)
    if not all(isinstance(axis, int) and not isinstance(axis, bool) and 0 <= axis <= 2 for axis in values):
        raise ModelError(f"{where}: {_MIRRORING}: expected axes from 0 to 2, got {axes!r:.80}")
    return tuple(sorted(set(values)))


def _shape_text(shape: tuple[int, ...] | None) -> str:
    return "none" if shape is None else "x".join(str(size) for size in shape) or "a number"
