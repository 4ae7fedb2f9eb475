"""Which windows a change of clicks and masks touches, and a name for what each window is given."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import highdicom as hd
import numpy as np

from clickseg.arrays import Mask
from clickseg.boxes import Triple, around, bounds_of, meet
from clickseg.clicks.click import Click
from clickseg.incremental.history import Points
from clickseg.inference.guidance import balls, inside
from clickseg.inference.model_input import ModelInput
from clickseg.inference.windows import Window, WindowGrid
from clickseg.models.spec import GuidanceSpec

Keys = Mapping[Triple, bytes]
"""For each window, by its first voxel, a digest of the clicks and masks that it is given; images are the session's."""

NOTHING = b""


@dataclass(frozen=True, slots=True)
class Given:
    """What a network is given: one value, so that whatever is interrupted, its parts are of the same clicks.

    Attributes:
        points: The clicks.
        inputs: Images, clicks and masks on the model grid.
        keys: The same in short, by windows.
    """

    points: Points
    inputs: ModelInput
    keys: Keys


def keys_of_nothing(grid: WindowGrid) -> Keys:
    """Returns the keys of windows that hold no click, and no voxel of a mask."""
    return {window.start: NOTHING for window in grid}


def touched(
    before: Iterable[Click], after: Iterable[Click], grid: WindowGrid, geometry: hd.VolumeGeometry, spec: GuidanceSpec
) -> tuple[Window, ...]:
    """Returns the windows, in grid order, that hold a voxel of a click that came or went."""
    had, has = Counter(before), Counter(after)
    changed = balls([*(had - has), *(has - had)], geometry, spec)
    return grid.holding(np.concatenate(changed))


def masked_anew(before: Sequence[Mask], after: Sequence[Mask], grid: WindowGrid) -> tuple[Window, ...]:
    """Returns the windows, in grid order, in which masks [I, J, K] differ."""
    differs = [one != other for one, other in zip(before, after, strict=True) if one is not other]
    bounds = [box for box in map(bounds_of, differs) if box is not None]
    if not bounds:
        return ()
    box = around(bounds)
    near = (window for window in grid if meet(window.place, box))
    return tuple(window for window in near if any(each[window.place].any() for each in differs))


def key_of(window: Window, inputs: ModelInput) -> bytes:
    """Returns the key of a window."""
    voxels = [np.unique(inside(each - window.start, window.roi), axis=0).astype(np.int32) for each in inputs.balls]
    masks = [mask[window.place] for mask in inputs.masks]
    if not any(len(each) for each in voxels) and not any(mask.any() for mask in masks):
        return NOTHING
    digest = hashlib.blake2b(digest_size=16)
    for each in voxels:
        digest.update(len(each).to_bytes(8, "little") + each.tobytes())
    for mask in masks:
        digest.update(np.packbits(mask).tobytes())
    return digest.digest()
