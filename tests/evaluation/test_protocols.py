"""Each protocol in a toy case, compared with results computed by hand; voxels are 1 mm, so 1000 voxels are 1 ml."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from clickseg.clicks.click import Polarity
from clickseg.core.errors import InputError
from clickseg.evaluation.evaluate import evaluate_case
from clickseg.evaluation.protocols import AutoPet4, Cvpr2025, SwFastEdit
from clickseg.evaluation.scores import Curve
from tests.helpers import toys

SHAPE = (12, 12, 12)
CUBE = (slice(1, 4),) * 3
FAR_CUBE = (slice(7, 10),) * 3


def click_counts(curve: Curve) -> list[tuple[int, int]]:
    return [(score.foreground_clicks, score.background_clicks) for score in curve.scores]


def test_cvpr_2025_gives_the_results_computed_by_hand(tmp_path: Path) -> None:
    """The ground truth is a cube with a tail of two voxels (29); the prediction is another cube (27).

    Step 0: no overlap: Dice 0. 27 false positive voxels in one component; 29 false negative voxels.
    Step 1: the largest error is the missed cube; its deepest voxel is the centre (2, 2, 2). The ball of radius 2
    has 33 voxels: the cube, five tips next to it, and the first voxel of the tail. Overlap: 28. Prediction: 33 + 27 =
    60. Dice 2 * 28 / (29 + 60). The false cube (27 voxels) remains; no component is missed completely.
    Step 2: the largest error is the false cube; a background click at its centre removes it. Prediction: 33.
    Dice 2 * 28 / (29 + 33). The surfaces are at most 2 mm apart: NSD 1.
    Area under the curve, over clicks 1 to 2: the mean of both.
    """
    truth = toys.make_mask(SHAPE, CUBE, (2, 2, slice(4, 6)))
    case = toys.make_case(truth, toys.make_mask(SHAPE, FAR_CUBE))
    package, engine = toys.make_model(tmp_path / "model", radius_vox=2)

    (curve,) = evaluate_case(case, package, engine, Cvpr2025(steps=2)).curves

    assert curve.dice == pytest.approx([0, 56 / 89, 56 / 62])
    assert [score.metrics.fpv_ml for score in curve.scores] == pytest.approx([0.027, 0.027, 0])
    assert [score.metrics.fnv_ml for score in curve.scores] == pytest.approx([0.029, 0, 0])
    assert click_counts(curve) == [(0, 0), (1, 0), (1, 1)]
    assert curve.scores[0].metrics.nsd == 0
    assert 0 < curve.scores[1].metrics.nsd < 1
    assert curve.scores[2].metrics.nsd == pytest.approx(1)
    assert curve.dice_auc == pytest.approx((56 / 89 + 56 / 62) / 2)
    assert (curve.number_of_clicks(0.6), curve.number_of_clicks(0.9), curve.number_of_clicks(0.95)) == (1, 2, None)


def test_cvpr_2025_makes_no_click_in_a_perfect_prediction(tmp_path: Path) -> None:
    truth = toys.make_mask(SHAPE, CUBE)
    package, engine = toys.make_model(tmp_path / "model")

    (curve,) = evaluate_case(toys.make_case(truth, truth), package, engine, Cvpr2025(steps=3)).curves

    assert curve.dice == [1, 1, 1, 1]
    assert click_counts(curve) == [(0, 0)] * 4
    assert [score.cost.windows for score in curve.scores[1:]] == [0, 0, 0]


def test_cvpr_2025_chooses_the_same_one_of_equally_deep_voxels_in_each_step() -> None:
    truth = toys.make_mask(SHAPE, (3, 4, slice(1, 9)))
    empty = np.zeros_like(truth)
    image = toys.make_case(truth, empty).images[0]
    clicks = {Cvpr2025().user(truth, image)(step, empty) for step in range(1, 6)}
    voxels = {Cvpr2025(seed=seed).user(truth, image)(1, empty)[0].voxel for seed in range(200)}

    assert len(clicks) == 1
    assert voxels == {(3, 4, k) for k in range(1, 9)}


def test_sw_fastedit_gives_the_results_computed_by_hand(tmp_path: Path) -> None:
    """The ground truth has the voxels A and B, the prediction A and C; the ball of a click is one voxel.

    Step 0: Dice 2 * 1 / (2 + 2). C is a false positive component of 1 voxel, B a false negative one of 1 voxel.
    Step 1: a foreground click at B and a background click at C: the prediction is correct.
    Step 2: no errors remain, so there are no clicks.
    Area under the curve, over steps 0 to 2: ((0.5 + 1) / 2 + (1 + 1) / 2) / 2 = 0.875.
    """
    a, b, c = (1, 1, 1), (5, 6, 7), (9, 2, 4)
    case = toys.make_case(toys.make_mask(SHAPE, a, b), toys.make_mask(SHAPE, a, c))
    package, engine = toys.make_model(tmp_path / "model")

    (curve,) = evaluate_case(case, package, engine, SwFastEdit(steps=2)).curves

    assert curve.dice == [0.5, 1, 1]
    assert [score.metrics.fpv_ml for score in curve.scores] == pytest.approx([0.001, 0, 0])
    assert [score.metrics.fnv_ml for score in curve.scores] == pytest.approx([0.001, 0, 0])
    assert click_counts(curve) == [(0, 0), (1, 1), (1, 1)]
    assert curve.dice_auc == 0.875
    assert (curve.number_of_clicks(0.5), curve.number_of_clicks(0.85)) == (0, 2)


def test_sw_fastedit_can_click_any_voxel_of_the_errors() -> None:
    truth, prediction = toys.make_mask(SHAPE, CUBE), toys.make_mask(SHAPE, FAR_CUBE)
    user = SwFastEdit().user(truth, toys.make_case(truth, prediction).images[0])

    steps = [user(step, prediction) for step in range(1, 500)]

    assert {foreground.voxel for foreground, _ in steps} == {tuple(voxel) for voxel in np.argwhere(truth)}
    assert {background.voxel for _, background in steps} == {tuple(voxel) for voxel in np.argwhere(prediction)}


def test_autopet_4_gives_the_results_computed_by_hand(tmp_path: Path) -> None:
    """The ground truth is a cube of 27 voxels; the prediction is one hot voxel outside. The ball of a click is a voxel.

    The 99.75th percentile of the 12 ** 3 - 27 = 1701 background voxels is at index 0.9975 * 1700 = 1695.75 of
    0 to 1700, and only the last voxel is hot. So the hot voxel is the only one for background clicks.
    Step 0: no overlap: Dice 0; 1 false positive voxel, 27 false negative voxels.
    Step 1: clicks at the centre of the cube and at the hot voxel. The prediction is the centre: Dice 2 * 1 / (27 + 1).
    Step 2: a click on the border of the cube, and again one at the hot voxel: Dice 2 * 2 / (27 + 2).
    Area under the curve, over steps 0 to 2: ((0 + 1/14) / 2 + (1/14 + 4/29) / 2) / 2.
    """
    hot = (9, 2, 4)
    case = toys.make_case(toys.make_mask(SHAPE, CUBE), toys.make_mask(SHAPE, hot), modality="PT")
    package, engine = toys.make_model(tmp_path / "model", modality="PT")

    (curve,) = evaluate_case(case, package, engine, AutoPet4(steps=2)).curves

    assert curve.dice == pytest.approx([0, 1 / 14, 4 / 29])
    assert [score.metrics.fpv_ml for score in curve.scores] == pytest.approx([0.001, 0, 0])
    assert [score.metrics.fnv_ml for score in curve.scores] == pytest.approx([0.027, 0, 0])
    assert click_counts(curve) == [(0, 0), (1, 1), (2, 2)]
    assert curve.dice_auc == pytest.approx(((0 + 1 / 14) / 2 + (1 / 14 + 4 / 29) / 2) / 2)


def test_the_clicks_of_autopet_4_do_not_depend_on_the_prediction() -> None:
    truth = toys.make_mask(SHAPE, CUBE, FAR_CUBE)
    image = toys.make_case(truth, toys.make_mask(SHAPE, (0, 11, 5)), modality="PT").images[0]
    user = AutoPet4(steps=3).user(truth, image)

    first, second, third = ([click.voxel for click in user(step, truth)] for step in (1, 2, 3))

    assert {first[0], second[0]} == {(2, 2, 2), (8, 8, 8)}  # the centres of both cubes, in any order
    assert truth[third[0]]
    assert third[0] not in {(2, 2, 2), (8, 8, 8)}  # the border
    assert first[1] == second[1] == third[1] == (0, 11, 5)
    assert user(1, truth) == user(1, ~truth)


def test_autopet_4_without_a_lesion_has_background_clicks_only() -> None:
    empty = np.zeros(SHAPE, bool)
    user = AutoPet4().user(empty, toys.make_case(empty, toys.make_mask(SHAPE, (3, 3, 3)), modality="PT").images[0])

    (click,) = user(1, empty)

    assert (click.voxel, click.polarity) == ((3, 3, 3), Polarity.BACKGROUND)


def test_autopet_4_rejects_images_that_are_not_pet() -> None:
    empty = np.zeros(SHAPE, bool)

    with pytest.raises(InputError, match=r"autopet4: expected PET as the first image, got CT"):
        AutoPet4().user(empty, toys.make_case(empty, empty).images[0])
