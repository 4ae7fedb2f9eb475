"""Reads the models of TotalSegmentator: trained models of nnU-Net, whose classes are united."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clickseg.core.errors import ModelError
from clickseg.core.text import join_names
from clickseg.models.importers.nnunet.reader import NnUNetReader
from clickseg.models.importers.source_model import PRESET, ImportNote, ImportOptions, Outcome, SourceModel
from clickseg.models.importers.totalsegmentator.tasks import Choice, choose, find_datasets
from clickseg.models.importers.weights.identification import NetworkBuilder

if TYPE_CHECKING:
    import torch

_AXES = "RAS"
"""The axes to which TotalSegmentator turns images before it gives them to nnU-Net."""

_CLASSES = Path(__file__).with_name("classes.json")

_SPACING_TOLERANCE_MM = 0.01


class TotalSegmentatorReader:
    """The reader of the folders of TotalSegmentator's models."""

    format = "TotalSegmentator"
    is_program = False

    def __init__(self, build: NetworkBuilder) -> None:
        """Makes a reader.

        Args:
            build: Builds a network, to prove that the weights fit.
        """
        self._nnunet = NnUNetReader(build)

    def recognizes(self, path: Path) -> bool:
        """Whether a path contains datasets of TotalSegmentator, or is one."""
        return bool(find_datasets(path))

    def files(self, path: Path) -> tuple[Path, ...]:
        """Returns the files of all models."""
        return tuple(file for folder in find_datasets(path).values() for file in self._nnunet.files(folder))

    def read(self, path: Path, options: ImportOptions) -> SourceModel:
        """Reads the models of a task, and unites their classes.

        Raises:
            ModelError: A model is missing, or cannot be expressed as a model package.
            LibraryError: torch is not installed.
        """
        choice = choose(path, options.preset)
        parts = [self._read_part(folder) for folder in choice.folders]
        for folder, part in zip(choice.folders, parts, strict=True):
            _check_part(part.section, parts[0].section, choice, folder.name)
        definitions = [part.network_def for part in parts]
        is_single = len(parts) == 1
        return SourceModel(
            name=_name(choice),
            version="0",
            section=_unite(parts, choice),
            network_def=definitions[0] if is_single else {"_target_": "NetworksSideBySide", "networks": definitions},
            load_state=parts[0].load_state if is_single else lambda: _joined_states(parts),
            notes=_notes(choice, parts),
            used_options=frozenset({PRESET}),
        )

    def _read_part(self, folder: Path) -> SourceModel:
        """Reads one model as TotalSegmentator runs it: with fold 0, at the end of its training."""
        try:
            return self._nnunet.read(folder, ImportOptions(stored_axes=_AXES, unit="HU", changes={"folds": "0"}))
        except ModelError as error:
            raise ModelError(f"{folder.name}: {error}", hint=error.hint) from error


def load_class_names() -> list[str]:
    """Returns the names of the classes of the task ``total``, in the order of their numbers."""
    names: list[str] = json.loads(_CLASSES.read_text())
    return names


def _name(choice: Choice) -> str:
    is_complete = len(choice.folders) == len(choice.task.datasets)
    return f"totalsegmentator_{choice.task.name}" if is_complete else choice.folders[0].resolve().name


def _check_part(section: Mapping[str, Any], first: Mapping[str, Any], choice: Choice, name: str) -> None:
    """Rejects models that cannot be run together."""
    spacing_mm = section["grid"]["spacing_mm"]
    if any(abs(length - choice.task.spacing_mm) > _SPACING_TOLERANCE_MM for length in spacing_mm):
        raise ModelError(f"{name}: spacing: expected {choice.task.spacing_mm} mm along all axes, got {spacing_mm}")
    if section["activation"] != "softmax" or len(section["inputs"]) != 1:
        raise ModelError(f"{name}: expected a model with one input and without regions")
    for field in ("window", "grid"):
        if section[field] != first[field]:
            raise ModelError(f"{name}: {field}: expected {first[field]}, as the first dataset; got {section[field]}")


def _unite(parts: Sequence[SourceModel], choice: Choice) -> dict[str, Any]:
    """Returns the section of a task: each model has a head, and the channel with its own scaling."""
    sections = [part.section for part in parts]
    first = sections[0]
    scalings = [section["inputs"][0]["scaling"] for section in sections]
    image = {key: value for key, value in first["inputs"][0].items() if key != "scale_before_resampling"}
    further = {"further_scalings": scalings[1:]} if len(parts) > 1 else {}
    channels = [section["output_channels"] for section in sections]
    return {
        "inputs": [image | further],
        "grid": {
            "spacing_mm": [choice.task.spacing_mm] * 3,
            "orientation": first["grid"]["orientation"],
            "alignment": "end_voxels",
        },
        "window": first["window"] | {"overlap": choice.task.overlap},
        "crop": first["crop"] | {"grid": "model"},
        "activation": "softmax",
        "output_channels": sum(channels),
        **({"heads": channels} if len(parts) > 1 else {}),
        "classes": _united_classes(sections, channels),
        "interpolation": "labels",
    }


def _united_classes(sections: Sequence[Mapping[str, Any]], channels: Sequence[int]) -> list[dict[str, Any]]:
    """Returns the classes of all models, in the order of TotalSegmentator; classes that it does not know are last."""
    starts = [0, *accumulate(channels)]
    classes = [
        entry | {"channel": start + entry["channel"]}
        for start, section in zip(starts, sections, strict=False)
        for entry in section["classes"]
    ]
    names = [entry["name"] for entry in classes]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ModelError(f"labels: {twice[0]} is a class of two datasets")
    order = {name: number for number, name in enumerate(load_class_names())}
    return sorted(classes, key=lambda entry: order.get(entry["name"], len(order)))


def _joined_states(parts: Sequence[SourceModel]) -> dict[str, torch.Tensor]:
    return {
        f"members.{number}.network.{name}": values
        for number, part in enumerate(parts)
        if part.load_state is not None
        for name, values in part.load_state().items()
    }


def _notes(choice: Choice, parts: Sequence[SourceModel]) -> tuple[ImportNote, ...]:
    """Returns the notes: those of TotalSegmentator's own steps, then those of each model."""
    task, names = choice.task, join_names([folder.name for folder in choice.folders], len(choice.folders))
    own = (
        ("task", Outcome.TRANSLATED, f"{task.name}: {names}; a later one overwrites the labels of others"),
        ("resample", Outcome.TRANSLATED, f"grid: {task.spacing_mm} mm, linear; labels return to the nearest voxel"),
        (
            "patch_size, step_size",
            Outcome.TRANSLATED,
            f"window.roi; evenly spread, with an overlap of {task.overlap} and nnU-Net's Gaussian weights",
        ),
        ("inference_allowed_mirroring_axes", Outcome.IGNORED, "TotalSegmentator runs its models without mirroring"),
        (
            "resample",
            Outcome.DIFFERENT,
            "TotalSegmentator rounds the resampled image to integers; versions before 2.16 resample it by cubic "
            "splines, as --set grid.image_order=3",
        ),
    )
    own_keys = ("grid.orientation", "patch_size", "resampling_fn", "inference_allowed_mirroring_axes")
    different = {note.text: note for part in parts for note in part.notes if note.outcome is Outcome.DIFFERENT}
    return (
        *(ImportNote(key, outcome, text) for key, outcome, text in own),
        *different.values(),
        *(
            ImportNote(f"{folder.name}: {note.key}", note.outcome, note.text)
            for folder, part in zip(choice.folders, parts, strict=True)
            for note in part.notes
            if note.text not in different and not any(key in note.key for key in own_keys)
        ),
    )
