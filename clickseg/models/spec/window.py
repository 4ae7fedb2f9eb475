"""The sliding window."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from clickseg.core.validation import StrictModel
from clickseg.models.spec.fields import omit_if

MAX_WINDOW_VOXELS = 1 << 27
"""The largest window that is accepted: 512 x 512 x 512."""


class WindowSpec(StrictModel):
    """The sliding window, in voxels of the model grid, and how windows are blended (MONAI ``SlidingWindowInferer``).

    ``placement`` places windows at a fixed distance, the last one shifted back to the end of the volume, or evenly
    spread as in nnU-Net. ``mode`` weights the voxels of a window: by a Gaussian with ``sigma_scale`` as MONAI or as
    nnU-Net computes it, or all equally. ``padding_mode`` fills a window where it extends beyond a volume that is
    smaller: with 0, or with the value at the border.
    """

    roi: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]]
    overlap: Annotated[float, Field(ge=0, lt=1)] = 0.5
    sigma_scale: Annotated[float, Field(ge=0.01, le=100)] = 0.125
    placement: Annotated[Literal["fixed", "even"], omit_if("fixed")] = "fixed"
    mode: Annotated[Literal["gaussian", "constant", "nnunet"], omit_if("gaussian")] = "gaussian"
    padding_mode: Annotated[Literal["constant", "replicate"], omit_if("constant")] = "constant"

    @property
    def is_monai(self) -> bool:
        """Whether MONAI's ``SlidingWindowInferer`` has the same positions and weights."""
        return self.placement == "fixed" and self.mode != "nnunet"

    @model_validator(mode="after")
    def _check_size(self) -> Self:
        if math.prod(self.roi) > MAX_WINDOW_VOXELS:
            raise ValueError(f"window.roi: expected at most {MAX_WINDOW_VOXELS} voxels, got {math.prod(self.roi)}")
        return self
