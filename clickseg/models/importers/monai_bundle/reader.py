"""Reads MONAI Bundles, as the MONAI Model Zoo publishes them, without executing anything of them."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clickseg.core.errors import ModelError
from clickseg.core.validation import read_json
from clickseg.models.importers.changes import source_changes
from clickseg.models.importers.licences import read_licence
from clickseg.models.importers.monai_bundle import files as bundle_files
from clickseg.models.importers.monai_bundle import metadata as bundle_metadata
from clickseg.models.importers.monai_bundle import transforms
from clickseg.models.importers.monai_bundle.components import read_component, read_transforms
from clickseg.models.importers.monai_bundle.config import (
    BundleConfig,
    apply_changes,
    check_config,
    load_config,
    top_key,
)
from clickseg.models.importers.monai_bundle.known_programs import replace_known_programs
from clickseg.models.importers.monai_bundle.label_merges import LabelMerge
from clickseg.models.importers.monai_bundle.network_definition import output_channels, translate_network
from clickseg.models.importers.monai_bundle.postprocessing import (
    Postprocessing,
    postprocessing_section,
    translate_postprocessing,
)
from clickseg.models.importers.monai_bundle.transforms import Preprocessing, translate_preprocessing
from clickseg.models.importers.monai_bundle.window import translate_inferer
from clickseg.models.importers.monai_bundle.workflow import CHECKED_KEYS, check_workflow, weights_key
from clickseg.models.importers.sections import input_sections
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

_REASONS: Mapping[str, str] = {
    **dict.fromkeys(("imports", "initialize", "run", "evaluating", "inference"), "no code of the bundle is executed"),
    **dict.fromkeys(("dataset", "dataloader", "evaluator", "handlers"), "ClickSeg has its own workflow"),
    **dict.fromkeys(("datalist", "dataset_dir", "data_list_file_path"), "ClickSeg reads DICOM"),
    **dict.fromkeys(("device", "amp", "network"), "ClickSeg selects the device and the runtime"),
    **dict.fromkeys(("output_dir", "output_ext", "output_dtype", "output_postfix"), "ClickSeg writes DICOM"),
}
"""Why keys of the configuration are ignored."""

_ROOT_KEY = "bundle_root"
_IMAGE_KEY, _DEFAULT_IMAGE_KEY = "image_key", "image"
_OTHER_REASON = "the network, its input and its output do not depend on it"


class BundleReader:
    """The reader of folders with ``configs/metadata.json`` and ``configs/inference.json`` or ``.yaml``."""

    format = "MONAI Bundle"
    is_program = False

    def recognizes(self, path: Path) -> bool:
        """Whether a path is a bundle that is not a model package of ClickSeg."""
        if not bundle_files.metadata_path(path).is_file() or not bundle_files.inference_configs(path):
            return False
        try:
            metadata = read_json(bundle_files.metadata_path(path), ModelError)
        except ModelError:
            return True  # the error is reported when it is read
        return not isinstance(metadata, dict) or "clickseg" not in metadata

    def files(self, path: Path) -> tuple[Path, ...]:
        """Returns metadata, configurations, weights and licences."""
        return bundle_files.all_files(path)

    def read(self, path: Path, options: ImportOptions) -> SourceModel:
        """Reads a bundle.

        Raises:
            ModelError: The bundle cannot be expressed as a model package; the message names the key.
            LibraryError: The configuration is YAML, and PyYAML is not installed.
        """
        config_path, config_note = bundle_files.choose_config(path, options)
        functions = {
            "torch.load": lambda file: load_torch_file(bundle_files.weights_inside(path, file, config_path.name)),
            "torch.from_numpy": lambda array: array,
        }
        content, metadata = _changed(
            load_config(config_path), load_config(bundle_files.metadata_path(path)), options.changes
        )
        content, program_notes = replace_known_programs(content, path)
        config = BundleConfig(content | {_ROOT_KEY: "."}, functions)
        source = _Source(path.resolve().name, config, metadata, needs_network=True)
        model = _describe(source, options)
        weights, weights_note = bundle_files.find_weights(config, path)
        notes = (config_note, *program_notes, *model.notes, weights_note, *_ignored_keys(config))
        used_keys = {bundle_files.CONFIG_KEY, top_key(weights_note.key)}
        state_key = weights_key(config, weights_note.key.removesuffix("#load_path"))
        return replace(
            model,
            load_state=partial(_load_state, weights, state_key),
            notes=notes,
            licence=read_licence(path),
            used_options=model.used_options | _used_changes(config, options, used_keys),
        )


def describe_bundle(
    config: Mapping[str, Any], metadata: Mapping[str, Any], options: ImportOptions, name: str
) -> SourceModel:
    """Returns the description of a bundle whose weights are elsewhere, such as in a TorchScript file.

    Args:
        config: The content of its ``inference.json``.
        metadata: The content of its ``metadata.json``.
        options: What the user states.
        name: The name of the model.

    Returns:
        The model without weights. Its ``network_def`` is None if the network is not one of MONAI's.

    Raises:
        ModelError: The bundle cannot be expressed as a model package; the message names the key.
    """
    content, changed_metadata = _changed(
        copy.deepcopy(check_config(dict(config), "inference.json")),
        copy.deepcopy(check_config(dict(metadata), "metadata.json")),
        options.changes,
    )
    bundle_config = BundleConfig(content, {"torch.from_numpy": lambda array: array})
    model = _describe(_Source(name, bundle_config, changed_metadata, needs_network=False), options)
    return replace(
        model,
        notes=(*model.notes, *_ignored_keys(bundle_config)),
        used_options=model.used_options | _used_changes(bundle_config, options, set()),
    )


@dataclass(frozen=True, slots=True)
class _Source:
    """A bundle whose files have been read.

    Attributes:
        name: Its name.
        config: Its configuration.
        metadata: Its metadata.
        needs_network: Whether a network that cannot be built is an error.
    """

    name: str
    config: BundleConfig
    metadata: Mapping[str, Any]
    needs_network: bool


def _describe(source: _Source, options: ImportOptions) -> SourceModel:
    """Returns the model without weights, licence, and notes about keys that were not used."""
    config = source.config
    image, channels, image_notes = bundle_metadata.read_image(source.metadata, options)
    before = translate_preprocessing(
        read_transforms(config.resolve("preprocessing"), "preprocessing"), _image_key(config), len(channels)
    )
    network, network_notes = _translate_network(source, len(channels))
    window, window_notes = translate_inferer(read_component(config.resolve("inferer"), "inferer"))
    after = translate_postprocessing(
        read_transforms(config.resolve("postprocessing"), "postprocessing"),
        "postprocessing",
        is_resampled=before.spacing_mm is not None,
        references=(before.image, *before.parts[:1]) if before.parts else (),
    )
    check_workflow(config)
    grid, grid_notes = transforms.grid_section(before, options)
    classes, classes_notes = _read_classes(source, network, after)
    section = {
        "inputs": _inputs(image, list(before.parts) or channels, transforms.scaling_fields(before)),
        "grid": grid,
        "window": window,
        "activation": "softmax" if after.decided == "argmax" else "sigmoid",
        **({"overwrite": True} if after.merge else {}),
        "output_channels": _output_channels(source, network),
        "classes": classes,
        **_result_fields(before, after, {entry["channel"]: entry["name"] for entry in classes}),
    }
    notes = (*image_notes, *before.notes, *grid_notes, *network_notes, *window_notes, *after.notes, *classes_notes)
    version = bundle_metadata.read_version(source.metadata)
    used = frozenset({UNIT, *([STORED_AXES] if before.orientation is None else [])})
    return SourceModel(source.name, version, section, network, load_state=None, notes=notes, used_options=used)


def _inputs(image: Mapping[str, Any], names: Sequence[str], scaling: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns the inputs: the only image, or one for each channel, told apart by their descriptions."""
    if len(names) == 1:
        return [{**image, **scaling}]
    return input_sections(names, {**image, **scaling})


