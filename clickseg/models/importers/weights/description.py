"""Describes a model of which only the weights are given: by a preset, or by the JSON file next to the weights.

The JSON file has the name of the weights, ``NAME.json``. It contains fields of the ``clickseg`` section, and also:

- ``preset``: the name of a preset. The fields of the file replace those of the preset; of objects, only their fields.
- ``network_def``: the network, for weights whose shapes do not show it.

``classes`` can also be a list of names, one for each channel.

Without a preset, these fields are needed: ``inputs``, ``grid``, ``window`` and ``activation``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clickseg.core.errors import ModelError
from clickseg.core.validation import read_json
from clickseg.models.importers.sections import check_unit, class_sections, modality_and_unit
from clickseg.models.importers.source_model import (
    PRESET,
    STORED_AXES,
    UNIT,
    ImportNote,
    ImportOptions,
    Outcome,
)
from clickseg.models.importers.weights.identification import network_changes
from clickseg.models.importers.weights.preset_list import Preset, count_input_channels, find_preset, load_presets
from clickseg.models.spec import ModelSpec

_OWN_FIELDS = ("preset", "network_def")
_FIELDS = frozenset(ModelSpec.model_fields) - {"default", "weights"}
_REQUIRED = ("inputs", "grid", "window", "activation")
_DEFAULT_AXES = "RAS"

_MAX_OUTPUT_CHANNELS = 1024
"""As in the section: ``ModelSpec.output_channels``."""


@dataclass(frozen=True, slots=True)
class Channels:
    """The channels of a network, as far as they are known, and its class for messages.

    Attributes:
        network: The class of the network; ``TorchScript`` for a program.
        inputs: The number of input channels; None if unknown.
        outputs: The number of output channels; None if unknown.
    """

    network: str
    inputs: int | None
    outputs: int | None


def description_path(path: Path) -> Path:
    """Returns the JSON file that describes a file of weights."""
    return path.with_suffix(".json")


def described_files(path: Path) -> tuple[Path, ...]:
    """Returns a file of weights, and the JSON file next to it if it exists."""
    description = description_path(path)
    return (path, description) if description.is_file() else (path,)


def read_description(path: Path, options: ImportOptions) -> tuple[Mapping[str, Any], tuple[ImportNote, ...]]:
    """Returns the content of the JSON file next to a file of weights, and notes; empty if it does not exist.

    With a preset, a file without any field of a description is one of another program, and ignored.

    Raises:
        ModelError: The file is not an object or has an unknown field, there is no such preset, or the stated unit is
            not that of its first input.
    """
    content, notes = _read_file(description_path(path), options)
    name = options.preset or content.get("preset")
    preset = find_preset(name) if name else None
    inputs = content.get("inputs", preset.section["inputs"] if preset else None)
    _check_stated_unit(inputs, options, description_path(path).name)
    return content, notes


def _read_file(file: Path, options: ImportOptions) -> tuple[Mapping[str, Any], tuple[ImportNote, ...]]:
    """Returns the content of a JSON file, and notes; empty if it does not exist, or is one of another program."""
    if not file.is_file():
        return {}, ()
    content = read_json(file, ModelError)
    known = _FIELDS | set(_OWN_FIELDS)
    if options.preset and (not isinstance(content, dict) or known.isdisjoint(content)):
        return {}, (ImportNote(file.name, Outcome.IGNORED, "it has no field of a description"),)
    if not isinstance(content, dict):
        raise ModelError(f"{file.name}: expected an object, got {content!r:.40}")
    unknown = sorted(set(content) - known)
    if unknown:
        raise ModelError(f"{file.name}: {unknown[0]}: unknown field: expected one of {', '.join(sorted(known))}")
    if "preset" in content and not isinstance(content["preset"], str):
        raise ModelError(f"{file.name}: preset: expected the name of a preset, got {content['preset']!r:.40}")
    if "network_def" in content and not isinstance(content["network_def"], Mapping):
        got = f"{content['network_def']!r:.40}"
        raise ModelError(f"{file.name}: network_def: expected an object with _target_, got {got}")
    return content, ()


def _check_stated_unit(inputs: object, options: ImportOptions, where: str) -> None:
    """Rejects a unit that the first input does not have before the weights are read; ``--set`` may change the input."""
    first = inputs[0] if isinstance(inputs, list) and inputs else None
    modality = first.get("modality") if isinstance(first, Mapping) else None
    is_changed = any(key.partition(".")[0] == "inputs" for key in options.changes)
    if options.unit is not None and isinstance(modality, str) and not is_changed:
        image = modality_and_unit(modality, options, f"{where}: inputs.0.modality")
        check_unit(image["modality"], options.unit, "--unit")


def describe(
    path: Path, content: Mapping[str, Any], channels: Channels, options: ImportOptions
) -> tuple[dict[str, Any], tuple[ImportNote, ...]]:
    """Returns the ``clickseg`` section of a model whose weights contain no description, and notes.

    Args:
        path: The file of the weights.
        content: The content of the JSON file next to it.
        channels: The channels of the network.
        options: The preset, the unit of the first input, and the axes of the training images.

    Raises:
        ModelError: There is no preset and no JSON file, or they do not fit the network.
    """
    own = {key: value for key, value in content.items() if key not in _OWN_FIELDS}
    name = options.preset or content.get("preset", "")
    where = description_path(path).name
    if name:
        preset = find_preset(name)
        section = _merge(_fields_for(preset, channels), own)
        notes = _preset_notes(preset, own, channels)
    elif all(field in own for field in _REQUIRED):
        section, notes = dict(own), (ImportNote(where, Outcome.TRANSLATED, "all fields are those of this file"),)
    else:
        raise _undescribed(path, own, channels)
    notes += _set_units(section, options, where)
    notes += _set_axes(section, options)
    notes += _set_classes(section, channels)
    _check_channels(section, channels, f"preset {name}" if name else where)
    return section, notes


def used_options(section: Mapping[str, Any], options: ImportOptions) -> frozenset[str]:
    """Returns the options that a section of ``describe`` depends on, and the changes of arguments of the network."""
    grid = section["grid"]
    has_stated_axes = isinstance(grid, Mapping) and grid.get("orientation") == options.stored_axes
    arguments = (f"network_def.{name}" for name in network_changes(options))
    return frozenset({PRESET, UNIT, *([STORED_AXES] if has_stated_axes else []), *arguments})


def _fields_for(preset: Preset, channels: Channels) -> dict[str, Any]:
    """Returns the fields of a preset, without the classes if those of the network are others."""
    are_others = preset.any_output_channels and channels.outputs not in (None, preset.output_channels)
    omitted = ("classes", "output_channels") if are_others else ()
    return {field: value for field, value in preset.section.items() if field not in omitted}


def _preset_notes(preset: Preset, own: Mapping[str, Any], channels: Channels) -> tuple[ImportNote, ...]:
    text = f"{preset.name} describes a model with {preset.network}, but the file contains {channels.network}"
    is_other = preset.network not in ("", channels.network) and channels.inputs is not None
    assumed = ((field, text) for field, text in preset.assumed.items() if field not in own)
    return (
        ImportNote("preset", Outcome.TRANSLATED, f"{preset.name}: {preset.description}"),
        *([ImportNote("preset", Outcome.ASSUMED, text)] if is_other else []),
        *(ImportNote(field, Outcome.ASSUMED, text) for field, text in assumed),
    )


def _undescribed(path: Path, own: Mapping[str, Any], channels: Channels) -> ModelError:
    """Returns the error for weights of which neither a preset nor a file describes the rest."""
    if own:
        missing = ", ".join(field for field in _REQUIRED if field not in own)
        return ModelError(f"{description_path(path).name}: expected preset, or also {missing}")
    presets = [preset for preset in load_presets() if preset.fits(channels.inputs, channels.outputs)]
    names = ", ".join(preset.name for preset in presets if preset.network in ("", channels.network)) or "none"
    counts = f"{_count(channels.inputs, 'input')} and {_count(channels.outputs, 'output')} channels"
    file = description_path(path).name
    return ModelError(
        f"{path.name}: contains only the weights of {channels.network} with {counts}: expected also how it is used",
        hint=f"use --preset NAME (presets with these channels: {names}), or write {file}, for example "
        '{"inputs": [{"name": "image", "modality": "CT", "unit": "HU", "scaling": {"kind": "range", '
        '"a_min": -175, "a_max": 250}}], "grid": {"spacing_mm": [1.5, 1.5, 2.0], "orientation": "RAS"}, '
        '"window": {"roi": [96, 96, 96]}, '
        '"activation": "softmax"}',
    )


def _set_units(section: dict[str, Any], options: ImportOptions, where: str) -> tuple[ImportNote, ...]:
    """Sets the unit of each input that states none."""
    inputs = section["inputs"]
    if not isinstance(inputs, list) or not inputs or not all(isinstance(each, Mapping) for each in inputs):
        raise ModelError(f"{where}: inputs: expected a list of objects, got {inputs!r:.60}")
    changed, notes = [], []
    for number, each in enumerate(inputs):
        own_options = options if number == 0 else ImportOptions()
        unit = _unit(each, own_options, f"{where}: inputs.{number}.modality")
        changed.append({**each, **unit})
        if unit and own_options.unit is None and unit["unit"]:
            notes.append(
                ImportNote(f"inputs.{number}.unit", Outcome.ASSUMED, f"{unit['unit']}, as {where} states none")
            )
    section["inputs"] = changed
    return tuple(notes)


def _set_axes(section: dict[str, Any], options: ImportOptions) -> tuple[ImportNote, ...]:
    """Sets the axes of a grid that states none, or that has those of the series."""
    grid = section["grid"]
    if not isinstance(grid, Mapping):  # an error of the section, which is checked later
        return ()
    if "orientation" not in grid:
        section["grid"] = {**grid, "orientation": _DEFAULT_AXES}
        text = f"{_DEFAULT_AXES}: other axes of the training images are stated as orientation of the grid"
        return (ImportNote("grid.orientation", Outcome.ASSUMED, text),)
    if grid["orientation"] != "source":
        return ()
    if options.stored_axes:
        section["grid"] = {**grid, "orientation": options.stored_axes}
        return ()
    text = (
        "images are not turned: the training images were stored as DICOM series are; if they were stored with other "
        "axes, state them with --stored-axes, such as LPS"
    )
    return (ImportNote("grid.orientation", Outcome.ASSUMED, text),)


def _unit(image: Mapping[str, Any], options: ImportOptions, where: str) -> dict[str, str]:
    if "unit" in image and options.unit is None:
        return {}
    return modality_and_unit(str(image.get("modality", "")), options, where)


def _set_classes(section: dict[str, Any], channels: Channels) -> tuple[ImportNote, ...]:
    """Sets the number of output channels and the classes, where they are not stated."""
    outputs = section.setdefault("output_channels", channels.outputs)
    if type(outputs) is not int or not 1 <= outputs <= _MAX_OUTPUT_CHANNELS:
        raise ModelError(f"output_channels: expected a number from 1 to {_MAX_OUTPUT_CHANNELS}, got {outputs!r}")
    first = 0 if section["activation"] == "sigmoid" else 1
    classes = section.get("classes")
    if isinstance(classes, list) and classes and all(isinstance(each, str) for each in classes):
        if len(classes) != outputs - first:
            after = "" if first == 0 else " after the background"
            raise ModelError(
                f"classes: expected a name for each of the {outputs - first} channels{after}, got {len(classes)}",
                hint='for some channels only, write objects: {"name": "liver", "channel": 1}',
            )
        section["classes"] = class_sections(classes, first_channel=first)
    if "classes" in section:
        return ()
    section["classes"] = class_sections([""] * (outputs - first), first_channel=first)
    text = "the source does not name its classes: they are numbered by channel"
    return (ImportNote("classes", Outcome.ASSUMED, text),)


def _check_channels(section: Mapping[str, Any], channels: Channels, where: str) -> None:
    counts = (
        ("input", channels.inputs, count_input_channels(section)),
        ("output", channels.outputs, section["output_channels"]),
    )
    for kind, expected, got in counts:
        if expected is not None and expected != got:
            raise ModelError(
                f"{where}: expected {_count(expected, kind)} channels, as {channels.network} in the file has, got {got}"
            )


def _merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Returns fields, replaced by those of another object; objects in both are merged in the same way."""
    merged = dict(base)
    for key, value in changes.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def _count(number: int | None, kind: str) -> str:
    return f"an unknown number of {kind}" if number is None else f"{number} {kind}"
