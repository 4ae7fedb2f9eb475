"""Reads trained models of nnU-Net, version 2: ``dataset.json``, ``plans.json``, and the checkpoint of each fold."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clickseg.core.errors import ModelError
from clickseg.models.importers.changes import source_changes
from clickseg.models.importers.licences import licence_files, read_licence
from clickseg.models.importers.nnunet import checkpoints as nnunet_checkpoints
from clickseg.models.importers.nnunet import model_files
from clickseg.models.importers.nnunet.architecture import network_definition
from clickseg.models.importers.nnunet.checkpoints import Checkpoint
from clickseg.models.importers.nnunet.choices import CHOICES, choose
from clickseg.models.importers.nnunet.dataset import CHANNEL_KEYS, DATASET, Dataset, read_dataset
from clickseg.models.importers.nnunet.image_grid import grid_section, turns_images, window_section
from clickseg.models.importers.nnunet.images import input_sections
from clickseg.models.importers.nnunet.model_files import ModelFiles
from clickseg.models.importers.nnunet.notes import model_notes
from clickseg.models.importers.nnunet.plans import PLANS, Plans, read_plans
from clickseg.models.importers.source_model import STORED_AXES, UNIT, ImportOptions, SourceModel
from clickseg.models.importers.weights.identification import NetworkBuilder

if TYPE_CHECKING:
    import torch

_CHANNELS = "channel_names"
"""The key with which ``--set`` changes names of channels, such as ``channel_names#1``."""

_FILES_OF_NNINTERACTIVE = ("inference_info.json", "inference_session_class.json")
_PREPROCESSOR, _LABEL_MANAGER = "DefaultPreprocessor", "LabelManager"
_MEAN = "MeanOfNetworks"


class NnUNetReader:
    """The reader of folders of nnU-Net with a trained model, of one dataset, and of zip files exported by nnU-Net."""

    format = "nnU-Net"
    is_program = False

    def __init__(self, build: NetworkBuilder) -> None:
        """Makes a reader.

        Args:
            build: Builds a network, to prove that the weights fit.
        """
        self._build = build

    def recognizes(self, path: Path) -> bool:
        """Whether a path contains ``dataset.json``, ``plans.json`` and a checkpoint of a fold."""
        return model_files.is_model(path)

    def files(self, path: Path) -> tuple[Path, ...]:
        """Returns the zip file, or dataset, plans, checkpoints and licences."""
        folders = [model.path for model in model_files.find_models(path) if not model.folder]
        return (*model_files.all_files(path), *(file for folder in folders for file in licence_files(folder)))

    def read(self, path: Path, options: ImportOptions) -> SourceModel:
        """Reads a model.

        Raises:
            ModelError: The model cannot be expressed as a model package; the message names the key.
            LibraryError: torch is not installed.
        """
        choice = choose(path, options)
        files = choice.files
        _reject_other_tools(files)
        dataset = read_dataset(_changed_dataset(files.read_json(DATASET), options))
        loaded = {
            fold: nnunet_checkpoints.read_checkpoint(
                files.load_checkpoint(fold, choice.checkpoint), f"fold_{fold}/{choice.checkpoint}"
            )
            for fold in choice.folds
        }
        first = next(iter(loaded.values()))
        plans = read_plans(files.read_json(PLANS), first.configuration or files.configuration)
        _reject_other_classes(plans)
        return self._describe(_Source(files, dataset, plans, loaded, choice.checkpoint), options)

    def _describe(self, source: _Source, options: ImportOptions) -> SourceModel:
        inputs, input_notes = input_sections(source.dataset, source.plans, options)
        definition = network_definition(
            source.plans,
            len(inputs),
            source.dataset.labels.channels,
            has_batch_norm=source.first.trainer in nnunet_checkpoints.TRAINERS_WITH_BATCH_NORM,
        )
        states = self._fitting_states(source, definition)
        section = {
            "inputs": inputs,
            "grid": grid_section(source.plans, options),
            "window": window_section(source.plans),
            **_output_fields(source.dataset),
            "crop": _crop_section(len(inputs)),
            **({"mirror_axes": list(source.first.mirror_axes)} if source.first.mirror_axes else {}),
        }
        is_mean = len(states) > 1
        return SourceModel(
            name=source.plans.dataset_name or source.files.name,
            version="0",
            section=section,
            network_def={"_target_": _MEAN, "count": len(states), "network": definition} if is_mean else definition,
            load_state=lambda: nnunet_checkpoints.joined_state(states),
            notes=(*input_notes, *model_notes(source.files, source.dataset, source.plans, source.loaded, options)),
            licence="" if source.files.folder else read_licence(source.files.path),
            used_options=_used_options(source.plans, len(inputs)),
        )

    def _fitting_states(self, source: _Source, definition: Mapping[str, Any]) -> dict[str, dict[str, torch.Tensor]]:
        """Returns the weights of each fold, which all fit the network."""
        network = self._build(definition, f"{source.plans.where}: architecture")
        for fold, checkpoint in source.loaded.items():
            nnunet_checkpoints.check_fit(network, checkpoint, f"fold_{fold}/{source.checkpoint_name}")
        return {fold: checkpoint.state for fold, checkpoint in source.loaded.items()}


