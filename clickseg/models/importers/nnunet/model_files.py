"""Finds the files of a trained model of nnU-Net: in its folder, in the folder of the dataset, or in a zip file."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from clickseg.core.errors import ModelError
from clickseg.core.text import join_names
from clickseg.core.validation import MAX_JSON_BYTES, parse_json, read_json
from clickseg.models.importers.archive_members import extract_member, read_member
from clickseg.models.importers.archives import member_names
from clickseg.models.importers.nnunet.dataset import DATASET
from clickseg.models.importers.nnunet.plans import PLANS
from clickseg.models.importers.torch_files import load_torch_file

CHECKPOINT = "checkpoint_final.pth"
"""The checkpoint at the end of the training, which nnU-Net uses unless another one is named."""

_CHECKPOINT_NAME = re.compile(r"checkpoint_[A-Za-z0-9]{1,32}\.pth")
_FOLD = re.compile(r"fold_(all|\d{1,3})")
_MAX_FOLDERS = 1000


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """The files of a model: in a folder, or in a zip file.

    Attributes:
        path: The folder of the model, or the zip file.
        folder: The folder in the zip file, with a slash at its end; empty for a folder.
        checkpoints: The names of the checkpoints of each fold, by the name of the fold, such as ``0`` or ``all``.
    """

    path: Path
    folder: str
    checkpoints: Mapping[str, tuple[str, ...]]

    @property
    def name(self) -> str:
        """The name of the folder: trainer, plans and configuration."""
        return PurePosixPath(self.folder).name if self.folder else self.path.resolve().name

    @property
    def configuration(self) -> str:
        """The name of the configuration in the name of the folder; empty if it has none."""
        return configuration_in(self.name)

    def read_json(self, name: str) -> Any:
        """Returns the content of a JSON file.

        Raises:
            ModelError: It cannot be read, or is not JSON.
        """
        if not self.folder:
            return read_json(_file_inside(self.path, name), ModelError)
        return parse_json(read_member(self.path, self.folder + name, MAX_JSON_BYTES), name, ModelError)

    def load_checkpoint(self, fold: str, name: str) -> Any:
        """Returns the content of a checkpoint.

        Raises:
            ModelError: It cannot be read, or contains other objects than tensors and numbers.
            LibraryError: torch is not installed.
        """
        relative = f"fold_{fold}/{name}"
        if not self.folder:
            return load_torch_file(_file_inside(self.path, relative))
        with tempfile.TemporaryDirectory(prefix="clickseg-import-") as temporary:
            extracted = Path(temporary) / name
            extract_member(self.path, self.folder + relative, extracted)
            return load_torch_file(extracted)


def is_model(path: Path) -> bool:
    """Whether a path is a model, the folder of a dataset with trained models, or an exported zip file."""
    return bool(find_models(path))


def find_models(path: Path) -> tuple[ModelFiles, ...]:
    """Returns the models at a path; reads only names.

    Args:
        path: The folder of a model, the folder of a dataset, or a zip file.
    """
    if path.suffix.lower() == ".zip":
        return _models_in_zip(path)
    if not path.is_dir():
        return ()
    own = _model_in_folder(path)
    if own is not None:
        return (own,)
    children = sorted(child for child in path.iterdir() if configuration_in(child.name))[:_MAX_FOLDERS]
    return tuple(model for child in children if (model := _model_in_folder(child)) is not None)


def choose_model(path: Path, configuration: str | None) -> ModelFiles:
    """Returns the model at a path, or that of one configuration.

    Raises:
        ModelError: It has no model, or more than one.
    """
    models = find_models(path)
    chosen = [model for model in models if configuration in (None, model.configuration)]
    if len(chosen) != 1:
        names = join_names([model.name[:80] for model in chosen or models], 12)
        raise ModelError(
            f"{path.name}: expected one trained model, got {len(chosen)}: {names}",
            hint="name the folder of one, or select one with --set configuration=3d_fullres",
        )
    return chosen[0]


def all_files(path: Path) -> tuple[Path, ...]:
    """Returns all files that a translation may depend on."""
    if path.suffix.lower() == ".zip":
        return (path,)
    return tuple(
        model.path / name
        for model in find_models(path)
        for name in (
            *(PLANS, DATASET),
            *(f"fold_{fold}/{name}" for fold, names in model.checkpoints.items() for name in names),
        )
    )


def configuration_in(name: str) -> str:
    """Returns the configuration in the name of a folder, ``trainer__plans__configuration``; empty if it has none."""
    parts = name.split("__")
    return parts[2] if len(parts) == 3 and all(parts) else ""


def _model_in_folder(path: Path) -> ModelFiles | None:
    if not (path / PLANS).is_file() or not (path / DATASET).is_file():
        return None
    folds = (child for child in path.iterdir() if _FOLD.fullmatch(child.name) and child.is_dir())
    files = (f"{fold.name}/{file.name}" for fold in folds for file in fold.iterdir() if file.is_file())
    checkpoints = _checkpoints(sorted(files))
    return ModelFiles(path, "", checkpoints) if checkpoints else None


def _models_in_zip(path: Path) -> tuple[ModelFiles, ...]:
    members = member_names(path) or ()
    folders = sorted({name.removesuffix(PLANS) for name in members if name.endswith(f"/{PLANS}")})[:_MAX_FOLDERS]
    models = []
    for folder in folders:
        own = [name.removeprefix(folder) for name in members if name.startswith(folder)]
        checkpoints = _checkpoints(own)
        if checkpoints and DATASET in own and not {"..", ""} & set(folder.split("/")[:-1]):
            models.append(ModelFiles(path, folder, checkpoints))
    return tuple(models)


def _checkpoints(names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Returns the names of checkpoints by fold; folds are in the order of their numbers, ``all`` is last."""
    found: dict[str, list[str]] = {}
    for name in names:
        fold, _, file = name.partition("/")
        match = _FOLD.fullmatch(fold)
        if match and _CHECKPOINT_NAME.fullmatch(file):
            found.setdefault(match.group(1), []).append(file)
    numbered = sorted((fold for fold in found if fold != "all"), key=int)
    return {fold: tuple(found[fold]) for fold in (*numbered, *({"all"} & set(found)))}


def _file_inside(folder: Path, relative: str) -> Path:
    """Returns a file of a model.

    Raises:
        ModelError: It is not a file, or a link that leads outside the folder of the model.
    """
    path = folder / relative
    try:
        is_inside = path.is_file() and path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError) as error:  # links that refer to each other
        raise ModelError(f"{relative}: cannot be read") from error
    if not is_inside:
        raise ModelError(f"{relative}: expected a file in {folder.name}, got a link to another folder")
    return path
