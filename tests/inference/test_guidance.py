"""A click is rasterized as the ball of voxels around it on the model grid, and changes no other voxel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clickseg.clicks.click import Click, Polarity
from clickseg.core.errors import ClickError
from clickseg.inference.guidance import ball_offsets, positions_to_voxels, rasterize_clicks
from clickseg.models.spec import GuidanceSpec
from tests.helpers import phantoms

FG, BG = Polarity.FOREGROUND, Polarity.BACKGROUND
SPEC = GuidanceSpec.model_validate(phantoms.GUIDANCE)
GEOMETRY = phantoms.oblique_geometry((14, 15, 16))


def click(*index: float, label: str = "hook", polarity: Polarity = FG) -> Click:
    x, y, z = GEOMETRY.map_indices_to_reference(np.array([index]))[0]
    return Click(label, polarity, (x, y, z))


def rasterize(clicks: Sequence[Click], spec: GuidanceSpec = SPEC) -> np.ndarray:
    """Rasterizes clicks as guidance channels [G, I, J, K]."""
    channels = np.zeros((len(spec.channels), *GEOMETRY.spatial_shape))
    for channel, voxels in zip(channels, rasterize_clicks(clicks, GEOMETRY, spec), strict=True):
        channel[tuple(voxels.T)] = 1
    return channels


def test_a_click_with_radius_2_is_rasterized_as_33_voxels() -> None:
    (foreground, background) = rasterize([click(6, 7, 8)])

    voxels = np.argwhere(foreground)
    assert len(voxels) == 33
    assert ((voxels - [6, 7, 8]) ** 2).sum(axis=1).max() == 4
    assert set(np.unique(foreground)) == {0, 1}
    assert not background.any()


@pytest.mark.parametrize(("radius", "voxels"), [(0, 1), (1, 7), (2, 33), (2.4, 57), (3, 123)])
def test_a_ball_contains_the_voxels_within_its_radius(radius: float, voxels: int) -> None:
    offsets = ball_offsets(radius)

    assert len({tuple(offset) for offset in offsets}) == voxels
    assert (offsets**2).sum(axis=1).max() <= radius**2


@given(st.tuples(*[st.floats(-0.49, 0.49)] * 3))
def test_every_position_in_a_voxel_is_rounded_to_that_voxel(shift: tuple[float, float, float]) -> None:
    position = click(6 + shift[0], 7 + shift[1], 8 + shift[2]).position_mm

    assert positions_to_voxels([position], GEOMETRY)[0].tolist() == [6, 7, 8]


def test_a_ball_at_the_border_is_clipped_and_not_moved() -> None:
    (foreground, _) = rasterize([click(0, 0, 0)])

    assert len(np.argwhere(foreground)) == len([o for o in ball_offsets(2) if (o >= 0).all()])


def test_a_click_half_a_voxel_beyond_the_last_centre_is_rasterized() -> None:
    (foreground, _) = rasterize([click(13.5, 7, 8)])

    assert foreground[13, 7, 8] == 1


def test_the_channel_of_several_clicks_is_the_union_of_their_balls() -> None:
    clicks = [click(5, 5, 5), click(6, 5, 5), click(11, 11, 11)]

    (together, _) = rasterize(clicks)

    alone = np.maximum.reduce([rasterize([single])[0] for single in clicks])
    assert np.array_equal(together, alone)


def test_each_channel_contains_the_clicks_of_its_labels_and_polarities() -> None:
    channels = [
        {"takes": [["hook", "foreground"]]},
        {"takes": [["hook", "background"], ["ring", "foreground"]]},
        {"takes": [["ring", "foreground"]]},
    ]
    spec = GuidanceSpec.model_validate(phantoms.GUIDANCE | {"channels": channels})

    rasterized = rasterize([click(3, 3, 3), click(7, 7, 7, polarity=BG), click(11, 11, 11, label="ring")], spec)

    assert [sorted({int(i) for i in np.argwhere(c)[:, 0] if i in (3, 7, 11)}) for c in rasterized] == [
        [3],
        [7, 11],
        [11],
    ]
    assert rasterized.sum(axis=(1, 2, 3)).tolist() == [33, 66, 33]


def test_a_ball_without_voxels_on_the_model_grid_is_rejected() -> None:
    beyond = click(6, 7, 20.5)

    with pytest.raises(
        ClickError, match=r"the foreground click of 'hook' at \(.*\) mm is beyond the centre of the outermost"
    ):
        rasterize_clicks([beyond], GEOMETRY, SPEC)


def test_without_clicks_the_channels_are_empty() -> None:
    assert rasterize([]).shape == (2, 14, 15, 16)
    assert not rasterize([]).any()
