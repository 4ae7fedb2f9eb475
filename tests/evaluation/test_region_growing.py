"""Region growing at 41 % of SUVmax, against regions that are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import SimpleITK

from clickseg.clicks.click import Polarity
from clickseg.clicks.simulated.clicker import VoxelClick
from clickseg.datasets.case import LabelledImage
from clickseg.evaluation.protocols import Cvpr2025
from clickseg.evaluation.region_growing import RADIUS_MM, RegionGrowing, grow_regions
from clickseg.evaluation.scores import REGION_GROWING
from clickseg.models.spec import ModelSpec
from tests.helpers import phantoms, toys

SHAPE = (12, 14, 16)
SPACING = (4.0, 3.0, 5.0)
LESION = (slice(3, 6), slice(4, 8), slice(5, 9))
FAR = (slice(9, 11), slice(11, 13), slice(13, 15))


def uptake() -> np.ndarray:
    suv = np.full(SHAPE, 0.5, np.float32)
    suv[LESION], suv[FAR] = 5.0, 8.0
    suv[4, 5, 6] = 10.0  # SUVmax of the lesion: 41 % of it are 4.1
    suv[3, 4, 5] = 4.0  # just below
    suv[3, 4, 6] = 4.2  # just above
    return suv


def image(suv: np.ndarray) -> LabelledImage:
    case = toys.case(suv > 0, suv > 0, modality="PT", spacing=SPACING)
    return LabelledImage("PT", "SUVbw", case.images[0].volume.with_array(suv))


def grown(suv: np.ndarray, *voxels: tuple[int, int, int], polarity: Polarity = Polarity.FOREGROUND) -> np.ndarray:
    method = RegionGrowing(image(suv))
    method.take([(1, VoxelClick(voxel, polarity)) for voxel in voxels])
    return method.found(1)


def expected(suv: np.ndarray, *seeds: tuple[int, int, int]) -> np.ndarray:
    """What ITK grows from the seeds, which counts axes the other way."""
    region = SimpleITK.ConnectedThreshold(
        SimpleITK.GetImageFromArray(suv), [seed[::-1] for seed in seeds], 0.41 * float(suv[seeds[0]]), math.inf
    )
    return SimpleITK.GetArrayFromImage(region).astype(bool)


def test_a_region_is_what_is_connected_and_has_41_per_cent_of_the_maximum() -> None:
    suv = uptake()

    region = grown(suv, (5, 7, 8))

    assert (region == expected(suv, (4, 5, 6))).all()
    assert region[3, 4, 6]
    assert not region[3, 4, 5]
    assert not region[FAR].any()


def test_a_click_into_a_cold_centre_grows_the_hot_rim() -> None:
    suv = uptake()
    suv[4, 6, 7] = 0.1

    region = grown(suv, (4, 6, 7))

    assert region[4, 5, 6]
    assert not region[4, 6, 7]


def test_the_maximum_is_looked_for_in_a_sphere() -> None:
    suv = np.full(SHAPE, 0.5, np.float32)
    suv[6, 7, 4:9] = 5.0
    inside, outside = int(RADIUS_MM // SPACING[0]), int(RADIUS_MM // SPACING[0]) + 1
    suv[6 - outside, 7, 6] = 50.0  # 16 mm away
    assert grown(suv, (6, 7, 6)).sum() == 5

    suv[6 - inside, 7, 6] = 50.0  # 12 mm away: no other voxel has 41 % of it

    assert grown(suv, (6, 7, 6)).sum() == 2  # it and the one beside it


def test_regions_of_clicks_add_up_and_background_clicks_teach_nothing() -> None:
    suv = uptake()

    both = grown(suv, (4, 5, 6), (9, 11, 13))

    assert (both == (grown(suv, (4, 5, 6)) | grown(suv, (9, 11, 13)))).all()
    assert not grown(suv, (4, 5, 6), polarity=Polarity.BACKGROUND).any()


def test_region_growing_plays_the_protocol_with_clicks_of_its_own() -> None:
    suv = uptake()
    spec = ModelSpec.model_validate(phantoms.metadata(guidance=phantoms.GUIDANCE))
    truth = np.zeros(SHAPE, bool)
    truth[LESION] = truth[FAR] = True
    case = toys.case(truth, truth, modality="PT", spacing=SPACING)
    case = type(case)("toy", (image(suv),), case.truth)

    (curve,) = grow_regions(case, spec, Cvpr2025(steps=2))

    assert curve.method == REGION_GROWING
    assert [score.agreement.dice for score in curve.scores] == pytest.approx(
        [0, 2 * 47 / (47 + 56), 2 * 55 / (55 + 56)]
    )
    assert grow_regions(toys.case(truth, truth), spec, Cvpr2025()) == ()
