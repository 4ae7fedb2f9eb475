"""What the shapes of weights show of a network, and the parts that all networks have in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]
"""The shape of each tensor of a state dict."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """A network, as its weights show it.

    Attributes:
        definition: The ``network_def``, as plain JSON values.
        in_channels: The number of input channels.
        out_channels: The number of output channels.
        assumed: Arguments of the network that the shapes cannot show, each with what was assumed and why.
    """

    definition: Mapping[str, Any]
    in_channels: int
    out_channels: int
    assumed: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Layer:
    """An activation or a normalization: its definition, and what was assumed of it; empty if nothing was."""

    value: Any
    assumed: str = ""


def find_normalization(shapes: Shapes, prefix: str, *, with_weights: Any, name: str) -> Layer:
    """Returns the normalization whose weights begin with a prefix.

    Args:
        shapes: The shapes of all weights.
        prefix: The name of the layer, with a dot at its end.
        with_weights: What is assumed if there are weights but no running statistics: GroupNorm and InstanceNorm have
            the same.
        name: The name of this assumption.
    """
    if prefix + "running_mean" in shapes:
        return Layer("batch")
    if prefix + "weight" in shapes:
        return Layer(with_weights, f"{name}: its weights have the same shapes as those of other normalizations")
    return Layer("instance", "InstanceNorm without weights: the file contains no weights of a normalization")


def find_activation(shapes: Shapes, weight: str, *, otherwise: Any, name: str) -> Layer:
    """Returns the activation: PReLU has a weight of one value, others have none.

    Args:
        shapes: The shapes of all weights.
        weight: The name of the weight of PReLU.
        otherwise: What is assumed without this weight.
        name: The name of this assumption.
    """
    if weight in shapes:
        count = shapes[weight][0] if shapes[weight] else 1
        return Layer("prelu" if count == 1 else ["prelu", {"num_parameters": count}])
    return Layer(otherwise, f"{name}: the file contains no weights of an activation")


def assumptions(layers: Mapping[str, Layer]) -> tuple[tuple[str, str], ...]:
    """Returns the assumptions of layers by the argument of the network."""
    return tuple((argument, layer.assumed) for argument, layer in layers.items() if layer.assumed)


def numbered(shapes: Shapes, pattern: str, start: int = 0) -> Iterator[str]:
    """Yields the weights of a pattern with ``{}`` for a number, from ``start`` on, as long as they exist."""
    number = start
    while pattern.format(number) in shapes:
        yield pattern.format(number)
        number += 1


def kernel_size(shape: Shape) -> int | list[int]:
    """Returns the kernel size of a convolution: one number if all axes have the same."""
    size = list(shape[2:])
    return size[0] if len(set(size)) == 1 else size
