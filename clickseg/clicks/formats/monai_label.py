"""The ``params`` of MONAI Label: voxels [i, j, k] in the formats of Deepgrow, DeepEdit and VISTA3D."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from clickseg.clicks.click import Polarity
from clickseg.clicks.formats.clicks_json import MAX_CLICKS
from clickseg.clicks.image_clicks import UnresolvedClick, UnresolvedClicks, Voxel, VoxelClick
from clickseg.core.errors import ClickError
from clickseg.core.validation import validate_record

_FOREGROUND, _BACKGROUND = "foreground", "background"
_LABEL = "label"
_PADDING_LABEL = -1
"""The label of a point that only pads a batch."""


def _to_integer(value: Any) -> Any:
    """Returns 138 for 138.0, as JavaScript and NumPy may write it. Other values are returned unchanged."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Index = Annotated[int, BeforeValidator(_to_integer), Field(ge=0, strict=True)]
Points = Annotated[tuple[tuple[Index, Index, Index], ...], Field(max_length=MAX_CLICKS)]
_POINTS: TypeAdapter[tuple[tuple[int, int, int], ...]] = TypeAdapter(Points)


class _Vista3d(BaseModel):
    """Points, each with a label: 1 and 3 are foreground, 0 and 2 background, -1 is padding."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    points: tuple[Any, ...]
    point_labels: tuple[Annotated[int, Field(ge=-1, le=3)], ...]


def is_vista3d(data: Any) -> bool:
    """Returns whether JSON looks like the parameters of VISTA3D."""
    return isinstance(data, dict) and "points" in data and "point_labels" in data


def is_monai_label(data: Any) -> bool:
    """Returns whether JSON looks like the parameters of Deepgrow or DeepEdit: foreground or background points."""
    keys = (_FOREGROUND, _BACKGROUND)
    return isinstance(data, dict) and any(_is_point_list(data.get(key)) for key in keys if key in data)


def _is_point_list(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(point, list) and len(point) == 3 for point in value)


def parse_vista3d(data: Any, source: str) -> UnresolvedClicks:
    """Reads the parameters of VISTA3D. Clicks get no label, since class numbers are specific to VISTA3D.

    Raises:
        ClickError: A point is not a voxel, or the numbers of labels and points differ.
    """
    file = validate_record(_Vista3d, data, source, ClickError)
    if len(file.points) != len(file.point_labels):
        raise ClickError(
            f"{source}: point_labels: expected {len(file.points)} as in points, got {len(file.point_labels)}"
        )
    labelled = zip(file.points, file.point_labels, strict=True)
    inputs = [(point, number) for point, number in labelled if number != _PADDING_LABEL]
    points = _voxels("points", [point for point, _ in inputs], source)
    polarities = [Polarity.FOREGROUND if number in (1, 3) else Polarity.BACKGROUND for _, number in inputs]
    clicks = (UnresolvedClick("", polarity, point) for polarity, point in zip(polarities, points, strict=True))
    return UnresolvedClicks(tuple(clicks), source)


def parse_monai_label(data: Mapping[str, Any], source: str) -> UnresolvedClicks:
    """Reads the parameters of Deepgrow (``foreground``, ``background``) or DeepEdit (a list for each label).

    Values that are not lists of lists are other parameters, and ignored. ``label`` is the label of the foreground and
    background points.

    Raises:
        ClickError: A point is not a voxel.
    """
    label = data.get(_LABEL, "")
    if not isinstance(label, str):
        raise ClickError(f"{source}: label: expected a string, got {label!r:.60}")
    lists = {key: value for key, value in data.items() if _may_be_points(key, value)}
    points = [click for key, value in lists.items() for click in _clicks(key, value, label, source)]
    return UnresolvedClicks(tuple(points), source)


def _may_be_points(key: str, value: Any) -> bool:
    """Returns whether a parameter contains points. Other lists are a region of interest, devices and the like."""
    return isinstance(value, list) and (
        key in (_FOREGROUND, _BACKGROUND) or all(isinstance(item, list) for item in value)
    )


def _clicks(key: str, value: list[Any], label: str, source: str) -> list[UnresolvedClick]:
    polarity = Polarity.BACKGROUND if key == _BACKGROUND else Polarity.FOREGROUND
    name = label if key in (_FOREGROUND, _BACKGROUND) else key
    return [UnresolvedClick(name, polarity, point) for point in _voxels(key, value, source)]


def _voxels(key: str, value: list[Any], source: str) -> list[Voxel]:
    try:
        points = _POINTS.validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in (key, *first["loc"]))
        raise ClickError(f"{source}: {field}: {first['msg']}, got {first['input']!r:.60}") from error
    return [Voxel(*point) for point in points]


def deepgrow_json(clicks: Sequence[VoxelClick]) -> dict[str, Any]:
    """Returns clicks of one label as parameters of Deepgrow."""
    content: dict[str, Any] = {_LABEL: _only_label(clicks)} if _only_label(clicks) else {}
    for polarity in Polarity:
        content[polarity.value] = [list(click.voxel) for click in clicks if click.polarity is polarity]
    return content


def deepedit_json(clicks: Sequence[VoxelClick]) -> dict[str, Any]:
    """Returns clicks as parameters of DeepEdit, which has one background for all labels."""
    content: dict[str, Any] = {}
    for click in clicks:
        key = _BACKGROUND if click.polarity is Polarity.BACKGROUND else click.label or _FOREGROUND
        content.setdefault(key, []).append(list(click.voxel))
    content.setdefault(_BACKGROUND, [])
    return {**content, _LABEL: _only_label(clicks)} if _only_label(clicks) else content


def vista3d_json(clicks: Sequence[VoxelClick]) -> dict[str, Any]:
    """Returns clicks of one label as parameters of VISTA3D."""
    _only_label(clicks)
    return {
        "points": [list(click.voxel) for click in clicks],
        "point_labels": [int(click.polarity is Polarity.FOREGROUND) for click in clicks],
    }


def _only_label(clicks: Sequence[VoxelClick]) -> str:
    labels = sorted({click.label for click in clicks})
    if len(labels) > 1:
        raise ClickError(f"the format stores only one label, but the clicks have {len(labels)}: {', '.join(labels)}")
    return labels[0] if labels else ""
