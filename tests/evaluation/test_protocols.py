"""Each protocol on a toy case, against what was computed by hand; voxels have 1 mm, so 1000 of them are 1 ml."""

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


def dice_of(curve: Curve) -> list[float]:
    return [score.agreement.dice for score in curve.scores]


def clicks_of(curve: Curve) -> list[tuple[int, int]]:
    return [(score.foreground, score.background) for score in curve.scores]


def test_cvpr_2025_gives_what_was_computed_by_hand(tmp_path: Path) -> None:
    """The truth is a cube with a tail of two voxels (29); found is another cube (27), which is false.

    Step 0: nothing in common: Dice 0. 27 false voxels in one component; all 29 true ones missed.
    Step 1: the largest error is what is missed; its deepest voxel is the cube's centre (2, 2, 2). Its ball of radius 2
    has 33 voxels: the cube, five tips beside it, and the first voxel of the tail. In common: 28. Found: 33 + 27 = 60.
    Dice 2 * 28 / (29 + 60). The false cube is still there: 27 voxels; nothing is wholly missed.
    Step 2: the largest error is the false cube; a background click in its centre takes it away. Found: 33.
    Dice 2 * 28 / (29 + 33). The surfaces are at most 2 mm apart: NSD 1.
    Area under the curve, over clicks 1 to 2: the mean of both.
    """
    truth = toys.mask(SHAPE, CUBE, (2, 2, slice(4, 6)))
    case = toys.case(truth, toys.mask(SHAPE, FAR_CUBE))
    package, engine = toys.model(tmp_path / "model", radius_vox=2)

    (curve,) = evaluate_case(case, package, engine, Cvpr2025(steps=2)).curves

    assert dice_of(curve) == pytest.approx([0, 56 / 89, 56 / 62])
    assert [score.agreement.fpv_ml for score in curve.scores] == pytest.approx([0.027, 0.027, 0])
    assert [score.agreement.fnv_ml for score in curve.scores] == pytest.approx([0.029, 0, 0])
    assert clicks_of(curve) == [(0, 0), (1, 0), (1, 1)]
    assert curve.scores[0].agreement.nsd == 0
    assert 0 < curve.scores[1].agreement.nsd < 1
    assert curve.scores[2].agreement.nsd == pytest.approx(1)
    assert curve.dice_auc == pytest.approx((56 / 89 + 56 / 62) / 2)
    assert (curve.clicks_to(0.6), curve.clicks_to(0.9), curve.clicks_to(0.95)) == (1, 2, None)


def test_cvpr_2025_makes_no_click_into_a_perfect_result(tmp_path: Path) -> None:
    truth = toys.mask(SHAPE, CUBE)
    package, engine = toys.model(tmp_path / "model")

    (curve,) = evaluate_case(toys.case(truth, truth), package, engine, Cvpr2025(steps=3)).curves

    assert dice_of(curve) == [1, 1, 1, 1]
    assert clicks_of(curve) == [(0, 0)] * 4
    assert [score.effort.windows for score in curve.scores[1:]] == [0, 0, 0]


def test_cvpr_2025_clicks_the_same_voxel_of_equally_deep_ones_each_time() -> None:
    truth = toys.mask(SHAPE, (3, 4, slice(1, 9)))
    nothing = np.zeros_like(truth)
    image = toys.case(truth, nothing).images[0]
    clicks = {Cvpr2025().user(truth, image)(step, nothing) for step in range(1, 6)}
    others = {Cvpr2025(seed=seed).user(truth, image)(1, nothing)[0].voxel for seed in range(200)}

    assert len(clicks) == 1
    assert others == {(3, 4, k) for k in range(1, 9)}


def test_sw_fastedit_gives_what_was_computed_by_hand(tmp_path: Path) -> None:
    """True are the voxels A and B, found are A and C; a click's ball is its voxel.

    Step 0: Dice 2 * 1 / (2 + 2). C is a component in which nothing is: 1 voxel; B is one that was missed: 1 voxel.
    Step 1: a foreground click at B, the only voxel that is missed, and a background click at C: all is right.
    Step 2: nothing is left to be clicked.
    Area under the curve, over steps 0 to 2: ((0.5 + 1) / 2 + (1 + 1) / 2) / 2 = 0.875.
    """
    a, b, c = (1, 1, 1), (5, 6, 7), (9, 2, 4)
    case = toys.case(toys.mask(SHAPE, a, b), toys.mask(SHAPE, a, c))
    package, engine = toys.model(tmp_path / "model")

    (curve,) = evaluate_case(case, package, engine, SwFastEdit(steps=2)).curves

    assert dice_of(curve) == [0.5, 1, 1]
    assert [score.agreement.fpv_ml for score in curve.scores] == pytest.approx([0.001, 0, 0])
    assert [score.agreement.fnv_ml for score in curve.scores] == pytest.approx([0.001, 0, 0])
    assert clicks_of(curve) == [(0, 0), (1, 1), (1, 1)]
    assert curve.dice_auc == 0.875
    assert (curve.clicks_to(0.5), curve.clicks_to(0.85)) == (0, 2)


