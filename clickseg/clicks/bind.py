"""Binding clicks to a series and a model: every click gets a class and a place, or is refused."""

from __future__ import annotations

from dataclasses import dataclass

import highdicom as hd
import numpy as np

from clickseg.clicks.click import Click, Clicks, Polarity
from clickseg.clicks.names import GENERIC
from clickseg.errors import ClickError
from clickseg.models.spec import ModelSpec
from clickseg.wording import counted


@dataclass(frozen=True, slots=True)
class BoundClick:
    """A click that belongs to a class of the model and lies in the series.

    Attributes:
        label: The class's name.
        polarity: Foreground or background of that class.
        position_mm: LPS mm.
    """

    label: str
    polarity: Polarity
    position_mm: tuple[float, float, float]


def bind(clicks: Clicks, spec: ModelSpec, geometry: hd.VolumeGeometry, series_uid: str) -> tuple[BoundClick, ...]:
    """Binds clicks to a model and a series.

    Args:
        clicks: The clicks of one source.
        spec: The model, whose classes and guidance channels the clicks must be for.
        geometry: The grid of the series that the result refers to.
        series_uid: Its Series Instance UID.

    Raises:
        ClickError: The clicks are for another series or frame of reference, the model takes none, a label is unknown or
            ambiguous, or a click lies outside. Nothing is clamped or skipped.
    """
    _check_frame(clicks, geometry, series_uid)
    if clicks.points and spec.guidance is None:
        raise ClickError(f"{clicks.source}: {counted(len(clicks.points), 'click')}, but the model takes none")
    return tuple(_bind(click, number, clicks.source, spec, geometry) for number, click in enumerate(clicks.points, 1))


def _check_frame(clicks: Clicks, geometry: hd.VolumeGeometry, series_uid: str) -> None:
    frame = clicks.frame_of_reference_uid
    if frame is not None and frame != geometry.frame_of_reference_uid:
        raise ClickError(
            f"{clicks.source}: frame_of_reference_uid: expected {geometry.frame_of_reference_uid}, got {frame}"
        )
    if clicks.series_instance_uid is not None and clicks.series_instance_uid != series_uid:
        raise ClickError(
            f"{clicks.source}: series_instance_uid: expected {series_uid}, got {clicks.series_instance_uid}"
        )


def _bind(click: Click, number: int, source: str, spec: ModelSpec, geometry: hd.VolumeGeometry) -> BoundClick:
    where = f"{source}: click {number}"
    label = _label(click.label, where, spec)
    if not any(
        (label, click.polarity) in channel.takes for channel in (spec.guidance.channels if spec.guidance else ())
    ):
        raise ClickError(f"{where}: the model takes no {click.polarity.value} clicks of {label!r}")
    _check_inside(click, where, geometry)
    return BoundClick(label, click.polarity, click.position_mm)


def _label(label: str, where: str, spec: ModelSpec) -> str:
    wanted = label.strip().casefold()
    for each in spec.classes:
        if wanted in (each.name.casefold(), *(alias.casefold() for alias in each.aliases)):
            return each.name
    names = ", ".join(each.name for each in spec.classes)
    if wanted not in GENERIC:
        raise ClickError(f"{where}: unknown label {label!r}: expected one of {names}")
    if len(spec.classes) > 1:
        raise ClickError(f"{where}: no label, and the model has several: expected one of {names}")
    return spec.classes[0].name


def _check_inside(click: Click, where: str, geometry: hd.VolumeGeometry) -> None:
    """Refuses a click more than half a voxel beyond the outermost voxel centres."""
    index = geometry.map_reference_to_indices(np.array([click.position_mm]), round_output=False)[0]
    last = np.array(geometry.spatial_shape) - 0.5
    if (index < -0.5).any() or (index > last).any():
        corners = geometry.map_indices_to_reference(np.array([[0, 0, 0], np.array(geometry.spatial_shape) - 1]))
        raise ClickError(
            f"{where}: {_mm(click.position_mm)} lies outside the series, which reaches from {_mm(corners[0])} to "
            f"{_mm(corners[1])} (LPS)",
            hint="clicks are in LPS mm; RAS has the first two signs reversed",
        )


def _mm(point: object) -> str:
    return "(" + ", ".join(f"{float(value):.1f}" for value in np.asarray(point)) + ") mm"
