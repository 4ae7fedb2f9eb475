"""A picture of a case: the axial slice with the most errors, with the outlines of ground truth and prediction."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

import highdicom as hd
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from clickseg.core.arrays import Float32Array, Mask
from clickseg.core.grey_window import grey_window
from clickseg.inference.orientation import reorientation_to

TRUTH_COLOUR, PREDICTION_COLOUR = "#1b9e3b", "#e02020"
_SIZE_INCH = 3.2


def draw_picture(volume: hd.Volume, unit: str, truths: Sequence[Mask], predictions: Sequence[Mask]) -> bytes:
    """Returns a PNG of the axial slice with the most errors, in the orientation that radiologists use.

    Args:
        volume: The image, on a grid in LPS mm.
        unit: The unit of its values, which determines the grey window.
        truths: The ground truth of each class, on the grid of the image.
        predictions: The prediction for each class, on the same grid.
    """
    reorientation = reorientation_to(volume, "IPL")
    geometry = reorientation.apply(volume.get_geometry())
    masks = [
        (reorientation.view(truth), reorientation.view(prediction))
        for truth, prediction in zip(truths, predictions, strict=True)
    ]
    index = _slice_with_most_errors(masks)
    figure = Figure(figsize=(_SIZE_INCH, _SIZE_INCH), dpi=100, layout="constrained")
    axes = figure.subplots()
    axes.axis("off")
    aspect = float(geometry.spacing[1] / geometry.spacing[2])
    _draw_slice(axes, reorientation.view(volume.array)[index], unit, volume.array, aspect)
    for truth, prediction in masks:
        _draw_outline(axes, truth[index], TRUTH_COLOUR, "solid")
        _draw_outline(axes, prediction[index], PREDICTION_COLOUR, "dashed")
    return encode_png(figure)


def encode_png(figure: Figure) -> bytes:
    """Returns a figure as PNG; the same figure always gives the same bytes."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _slice_with_most_errors(masks: Sequence[tuple[Mask, Mask]]) -> int:
    """Returns the slice with the most errors; if there are no errors, the one with the most foreground voxels."""
    errors = sum(np.count_nonzero(truth != prediction, axis=(1, 2)) for truth, prediction in masks)
    foreground = sum(np.count_nonzero(truth, axis=(1, 2)) for truth, _ in masks)
    return int(np.argmax(errors if np.any(errors) else foreground))


def _draw_slice(axes: Axes, values: Float32Array, unit: str, volume: Float32Array, aspect: float) -> None:
    window = grey_window(volume, unit)
    colours = "gray_r" if window.is_inverted else "gray"
    axes.imshow(values, cmap=colours, vmin=window.lower, vmax=window.upper, aspect=aspect, interpolation="bilinear")


def _draw_outline(axes: Axes, mask: Mask, colour: str, style: str) -> None:
    if mask.any():
        padded = np.pad(mask.astype(np.float32), 1)  # so that outlines are closed at the border of the image
        rows, columns = (np.arange(-1, count + 1) for count in mask.shape)
        axes.contour(columns, rows, padded, levels=[0.5], colors=[colour], linestyles=[style], linewidths=1.0)
