"""Reads files of ``torch.save`` without executing anything of them."""

from __future__ import annotations

import pickle
import struct
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clickseg.core.errors import LibraryError, ModelError
from clickseg.core.text import first_line
from clickseg.models.importers.archives import check_content_size
from clickseg.models.importers.plain_arrays import plain_names

if TYPE_CHECKING:
    import torch

_STATE_KEYS = ("state_dict", "model", "net", "network_weights")
"""The keys under which checkpoints contain a state dict: MONAI and Lightning, MONAI's trainers, ignite, nnU-Net."""

_LOAD_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    struct.error,
)


def load_torch_file(path: Path) -> Any:
    """Returns the content of a file of ``torch.save``: tensors, arrays of numbers, and plain Python values.

    Raises:
        ModelError: The file is damaged, too large, or contains other objects, which are not loaded.
        LibraryError: torch is not installed.
    """
    torch = import_torch()
    check_content_size(path)
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(plain_names()):
            warnings.simplefilter("ignore")  # old formats
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:  # its own message suggests to load the file anyway
        raise ModelError(
            f"{path.name}: contains objects other than tensors and numbers: they are not loaded, because loading them "
            "would execute a program of the file",
            hint="save only the state dict: torch.save(network.state_dict(), FILE)",
        ) from error
    except _LOAD_ERRORS as error:
        raise ModelError(f"{path.name}: not a file of torch.save: {first_line(error)}") from error


def find_state_dict(content: Any, where: str) -> dict[str, torch.Tensor]:
    """Returns the weights in the content of a checkpoint: a state dict, or one under a usual key.

    Raises:
        ModelError: The content is neither, or a tensor has fewer values than its shape.
    """
    torch = import_torch()
    candidates = [content]
    if isinstance(content, Mapping):
        candidates += [content[key] for key in _STATE_KEYS if key in content]
    for candidate in candidates:
        if isinstance(candidate, Mapping) and candidate:
            state = {name: value for name, value in candidate.items() if isinstance(value, torch.Tensor)}
            if len(state) == len(candidate) and all(isinstance(name, str) for name in state):
                check_weights(state, where)
                return state
    raise ModelError(f"{where}: expected a state dict, also under one of the keys {', '.join(_STATE_KEYS)}")


def import_torch() -> Any:
    """Returns the module ``torch``.

    Raises:
        LibraryError: torch is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise LibraryError(
            "models of other tools can only be translated with torch, which is not installed",
            hint="pip install 'clickseg[import]'; or run `clickseg models import` on a machine with torch, and use the "
            "package that it writes: it needs no torch",
        ) from error
    return torch


def check_weights(state: Mapping[str, torch.Tensor], where: str) -> None:
    """Checks that weights are tensors in memory whose values the file contains.

    A small file could claim a network of any size, and tensors without values would leave the network random.

    Raises:
        ModelError: A tensor is sparse, quantized or without values, or has fewer values than its shape.
    """
    torch = import_torch()
    for name, values in state.items():
        if values.layout is not torch.strided or values.is_quantized or values.device.type != "cpu":
            raise ModelError(f"{where}: {name[:64]!r}: expected a dense tensor, got {values.layout}, {values.device}")
        expected, got = values.numel() * values.element_size(), values.untyped_storage().nbytes()
        if got < expected:
            raise ModelError(f"{where}: {name[:64]}: expected {expected} bytes for {list(values.shape)}, got {got}")
