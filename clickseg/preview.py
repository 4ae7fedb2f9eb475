"""A picture of a result: three orthogonal slices through the largest segment, with outlines and clicks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from clickseg.arrays import Mask, Numbers, Values
from clickseg.clicks.bind import BoundClick
from clickseg.clicks.click import Polarity
from clickseg.inference.guidance import voxels_of
from clickseg.inference.labels import LabelMap
from clickseg.models.spec import ModelSpec

_HEIGHT_PX = 480
_MARGIN_PX = 8
_NEAR_MM = 10.0
_FOREGROUND_RGB, _BACKGROUND_RGB = (60, 220, 90), (255, 70, 70)
_WINDOWS = {"HU": (-160.0, 240.0), "SUVbw": (0.0, 10.0)}

Rgb = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class _View:
    """One direction to look from, in a volume whose axes run to inferior, posterior and left.

    ``axis`` is the one looked along; the other two are the picture's rows and columns.
    """

    axis: int

    def cut(self, array: NDArray[Any], index: int) -> NDArray[Any]:
        return array.take([index], self.axis).squeeze(self.axis)

    def place(self, point: Sequence[float]) -> tuple[float, float]:
        """Returns row and column of a point."""
        row, column = (value for axis, value in enumerate(point) if axis != self.axis)
        return row, column


_VIEWS = (_View(0), _View(1), _View(2))  # axial, coronal, sagittal


def draw_preview(
    volume: hd.Volume, unit: str, labels: LabelMap, clicks: Sequence[BoundClick], spec: ModelSpec
) -> Image.Image:
    """Draws the preview.

    Args:
        volume: The series [K, J, I], in LPS mm.
        unit: Its unit, which decides how grey values are shown: PET dark on white from SUV 0 to 10, CT from -160 to
            240 HU, MR from its 1st to its 99th percentile.
        labels: The label map on the same grid.
        clicks: Drawn as green (foreground) and red (background) crosses in slices at most 10 mm away.
        spec: The classes, for their colours.

    Returns:
        The axial, coronal and sagittal slice side by side, as radiologists look at them, in their true proportions.
    """
    standing = volume.to_patient_orientation("IPL")
    masks = {each.colour: _standing(labels.mask(number), volume) for number, each in enumerate(spec.classes, 1)}
    centre = _centre(masks, standing, clicks)
    grey = _grey(standing.array, unit)
    panels = [_panel(view, grey, masks, centre, standing, clicks) for view in _VIEWS]
    return _side_by_side(panels)


def _standing(mask: Mask, volume: hd.Volume) -> Mask:
    oriented: Mask = volume.with_array(mask).to_patient_orientation("IPL").array
    return oriented


def _centre(masks: dict[Rgb, Mask], volume: hd.Volume, clicks: Sequence[BoundClick]) -> tuple[int, ...]:
    """Returns a voxel of the largest component's fullest slices, else the first click's, else the middle."""
    largest = max(masks.values(), key=lambda mask: int(mask.sum()))
    components, count = ndimage.label(largest)
    if count:
        component = components == 1 + int(np.bincount(components.ravel())[1:].argmax())
        return tuple(int(component.sum(axis=tuple({0, 1, 2} - {axis})).argmax()) for axis in range(3))
    shape = volume.spatial_shape
    voxel = voxels_of([clicks[0].position_mm], volume)[0] if clicks else np.array(shape) // 2
    return tuple(int(value) for value in np.clip(voxel, 0, np.array(shape) - 1))


def _grey(values: Values, unit: str) -> Numbers:
    low, high = _WINDOWS.get(unit) or (float(value) for value in np.percentile(values, (1, 99)))
    scaled = np.clip((values - low) / max(high - low, 1e-6), 0, 1)
    shown: Values = 1 - scaled if unit == "SUVbw" else scaled
    return (255 * shown).astype(np.uint8)


def _panel(
    view: _View,
    grey: Numbers,
    masks: dict[Rgb, Mask],
    centre: tuple[int, ...],
    volume: hd.Volume,
    clicks: Sequence[BoundClick],
) -> Image.Image:
    row_mm, column_mm = view.place(volume.spacing)
    rows, columns = view.cut(grey, centre[view.axis]).shape
    scale = _HEIGHT_PX / max(
        count * spacing for count, spacing in zip(volume.spatial_shape, volume.spacing, strict=True)
    )
    size = (max(round(columns * column_mm * scale), 1), max(round(rows * row_mm * scale), 1))
    picture = Image.fromarray(view.cut(grey, centre[view.axis])).resize(size, Image.Resampling.BILINEAR).convert("RGB")
    for colour, mask in masks.items():
        _outline(picture, view.cut(mask, centre[view.axis]), colour)
    for click in clicks:
        _cross(picture, view, click, centre, volume, (row_mm * scale, column_mm * scale))
    return picture


def _outline(picture: Image.Image, mask: Mask, colour: Rgb) -> None:
    large = np.asarray(Image.fromarray(mask.astype(np.uint8) * 255).resize(picture.size, Image.Resampling.NEAREST)) > 0
    edge = large & ~ndimage.binary_erosion(large, iterations=2, border_value=1)
    picture.paste(colour, mask=Image.fromarray(edge.astype(np.uint8) * 255))


def _cross(
    picture: Image.Image,
    view: _View,
    click: BoundClick,
    centre: tuple[int, ...],
    volume: hd.Volume,
    pixels_per_voxel: tuple[float, float],
) -> None:
    index = volume.map_reference_to_indices(np.array([click.position_mm]))[0]
    if abs(index[view.axis] - centre[view.axis]) * volume.spacing[view.axis] > _NEAR_MM:
        return
    row, column = ((value + 0.5) * step for value, step in zip(view.place(list(index)), pixels_per_voxel, strict=True))
    colour = _FOREGROUND_RGB if click.polarity is Polarity.FOREGROUND else _BACKGROUND_RGB
    draw = ImageDraw.Draw(picture)
    draw.line((column - 6, row, column + 6, row), fill=colour, width=2)
    draw.line((column, row - 6, column, row + 6), fill=colour, width=2)


def _side_by_side(panels: Sequence[Image.Image]) -> Image.Image:
    width = sum(panel.width for panel in panels) + _MARGIN_PX * (len(panels) + 1)
    picture = Image.new("RGB", (width, max(panel.height for panel in panels) + 2 * _MARGIN_PX), "black")
    left = _MARGIN_PX
    for panel in panels:
        picture.paste(panel, (left, (picture.height - panel.height) // 2))
        left += panel.width + _MARGIN_PX
    return picture