@dataclass(frozen=True, slots=True)
class _Source:
    """A model whose files have been read.

    Attributes:
        files: Its files.
        dataset: The content of ``dataset.json``.
        plans: The plans for its configuration.
        loaded: The checkpoints, by fold.
        checkpoint_name: The name of the checkpoint in each fold.
    """

    files: ModelFiles
    dataset: Dataset
    plans: Plans
    loaded: Mapping[str, Checkpoint]
    checkpoint_name: str

    @property
    def first(self) -> Checkpoint:
        """The checkpoint of the first fold, from which nnU-Net takes all but the weights."""
        return next(iter(self.loaded.values()))


def _reject_other_tools(files: ModelFiles) -> None:
    """Rejects models of nnInteractive, which have the same files, but channels for interactions."""
    if not files.folder and any((files.path / name).is_file() for name in _FILES_OF_NNINTERACTIVE):
        raise ModelError(f"{files.name}: models of nnInteractive are not yet supported")


def _reject_other_classes(plans: Plans) -> None:
    """Rejects plans that name own classes for preparing images or for labels."""
    if plans.configuration.preprocessor_name != _PREPROCESSOR:
        got = plans.configuration.preprocessor_name
        raise ModelError(f"{plans.where}: preprocessor_name: {got!r:.80} is not supported: expected {_PREPROCESSOR}")
    if plans.label_manager != _LABEL_MANAGER:
        raise ModelError(
            f"{PLANS}: label_manager: {plans.label_manager!r:.80} is not supported: expected {_LABEL_MANAGER}"
        )


def _changed_dataset(content: Any, options: ImportOptions) -> Any:
    """Returns the dataset with other names of channels, such as ``channel_names#1``."""
    changed = copy.deepcopy(content)
    known = next((changed[key] for key in CHANNEL_KEYS if key in changed), None) if isinstance(changed, dict) else None
    for key, value in source_changes(options.changes).items():
        names, _, channel = key.partition("#")
        if names == _CHANNELS and isinstance(known, dict) and channel in known:
            known[channel] = value
    return changed


def _output_fields(dataset: Dataset) -> dict[str, Any]:
    labels = dataset.labels
    return {
        "activation": "sigmoid" if labels.are_regions else "softmax",
        **({"overwrite": True} if labels.are_regions else {}),
        "output_channels": labels.channels,
        "classes": labels.classes,
    }


def _crop_section(inputs: int) -> dict[str, Any]:
    """Returns the field ``crop``: the box of the voxels where any input is not 0."""
    crop = {"voxels": "nonzero", "values": "source", "grid": "source"}
    return crop | ({"inputs": "any"} if inputs > 1 else {})


def _used_options(plans: Plans, inputs: int) -> frozenset[str]:
    used = {UNIT, *CHOICES, *(f"{_CHANNELS}#{channel}" for channel in range(inputs))}
    return frozenset(used if turns_images(plans) else used | {STORED_AXES})
