"""Translates nnU-Net's normalization of intensities to the scaling of an input."""

from __future__ import annotations

from typing import Any

from clickseg.core.errors import ModelError
from clickseg.models.importers.monai_bundle.transforms import NO_SCALING
from clickseg.models.importers.nnunet.plans import PLANS, Intensities, Plans

CT = "CTNormalization"
UNIT_FREE = ("ZScoreNormalization", "RescaleTo01Normalization")
"""The normalizations whose result does not depend on the unit of the image."""

_KNOWN = (CT, *UNIT_FREE, "NoNormalization")
_LEAST_DEVIATION = 1e-8


def normalization(plans: Plans, channel: int) -> str:
    """Returns the name of the normalization of a channel.

    Raises:
        ModelError: It is missing, or not supported.
    """
    schemes, where = plans.configuration.normalization_schemes, f"{plans.where}: normalization_schemes"
    if channel >= len(schemes):
        raise ModelError(f"{where}: expected one for each channel, got {len(schemes)}")
    if schemes[channel] not in _KNOWN:
        raise ModelError(
            f"{where}#{channel}: {schemes[channel]!r:.80} is not supported: expected {' or '.join(_KNOWN)}"
        )
    return schemes[channel]


def channel_scaling(plans: Plans, channel: int) -> dict[str, Any]:
    """Returns the scaling of a channel, which depends on the voxels in the box of the nonzero ones.

    Raises:
        ModelError: The normalization is not supported, or the plans have no intensities for it.
    """
    match normalization(plans, channel):
        case "CTNormalization":
            return _range(plans.channel_intensities(channel), f"{PLANS}: intensities of channel {channel}")
        case "ZScoreNormalization":
            return {"kind": "zscore", **({"foreground": True} if _uses_mask(plans, channel) else {})}
        case "RescaleTo01Normalization":
            return {"kind": "percentile", "lower": 0, "upper": 100}
        case _:
            return dict(NO_SCALING)


def _range(intensities: Intensities, where: str) -> dict[str, Any]:
    """Returns the scaling that clips values to two percentiles, and then subtracts the mean."""
    low, high = intensities.percentile_00_5, intensities.percentile_99_5
    if not low < high:
        raise ModelError(f"{where}: expected percentile_00_5 below percentile_99_5, got {low} and {high}")
    deviation = max(intensities.std, _LEAST_DEVIATION)
    b_min, b_max = ((value - intensities.mean) / deviation for value in (low, high))
    return {"kind": "range", "a_min": low, "a_max": high, "b_min": b_min, "b_max": b_max}


def _uses_mask(plans: Plans, channel: int) -> bool:
    masks = plans.configuration.use_mask_for_norm
    return channel < len(masks) and masks[channel]
