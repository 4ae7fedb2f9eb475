"""Changes of samples: place, intensity, contrast, resolution (MONAI transforms)."""

from __future__ import annotations

from math import radians

from monai.transforms import (
    Compose,
    RandAdjustContrastd,
    RandAffined,
    RandFlipd,
    RandGaussianNoised,
    RandGaussianSmoothd,
    RandScaleIntensityd,
    RandSimulateLowResolutiond,
)

from clickseg.boxes import Triple
from clickseg.training.config import Augmentation

IMAGE, TRUTH, OBJECTS = "image", "truth", "objects"


def augmentation(how: Augmentation, patch: Triple) -> Compose:
    """Returns what changes a sample, and cuts a patch of its middle.

    Args:
        how: What is changed, and how often.
        patch: The size of the patch.
    """
    keys, axes = (IMAGE, TRUTH, OBJECTS), range(3)
    return Compose(
        [
            RandAffined(
                keys,
                spatial_size=patch,
                prob=how.affine_share,
                rotate_range=[radians(how.rotation_degrees)] * 3,
                scale_range=[how.scaling] * 3,
                mode=("bilinear", "nearest", "nearest"),
                padding_mode="zeros",
            ),
            *(RandFlipd(keys, prob=how.flip_share, spatial_axis=axis) for axis in axes),
            RandSimulateLowResolutiond(IMAGE, prob=how.low_resolution_share, zoom_range=(0.5, 1.0)),
            RandGaussianSmoothd(IMAGE, prob=how.blur_share, sigma_x=(0.2, 0.8), sigma_y=(0.2, 0.8), sigma_z=(0.2, 0.8)),
            RandAdjustContrastd(IMAGE, prob=how.contrast_share, gamma=how.contrast),
            RandScaleIntensityd(IMAGE, prob=how.intensity_share, factors=how.intensity),
            RandGaussianNoised(IMAGE, prob=how.noise_share, std=how.noise),
        ]
    )