def test_sw_fastedit_clicks_any_voxel_of_the_errors() -> None:
    truth, found = toys.mask(SHAPE, CUBE), toys.mask(SHAPE, FAR_CUBE)
    user = SwFastEdit().user(truth, toys.case(truth, found).images[0])

    steps = [user(step, found) for step in range(1, 500)]

    assert {foreground.voxel for foreground, _ in steps} == {tuple(voxel) for voxel in np.argwhere(truth)}
    assert {background.voxel for _, background in steps} == {tuple(voxel) for voxel in np.argwhere(found)}


def test_autopet_4_gives_what_was_computed_by_hand(tmp_path: Path) -> None:
    """The truth is a cube of 27 voxels; one voxel beside it is hot, and found. A click's ball is its voxel.

    The 99.75th percentile of the 12 ** 3 - 27 = 1701 voxels beside it lies at place 0.9975 * 1700 = 1695.75 of
    0 to 1700, and only the last voxel is hot: all hot voxels are clicked that are.
    Step 0: nothing in common: Dice 0; 1 false voxel, 27 missed.
    Step 1: clicks at the cube's centre and at the hot voxel: found is the centre. Dice 2 * 1 / (27 + 1).
    Step 2: a click at the cube's border, and one at the hot voxel again: Dice 2 * 2 / (27 + 2).
    Area under the curve, over steps 0 to 2: ((0 + 1/14) / 2 + (1/14 + 4/29) / 2) / 2.
    """
    hot = (9, 2, 4)
    case = toys.case(toys.mask(SHAPE, CUBE), toys.mask(SHAPE, hot), modality="PT")
    package, engine = toys.model(tmp_path / "model", modality="PT")

    (curve,) = evaluate_case(case, package, engine, AutoPet4(steps=2)).curves

    assert dice_of(curve) == pytest.approx([0, 1 / 14, 4 / 29])
    assert [score.agreement.fpv_ml for score in curve.scores] == pytest.approx([0.001, 0, 0])
    assert [score.agreement.fnv_ml for score in curve.scores] == pytest.approx([0.027, 0, 0])
    assert clicks_of(curve) == [(0, 0), (1, 1), (2, 2)]
    assert curve.dice_auc == pytest.approx(((0 + 1 / 14) / 2 + (1 / 14 + 4 / 29) / 2) / 2)


def test_autopet_4_places_its_clicks_whatever_was_found() -> None:
    truth = toys.mask(SHAPE, CUBE, FAR_CUBE)
    image = toys.case(truth, toys.mask(SHAPE, (0, 11, 5)), modality="PT").images[0]
    user = AutoPet4(steps=3).user(truth, image)

    first, second, third = ([click.voxel for click in user(step, truth)] for step in (1, 2, 3))

    assert {first[0], second[0]} == {(2, 2, 2), (8, 8, 8)}  # the centres of both, in any order
    assert truth[third[0]]
    assert third[0] not in {(2, 2, 2), (8, 8, 8)}  # the border
    assert first[1] == second[1] == third[1] == (0, 11, 5)
    assert user(1, truth) == user(1, ~truth)


def test_autopet_4_without_a_lesion_clicks_the_background_alone() -> None:
    nothing = np.zeros(SHAPE, bool)
    user = AutoPet4().user(nothing, toys.case(nothing, toys.mask(SHAPE, (3, 3, 3)), modality="PT").images[0])

    (click,) = user(1, nothing)

    assert (click.voxel, click.polarity) == ((3, 3, 3), Polarity.BACKGROUND)


def test_autopet_4_is_refused_for_what_is_no_pet() -> None:
    nothing = np.zeros(SHAPE, bool)

    with pytest.raises(InputError, match=r"autopet4: expected PET as the first image, got CT"):
        AutoPet4().user(nothing, toys.case(nothing, nothing).images[0])
