"""The forms of click files: how each is told from the others, read and written; nothing else knows which there are."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clickseg.clicks.click import Clicks
from clickseg.clicks.formats.clicks_json import clicks_json, is_clicks_json, parse_clicks_json
from clickseg.clicks.formats.cvpr import cvpr_npz
from clickseg.clicks.formats.grand_challenge import (
    Frame,
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

Parse = Callable[[Any, str, Frame], AnyClicks]


@dataclass(frozen=True, slots=True)
class JsonForm:
    """A form of JSON.

    Attributes:
        matches: Whether JSON looks like it.
        parse: Reads it; given the JSON, the file's name, and what numbers without a frame are.
    """

    matches: Callable[[Any], bool]
    parse: Parse


JSON_FORMS: Sequence[JsonForm] = (
    JsonForm(is_slicer_markups, lambda data, source, _: parse_slicer_markups(data, source)),
    JsonForm(is_grand_challenge, parse_grand_challenge),
    JsonForm(is_clicks_json, lambda data, source, _: parse_clicks_json(data, source)),
    JsonForm(is_vista3d, lambda data, source, _: parse_vista3d(data, source)),
    JsonForm(is_monai_label, lambda data, source, _: parse_monai_label(data, source)),
)
"""The forms that are JSON, in the order in which they are tried."""

MM_WRITERS: Mapping[str, Callable[[Clicks], bytes]] = {
    "clickseg": lambda clicks: _json(clicks_json(clicks)),
    "slicer": lambda clicks: _json(slicer_markups_json(clicks)),
    "fcsv": lambda clicks: slicer_fcsv(clicks).encode(),
}
"""The forms that hold millimetres."""

VOXEL_WRITERS: Mapping[str, Callable[[Sequence[VoxelClick]], bytes]] = {
    "grand-challenge": lambda clicks: _json(grand_challenge_json(clicks)),
    "deepgrow": lambda clicks: _json(deepgrow_json(clicks)),
    "deepedit": lambda clicks: _json(deepedit_json(clicks)),
    "vista3d": lambda clicks: _json(vista3d_json(clicks)),
    "cvpr": cvpr_npz,
}
"""The forms that hold voxels of a series."""

NUMBERED = ("cvpr",)
"""The forms that hold a number in the place of each label."""


def _json(content: Any) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()
