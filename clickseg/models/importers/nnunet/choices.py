"""What the user chooses with ``--set``, as with options of nnU-Net's command: configuration, folds and checkpoint."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from clickseg.core.errors import ModelError
from clickseg.core.text import join_names
from clickseg.models.importers.nnunet.model_files import CHECKPOINT, ModelFiles, choose_model
from clickseg.models.importers.source_model import ImportOptions

_FOLDS, _CONFIGURATION, _CHECKPOINT = "folds", "configuration", "checkpoint"
CHOICES = (_FOLDS, _CONFIGURATION, _CHECKPOINT)
"""The keys of ``--set``."""

_MAX_FOLDS = 32


@dataclass(frozen=True, slots=True)
class Choice:
    """What is used of a path.

    Attributes:
        files: The files of one model.
        folds: The names of the folds, such as ``0`` or ``all``.
        checkpoint: The name of the checkpoint in each fold.
    """

    files: ModelFiles
    folds: tuple[str, ...]
    checkpoint: str


def choose(path: Path, options: ImportOptions) -> Choice:
    """Returns what is used of a path: without options, as nnU-Net, all folds but ``fold_all``, at their end.

    Args:
        path: The folder of a model, the folder of a dataset, or a zip file.
        options: What the user states.

    Raises:
        ModelError: The path has several models, or a fold or checkpoint does not exist.
    """
    files = choose_model(path, _text(options, _CONFIGURATION))
    checkpoint = _text(options, _CHECKPOINT) or CHECKPOINT
    available = [fold for fold, names in files.checkpoints.items() if checkpoint in names]
    chosen = _stated_folds(options) or [fold for fold in available if fold != "all"] or available
    missing = [fold for fold in chosen if fold not in available]
    if missing or not 1 <= len(chosen) <= _MAX_FOLDS:
        others = join_names(sorted({name for names in files.checkpoints.values() for name in names}), 12)
        raise ModelError(
            f"{files.name}: expected {checkpoint[:80]} in fold_{missing[0] if missing else 0}; got it in the folds "
            f"{join_names(available, 12) or 'none'}",
            hint=f"select folds with --set folds=0,1, or another of the checkpoints {others} with --set "
            f"{_CHECKPOINT}=NAME",
        )
    return Choice(files, tuple(chosen), checkpoint)


def _stated_folds(options: ImportOptions) -> list[str]:
    """Returns the folds that the user states: ``0``, ``0,1``, ``[0, 1]`` or ``all``."""
    stated = options.changes.get(_FOLDS)
    if stated is None:
        return []
    items = stated if isinstance(stated, list) else re.split(r"[,\s]+", str(stated).strip())
    folds = list(dict.fromkeys(str(item) for item in items))
    if not folds or not all(re.fullmatch(r"all|\d{1,3}", fold) for fold in folds):
        raise ModelError(f"{_FOLDS}: expected numbers such as 0,1, or all; got {stated!r:.80}")
    return folds


def _text(options: ImportOptions, key: str) -> str | None:
    value = options.changes.get(key)
    if value is not None and not isinstance(value, str):
        raise ModelError(f"{key}: expected a name, got {value!r:.80}")
    return value
