"""Limits what the constructor of a network allocates, before anything large is allocated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from clickseg.core.errors import ModelError

MAX_VALUES = 1 << 31
"""The largest number of values of a network: 8 GiB in f32. The largest published ones have 1.4 billion parameters."""

_MAX_OPERATIONS = 1 << 16
"""The largest number of operations of a constructor: the largest networks of MONAI have less than 10 000."""

_MAX_REAL_VALUES = 1 << 16
"""Larger tensors have no memory in the trial."""

_META = torch.device("meta")


def check_allocation(construct: Callable[[], torch.nn.Module], where: str, max_values: int = MAX_VALUES) -> None:
    """Runs a constructor on trial, without memory for large tensors, and rejects a network that is too large.

    Args:
        construct: The constructor; it may raise any of its own errors.
        where: The file and the key of the definition, for messages.
        max_values: The largest number of values of all tensors that it makes.

    Raises:
        ModelError: The network is too large.
    """
    with torch.random.fork_rng(devices=[]), _Trial(where, max_values):
        construct()


class _Trial(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Makes large tensors on the device ``meta``, where they have a shape but no memory.

    Small tensors are real, because SwinUNETR and DiNTS read values of them.
    """

    def __init__(self, where: str, max_values: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._where, self._max_values = where, max_values
        self._values = self._operations = 0

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        self._operations += 1
        if self._operations > _MAX_OPERATIONS:
            raise ModelError(f"{self._where}: expected a network of at most {_MAX_OPERATIONS} operations, got more")
        arguments = dict(kwargs or {})
        has_large = any(tensor.device == _META for tensor in _tensors((args, arguments)))
        if any(result.alias_info is not None for result in operation._schema.returns):  # noqa: SLF001 - view, in place
            if not has_large:
                return operation(*args, **arguments)
            return args[0] if args[0].device != _META else _run_on_meta(operation, args, arguments)
        shapes = _run_on_meta(operation, args, arguments)
        size = sum(tensor.numel() for tensor in _tensors(shapes))
        self._values += size
        if self._values > self._max_values:
            raise ModelError(f"{self._where}: expected a network of at most {self._max_values} values, got more")
        return shapes if has_large or size > _MAX_REAL_VALUES else operation(*args, **arguments)


def _run_on_meta(operation: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Returns results with shapes only; None if they depend on the values of small tensors."""
    meta_args, meta_kwargs = tree_map_only(torch.Tensor, lambda tensor: tensor.to(_META), (args, kwargs))
    has_tensors = next(iter(_tensors((args, kwargs))), None) is not None
    if "device" in kwargs or not has_tensors:
        meta_kwargs = {**meta_kwargs, "device": _META}
    try:
        return operation(*meta_args, **meta_kwargs)
    except (NotImplementedError, RuntimeError, TypeError):
        if any(tensor.device == _META for tensor in _tensors((args, kwargs))):
            raise
        return None


def _tensors(values: Any) -> list[torch.Tensor]:
    found: list[torch.Tensor] = []
    tree_map_only(torch.Tensor, found.append, values)
    return found
