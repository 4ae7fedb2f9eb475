"""Binds clicks to a series and a model: each click gets a class and a position, or is rejected."""

from __future__ import annotations

from dataclasses import replace

import highdicom as hd
import numpy as np
from numpy.typing import ArrayLike

from clickseg.clicks.click import Click, Clicks, Polarity
from clickseg.clicks.names import split_name, strip_number
from clickseg.core.errors import ClickError
from clickseg.core.text import format_count
from clickseg.models.spec import ModelSpec


def bind_clicks(clicks: Clicks, spec: ModelSpec, geometry: hd.VolumeGeometry, series_uid: str) -> Clicks:
    """Binds clicks to a model and a series.

    Args:
        clicks: The clicks of one source.
        spec: The model, with its classes and guidance channels.
        geometry: The grid of the series that the result refers to.
        series_uid: The Series Instance UID of that series.

    Returns:
        The clicks, each with the name of its class as label.

    Raises:
        ClickError: The clicks are for another series or frame of reference, the model does not use clicks, a label is
            unknown or ambiguous, or a click is outside the series. No click is clamped or skipped.
    """
    _check_series_and_frame(clicks, geometry, series_uid)
    if clicks.points and spec.guidance is None:
        raise ClickError(
            f"{clicks.source}: {format_count(len(clicks.points), 'click')}, but the model does not use clicks"
        )
    contexts = [f"{clicks.source}: click {number}" for number in range(1, len(clicks.points) + 1)]
    bound = [
        _bind_click(click, context, spec, geometry) for click, context in zip(clicks.points, contexts, strict=True)
    ]
    return replace(clicks, points=tuple(bound))


def _check_series_and_frame(clicks: Clicks, geometry: hd.VolumeGeometry, series_uid: str) -> None:
    frame_uid = clicks.frame_of_reference_uid
    if frame_uid is not None and frame_uid != geometry.frame_of_reference_uid:
        raise ClickError(
            f"{clicks.source}: frame_of_reference_uid: expected {geometry.frame_of_reference_uid}, got {frame_uid}"
        )
    if clicks.series_instance_uid is not None and clicks.series_instance_uid != series_uid:
        raise ClickError(
            f"{clicks.source}: series_instance_uid: expected {series_uid}, got {clicks.series_instance_uid}"
        )


def _bind_click(click: Click, context: str, spec: ModelSpec, geometry: hd.VolumeGeometry) -> Click:
    label = _resolve_class(click.label, context, spec)
    if (label, click.polarity) not in spec.accepted_clicks:
        raise ClickError(f"{context}: the model does not use {click.polarity.value} clicks of {label!r}")
    check_inside(click, context, geometry)
    return replace(click, label=label)


def _resolve_class(label: str, context: str, spec: ModelSpec) -> str:
    """Returns the class that a label names; a trailing number such as in ``lesion-3`` is ignored.

    A generic label stands for the only class with foreground clicks. A label that is a number is a channel number.
    """
    by_name = {name.casefold(): entry.name for entry in spec.classes for name in (entry.name, *entry.aliases)}
    by_channel = {str(entry.channel): entry.name for entry in spec.classes}
    name = label.strip().casefold()
    while name not in by_name and name not in by_channel and strip_number(name) != name:
        name = strip_number(name)
    if name in by_name or name in by_channel:
        return by_name.get(name) or by_channel[name]
    specific, _ = split_name(label)
    names = [entry.name for entry in spec.classes if (entry.name, Polarity.FOREGROUND) in spec.accepted_clicks]
    if specific:
        raise ClickError(
            f"{context}: unknown label {label!r:.80}: expected one of {', '.join(names)}",
            hint="`clickseg models list` shows all labels; a point without a label has the name of its file as label",
        )
    if len(names) != 1:
        raise ClickError(f"{context}: no label, and the model has several classes: expected one of {', '.join(names)}")
    return names[0]


def check_inside(click: Click, context: str, geometry: hd.VolumeGeometry) -> None:
    """Rejects a click more than half a voxel beyond the outermost voxel centres.

    Args:
        click: The click.
        context: The source and number of the click, for the error message.
        geometry: The grid of the series.

    Raises:
        ClickError: The click is outside the series.
    """
    index = geometry.map_reference_to_indices(np.array([click.position_mm]))[0]
    last = np.array(geometry.spatial_shape) - 1
    if not ((index >= -0.5) & (index <= last + 0.5)).all():
        first_mm, last_mm = geometry.map_indices_to_reference(np.array([[0, 0, 0], last]))
        raise ClickError(
            f"{context}: {_format_mm(click.position_mm)} is outside the series, which extends from "
            f"{_format_mm(first_mm)} to {_format_mm(last_mm)} (LPS)",
            hint="clicks are in LPS mm; in RAS the first two signs are reversed",
        )


def _format_mm(point: ArrayLike) -> str:
    return "(" + ", ".join(f"{float(value):.1f}" for value in np.asarray(point)) + ") mm"
