"""MONAI Label's ``params``: voxels [i, j, k] in the forms of its apps, Deepgrow, DeepEdit and VISTA3D."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from clickseg.clicks.click import Polarity
from clickseg.clicks.clicks_json import MAX_CLICKS
from clickseg.clicks.pending import PendingClick, PendingClicks, Voxel, VoxelClick
from clickseg.errors import ClickError
from clickseg.validation import parse

_FOREGROUND, _BACKGROUND = "foreground", "background"
_LABEL = "label"

Index = Annotated[int, Field(ge=0, strict=True)]
Points = Annotated[tuple[tuple[Index, Index, Index], ...], Field(max_length=MAX_CLICKS)]
_POINTS: TypeAdapter[tuple[tuple[int, int, int], ...]] = TypeAdapter(Points)


class _Vista3d(BaseModel):
    """Points with a label each: 1 and 3 foreground, 0 and 2 background, -1 none."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    points: Points
    point_labels: tuple[Annotated[int, Field(ge=-1, le=3)], ...]


def is_vista3d(data: Any) -> bool:
    """Whether JSON looks like the parameters of VISTA3D."""
    return isinstance(data, dict) and "points" in data and "point_labels" in data


def is_monai_label(data: Any) -> bool:
    """Whether JSON looks like the parameters of Deepgrow or DeepEdit: lists of points, one of them the background."""
    keys = (_FOREGROUND, _BACKGROUND)
    return isinstance(data, dict) and any(_is_points(data.get(key)) for key in keys if key in data)


def _is_points(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(point, list) and len(point) == 3 for point in value)


def parse_vista3d(data: Any, source: str) -> PendingClicks:
    """Reads the parameters of VISTA3D; its class numbers are its own, so clicks have no label.

    Raises:
        ClickError: A point is no voxel, or there are not as many labels as points.
    """
    file = parse(_Vista3d, data, source, ClickError)
    if len(file.points) != len(file.point_labels):
        raise ClickError(
            f"{source}: point_labels: expected {len(file.points)} as in points, got {len(file.point_labels)}"
        )
    polarities = {0: Polarity.BACKGROUND, 1: Polarity.FOREGROUND, 2: Polarity.BACKGROUND, 3: Polarity.FOREGROUND}
    return PendingClicks(
        tuple(
            PendingClick("", polarities[number], Voxel(*point))
            for point, number in zip(file.points, file.point_labels, strict=True)
            if number in polarities
        ),
        source,
    )


def parse_monai_label(data: Mapping[str, Any], source: str) -> PendingClicks:
    """Reads the parameters of Deepgrow (``foreground``, ``background``) or DeepEdit (a list for each label).

    Values that are no lists are other parameters. ``label`` names the label of foreground and background.

    Raises:
        ClickError: A list holds something else than voxels.
    """
    label = data.get(_LABEL, "")
    if not isinstance(label, str):
        raise ClickError(f"{source}: label: expected a text, got {label!r:.60}")
    lists = {key: value for key, value in data.items() if isinstance(value, list)}
    points = [click for key, value in lists.items() for click in _clicks(key, value, label, source)]
    return PendingClicks(tuple(points), source)


def _clicks(key: str, value: list[Any], label: str, source: str) -> list[PendingClick]:
    try:
        points = _POINTS.validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in (key, *first["loc"]))
        raise ClickError(f"{source}: {place}: {first['msg']}, got {first['input']!r:.60}") from error
    polarity = Polarity.BACKGROUND if key == _BACKGROUND else Polarity.FOREGROUND
    name = label if key in (_FOREGROUND, _BACKGROUND) else key
    return [PendingClick(name, polarity, Voxel(*point)) for point in points]


def deepgrow_json(clicks: Sequence[VoxelClick]) -> dict[str, Any]:
    """Returns clicks of one label as the parameters of Deepgrow."""
    content: dict[str, Any] = {_LABEL: _only_label(clicks)} if _only_label(clicks) else {}
    for polarity in Polarity:
        content[polarity.value] = [list(click.voxel) for click in clicks if click.polarity is polarity]
    return content


def deepedit_json(clicks: Sequence[VoxelClick]) -> dict[str, Any]:
    """Returns clicks as the parameters of DeepEdit, which has one background for all labels."""
    content: dict[str, Any] = {}
    for click in clicks:
        key = _BACKGROUND if click.polarity is Polarity.BACKGROUND else click.label or _FOREGROUND
        content.setdefault(key, []).append(list(click.voxel))
    content.setdefault(_BACKGROUND, [])
    return {**content, _LABEL: _only_label(clicks)} if _only_label(clicks) else content


def vista3d_json(clicks: Sequence[VoxelClick]) -> dict[str, Any]:
    """Returns clicks of one label as the parameters of VISTA3D."""
    _only_label(clicks)
    return {
        "points": [list(click.voxel) for click in clicks],
        "point_labels": [int(click.polarity is Polarity.FOREGROUND) for click in clicks],
    }


def _only_label(clicks: Sequence[VoxelClick]) -> str:
    labels = sorted({click.label for click in clicks})
    if len(labels) > 1:
        raise ClickError(f"this form has one label: the clicks have {', '.join(labels)}")
    return labels[0] if labels else ""
