"""Normalization layers of an OpenVINO network, in f32 as accurate as those of torch.

OpenVINO 2026.4 adds the values of a channel one by one in f32. Where a part of the window is constant, as air is, each
addition is rounded in the same direction: a relative error of 5e-4 in a window of 64 x 64 x 64. Here each row is
added first, and then the rows, as short sums have small errors: 7e-6 in the same window. In less precise number types
the error is not visible.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import openvino as ov
from openvino import opset13

_FIRST_SPATIAL_AXIS = 2
_INPUTS = 2
"""Values and axes; in the first version of the operation, the axes were an attribute."""


def make_normalization_accurate(network: ov.Model) -> None:
    """Replaces instance and group normalizations of a network by operations with accurate sums.

    Args:
        network: The network, with static shapes; it is changed.
    """
    for operation in network.get_ordered_ops():
        match operation.get_type_name():
            case "MVN" if _is_instance_normalization(operation):
                _replace(operation, _normalize_channels(operation))
            case "GroupNormalization":
                _replace(operation, _normalize_groups(operation))
    network.validate_nodes_and_infer_types()


def _is_instance_normalization(operation: ov.Node) -> bool:
    """Whether all spatial axes are normalized; a layer normalization is along the last axis, and has short sums."""
    if operation.get_input_size() != _INPUTS:
        return False
    values, axes = (operation.input_value(number).get_node() for number in (0, 1))
    rank = len(values.output(0).get_shape())
    spatial = list(range(_FIRST_SPATIAL_AXIS, rank))
    is_known = axes.get_type_name() == "Constant" and operation.get_attributes()["normalize_variance"]
    return bool(is_known and len(spatial) > 1 and sorted(axes.get_data() % rank) == spatial)


def _normalize_channels(operation: ov.Node) -> ov.Node:
    attributes = operation.get_attributes()
    is_inside = attributes["eps_mode"] == "INSIDE_SQRT"
    return _normalize(operation.input_value(0), lambda means: means, attributes["eps"], is_inside=is_inside)


def _normalize_groups(operation: ov.Node) -> ov.Node:
    values, scale, offset = (operation.input_value(number) for number in range(3))
    attributes = operation.get_attributes()
    batch, channels, *spatial = values.get_shape()
    groups = [batch, attributes["num_groups"], channels // attributes["num_groups"]]

    def average_groups(means: ov.Node) -> ov.Node:
        of_groups = opset13.reduce_mean(_reshape(means, groups), np.array([2]), keep_dims=True)
        return _reshape(opset13.broadcast(of_groups, np.array(groups)), [batch, channels, *[1] * len(spatial)])

    normalized = _normalize(values, average_groups, attributes["epsilon"], is_inside=True)
    scale, offset = (_reshape(each, [1, channels, *[1] * len(spatial)]) for each in (scale, offset))
    return opset13.add(opset13.multiply(normalized, scale), offset)


def _normalize(values: ov.Output, average: Callable[[ov.Node], ov.Node], epsilon: float, *, is_inside: bool) -> ov.Node:
    """Returns values with mean 0 and variance 1.

    Args:
        values: Values [B, C, I, J, K].
        average: Brings means of channels [B, C, 1, 1, 1] to those of the voxels that are normalized together.
        epsilon: Is added to the variance, or to its square root.
        is_inside: Whether it is added to the variance.
    """
    *_, row = values.get_shape()
    rows = opset13.reduce_sum(values, np.array([-1]), keep_dims=True)
    centred = opset13.subtract(values, average(_mean_of_rows(rows, row)))
    lengths = opset13.reduce_l2(centred, np.array([-1]), keep_dims=True)
    variance = average(_mean_of_rows(opset13.multiply(lengths, lengths), row))
    if is_inside:
        deviation = opset13.sqrt(opset13.add(variance, np.float32(epsilon)))
    else:
        deviation = opset13.add(opset13.sqrt(variance), np.float32(epsilon))
    return opset13.multiply(centred, opset13.divide(np.float32(1), deviation))


def _mean_of_rows(sums: ov.Node, row: int) -> ov.Node:
    """Returns the mean of each channel [B, C, 1, 1, 1] from the sums of its rows [B, C, I, J, 1]."""
    axes = np.arange(_FIRST_SPATIAL_AXIS, len(sums.output(0).get_shape()) - 1)
    return opset13.multiply(opset13.reduce_mean(sums, axes, keep_dims=True), np.float32(1 / row))


def _reshape(values: ov.Node | ov.Output, shape: list[int]) -> ov.Node:
    return opset13.reshape(values, np.array(shape), special_zero=False)


def _replace(operation: ov.Node, replacement: ov.Node) -> None:
    for reader in operation.output(0).get_target_inputs():
        reader.replace_source_output(replacement.output(0))
