"""Draws the preview of a result: three orthogonal slices through the largest segment, with outlines and clicks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from clickseg.clicks.click import Click, Polarity
from clickseg.core.arrays import Float32Array, LabelArray, Mask
from clickseg.core.grey_window import GreyWindow, grey_window
from clickseg.core.label_map import LabelMap
from clickseg.inference.guidance import positions_to_voxels
from clickseg.inference.orientation import reorientation_to
from clickseg.models.spec import ModelSpec

_HEIGHT_PX = 480
_MARGIN_PX = 8
_NEAR_MM = 10.0
_FOREGROUND_RGB, _BACKGROUND_RGB = (60, 220, 90), (255, 70, 70)

Rgb = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class _ViewDirection:
    """A viewing direction, in a volume whose axes point to inferior, posterior and left.

    ``axis`` is the viewing axis; the other two axes are the rows and columns of the picture.
    """

    axis: int

    def slice_at(self, array: NDArray[Any], index: int) -> NDArray[Any]:
        return array.take([index], self.axis).squeeze(self.axis)

    def row_and_column(self, point: Sequence[float]) -> tuple[float, float]:
        """Returns the two coordinates of a point in the picture."""
        row, column = (value for axis, value in enumerate(point) if axis != self.axis)
        return row, column


_VIEWS = (_ViewDirection(0), _ViewDirection(1), _ViewDirection(2))  # axial, coronal, sagittal


def draw_preview(
    volume: hd.Volume, unit: str, labels: LabelMap, clicks: Sequence[Click], spec: ModelSpec
) -> Image.Image:
    """Draws the preview.

    Args:
        volume: The series [K, J, I], in LPS mm.
        unit: The unit of the values. It determines the grey scale: PET dark on white from SUV 0 to 10, CT from -160 to
            240 HU, MR from the 1st to the 99th percentile.
        labels: The label map on the same grid.
        clicks: The clicks: green (foreground) and red (background) crosses on slices at most 10 mm away.
        spec: The model, for the colours of the classes.

    Returns:
        The axial, coronal and sagittal slice side by side, in radiological orientation and true proportions.
    """
    upright = _to_upright(volume)
    sizes = {number: int(labels.mask(number).sum()) for number in labels.present_classes()}
    largest = labels.mask(max(sizes, key=sizes.__getitem__)) if sizes else None
    centre = _centre(None if largest is None else _to_upright(volume.with_array(largest)).array, upright, clicks)
    window = grey_window(volume.array, unit)
    panels = [_draw_panel(view, upright, centre, window) for view in _VIEWS]
    for number in sizes:
        mask = _to_upright(volume.with_array(labels.mask(number))).array
        for view, panel in zip(_VIEWS, panels, strict=True):
            _draw_outline(panel, view.slice_at(mask, centre[view.axis]), spec.classes[number - 1].colour)
    for view, panel in zip(_VIEWS, panels, strict=True):
        for click in clicks:
            _draw_cross(panel, view, click, centre, upright)
    return _join_panels(panels)


def _to_upright(volume: hd.Volume) -> hd.Volume:
    return reorientation_to(volume, "IPL").apply(volume)


def _centre(mask: Mask | None, volume: hd.Volume, clicks: Sequence[Click]) -> tuple[int, ...]:
    """Returns a voxel in the middle of the segment, or else that of the first click, or else that of the volume."""
    if mask is not None:
        return _central_voxel(mask)
    shape = volume.spatial_shape
    voxel = positions_to_voxels([clicks[0].position_mm], volume)[0] if clicks else np.array(shape) // 2
    return tuple(int(value) for value in np.clip(voxel, 0, np.array(shape) - 1))


def _central_voxel(mask: Mask) -> tuple[int, int, int]:
    """Returns a voxel of a segment: in its largest axial slice, there in its longest row, and there in the middle."""
    plane = int(np.count_nonzero(mask, axis=(1, 2)).argmax())
    row = int(np.count_nonzero(mask[plane], axis=1).argmax())
    columns = np.flatnonzero(mask[plane, row])
    return plane, row, int(columns[len(columns) // 2])


def _to_grey(values: Float32Array, window: GreyWindow) -> LabelArray:
    black, white = (window.upper, window.lower) if window.is_inverted else (window.lower, window.upper)
    scale = (white - black) or 1.0
    grey: LabelArray = (255 * np.clip((values - black) / scale, 0, 1)).astype(np.uint8)
    return grey


def _draw_panel(view: _ViewDirection, volume: hd.Volume, centre: tuple[int, ...], window: GreyWindow) -> Image.Image:
    """Draws one slice in its true proportions."""
    grey = _to_grey(view.slice_at(volume.array, centre[view.axis]), window)
    pixels_per_mm = _pixels_per_mm(volume)
    rows, columns = (
        max(round(count * step_mm * pixels_per_mm), 1)
        for count, step_mm in zip(grey.shape, view.row_and_column(volume.spacing), strict=True)
    )
    return Image.fromarray(grey).resize((columns, rows), Image.Resampling.BILINEAR).convert("RGB")


def _pixels_per_mm(volume: hd.Volume) -> float:
    return _HEIGHT_PX / max(n * step_mm for n, step_mm in zip(volume.spatial_shape, volume.spacing, strict=True))


def _draw_outline(picture: Image.Image, mask: Mask, colour: Rgb) -> None:
    large = np.asarray(Image.fromarray(mask.astype(np.uint8) * 255).resize(picture.size, Image.Resampling.NEAREST)) > 0
    edge = large & ~_erode(_erode(large))
    picture.paste(colour, mask=Image.fromarray(edge.astype(np.uint8) * 255))


def _erode(mask: Mask) -> Mask:
    """Erodes a mask [R, C] by one pixel, with 4-connectivity; pixels outside the picture are treated as foreground."""
    wide = np.pad(mask, 1, constant_values=True)
    upright: Mask = wide[:-2, 1:-1] & wide[2:, 1:-1]
    return mask & upright & wide[1:-1, :-2] & wide[1:-1, 2:]


def _draw_cross(
    picture: Image.Image, view: _ViewDirection, click: Click, centre: tuple[int, ...], volume: hd.Volume
) -> None:
    index = volume.map_reference_to_indices(np.array([click.position_mm]))[0]
    if abs(index[view.axis] - centre[view.axis]) * volume.spacing[view.axis] > _NEAR_MM:
        return
    pixels_per_mm = _pixels_per_mm(volume)
    row, column = (
        (value + 0.5) * step_mm * pixels_per_mm
        for value, step_mm in zip(view.row_and_column(list(index)), view.row_and_column(volume.spacing), strict=True)
    )
    colour = _FOREGROUND_RGB if click.polarity is Polarity.FOREGROUND else _BACKGROUND_RGB
    draw = ImageDraw.Draw(picture)
    draw.line((column - 6, row, column + 6, row), fill=colour, width=2)
    draw.line((column, row - 6, column, row + 6), fill=colour, width=2)


def _join_panels(panels: Sequence[Image.Image]) -> Image.Image:
    width = sum(panel.width for panel in panels) + _MARGIN_PX * (len(panels) + 1)
    picture = Image.new("RGB", (width, max(panel.height for panel in panels) + 2 * _MARGIN_PX), "black")
    left = _MARGIN_PX
    for panel in panels:
        picture.paste(panel, (left, (picture.height - panel.height) // 2))
        left += panel.width + _MARGIN_PX
    return picture
