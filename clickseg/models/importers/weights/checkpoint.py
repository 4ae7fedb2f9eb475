"""Reads checkpoints: files of ``torch.save`` that contain the weights of a network, and little else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clickseg.models.importers.archives import TORCH_SAVE, archive_kind
from clickseg.models.importers.source_model import ImportNote, ImportOptions, Outcome, SourceModel
from clickseg.models.importers.torch_files import find_state_dict, load_torch_file
from clickseg.models.importers.weights.description import (
    Channels,
    describe,
    described_files,
    read_description,
    used_options,
)
from clickseg.models.importers.weights.identification import MAX_NOTES, NetworkBuilder, check_changes, identify

_SUFFIXES = (".pt", ".pth", ".ckpt")


class CheckpointReader:
    """The reader of checkpoints.

    The network is found by the shapes of its weights. A preset, or a JSON file next to the checkpoint, describes the
    rest.
    """

    format = "checkpoint"
    is_program = False

    def __init__(self, build: NetworkBuilder) -> None:
        """Makes a reader.

        Args:
            build: Builds a network, to prove that all weights fit.
        """
        self._build = build

    def recognizes(self, path: Path) -> bool:
        """Whether a path is a file of ``torch.save``."""
        return path.suffix.lower() in _SUFFIXES and archive_kind(path) == TORCH_SAVE

    def files(self, path: Path) -> tuple[Path, ...]:
        """Returns the checkpoint, and the JSON file next to it if it exists."""
        return described_files(path)

    def read(self, path: Path, options: ImportOptions) -> SourceModel:
        """Reads a model.

        Raises:
            ModelError: The network is not known, its weights do not fit, or nothing describes the rest.
            LibraryError: torch is not installed.
        """
        check_changes(options)
        description, file_notes = read_description(path, options)
        content = load_torch_file(path)
        state = find_state_dict(content, path.name)
        found = identify(state, description.get("network_def"), options, self._build, path.name)
        channels = Channels(found.network, found.input_channels, found.output_channels)
        section, notes = describe(path, description, channels, options)
        return SourceModel(
            name=path.stem,
            version="0",
            section=section,
            network_def=found.network_def,
            load_state=lambda: found.state,
            notes=(*_ignored_keys(content, state), *found.notes, *file_notes, *notes),
            used_options=used_options(section, options),
        )


def _ignored_keys(content: Any, state: Mapping[str, Any]) -> tuple[ImportNote, ...]:
    """Returns a note for each part of a checkpoint that is not the state dict."""
    if not isinstance(content, Mapping) or set(content) == set(state):
        return ()
    others = [key for key, value in content.items() if not _is_state(value, state)]
    return tuple(_ignored_key(str(key)[:64], content[key], state) for key in others[:MAX_NOTES])


def _is_state(value: Any, state: Mapping[str, Any]) -> bool:
    """Whether a part of a checkpoint is the state dict, and not another one with the same names."""
    return (
        isinstance(value, Mapping)
        and set(value) == set(state)
        and all(value[name] is weights for name, weights in state.items())
    )


def _ignored_key(key: str, value: Any, state: Mapping[str, Any]) -> ImportNote:
    """Returns the note about a part; of other weights of the same network, such as their mean, the user must know."""
    if isinstance(value, Mapping) and _shapes(value) == _shapes(state):
        text = (
            "the file also contains these weights of the same network; used are the others. To use these, save them "
            "alone, as a file of their own"
        )
        return ImportNote(key, Outcome.ASSUMED, text)
    return ImportNote(key, Outcome.IGNORED, "not a weight of the network: the state of the training")


def _shapes(state: Mapping[Any, Any]) -> list[Any]:
    return sorted(str(tuple(getattr(values, "shape", ()))) for values in state.values())
