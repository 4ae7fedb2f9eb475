"""Which windows a change of clicks touches, and a name for what each window is given."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping

import highdicom as hd
import numpy as np

from clickseg.arrays import Indices
from clickseg.boxes import Triple
from clickseg.clicks.click import Click
from clickseg.inference.guidance import balls, inside
from clickseg.inference.windows import Window, WindowGrid
from clickseg.models.spec import GuidanceSpec

Keys = Mapping[Triple, bytes]
"""For each window, by its first voxel, a digest of the clicks that it is given; the images are the session's."""

NO_CLICKS = b""


def keys_without_clicks(grid: WindowGrid) -> Keys:
    """Returns the keys of windows that hold no click."""
    return {window.start: NO_CLICKS for window in grid}


def touched(
    before: Iterable[Click], after: Iterable[Click], grid: WindowGrid, geometry: hd.VolumeGeometry, spec: GuidanceSpec
) -> tuple[Window, ...]:
    """Returns the windows, in grid order, that hold a voxel of a click that came or went."""
    had, has = Counter(before), Counter(after)
    changed = balls([*(had - has), *(has - had)], geometry, spec)
    return grid.holding(np.concatenate(changed))


def key_of(window: Window, drawn: Iterable[Indices]) -> bytes:
    """Returns the key of a window.

    Args:
        window: The window.
        drawn: For each guidance channel the voxels [N, 3] that are 1.
    """
    voxels = [np.unique(inside(each - window.start, window.roi), axis=0).astype(np.int32) for each in drawn]
    if not any(len(each) for each in voxels):
        return NO_CLICKS
    digest = hashlib.blake2b(digest_size=16)
    for each in voxels:
        digest.update(len(each).to_bytes(8, "little") + each.tobytes())
    return digest.digest()