def _image_key(config: BundleConfig) -> str:
    """Returns the key of the image that reaches the network: that of MONAI's evaluators, unless the bundle names it."""
    stated = config.resolve(_IMAGE_KEY) if _IMAGE_KEY in config else _DEFAULT_IMAGE_KEY
    if not isinstance(stated, str):
        raise ModelError(f"{_IMAGE_KEY}: expected a text, got {stated!r:.80}")
    return stated


def _translate_network(source: _Source, images: int) -> tuple[dict[str, Any] | None, tuple[ImportNote, ...]]:
    try:
        definition, notes = translate_network(source.config.resolve("network_def"), "network_def")
    except ModelError as error:
        if source.needs_network:
            raise
        return None, (ImportNote("network_def", Outcome.IGNORED, f"the TorchScript program is run: {error}"),)
    count = definition.get("in_channels", 1)
    if count != images:
        raise ModelError(
            f"network_def#in_channels: expected {images}, the number of channels in metadata.json, got {count!r:.80}"
        )
    return definition, notes


def _output_channels(source: _Source, network: Mapping[str, Any] | None) -> int:
    channels = output_channels(dict(network)) if network else None
    channels = channels or bundle_metadata.output_channel_count(source.metadata)
    if channels is None or not 1 <= channels <= 1024:
        raise ModelError(f"network_def#out_channels: expected the number of channels, 1 to 1024, got {channels!r:.80}")
    return channels


