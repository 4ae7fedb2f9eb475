"""Binding clicks to a series and a model: every click gets a class and a place, or is refused."""

from __future__ import annotations

from dataclasses import replace

import highdicom as hd
import numpy as np
from numpy.typing import ArrayLike

from clickseg.clicks.click import Click, Clicks, Polarity
from clickseg.clicks.names import split_name, without_number
from clickseg.core.errors import ClickError
from clickseg.core.text import counted
from clickseg.models.spec import ModelSpec


def bind(clicks: Clicks, spec: ModelSpec, geometry: hd.VolumeGeometry, series_uid: str) -> Clicks:
    """Binds clicks to a model and a series.

    Args:
        clicks: The clicks of one source.
        spec: The model, whose classes and guidance channels the clicks must be for.
        geometry: The grid of the series that the result refers to.
        series_uid: Its Series Instance UID.

    Returns:
        The clicks, each with the name of its class as label.

    Raises:
        ClickError: The clicks are for another series or frame of reference, the model takes none, a label is unknown or
            ambiguous, or a click lies outside. Nothing is clamped or skipped.
    """
    _check_series_and_frame(clicks, geometry, series_uid)
    if clicks.points and spec.guidance is None:
        raise ClickError(f"{clicks.source}: {counted(len(clicks.points), 'click')}, but the model takes none")
    places = [f"{clicks.source}: click {number}" for number in range(1, len(clicks.points) + 1)]
    bound = [_bind_click(click, where, spec, geometry) for click, where in zip(clicks.points, places, strict=True)]
    return replace(clicks, points=tuple(bound))


def _check_series_and_frame(clicks: Clicks, geometry: hd.VolumeGeometry, series_uid: str) -> None:
    frame = clicks.frame_of_reference_uid
    if frame is not None and frame != geometry.frame_of_reference_uid:
        raise ClickError(
            f"{clicks.source}: frame_of_reference_uid: expected {geometry.frame_of_reference_uid}, got {frame}"
        )
    if clicks.series_instance_uid is not None and clicks.series_instance_uid != series_uid:
        raise ClickError(
            f"{clicks.source}: series_instance_uid: expected {series_uid}, got {clicks.series_instance_uid}"
        )


def _bind_click(click: Click, where: str, spec: ModelSpec, geometry: hd.VolumeGeometry) -> Click:
    label = _resolve_class(click.label, where, spec)
    if (label, click.polarity) not in spec.taken:
        raise ClickError(f"{where}: the model takes no {click.polarity.value} clicks of {label!r}")
    check_inside(click, where, geometry)
    return replace(click, label=label)


def _resolve_class(label: str, where: str, spec: ModelSpec) -> str:
    """Returns the class that a label names, with or without a number.

    A generic label is the only one's to click; one that is a number is that of the channel, as in label maps.
    """
    known = {name.casefold(): each.name for each in spec.classes for name in (each.name, *each.aliases)}
    numbered = {str(each.channel): each.name for each in spec.classes}
    name = label.strip().casefold()
    while name not in known and name not in numbered and without_number(name) != name:
        name = without_number(name)
    if name in known or name in numbered:
        return known.get(name) or numbered[name]
    generic, _ = split_name(label)
    names = [each.name for each in spec.classes if (each.name, Polarity.FOREGROUND) in spec.taken]
    if generic:
        raise ClickError(
            f"{where}: unknown label {label!r:.80}: expected one of {', '.join(names)}",
            hint="clickseg models names all labels; a point without one has the name of its list, which is the file's",
        )
    if len(names) != 1:
        raise ClickError(f"{where}: no label, and the model has several: expected one of {', '.join(names)}")
    return names[0]


def check_inside(click: Click, where: str, geometry: hd.VolumeGeometry) -> None:
    """Refuses a click more than half a voxel beyond the outermost voxel centres.

    Raises:
        ClickError: It lies there.
    """
    index = geometry.map_reference_to_indices(np.array([click.position_mm]))[0]
    last = np.array(geometry.spatial_shape) - 1
    if not ((index >= -0.5) & (index <= last + 0.5)).all():
        first_mm, last_mm = geometry.map_indices_to_reference(np.array([[0, 0, 0], last]))
        raise ClickError(
            f"{where}: {_format_mm(click.position_mm)} lies outside the series, which reaches from {_format_mm(first_mm)} to "
            f"{_format_mm(last_mm)} (LPS)",
            hint="clicks are in LPS mm; RAS has the first two signs reversed",
        )


def _format_mm(point: ArrayLike) -> str:
    return "(" + ", ".join(f"{float(value):.1f}" for value in np.asarray(point)) + ") mm"
