"""The model grid, and the part of it that the network sees."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from clickseg.core.validation import StrictModel
from clickseg.models.spec.fields import omit_if

SpacingMm = Annotated[float, Field(ge=0.05, le=100)]
GridSpacing = SpacingMm | Literal["source"]
PositiveFactor = Annotated[float, Field(gt=0)]


class GridSpec(StrictModel):
    """The model grid: the axes of the source grid, flipped and permuted to ``orientation``, at ``spacing_mm``.

    An axis with the spacing ``source`` keeps that of the series, and so does an axis whose spacing in the series is
    within ``spacing_tolerance``, two factors of ``spacing_mm``. With the orientation ``source``, the axes are those of
    the series: columns, rows, and slices in the direction of their normal, as ITK stores them.

    With the ``alignment`` ``first_voxel``, the first voxel centres of source and model grid coincide, as in MONAI's
    ``Spacing``. With ``edges``, the outer edges of the first and last voxels coincide, as in scikit-image's ``resize``
    and nnU-Net: the number of voxels is rounded, and the spacing is the extent divided by this number. With
    ``end_voxels``, the centres of the first and last voxels coincide, as in SciPy's ``zoom`` and TotalSegmentator.

    ``image_order`` is the order of interpolation of images: linear or cubic B-splines. If the ratio of the largest and
    the smallest spacing, of the series or else of the model, is above ``separate_axis_above``, the slices of images and
    logits are resampled in two dimensions, and of these slices the nearest is taken, as in nnU-Net.
    """

    spacing_mm: tuple[GridSpacing, GridSpacing, GridSpacing]
    spacing_tolerance: Annotated[tuple[PositiveFactor, PositiveFactor] | None, omit_if(None)] = None
    orientation: Annotated[str, Field(pattern=r"^([RLAPSI]{3}|source)$")] = "RAS"
    alignment: Annotated[Literal["first_voxel", "edges", "end_voxels"], omit_if("first_voxel")] = "first_voxel"
    image_order: Annotated[Literal[1, 3], omit_if(1)] = 1
    separate_axis_above: Annotated[Annotated[float, Field(gt=1)] | None, omit_if(None)] = None

    @property
    def depends_on_source(self) -> bool:
        """Whether the grid depends on the series: see ``resample.resolve_grid``."""
        is_partly_source = "source" in (self.orientation, *self.spacing_mm)
        return is_partly_source or self.spacing_tolerance is not None

    @property
    def resolved_spacing_mm(self) -> tuple[float, float, float]:
        """The spacing of a grid that does not depend on the series."""
        i, j, k = (float(length) for length in self.spacing_mm)
        return i, j, k

    @model_validator(mode="after")
    def _check_axes(self) -> Self:
        letters = {{"L": "R", "P": "A", "I": "S"}.get(letter, letter) for letter in self.orientation}
        if self.orientation != "source" and len(letters) != 3:
            raise ValueError(f"expected one letter of each of RL, AP and SI, got {self.orientation}")
        return self

    @model_validator(mode="after")
    def _check_tolerance(self) -> Self:
        if self.spacing_tolerance is not None and not self.spacing_tolerance[0] <= 1 <= self.spacing_tolerance[1]:
            raise ValueError(f"spacing_tolerance: expected factors around 1, got {list(self.spacing_tolerance)}")
        return self

    @model_validator(mode="after")
    def _check_alignment(self) -> Self:
        if self.alignment == "first_voxel" and self.image_order != 1:
            raise ValueError("image_order 3: expected the alignment edges or end_voxels, got first_voxel")
        if self.alignment != "edges" and self.separate_axis_above is not None:
            raise ValueError(f"separate_axis_above: expected the alignment edges, as nnU-Net, got {self.alignment}")
        return self


class CropSpec(StrictModel):
    """The box of the volume that the network sees; outside it, everything is background (MONAI ``CropForeground``).

    It is the bounding box of the voxels that are above 0, or not 0, in the first input, or in any of the ``inputs``: in
    its unit, or after its scaling; on the source grid, before resampling, or on the model grid. ``margin_vox`` widens
    it, at most to the complete volume. With values of the source, the crop comes before the scaling, which then depends
    on the box only; with the ``statistics`` of the volume, the complete source volume is scaled, and then cropped.
    """

    voxels: Literal["positive", "nonzero"]
    values: Literal["source", "scaled"]
    grid: Literal["source", "model"]
    margin_vox: Annotated[int, Field(ge=0, le=1024)] = 0
    statistics: Annotated[Literal["box", "volume"], omit_if("box")] = "box"
    inputs: Annotated[Literal["first", "any"], omit_if("first")] = "first"
