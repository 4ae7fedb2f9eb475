"""A picture of a case: the slice with the most errors, what is there and what was found."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

import highdicom as hd
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from clickseg.core.arrays import Mask, Values
from clickseg.core.grey_window import grey_window
from clickseg.inference.orientation import turn_to

TRUTH_COLOUR, FOUND_COLOUR = "#1b9e3b", "#e02020"
_SIZE_IN = 3.2


def draw_picture(volume: hd.Volume, unit: str, truths: Sequence[Mask], found: Sequence[Mask]) -> bytes:
    """Returns a PNG of an axial slice, as radiologists look at it: the one in which truth and result differ most.

    Args:
        volume: The image, in LPS mm.
        unit: Its unit, which decides how values are shown.
        truths: Where each class is, on the same grid.
        found: Where each class was found.
    """
    turn = turn_to(volume, "IPL")
    standing = turn.apply(volume.get_geometry())
    seen = [(turn.view(truth), turn.view(result)) for truth, result in zip(truths, found, strict=True)]
    number = _slice_of_most_errors(seen)
    figure = Figure(figsize=(_SIZE_IN, _SIZE_IN), dpi=100, layout="constrained")
    axes = figure.subplots()
    axes.axis("off")
    _show(axes, turn.view(volume.array)[number], unit, volume.array, float(standing.spacing[1] / standing.spacing[2]))
    for truth, result in seen:
        _outline(axes, truth[number], TRUTH_COLOUR, "solid")
        _outline(axes, result[number], FOUND_COLOUR, "dashed")
    return png(figure)


def png(figure: Figure) -> bytes:
    """Returns a figure as PNG, the same bytes each time."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _slice_of_most_errors(seen: Sequence[tuple[Mask, Mask]]) -> int:
    """Returns the slice with the most errors; of a perfect result that with the most of what is there."""
    errors = sum(np.count_nonzero(truth != result, axis=(1, 2)) for truth, result in seen)
    there = sum(np.count_nonzero(truth, axis=(1, 2)) for truth, _ in seen)
    return int(np.argmax(errors if np.any(errors) else there))


def _show(axes: Axes, values: Values, unit: str, volume: Values, aspect: float) -> None:
    window = grey_window(volume, unit)
    colours = "gray_r" if window.is_inverted else "gray"
    axes.imshow(values, cmap=colours, vmin=window.lower, vmax=window.upper, aspect=aspect, interpolation="bilinear")


def _outline(axes: Axes, mask: Mask, colour: str, style: str) -> None:
    if mask.any():
        wide = np.pad(mask.astype(np.float32), 1)  # outlines are closed at the border too
        rows, columns = (np.arange(-1, count + 1) for count in mask.shape)
        axes.contour(columns, rows, wide, levels=[0.5], colors=[colour], linestyles=[style], linewidths=1.0)
