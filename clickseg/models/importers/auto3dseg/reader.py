"""Reads models of the extension MONAIAuto3DSeg of 3D Slicer: ``model.pt`` and ``labels.csv``, often in a zip file.

The steps before and after the network are those of the extension's script; the configuration in ``model.pt`` sets only
their numbers.
"""

from __future__ import annotations

import copy
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clickseg.core.errors import ModelError
from clickseg.core.text import first_line, join_names
from clickseg.models.importers import archive_members
from clickseg.models.importers.auto3dseg import labels_csv
from clickseg.models.importers.auto3dseg.inputs import image_count, inputs_notes, is_brats, read_inputs, uses_bounds
from clickseg.models.importers.changes import source_changes
from clickseg.models.importers.monai_bundle.components import Component
from clickseg.models.importers.monai_bundle.config import BundleConfig, apply_changes, check_config
from clickseg.models.importers.monai_bundle.network_definition import output_channels, translate_network
from clickseg.models.importers.sections import axes_notes, unit_notes
from clickseg.models.importers.source_model import (
    STORED_AXES,
    UNIT,
    ImportNote,
    ImportOptions,
    Outcome,
    SourceModel,
)
from clickseg.models.importers.torch_files import find_state_dict, load_torch_file

if TYPE_CHECKING:
    import torch

MODEL, LABELS = "model.pt", "labels.csv"
"""The two files of a model."""

_OVERLAP = 0.625
_MARGIN_VOX = 10
_SPACING_TOLERANCE = [0.75, 1.25]
_BRATS_LABELS = (2, 1, 3)
"""The label of each channel of models of BraTS, in the order in which they overwrite each other."""

_MODES_OF_VOLUME = ("meanstd", "mri", "meanstdtanh", "pet")
"""The modes that depend on all values of the image, which the script normalizes before it crops it."""

_CROP_IS_TURNED = (
    "crop: the box of voxels above 0. The script of the extension finds it with the stored axes, but applies it to "
    "turned ones, where it may cut off foreground; ClickSeg turns the box"
)
_VERSION = re.compile(r"^(.+)-v(\d+(?:\.\d+)*)$")
_TRANSLATED: Mapping[str, str] = {
    "network": "network_def",
    "modality": "inputs.modality",
    "normalize_mode": "inputs.scaling",
    "intensity_bounds": "inputs.scaling",
    "roi_size": "window.roi; overlap 0.625 and Gaussian weights, as in the script of the extension",
    "resample_resolution": "grid.spacing_mm; an axis within 0.75 to 1.25 times keeps its spacing",
    "orientation_ras": "grid.orientation",
    "crop_foreground": "crop: the box of voxels above 0",
    "sigmoid": "activation",
    "extra_modalities": "inputs: none besides the first",
}


class Auto3DSegReader:
    """The reader of zip files and folders with ``model.pt`` and ``labels.csv``."""

    format = "MONAIAuto3DSeg"
    is_program = False

    def recognizes(self, path: Path) -> bool:
        """Whether a path is a folder with both files, or a zip file with both in the same folder."""
        if path.is_dir():
            return (path / MODEL).is_file() and (path / LABELS).is_file()
        return path.suffix.lower() == ".zip" and archive_members.find_folder(path, (MODEL, LABELS)) is not None

    def files(self, path: Path) -> tuple[Path, ...]:
        """Returns the zip file, or both files of a folder."""
        return (path / MODEL, path / LABELS) if path.is_dir() else (path,)

    def read(self, path: Path, options: ImportOptions) -> SourceModel:
        """Reads a model.

        Raises:
            ModelError: The model cannot be expressed as a model package; the message names the key.
            LibraryError: torch is not installed.
        """
        content, table = _read_files(path)
        if not isinstance(content, Mapping) or not isinstance(content.get("config"), dict):
            raise ModelError(f"{path.name}: {MODEL}: expected a checkpoint with config and state_dict")
        state = find_state_dict(content.get("state_dict"), f"{path.name}: {MODEL}: state_dict")
        match = _VERSION.match(path.stem if path.is_file() else path.name)
        name, version = match.groups() if match else (path.stem if path.is_file() else path.name, "0")
        return _describe(_Source(name, version, check_config(content["config"], "config"), table, state), options)


@dataclass(frozen=True, slots=True)
class _Source:
    """A model whose files have been read."""

    name: str
    version: str
    config: Mapping[str, Any]
    table: bytes
    state: dict[str, torch.Tensor]


