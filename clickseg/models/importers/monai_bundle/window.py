"""Translates the inferer of a bundle to the field ``window``."""

from __future__ import annotations

from typing import Any

from clickseg.models.importers.monai_bundle.components import Component, is_number
from clickseg.models.importers.source_model import ImportNote, Outcome

_WINDOW_ARGUMENTS = ("roi_size", "overlap", "mode", "sigma_scale", "padding_mode", "cval", "with_coord")
_MACHINE_ARGUMENTS = (
    *("sw_batch_size", "sw_device", "device", "progress", "cache_roi_weight_map", "cpu_thresh"),
    *("buffer_steps", "buffer_dim"),
)
"""Arguments that do not change the result, but for rounding."""


def translate_inferer(inferer: Component) -> tuple[dict[str, Any], tuple[ImportNote, ...]]:
    """Returns the field ``window``, and what was done with the arguments.

    Raises:
        ModelError: The inferer or one of its arguments cannot be expressed.
    """
    if not inferer.is_of_monai or inferer.name not in ("SlidingWindowInferer", "SlidingWindowInfererAdapt"):
        raise inferer.error("this inferer is not yet supported: expected SlidingWindowInferer with three axes")
    inferer.check_arguments((*_WINDOW_ARGUMENTS, *_MACHINE_ARGUMENTS))
    inferer.expect("with_coord", False)
    inferer.expect("cval", 0)
    inferer.expect("mode", "constant", "gaussian")
    inferer.expect("padding_mode", "constant", "replicate")
    window: dict[str, Any] = {"roi": _roi(inferer)}
    overlap = _same_for_all_axes(inferer, "overlap", 0.25)
    window |= {"overlap": overlap} if overlap != 0.5 else {}
    if inferer.value("mode", "constant") == "gaussian":
        sigma_scale = _same_for_all_axes(inferer, "sigma_scale", 0.125)
        window |= {"sigma_scale": sigma_scale} if sigma_scale != 0.125 else {}
    else:
        window["mode"] = "constant"
    window |= {"padding_mode": "replicate"} if inferer.value("padding_mode", "constant") == "replicate" else {}
    return window, _notes(inferer)


def _notes(inferer: Component) -> tuple[ImportNote, ...]:
    machine = [name for name in _MACHINE_ARGUMENTS if name in inferer.arguments]
    translated = ImportNote(inferer.key, Outcome.TRANSLATED, f"{inferer.name}: window")
    text = "they depend on the machine: ClickSeg chooses them"
    return translated, *[ImportNote(f"{inferer.key}#{name}", Outcome.IGNORED, text) for name in machine]


def _roi(inferer: Component) -> list[int]:
    value = inferer.value("roi_size", None)
    roi = [value] * 3 if is_number(value) else value
    if not isinstance(roi, list) or len(roi) != 3 or not all(is_number(size) and size == int(size) for size in roi):
        raise inferer.error(f"roi_size: expected a number or three numbers of voxels, got {value!r:.80}")
    if min(roi) < 1:
        raise inferer.error(f"roi_size: the size of an image is not supported as size of a window, got {roi}")
    return [int(size) for size in roi]


def _same_for_all_axes(inferer: Component, name: str, default: float) -> float:
    numbers = inferer.three_numbers(name, default)
    if len(set(numbers)) > 1:
        raise inferer.error(f"{name}: expected the same number for all axes, got {list(numbers)}")
    return numbers[0]
