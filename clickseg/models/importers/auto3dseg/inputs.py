"""The images of an Auto3DSeg model: how many, their names, and how their values are scaled."""

from __future__ import annotations

from typing import Any

from clickseg.core.errors import ModelError
from clickseg.models.importers.monai_bundle.components import Component
from clickseg.models.importers.monai_bundle.transforms import NO_SCALING
from clickseg.models.importers.sections import input_sections, modality_and_unit
from clickseg.models.importers.source_model import ImportNote, ImportOptions, Outcome

MODES_WITH_BOUNDS = ("range", "ct")
_MODE_OF_ALL_IMAGES = "pet"
_MAX_IMAGES = 8

_KNOWN_NAMES = {"brats": ("T2F", "T1C", "T1N", "T2W"), "prostate": ("T2", "ADC")}
"""The images of models of the extension with several images, by the beginning of their names: its list of models."""

_NAMES_ARE_KNOWN = "inputs: their names and order are those of the list of models of the extension"
_NAMES_ARE_UNKNOWN = "the source does not state what the images show: name their series with --input"
_ARE_RESAMPLED = (
    "inputs: images on another grid are resampled by their position; the script of the extension gives them the number "
    "of voxels of the first image, wherever they are"
)


def is_brats(name: str) -> bool:
    """Whether the script of the extension treats a model as one of BraTS: by its name."""
    return "brats" in name


def image_count(config: Component, network: dict[str, Any], name: str) -> int:
    """Returns the number of images.

    Raises:
        ModelError: The network has another number of channels than there are images.
    """
    count = network.get("in_channels", 1)
    if not isinstance(count, int) or not 1 <= count <= _MAX_IMAGES:
        raise ModelError(f"config#network#in_channels: expected 1 to {_MAX_IMAGES}, got {count!r:.80}")
    others = len(_other_modes(config))
    if not is_brats(name) and count != others + 1:
        raise ModelError(
            f"config#extra_modalities: expected {count - 1}, as the network has {count} channels, got {others}"
        )
    return count


def read_inputs(config: Component, count: int, name: str, options: ImportOptions) -> list[dict[str, Any]]:
    """Returns the ``inputs`` of the section.

    Args:
        config: The configuration.
        count: The number of images.
        name: The name of the model.
        options: With the unit, if the user states it.

    Raises:
        ModelError: The modality or a mode of normalization is not known, or cannot be expressed.
    """
    modality, first = _modality(config, options), config.value("normalize_mode", None)
    if count == 1:
        return [{"name": "image", **modality, **_scaling(config, first, name)}]
    if is_brats(name) and first == _MODE_OF_ALL_IMAGES:
        raise ModelError("config#normalize_mode: pet of several images together is not supported")
    modes = [first] * count if is_brats(name) else [first, *_other_modes(config).values()]
    names = _known_names(name, count) or ["image", *_other_modes(config), *[""] * count][:count]
    sections = input_sections(names, modality)
    return [section | _scaling(config, mode, name) for section, mode in zip(sections, modes, strict=True)]


def inputs_notes(name: str, count: int) -> tuple[ImportNote, ...]:
    """Returns what is assumed about the images of a model with several, and what differs from the script."""
    if count == 1:
        return ()
    text = _NAMES_ARE_KNOWN if _known_names(name, count) else _NAMES_ARE_UNKNOWN
    assumed = ImportNote("inputs", Outcome.ASSUMED, text)
    return (assumed,) if is_brats(name) else (assumed, ImportNote("inputs", Outcome.DIFFERENT, _ARE_RESAMPLED))


def uses_bounds(config: Component, name: str) -> bool:
    """Whether the normalization of an image has bounds."""
    others = () if is_brats(name) else _other_modes(config).values()
    return any(mode in MODES_WITH_BOUNDS for mode in (config.value("normalize_mode", None), *others))


def _known_names(name: str, count: int) -> list[str]:
    names = next((names for start, names in _KNOWN_NAMES.items() if name.startswith(start)), ())
    return list(names) if len(names) == count else []


def _other_modes(config: Component) -> dict[str, Any]:
    """Returns the mode of normalization of each image after the first, by its key."""
    modes = config.value("extra_modalities", None) or {}
    if not isinstance(modes, dict) or len(modes) >= _MAX_IMAGES:
        raise ModelError(f"config#extra_modalities: expected modes of at most {_MAX_IMAGES - 1} images")
    return {str(key): mode for key, mode in modes.items()}


def _modality(config: Component, options: ImportOptions) -> dict[str, str]:
    modality = config.value("modality", None)
    if not isinstance(modality, str):
        raise ModelError(f"config#modality: expected ct, mri or pet, got {modality!r:.80}")
    return modality_and_unit(modality, options, "config#modality")


def _scaling(config: Component, mode: Any, name: str) -> dict[str, Any]:
    """Returns the scaling of a mode.

    The script applies it to the complete image before it resamples it; for BraTS after it cropped and resampled it.
    """
    match mode:
        case "range" | "ct":
            steps = [_bounds_step(config), {"kind": "sigmoid"}]
        case "meanstd" | "mri":
            steps = [{"kind": "zscore", "nonzero": True}]
        case "meanstdtanh":
            steps = [{"kind": "zscore", "nonzero": True}, {"kind": "tanh", "factor": 3}]
        case "pet":
            steps = [{"kind": "zscore", "centre": "minimum"}, {"kind": "sigmoid"}]
        case "none":
            steps = [NO_SCALING]
        case _:
            raise ModelError(
                f"config#normalize_mode: expected range, ct, meanstd, mri, meanstdtanh, pet or none, got {mode!r:.80}"
            )
    before = {} if is_brats(name) else {"scale_before_resampling": True}
    return {"scaling": steps[0] if len(steps) == 1 else steps, **before}


def _bounds_step(config: Component) -> dict[str, Any]:
    bounds = config.value("intensity_bounds", None)
    if not isinstance(bounds, list) or len(bounds) != 2:
        raise ModelError(f"config#intensity_bounds: expected two numbers, got {bounds!r:.80}")
    low, high = (Component("config", "intensity_bounds", {"bound": bound}).number("bound") for bound in bounds)
    if not low < high:
        raise ModelError(f"config#intensity_bounds: expected a smaller and a larger number, got {bounds}")
    return {"kind": "range", "a_min": low, "a_max": high, "b_min": -1, "clip": False}