def _read_files(path: Path) -> tuple[Any, bytes]:
    """Returns the content of ``model.pt`` and ``labels.csv``."""
    if path.is_dir():
        return load_torch_file(path / MODEL), _read_table(path / LABELS)
    folder = archive_members.find_folder(path, (MODEL, LABELS))
    if folder is None:
        raise ModelError(f"{path.name}: expected {MODEL} and {LABELS} in the same folder")
    table = archive_members.read_member(path, folder + LABELS, labels_csv.MAX_BYTES)
    with tempfile.TemporaryDirectory(prefix="clickseg-import-") as temporary:
        model = Path(temporary) / MODEL
        archive_members.extract_member(path, folder + MODEL, model)
        return load_torch_file(model), table


def _read_table(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            table = file.read(labels_csv.MAX_BYTES + 1)
    except OSError as error:
        raise ModelError(f"{path.name}: cannot be read: {first_line(error)}") from error
    if len(table) > labels_csv.MAX_BYTES:
        raise ModelError(f"{path.name}: expected at most {labels_csv.MAX_BYTES} bytes")
    return table


def _describe(source: _Source, options: ImportOptions) -> SourceModel:
    config = Component("config", "", BundleConfig(_changed(source.config, options), {}).resolve("config"))
    network, _ = translate_network(config.value("network", None), "config#network")
    channels = output_channels(network)
    fewest = 1 if config.flag("sigmoid", default=False) else 2
    if channels is None or not fewest <= channels <= 1024:
        raise ModelError(f"config#network#out_channels: expected {fewest} to 1024, got {channels!r:.80}")
    images = image_count(config, network, source.name)
    labels = _read_classes(source, config, channels)
    section = {
        "inputs": read_inputs(config, images, source.name, options),
        "grid": _grid(config, options),
        "window": {"roi": _roi(config), "overlap": _OVERLAP},
        **_activation(config, channels),
        "output_channels": channels,
        "classes": labels.classes,
        **_crop(config, images, source.name),
        "interpolation": "labels",
        **_postprocessing(source.name),
    }
    state = source.state
    return SourceModel(
        source.name,
        source.version,
        section,
        network,
        lambda: state,
        notes=(
            *unit_notes(section["inputs"][0], options),
            *inputs_notes(source.name, images),
            *_notes(_Described(config, source.name, images), options, labels),
        ),
        used_options=_used_options(config, source.name, options),
    )


def _changed(config: Mapping[str, Any], options: ImportOptions) -> dict[str, Any]:
    """Returns the configuration under the key ``config``, with the changes of its keys, such as ``config#roi_size``."""
    content: dict[str, Any] = {"config": copy.deepcopy(dict(config))}
    changes = source_changes(options.changes)
    apply_changes(content, {key: value for key, value in changes.items() if _config_key(key)})
    return content


def _used_options(config: Component, name: str, options: ImportOptions) -> frozenset[str]:
    used = {UNIT, *(key for key in options.changes if _config_key(key) in _used_keys(config, name))}
    return frozenset(used if config.flag("orientation_ras", default=False) else used | {STORED_AXES})


def _used_keys(config: Component, name: str) -> set[str]:
    """Returns the keys of the configuration that the script uses; bounds only in the modes that have them."""
    omitted = set() if uses_bounds(config, name) else {"intensity_bounds"}
    return {*_TRANSLATED} - omitted - ({"extra_modalities"} if is_brats(name) else set())


def _config_key(key: str) -> str:
    """Returns the key in the configuration of a key such as ``config#roi_size``; empty for other keys."""
    first, _, rest = key.replace("::", "#").partition("#")
    return rest.partition("#")[0] if first == "config" else ""


def _read_classes(source: _Source, config: Component, channels: int) -> labels_csv.Labels:
    """Returns the classes: of a label map, or of the masks that the script merges.

    Of BraTS, channel 0 is label 2 (the whole tumour), which label 1 of channel 1 overwrites, and this label 3 of
    channel 2. Of other masks, the script uses channel 0.
    """
    if not config.flag("sigmoid", default=False):
        if is_brats(source.name):
            raise ModelError("config#sigmoid: expected true: the script of the extension merges masks of BraTS")
        return labels_csv.read_labels(source.table, channels, LABELS)
    label_of_channel = _BRATS_LABELS if is_brats(source.name) else (1,)
    if channels != len(label_of_channel):
        raise ModelError(
            f"config#sigmoid: expected {len(label_of_channel)} output channels, got {channels}: of masks, the script "
            "of the extension uses three if the name of the model contains brats, else one"
        )
    labels = labels_csv.read_labels(source.table, channels + 1, LABELS)
    by_label = {entry["channel"]: entry for entry in labels.classes}
    classes = [by_label[label] | {"channel": channel} for channel, label in enumerate(label_of_channel)]
    return replace(labels, classes=classes)


def _activation(config: Component, channels: int) -> dict[str, Any]:
    if not config.flag("sigmoid", default=False):
        return {"activation": "softmax"}
    return {"activation": "sigmoid", **({"overwrite": True} if channels > 1 else {})}


def _grid(config: Component, options: ImportOptions) -> dict[str, Any]:
    is_turned = config.flag("orientation_ras", default=False)
    orientation = "RAS" if is_turned else options.stored_axes or "source"
    if config.value("resample_resolution", None) is None:
        return {"spacing_mm": ["source"] * 3, "orientation": orientation}
    spacing = list(config.three_numbers("resample_resolution"))
    return {"spacing_mm": spacing, "spacing_tolerance": _SPACING_TOLERANCE, "orientation": orientation}


def _roi(config: Component) -> list[int]:
    roi = config.three_numbers("roi_size")
    if any(size != int(size) or size < 1 for size in roi):
        raise ModelError(f"config#roi_size: expected three numbers of voxels, got {list(roi)}")
    return [int(size) for size in roi]


def _crop(config: Component, images: int, name: str) -> dict[str, Any]:
    """Returns the field ``crop``: of one image before its normalization, of several after that of the first.

    Of BraTS, the images are turned and cropped before anything else, to the foreground of all of them.
    """
    if not config.flag("crop_foreground", default=True):
        return {}
    crop = {"voxels": "positive", "values": "source", "grid": "source", "margin_vox": _MARGIN_VOX}
    if is_brats(name):
        return {"crop": crop | ({"inputs": "any"} if images > 1 else {})}
    if images > 1:
        return {"crop": crop | {"values": "scaled"}}
    if config.value("normalize_mode", None) in _MODES_OF_VOLUME:
        crop["statistics"] = "volume"
    return {"crop": crop}


def _postprocessing(name: str) -> dict[str, Any]:
    """Returns the field ``postprocessing``: the script keeps two components of models with this name."""
    if "whole-head" not in name:
        return {}
    return {"postprocessing": {"keep": "largest", "keep_count": 2, "connectivity": "full"}}


@dataclass(frozen=True, slots=True)
class _Described:
    """A configuration, with the name of its model and the number of its images."""

    config: Component
    name: str
    images: int

    @property
    def is_crop_turned(self) -> bool:
        """Whether the script turns the image after it found its foreground."""
        is_turned = self.config.flag("orientation_ras", default=False)
        return is_turned and bool(_crop(self.config, self.images, self.name)) and not is_brats(self.name)


def _notes(source: _Described, options: ImportOptions, labels: labels_csv.Labels) -> tuple[ImportNote, ...]:
    config, used = source.config, _used_keys(source.config, source.name)
    translated = [key for key in _TRANSLATED if key in config.arguments and key in used]
    ignored = [key for key in config.arguments if key not in used]
    notes = [ImportNote(f"config#{key}", *_outcome(key, source)) for key in translated]
    notes.append(ImportNote(LABELS, Outcome.TRANSLATED, "classes with their DICOM codes"))
    if ignored:
        notes.append(ImportNote(", ".join(ignored), Outcome.IGNORED, "the script of the extension does not use them"))
    if labels.ignored:
        text = "a class has no such code"
        notes.append(ImportNote(f"{LABELS}: {join_names(labels.ignored, 12)}", Outcome.IGNORED, text))
    if labels.unnamed:
        numbers = ", ".join(str(channel) for channel in labels.unnamed)
        notes.append(ImportNote("classes", Outcome.ASSUMED, f"{LABELS} has no row for the labels {numbers}"))
    if "crop_foreground" not in config.arguments:
        notes.append(ImportNote("crop", Outcome.ASSUMED, "the default of the script of the extension"))
        if source.is_crop_turned:
            notes.append(ImportNote("crop", Outcome.DIFFERENT, _CROP_IS_TURNED))
    if not config.flag("orientation_ras", default=False):
        notes += axes_notes("the script", options)
    return tuple(notes)


def _outcome(key: str, source: _Described) -> tuple[Outcome, str]:
    if key == "crop_foreground" and source.is_crop_turned:
        return Outcome.DIFFERENT, _CROP_IS_TURNED
    if key == "extra_modalities" and source.images > 1:
        return Outcome.TRANSLATED, "inputs.scaling of the images after the first"
    return Outcome.TRANSLATED, _TRANSLATED[key]
