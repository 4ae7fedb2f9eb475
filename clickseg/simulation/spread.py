"""Clicks spread over the regions of a mask, placed before anything was found (autoPET IV)."""

from __future__ import annotations

from itertools import chain, cycle, islice

import numpy as np

from clickseg.arrays import Mask
from clickseg.boxes import Triple
from clickseg.simulation.clicker import IN_VOXELS
from clickseg.simulation.depth import depth_on_host
from clickseg.simulation.regions import Region, Regions


def spread(mask: Mask, count: int, rng: np.random.Generator) -> tuple[Triple, ...]:
    """Returns voxels: the centre of each of some regions, then voxels of their borders, region after region.

    Args:
        mask: Where to click [I, J, K].
        count: How many voxels; there are none where the mask is empty.
        rng: Draws the regions and their order, and the voxels of their borders.
    """
    regions = Regions(mask)
    if not len(regions):
        return ()
    drawn = rng.choice(len(regions), size=min(count, len(regions)), replace=False)
    chosen = [regions.region(1 + int(number)) for number in drawn]
    centres = (_centre(region) for region in chosen)
    borders = (_of_border(region, rng) for region in cycle(chosen))
    return tuple(islice(chain(centres, borders), count))


def _centre(region: Region) -> Triple:
    """Returns the deepest voxel, the first of equally deep ones."""
    distances = depth_on_host(region.mask, IN_VOXELS)
    return _placed(np.array(np.unravel_index(int(distances.argmax()), distances.shape)), region)


def _of_border(region: Region, rng: np.random.Generator) -> Triple:
    """Returns any of the least deep voxels."""
    distances = depth_on_host(region.mask, IN_VOXELS)
    border = np.argwhere(distances == distances[region.mask].min())
    return _placed(border[rng.integers(len(border))], region)


def _placed(place: np.ndarray, region: Region) -> Triple:
    i, j, k = (int(index) + first for index, first in zip(place, region.first, strict=True))
    return i, j, k
