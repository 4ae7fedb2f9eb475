"""The readers of models of other tools, with the builder of networks, which needs torch only when it is called."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clickseg.core.errors import ModelError
from clickseg.models.importers.registry import FORMATS_TEXT, make_readers
from clickseg.models.importers.source_model import Reader
from clickseg.models.package import is_package

if TYPE_CHECKING:
    import torch


def find_reader(path: Path) -> Reader | None:
    """Returns the reader of the model at a path, or None if no reader recognizes it."""
    return next((reader for reader in _READERS if reader.recognizes(path)), None)


def get_reader(path: Path) -> Reader:
    """Returns the reader of the model at a path.

    Raises:
        ModelError: No reader recognizes it, or it is a model package.
    """
    reader = find_reader(path)
    if reader is None and is_package(path):
        raise ModelError(f"{path}: is a model package already", hint="name it with -m; nothing must be imported")
    if reader is None:
        raise ModelError(f"{path}: expected {FORMATS_TEXT}", hint="docs/own-model.md describes the formats")
    return reader


def _build_network(definition: Mapping[str, Any], where: str) -> torch.nn.Module:
    from clickseg.inference.engines.network import build_from_definition

    return build_from_definition(definition, where)


_READERS = make_readers(_build_network)