def _read_classes(
    source: _Source, network: Mapping[str, Any] | None, after: Postprocessing
) -> tuple[list[dict[str, Any]], tuple[ImportNote, ...]]:
    labels = None
    with suppress(ModelError):  # some bundles have the files of labels under this key
        labels = source.config.resolve("labels")
    activation = "softmax" if after.decided == "argmax" else "sigmoid"
    channels = _output_channels(source, network)
    if activation == "softmax" and channels < 2:
        raise ModelError("postprocessing: argmax of one channel: expected AsDiscreted with threshold")
    classes, notes = bundle_metadata.read_classes(source.metadata, labels, channels, activation)
    return (classes if after.merge is None else _in_order_of_merge(classes, after.merge)), notes


def _in_order_of_merge(classes: Sequence[dict[str, Any]], merge: LabelMerge) -> list[dict[str, Any]]:
    """Returns the classes of a merge, the first of which overwrites all others: in reverse order."""
    by_channel = {entry["channel"]: entry for entry in classes}
    channels = sorted(set(by_channel) - {0}) if merge.channels is None else merge.channels
    unknown = [channel for channel in channels if channel not in by_channel]
    if unknown or not channels:
        raise ModelError(f"postprocessing: expected to merge channels of classes, got channel {unknown[0:1]}")
    return [by_channel[channel] for channel in reversed(channels)]


def _result_fields(before: Preprocessing, after: Postprocessing, names: Mapping[int, str]) -> dict[str, Any]:
    """Returns ``crop``, ``interpolation`` and ``postprocessing``, as far as they differ from the defaults."""
    crop, rules = transforms.crop_section(before), postprocessing_section(after, names)
    is_resampled = before.spacing_mm is not None
    if not is_resampled:  # source and model grid have the same voxels
        rules.pop("grid", None)
    return {
        **({"crop": crop} if crop else {}),
        **({"interpolation": after.interpolation} if is_resampled and after.interpolation != "logits" else {}),
        **({"postprocessing": rules} if rules else {}),
    }


def _changed(
    content: dict[str, Any], metadata: dict[str, Any], changes: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Applies the changes that have keys of the source; those with fields of the section are applied later."""
    own = {key: value for key, value in source_changes(changes).items() if key != bundle_files.CONFIG_KEY}
    in_metadata = {key for key in own if top_key(key) in metadata and top_key(key) not in content}
    apply_changes(metadata, {key: value for key, value in own.items() if key in in_metadata})
    apply_changes(content, {key: value for key, value in own.items() if key not in in_metadata})
    return content, metadata


def _used_changes(config: BundleConfig, options: ImportOptions, others: set[str]) -> frozenset[str]:
    """Returns the keys among the changes on which the translation depends.

    Args:
        config: The configuration, after all keys that are needed were resolved.
        options: The changes.
        others: Keys at the top that were used in another way.
    """
    used = {key for key in config.keys if config.is_used(key) and key not in _REASONS}
    used = (used - {_ROOT_KEY}) | others | (bundle_metadata.USED_KEYS - set(config.keys))
    return frozenset(
        key for key in source_changes(options.changes) if top_key(key) in used or key.replace("::", "#") in CHECKED_KEYS
    )


def _ignored_keys(config: BundleConfig) -> tuple[ImportNote, ...]:
    """Returns a note for each reason why keys are ignored."""
    unused = [key for key in config.keys if key in _REASONS or not config.is_used(key)]
    reasons = {key: _REASONS.get(key, _OTHER_REASON) for key in unused}
    return tuple(
        ImportNote(", ".join(key for key in unused if reasons[key] == reason), Outcome.IGNORED, reason)
        for reason in dict.fromkeys(reasons.values())
    )


def _load_state(path: Path, key: str) -> dict[str, torch.Tensor]:
    """Returns the weights under a key, as MONAI loads them; those of the file if it has no such key."""
    content = load_torch_file(path)
    if key and isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
        return find_state_dict(content[key], f"{path.name}: {key}")
    return find_state_dict(content, path.name)
