"""Builds the network DiNTS from plain JSON: its architecture, which a search has found, is a set of number arrays."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

_SPACES = ("TopologyInstance", "monai.networks.nets.TopologyInstance", "monai.networks.nets.dints.TopologyInstance")
_SPACE_ARGUMENTS = (
    "arch_code",
    "channel_mul",
    "num_blocks",
    "num_depths",
    "spatial_dims",
    "act_name",
    "norm_name",
    "use_downsample",
)


def build_dints(arguments: Mapping[str, Any]) -> torch.nn.Module:
    """Returns the network DiNTS, with random weights.

    Args:
        arguments: The arguments of ``DiNTS``. ``dints_space`` contains those of ``TopologyInstance``, with
            ``_target_``; its ``arch_code`` is two lists: the active paths [block, path], and the operation of each path
            [block, path]. ``node_a`` is the active nodes, [block + 1, depth]; without it all are active.

    Raises:
        ValueError: An argument is not allowed, or a list is not an array of whole numbers.
    """
    from monai.networks.nets import DiNTS, TopologyInstance

    space = _space_arguments(arguments.get("dints_space"))
    with contextlib.redirect_stdout(io.StringIO()):  # the constructor prints a recommendation
        topology = TopologyInstance(**space)
    nodes = arguments.get("node_a")
    node_a = None if nodes is None else torch.from_numpy(_whole_numbers(nodes, "node_a"))
    network: torch.nn.Module = DiNTS(**{**arguments, "dints_space": topology, "node_a": node_a})
    return network


def _space_arguments(definition: object) -> dict[str, Any]:
    if not isinstance(definition, Mapping) or definition.get("_target_") not in _SPACES:
        raise ValueError("dints_space: expected an object with the _target_ TopologyInstance")
    arguments = {key: value for key, value in definition.items() if key != "_target_"}
    unknown = sorted(set(arguments) - set(_SPACE_ARGUMENTS))
    if unknown:
        raise ValueError(f"dints_space: expected {', '.join(_SPACE_ARGUMENTS)}; got {unknown[0]}")
    codes = arguments.get("arch_code")
    if not isinstance(codes, list) or len(codes) != 2:
        raise ValueError("dints_space.arch_code: expected two lists: active paths and operations")
    arrays = [_whole_numbers(code, "dints_space.arch_code") for code in codes]
    return {**arguments, "arch_code": arrays}


def _whole_numbers(values: Any, name: str) -> np.ndarray[Any, Any]:
    array = np.asarray(values)
    if array.ndim != 2 or not np.array_equal(array, array.astype(np.int64)):
        raise ValueError(f"{name}: expected whole numbers in two dimensions, got {list(array.shape)}")
    return array.astype(np.int64)
