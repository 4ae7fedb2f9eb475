"""The readers of models of other tools, with the builder of networks, which needs torch only when it is called."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clickseg.core.errors import ModelError
from clickseg.models.importers.nnunet.model_files import configuration_in
from clickseg.models.importers.registry import FORMATS_TEXT, ZIP_HINT, make_readers
from clickseg.models.importers.source_model import Reader
from clickseg.models.package import is_package, package_name

if TYPE_CHECKING:
    import torch

_NNUNET_DATASET = re.compile(r"Dataset\d{3}_")


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
        raise _no_model_error(path)
    return reader


def source_name(path: Path) -> str:
    """Returns the name of the model of another tool at a path, with which results name it.

    It is that of the folder or file; a configuration of nnU-Net has the name of its dataset as well, because all models
    have folders such as ``nnUNetTrainer__nnUNetPlans__3d_fullres``.
    """
    name = package_name(path)
    configuration, dataset = configuration_in(name), path.resolve().parent.name
    return f"{dataset}_{configuration}" if configuration and _NNUNET_DATASET.match(dataset) else name


def _no_model_error(path: Path) -> ModelError:
    """Returns the error about a path without a model; its hint names a model in the folder, if there is one."""
    if not path.exists():
        return ModelError(f"{path}: no such file or folder")
    try:
        children = sorted(path.iterdir()) if path.is_dir() else []
    except PermissionError as error:
        return ModelError(f"{path}: cannot be read: {error.strerror}")
    model = next((child for child in children if find_reader(child) is not None), None)
    if model is not None:
        hint = f"name the model in it: {model}"
    elif path.suffix.lower() == ".zip":
        hint = ZIP_HINT
    else:
        hint = "docs/own-model.md describes the formats"
    return ModelError(f"{path}: expected {FORMATS_TEXT}", hint=hint)


def _build_network(definition: Mapping[str, Any], where: str) -> torch.nn.Module:
    from clickseg.inference.engines.network import build_from_definition

    return build_from_definition(definition, where)


_READERS = make_readers(_build_network)
