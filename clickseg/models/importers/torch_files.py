"""Reads files of ``torch.save`` without executing anything of them."""

from __future__ import annotations

import contextlib
import pickle
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clickseg.core.errors import LibraryError, ModelError
from clickseg.core.text import first_line

if TYPE_CHECKING:
    import torch

_MAX_BYTES = 16 << 30
"""The largest size of the content of a file: the largest published segmentation networks have less than 2 GB."""

_STATE_KEYS = ("state_dict", "model", "net", "network_weights")
"""The keys under which checkpoints contain a state dict: MONAI and Lightning, MONAI's trainers, ignite, nnU-Net."""

_LOAD_ERRORS = (
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
)


def load_torch_file(path: Path) -> Any:
    """Returns the content of a file of ``torch.save``: tensors, NumPy arrays, and plain Python values.

    Raises:
        ModelError: The file is damaged, too large, or contains other objects, which are not loaded.
        LibraryError: torch is not installed.
    """
    torch = import_torch()
    _check_size(path)
    try:
        with warnings.catch_warnings(), _numpy_allowed(torch):
            warnings.simplefilter("ignore")  # old NumPy names
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
        ModelError: The content is neither.
    """
    torch = import_torch()
    candidates = [content]
    if isinstance(content, Mapping):
        candidates += [content[key] for key in _STATE_KEYS if key in content]
    for candidate in candidates:
        if isinstance(candidate, Mapping) and candidate:
            state = {name: value for name, value in candidate.items() if isinstance(value, torch.Tensor)}
            if len(state) == len(candidate) and all(isinstance(name, str) for name in state):
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


def _check_size(path: Path) -> None:
    """Rejects archives whose content is much larger than the file; torch itself does not compress."""
    try:
        size = path.stat().st_size
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                size = max(size, sum(info.file_size for info in archive.infolist()))
    except (OSError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path.name}: cannot be read: {first_line(error)}") from error
    if size > _MAX_BYTES:
        raise ModelError(f"{path.name}: expected at most {_MAX_BYTES} bytes, got {size}")


@contextlib.contextmanager
def _numpy_allowed(torch: Any) -> Iterator[None]:
    """Allows NumPy arrays and numbers, which only hold data: DiNTS and nnU-Net write them next to tensors."""
    import numpy as np
    from numpy._core import multiarray

    reconstruct, scalar = multiarray._reconstruct, multiarray.scalar  # noqa: SLF001 - the name in pickles
    allowed = [
        (reconstruct, "numpy.core.multiarray._reconstruct"),
        (reconstruct, "numpy._core.multiarray._reconstruct"),
        (scalar, "numpy.core.multiarray.scalar"),
        (scalar, "numpy._core.multiarray.scalar"),
        np.ndarray,
        np.dtype,
        *(type(np.dtype(name)) for name in ("bool", "int8", "uint8", "int16", "int32", "int64", "float32", "float64")),
    ]
    with torch.serialization.safe_globals(allowed):
        yield
