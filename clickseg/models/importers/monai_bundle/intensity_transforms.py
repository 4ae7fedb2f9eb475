"""Translates MONAI's intensity transforms to the steps of ``scaling``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from clickseg.models.importers.monai_bundle.components import Component

Step = dict[str, Any]

_FLOATS = (None, "float32", "float64", "torch.float32", "torch.float64")
"""Data types that do not change values of images."""


def range_step(transform: Component) -> Step:
    """Returns the step of ``ScaleIntensityRanged``.

    Raises:
        ModelError: An argument is missing or cannot be expressed.
    """
    transform.check_arguments(("keys", "a_min", "a_max", "b_min", "b_max", "clip", "dtype", "allow_missing_keys"))
    transform.expect("dtype", *_FLOATS)
    low, high = transform.number("a_min"), transform.number("a_max")
    if not low < high:
        raise transform.error(f"expected a_min below a_max, got {low} and {high}")
    return {"kind": "range", "a_min": low, "a_max": high, **_target_range(transform, None)}


def minimum_maximum_step(transform: Component) -> Step:
    """Returns the step of ``ScaleIntensityd``: minimum and maximum are the percentiles 0 and 100.

    Raises:
        ModelError: An argument cannot be expressed.
    """
    transform.check_arguments(("keys", "minv", "maxv", "factor", "channel_wise", "dtype", "allow_missing_keys"))
    transform.expect("dtype", *_FLOATS)
    low, high = transform.optional_number("minv", 0.0), transform.optional_number("maxv", 1.0)
    if low is None and high is None:
        raise transform.error("a factor is not supported: expected minv and maxv")
    to = {} if low is None or high is None else _changed(b_min=(low, 0.0), b_max=(high, 1.0))
    return {"kind": "percentile", "lower": 0, "upper": 100, **to}


def percentile_step(transform: Component) -> Step:
    """Returns the step of ``ScaleIntensityRangePercentilesd``.

    Raises:
        ModelError: An argument is missing or cannot be expressed.
    """
    transform.check_arguments(
        ("keys", "lower", "upper", "b_min", "b_max", "clip", "relative", "channel_wise", "dtype", "allow_missing_keys")
    )
    transform.expect("dtype", *_FLOATS)
    lower, upper = transform.number("lower"), transform.number("upper")
    if not 0 <= lower < upper <= 100:
        raise transform.error(f"expected percentiles from 0 to 100, got {lower} and {upper}")
    relative = (lower, upper) if transform.flag("relative", False) else None
    return {
        "kind": "percentile",
        "lower": lower,
        "upper": upper,
        **_target_range(transform, relative),
    }


def normalize_step(transform: Component) -> Step:
    """Returns the step of ``NormalizeIntensityd``: a z-score, or a range if mean and deviation are given.

    Raises:
        ModelError: An argument cannot be expressed.
    """
    transform.check_arguments(
        ("keys", "subtrahend", "divisor", "nonzero", "channel_wise", "dtype", "allow_missing_keys")
    )
    transform.expect("dtype", *_FLOATS)
    nonzero = transform.flag("nonzero", False)
    mean, deviation = transform.optional_number("subtrahend"), transform.optional_number("divisor")
    if mean is None and deviation is None:
        return {"kind": "zscore", **_changed(nonzero=(nonzero, False))}
    if mean is None or deviation is None or deviation <= 0 or nonzero:
        raise transform.error("expected both subtrahend and a positive divisor, without nonzero, or neither of them")
    return {"kind": "range", "a_min": mean, "a_max": mean + deviation, "clip": False}


def gaussian_step(transform: Component) -> Step:
    """Returns the step of ``GaussianSmoothd``.

    Raises:
        ModelError: An argument cannot be expressed.
    """
    transform.check_arguments(("keys", "sigma", "approx", "allow_missing_keys"))
    transform.expect("approx", "erf")
    sigmas = transform.three_numbers("sigma", 1.0)
    if len(set(sigmas)) > 1:
        raise transform.error(f"sigma: expected the same number for each axis, got {list(sigmas)}")
    return {"kind": "gaussian", "sigma_vox": sigmas[0]}


def check_data_type(transform: Component) -> None:
    """Checks that ``EnsureTyped`` or ``CastToTyped`` keep the values of an image.

    Raises:
        ModelError: The values would be rounded.
    """
    transform.expect("dtype", *_FLOATS)


INTENSITY_TRANSFORMS: Mapping[str, Callable[[Component], Step]] = {
    "GaussianSmoothd": gaussian_step,
    "NormalizeIntensityd": normalize_step,
    "ScaleIntensityRangePercentilesd": percentile_step,
    "ScaleIntensityRanged": range_step,
    "ScaleIntensityd": minimum_maximum_step,
}
"""The function for each transform."""


def _target_range(transform: Component, relative: tuple[float, float] | None) -> dict[str, Any]:
    """Returns ``b_min``, ``b_max`` and ``clip`` where they differ from the defaults of ClickSeg.

    Args:
        transform: The transform.
        relative: The percentiles of the target range that the values are mapped to; None for all of it.
    """
    low, high = transform.optional_number("b_min"), transform.optional_number("b_max")
    clip = transform.flag("clip", default=False)
    if low is None or high is None:
        if clip or relative or low is not None or high is not None:
            raise transform.error("expected both b_min and b_max")
        return {"clip": False}
    if not low < high:
        raise transform.error(f"expected b_min below b_max, got {low} and {high}")
    if relative:
        low, high = (low + (high - low) * percentile / 100 for percentile in relative)
    return _changed(b_min=(low, 0.0), b_max=(high, 1.0), clip=(clip, True))


def _changed(**values: tuple[Any, Any]) -> dict[str, Any]:
    """Returns the values that differ from their defaults."""
    return {name: value for name, (value, default) in values.items() if value != default}
