"""The formats of click files: how each is recognized, read and written. Other modules do not list the formats."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clickseg.clicks.click import Clicks
from clickseg.clicks.formats.clicks_json import clicks_json, is_clicks_json, parse_clicks_json
from clickseg.clicks.formats.cvpr import cvpr_npz
from clickseg.clicks.formats.grand_challenge import (
    CoordinateSystem,
    grand_challenge_json,
    is_grand_challenge,
    parse_grand_challenge,
)
from clickseg.clicks.formats.monai_label import (
    deepedit_json,
    deepgrow_json,
    is_monai_label,
    is_vista3d,
    parse_monai_label,
    parse_vista3d,
    vista3d_json,
)
from clickseg.clicks.formats.slicer import is_slicer_markups, parse_slicer_markups, slicer_fcsv, slicer_markups_json
from clickseg.clicks.image_clicks import AnyClicks, VoxelClick

Parse = Callable[[Any, str, CoordinateSystem], AnyClicks]


@dataclass(frozen=True, slots=True)
class JsonFormat:
    """A JSON format.

    Attributes:
        matches: Returns whether parsed JSON looks like this format.
        parse: Reads parsed JSON. Further arguments: the name of the file, and the coordinate system of Grand Challenge.
    """

    matches: Callable[[Any], bool]
    parse: Parse


JSON_FORMATS: Sequence[JsonFormat] = (
    JsonFormat(is_slicer_markups, lambda data, source, _: parse_slicer_markups(data, source)),
    JsonFormat(is_grand_challenge, parse_grand_challenge),
    JsonFormat(is_clicks_json, lambda data, source, _: parse_clicks_json(data, source)),
    JsonFormat(is_vista3d, lambda data, source, _: parse_vista3d(data, source)),
    JsonFormat(is_monai_label, lambda data, source, _: parse_monai_label(data, source)),
)
"""The JSON formats, in the order in which they are tried."""

MM_WRITERS: Mapping[str, Callable[[Clicks], bytes]] = {
    "clickseg": lambda clicks: _encode_json(clicks_json(clicks)),
    "slicer": lambda clicks: _encode_json(slicer_markups_json(clicks)),
    "fcsv": lambda clicks: slicer_fcsv(clicks).encode(),
}
"""The writers of formats in millimetres."""

VOXEL_WRITERS: Mapping[str, Callable[[Sequence[VoxelClick]], bytes]] = {
    "grand-challenge": lambda clicks: _encode_json(grand_challenge_json(clicks)),
    "deepgrow": lambda clicks: _encode_json(deepgrow_json(clicks)),
    "deepedit": lambda clicks: _encode_json(deepedit_json(clicks)),
    "vista3d": lambda clicks: _encode_json(vista3d_json(clicks)),
    "cvpr": cvpr_npz,
}
"""The writers of formats in voxels of a series."""

NUMBERED_LABEL_FORMATS = ("cvpr",)
"""The formats that store a number in place of each label."""


def _encode_json(content: Any) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()
