"""Cases of the CVPR 2025 interactive segmentation challenge (``.npz``), with voxels [z, y, x] as in its code."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from io import BytesIO
from lzma import LZMAError
from tokenize import TokenError
from typing import Annotated, Any, BinaryIO, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from clickseg.clicks.click import Polarity
from clickseg.clicks.formats.clicks_json import MAX_CLICKS
from clickseg.clicks.formats.plain_pickle import PickleError, plain_value
from clickseg.clicks.image_clicks import UnresolvedClick, UnresolvedClicks, Voxel, VoxelClick
from clickseg.core.errors import ClickError
from clickseg.core.validation import validate_record

_CLICKS, _ORDER = "clicks.npy", "clicks_order.npy"
_MAX_BYTES = 16 << 20
_POLARITIES = {"fg": Polarity.FOREGROUND, "bg": Polarity.BACKGROUND}

Index = Annotated[int, Field(ge=0, strict=True)]
Points = Annotated[tuple[tuple[Index, Index, Index], ...], Field(max_length=MAX_CLICKS)]
Step = Literal["fg", "bg"] | None


class _ClassClicks(BaseModel):
    """The clicks of one class."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fg: Points = ()
    bg: Points = ()


class _File(BaseModel):
    """The clicks of a case. ``clicks_order`` is the order of the clicks of each class; None is a step without click."""

    model_config = ConfigDict(frozen=True)

    clicks: tuple[_ClassClicks, ...]
    clicks_order: tuple[tuple[Step, ...], ...] | None = None


def read_cvpr(archive: BinaryIO, source: str) -> UnresolvedClicks:
    """Reads the clicks of a case.

    If there are several classes, the label is the number of the class (from 1), else it is empty.

    Args:
        archive: The file.
        source: The name of the file.

    Raises:
        ClickError: The file contains no clicks, or invalid voxels.
    """
    file = validate_record(_File, _read_content(archive, source), source, ClickError)
    orders: Sequence[Sequence[Step]] = file.clicks_order or [()] * len(file.clicks)
    if len(orders) != len(file.clicks):
        raise ClickError(f"{source}: clicks_order: expected {len(file.clicks)} classes as in clicks, got {len(orders)}")
    labels = [str(number) for number in range(1, len(orders) + 1)] if len(orders) > 1 else [""]
    points = [
        click
        for label, members, order in zip(labels, file.clicks, orders, strict=True)
        for click in _sort_clicks(label, members, order)
    ]
    return UnresolvedClicks(tuple(points), source)


def _sort_clicks(label: str, clicks: _ClassClicks, order: Sequence[Step]) -> list[UnresolvedClick]:
    """Returns the clicks of a class in their order. If the order is incomplete, foreground clicks are first."""
    remaining = {"fg": list(clicks.fg), "bg": list(clicks.bg)}
    steps: list[str] = [step for step in order if step is not None]
    if sorted(steps) != ["bg"] * len(clicks.bg) + ["fg"] * len(clicks.fg):
        steps = ["fg"] * len(clicks.fg) + ["bg"] * len(clicks.bg)
    return [UnresolvedClick(label, _POLARITIES[step], _voxel(remaining[step].pop(0))) for step in steps]


def _voxel(point: tuple[int, int, int]) -> Voxel:
    k, j, i = point
    return Voxel(i, j, k)


def _read_content(file: BinaryIO, source: str) -> dict[str, Any]:
    """Returns clicks and their order as plain values. Pickles in the file are not executed."""
    try:
        with zipfile.ZipFile(file) as archive:
            members = [name for name in (_CLICKS, _ORDER) if name in archive.namelist()]
            if _CLICKS not in members:
                raise ClickError(f"{source}: expected an array named clicks, got {', '.join(archive.namelist()[:8])}")
            return {name.removesuffix(".npy"): _read_array(archive, name) for name in members}
    except (MemoryError, PickleError, SyntaxError, TokenError, ValueError) as error:
        raise ClickError(f"{source}: clicks cannot be read: {error}") from error
    except (EOFError, LZMAError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise ClickError(f"{source}: not a .npz archive: {error}") from error
    except OSError as error:
        raise ClickError(f"{source}: cannot be read: {error.strerror or error}") from error


def _read_array(archive: zipfile.ZipFile, name: str) -> Any:
    with archive.open(name) as file:
        major, _ = np.lib.format.read_magic(file)
        read_header = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
        shape, _, dtype = read_header(file)
        content = file.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise ValueError(f"{name}: expected at most {_MAX_BYTES} bytes")
    if dtype.hasobject:
        return _reshape(plain_value(content), shape)
    return (
        np.frombuffer(content, dtype).reshape(shape).tolist()
    )  # orders of equal length are an array of text; empty ones, of numbers


def _reshape(values: Any, shape: Sequence[int]) -> Any:
    """Returns the objects of an array, which are stored in one list, as nested lists of its shape."""
    if len(shape) <= 1 or not isinstance(values, list):
        return values
    inner = len(values) // max(shape[0], 1)
    return [_reshape(values[row * inner : (row + 1) * inner], shape[1:]) for row in range(shape[0])]


def cvpr_npz(clicks: Sequence[VoxelClick]) -> bytes:
    """Returns clicks as a case without images. Classes are numbered in alphabetical order of their labels."""
    labels = sorted({click.label for click in clicks}) or [""]
    groups = [[click for click in clicks if click.label == label] for label in labels]
    points = [
        {
            key: [list(click.voxel[::-1]) for click in group if click.polarity is polarity]
            for key, polarity in _POLARITIES.items()
        }
        for group in groups
    ]
    order = [["fg" if click.polarity is Polarity.FOREGROUND else "bg" for click in group] for group in groups]
    file = BytesIO()
    np.savez(file, clicks=_to_object_array(points), clicks_order=_to_object_array(order))
    return file.getvalue()


def _to_object_array(values: Sequence[Any]) -> np.ndarray[Any, Any]:
    """Returns a one-dimensional array of objects, even if the objects are lists of equal length."""
    array = np.empty(len(values), dtype=object)
    array[:] = list(values)
    return array
