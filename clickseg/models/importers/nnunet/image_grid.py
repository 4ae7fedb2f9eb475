"""Translates how nnU-Net reads and resamples images to the fields ``grid`` and ``window``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clickseg.core.errors import ModelError
from clickseg.core.text import join_names
from clickseg.models.importers.nnunet.plans import PLANS, Plans
from clickseg.models.importers.source_model import ImportNote, ImportOptions, Outcome

_READERS_AS_STORED = ("SimpleITKIO", "NibabelIO")
_READER_TURNING = "NibabelIOWithReorient"
_TURNED_AXES = "RAS"
DEFAULT_AXES = "LPS"
"""The axes of axial DICOM series, as SimpleITK stores them."""

_OVERLAP = 0.5
_ANISOTROPY = 3.0
"""The ratio of spacings from which nnU-Net resamples slices separately."""

_RESIZE, _RESIZE_BY_TORCH = "resample_data_or_seg_to_shape", "resample_torch_fornnunet"
_FIXED_ARGUMENTS: Mapping[str, Mapping[str, Any]] = {
    _RESIZE: {"is_seg": False, "order_z": 0},
    _RESIZE_BY_TORCH: {"is_seg": False, "mode": "linear", "aniso_axis_mode": "nearest-exact"},
}
"""The resampling functions that are supported, and the only values of some arguments."""

_MACHINE_ARGUMENTS = ("memefficient_seg_resampling", "num_threads", "device")
_SEPARATE_ARGUMENTS = ("force_separate_z", "separate_z_anisotropy_threshold")


def turns_images(plans: Plans) -> bool:
    """Whether images are turned to fixed axes when they are read.

    Raises:
        ModelError: The class that reads images is not supported.
    """
    name = plans.image_reader_writer
    if name not in (*_READERS_AS_STORED, _READER_TURNING):
        expected = join_names([*_READERS_AS_STORED, _READER_TURNING])
        raise ModelError(f"{PLANS}: image_reader_writer: {name!r:.80} is not supported: expected {expected}")
    return name == _READER_TURNING


def grid_section(plans: Plans, options: ImportOptions) -> dict[str, Any]:
    """Returns the field ``grid``.

    nnU-Net's arrays have the axes in the opposite order of those of images: slices, rows, columns.

    Raises:
        ModelError: The images are read, or resampled, in a way that is not supported.
    """
    stored = _TURNED_AXES if turns_images(plans) else options.stored_axes or DEFAULT_AXES
    axes = stored[::-1]
    order, ratio = _resampling(plans, "resampling_fn_data")
    logits_order, logits_ratio = _resampling(plans, "resampling_fn_probabilities")
    if logits_order != 1 or logits_ratio != ratio:
        raise ModelError(
            f"{plans.where}: resampling_fn_probabilities_kwargs: expected order 1, and the other arguments of "
            f"resampling_fn_data_kwargs; got {plans.configuration.resampling_fn_probabilities_kwargs}"
        )
    return {
        "spacing_mm": list(plans.configuration.spacing),
        "orientation": "".join(axes[axis] for axis in plans.transpose_forward),
        "alignment": "edges",
        **({"image_order": order} if order != 1 else {}),
        **({"separate_axis_above": ratio} if ratio is not None else {}),
    }


def window_section(plans: Plans) -> dict[str, Any]:
    """Returns the field ``window``."""
    return {"roi": list(plans.configuration.patch_size), "overlap": _OVERLAP, "placement": "even", "mode": "nnunet"}


def grid_notes(plans: Plans, options: ImportOptions) -> tuple[ImportNote, ...]:
    """Returns what was done with the keys about images, and what was assumed about their axes."""
    translated = {
        "spacing": "grid.spacing_mm",
        "resampling_fn_data, resampling_fn_data_kwargs": "grid.alignment, image_order, separate_axis_above",
        "resampling_fn_probabilities, resampling_fn_probabilities_kwargs": "grid: logits are resampled linearly",
        "patch_size": "window.roi; evenly spread, with half a window of overlap and nnU-Net's Gaussian weights",
    }
    notes = [ImportNote(f"{plans.where}#{key}", Outcome.TRANSLATED, text) for key, text in translated.items()]
    text = "grid.orientation: slices, rows, columns, in the order of transpose_forward"
    notes.append(ImportNote(f"{PLANS}: image_reader_writer, transpose_forward", Outcome.TRANSLATED, text))
    if not turns_images(plans) and not options.stored_axes:
        text = (
            f"{plans.image_reader_writer} does not turn images, and the model does not state how the training images "
            f"were stored: assumed {DEFAULT_AXES}, as axial DICOM series; NIfTI files are often RAS or LAS: state "
            "their axes with --stored-axes"
        )
        notes.append(ImportNote("grid.orientation", Outcome.ASSUMED, text))
    return tuple(notes)


def _resampling(plans: Plans, key: str) -> tuple[int, float | None]:
    """Returns the order of a resampling, and the ratio of spacings from which an axis is resampled separately."""
    name: str = getattr(plans.configuration, key)
    arguments: Mapping[str, Any] = getattr(plans.configuration, f"{key}_kwargs")
    where = f"{plans.where}: {key}"
    if name not in _FIXED_ARGUMENTS:
        raise ModelError(f"{where}: {name!r:.80} is not supported: expected {' or '.join(_FIXED_ARGUMENTS)}")
    fixed = _FIXED_ARGUMENTS[name]
    known = (*fixed, *_SEPARATE_ARGUMENTS, *(("order",) if name == _RESIZE else _MACHINE_ARGUMENTS))
    for argument, value in arguments.items():
        if argument not in known:
            raise ModelError(f"{where}_kwargs: the argument {argument[:80]!r} is not supported: expected {known}")
        if argument in fixed and value != fixed[argument]:
            raise ModelError(f"{where}_kwargs: {argument}: expected {fixed[argument]!r}, got {value!r:.80}")
    return _order(name, arguments, where), _separate_ratio(name, arguments, where)


def _order(name: str, arguments: Mapping[str, Any], where: str) -> int:
    order = arguments.get("order", 3) if name == _RESIZE else 1
    if order not in (1, 3) or isinstance(order, bool):
        raise ModelError(f"{where}_kwargs: order: expected 1 or 3, got {order!r:.80}")
    return int(order)


def _separate_ratio(name: str, arguments: Mapping[str, Any], where: str) -> float | None:
    default = False if name == _RESIZE else None
    is_forced = arguments.get("force_separate_z", default)
    if is_forced is not None and is_forced is not False:
        raise ModelError(f"{where}_kwargs: force_separate_z: expected null or false, got {is_forced!r:.80}")
    ratio = arguments.get("separate_z_anisotropy_threshold", _ANISOTROPY)
    if isinstance(ratio, bool) or not isinstance(ratio, int | float) or not 1 <= ratio <= 1000:
        raise ModelError(f"{where}_kwargs: separate_z_anisotropy_threshold: expected 1 to 1000, got {ratio!r:.80}")
    return None if is_forced is False else float(ratio)
