"""The figures of a run as a picture."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from clickseg.staging import write_bytes


def write_curves(history: Sequence[Mapping[str, float]], path: Path) -> None:
    """Draws losses, and what was found in cases that are held out, over the epochs (PNG).

    Raises:
        OutputError: It cannot be written.
    """
    figure = Figure(figsize=(9, 4), layout="constrained")
    for number, (group, label) in enumerate((("loss/", "loss"), ("dice/", "Dice, held out")), 1):
        axes = figure.add_subplot(1, 2, number)
        for name in sorted({name for each in history for name in each if name.startswith(group)}):
            points = [(each["epoch"], each[name]) for each in history if name in each]
            axes.plot(*zip(*points, strict=True), label=name.removeprefix(group))
        axes.set(xlabel="epoch", ylabel=label)
        if axes.lines:
            axes.legend()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    write_bytes(path, buffer.getvalue())
