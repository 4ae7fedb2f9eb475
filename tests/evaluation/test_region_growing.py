"""Region growing at 41 % of SUVmax, compared with known regions and with ITK."""

from __future__ import annotations

import math

import numpy as np
import pytest
import SimpleITK

from clickseg.clicks.click import Polarity
from clickseg.clicks.simulated.clicker import SimulatedClick
from clickseg.datasets.case import LabelledImage
from clickseg.evaluation.protocols import Cvpr2025
from clickseg.evaluation.region_growing import RADIUS_MM, RegionGrowing, evaluate_region_growing
from clickseg.evaluation.scores import REGION_GROWING
from clickseg.models.spec import ModelSpec
from tests.helpers import phantoms, toys

SHAPE = (12, 14, 16)
SPACING = (4.0, 3.0, 5.0)
LESION = (slice(3, 6), slice(4, 8), slice(5, 9))
FAR = (slice(9, 11), slice(11, 13), slice(13, 15))


def make_suv() -> np.ndarray:
    suv = np.full(SHAPE, 0.5, np.float32)
    suv[LESION], suv[FAR] = 5.0, 8.0
    suv[4, 5, 6] = 10.0  # SUVmax of the lesion; 41 % of SUVmax is 4.1
    suv[3, 4, 5] = 4.0  # just below the threshold
    suv[3, 4, 6] = 4.2  # just above the threshold
    return suv


def make_image(suv: np.ndarray) -> LabelledImage:
    case = toys.make_case(suv > 0, suv > 0, modality="PT", spacing=SPACING)
    return LabelledImage("PT", "SUVbw", case.images[0].volume.with_array(suv))


def grow(suv: np.ndarray, *voxels: tuple[int, int, int], polarity: Polarity = Polarity.FOREGROUND) -> np.ndarray:
    method = RegionGrowing(make_image(suv))
    method.add_clicks([(1, SimulatedClick(voxel, polarity)) for voxel in voxels])
    return method.mask(1)


def grow_with_itk(suv: np.ndarray, *seeds: tuple[int, int, int]) -> np.ndarray:
    """The region that ITK grows from seeds; ITK indices are in reverse order."""
    region = SimpleITK.ConnectedThreshold(
        SimpleITK.GetImageFromArray(suv), [seed[::-1] for seed in seeds], 0.41 * float(suv[seeds[0]]), math.inf
    )
    return SimpleITK.GetArrayFromImage(region).astype(bool)


def test_a_region_has_the_connected_voxels_of_at_least_41_percent_of_suvmax() -> None:
    suv = make_suv()

    region = grow(suv, (5, 7, 8))

    assert (region == grow_with_itk(suv, (4, 5, 6))).all()
    assert region[3, 4, 6]
    assert not region[3, 4, 5]
    assert not region[FAR].any()


def test_a_click_in_a_cold_centre_grows_the_hot_rim() -> None:
    suv = make_suv()
    suv[4, 6, 7] = 0.1

    region = grow(suv, (4, 6, 7))

    assert region[4, 5, 6]
    assert not region[4, 6, 7]


def test_suvmax_is_searched_in_a_sphere() -> None:
    suv = np.full(SHAPE, 0.5, np.float32)
    suv[6, 7, 4:9] = 5.0
    inside, outside = int(RADIUS_MM // SPACING[0]), int(RADIUS_MM // SPACING[0]) + 1
    suv[6 - outside, 7, 6] = 50.0  # 16 mm away
    assert grow(suv, (6, 7, 6)).sum() == 5

    suv[6 - inside, 7, 6] = 50.0  # 12 mm away: no other voxel reaches 41 % of this value

    assert grow(suv, (6, 7, 6)).sum() == 2  # this voxel and the adjacent one


def test_the_regions_of_clicks_are_united_and_background_clicks_are_ignored() -> None:
    suv = make_suv()

    both = grow(suv, (4, 5, 6), (9, 11, 13))

    assert (both == (grow(suv, (4, 5, 6)) | grow(suv, (9, 11, 13)))).all()
    assert not grow(suv, (4, 5, 6), polarity=Polarity.BACKGROUND).any()


def test_region_growing_follows_the_protocol_with_clicks_into_its_own_predictions() -> None:
    suv = make_suv()
    spec = ModelSpec.model_validate(phantoms.metadata(guidance=phantoms.GUIDANCE))
    truth = np.zeros(SHAPE, bool)
    truth[LESION] = truth[FAR] = True
    case = toys.make_case(truth, truth, modality="PT", spacing=SPACING)
    case = type(case)("toy", (make_image(suv),), case.truth)

    (curve,) = evaluate_region_growing(case, spec, Cvpr2025(steps=2))

    assert curve.method == REGION_GROWING
    assert curve.dice == pytest.approx([0, 2 * 47 / (47 + 56), 2 * 55 / (55 + 56)])
    assert evaluate_region_growing(toys.make_case(truth, truth), spec, Cvpr2025()) == ()
