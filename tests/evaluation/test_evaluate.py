"""What is done with a case: its truth, its classes, and clicks that models do not take."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from clickseg.core.errors import InputError, ModelError
from clickseg.evaluation.evaluate import evaluate_case
from clickseg.evaluation.protocols import Cvpr2025
from clickseg.evaluation.scores import WITHOUT_CLICKS
from clickseg.session.options import SessionOptions
from tests.helpers import phantoms, toys

SHAPE = (9, 10, 11)
PART = (slice(2, 5), slice(3, 7), slice(4, 9))


def test_a_case_without_a_lesion_is_perfect_when_nothing_is_found(tmp_path: Path) -> None:
    nothing = np.zeros(SHAPE, bool)
    package, engine = toys.model(tmp_path / "model")

    (curve,) = evaluate_case(toys.case(nothing, nothing), package, engine, Cvpr2025(steps=1)).curves

    assert [(score.agreement.dice, score.agreement.nsd) for score in curve.scores] == [(1, 1), (1, 1)]


def test_what_is_found_where_nothing_is_counts_as_false(tmp_path: Path) -> None:
    nothing = np.zeros(SHAPE, bool)
    package, engine = toys.model(tmp_path / "model", radius_vox=1)
    false = toys.mask(SHAPE, (4, 5, slice(5, 8)))  # the middle is clicked, or an end: then one voxel is left

    (curve,) = evaluate_case(toys.case(nothing, false), package, engine, Cvpr2025(steps=2)).curves

    assert [score.agreement.dice for score in curve.scores] in ([0, 1, 1], [0, 0, 1])
    assert curve.scores[0].agreement.fpv_ml == pytest.approx(0.003)
    assert curve.scores[2].agreement.fpv_ml == 0


def test_oblique_and_anisotropic_volumes_are_clicked_in_the_right_place(tmp_path: Path) -> None:
    """The truth is what the model would find but for one voxel; the click sets that one, wherever the grid lies."""
    geometry = phantoms.oblique_geometry(SHAPE)
    spacing = tuple(float(step) for step in geometry.to_patient_orientation("RAS").spacing)
    truth, found = toys.mask(SHAPE, PART, (7, 1, 2)), toys.mask(SHAPE, PART)
    case = toys.case(truth, found)
    case = replace(
        case,
        images=(replace(case.images[0], volume=geometry.with_array(case.images[0].volume.array)),),
        truth=geometry.with_array(case.truth.array),
    )
    package, engine = toys.model(tmp_path / "model", spacing=[round(step, 6) for step in spacing])

    (curve,) = evaluate_case(case, package, engine, Cvpr2025(steps=1)).curves

    assert curve.scores[0].agreement.fnv_ml == pytest.approx(1.7 * 0.9 * 3.1 / 1000)
    assert curve.scores[1].agreement.dice == 1


def test_each_class_gets_a_click_in_each_step(tmp_path: Path) -> None:
    """The first class is found above 0, the second one never, but for clicks."""
    section = {
        "output_channels": 3,
        "classes": [phantoms.organ("one", 1), phantoms.organ("two", 2)],
        "guidance": {
            "kind": "ball",
            "radius_vox": 0,
            "channels": [{"takes": [["one", "foreground"]]}, {"takes": [["two", "foreground"]]}],
        },
    }
    folder = toys.write_model(tmp_path / "model", **section)
    phantoms.linear_model(
        folder,
        phantoms.metadata(**{**section, "inputs": toys.INPUTS, "grid": toys.GRID}),
        weights=[[0, 0, 0], [1, 100, 0], [0, 0, 100]],
        bias=[0, 0, -1],
    )
    package, engine = toys.loaded(folder)
    case = toys.case(toys.mask(SHAPE, (1, 1, slice(1, 3))), toys.mask(SHAPE, (8, 8, 8)))
    case.truth.array[5, 5, 5] = 2

    one, two = evaluate_case(case, package, engine, Cvpr2025(steps=1)).curves

    assert (one.label, two.label) == ("one", "two")
    assert [score.agreement.dice for score in one.scores] == [0, 2 * 1 / (2 + 2)]
    assert [score.agreement.dice for score in two.scores] == [0, 1]
    assert [(score.foreground, score.background) for score in (*one.scores, *two.scores)] == [(0, 0), (1, 0)] * 2


def test_clicks_that_the_model_does_not_take_are_not_made(tmp_path: Path) -> None:
    guidance = {"kind": "ball", "radius_vox": 0, "channels": [{"takes": [["hook", "foreground"]]}] * 2}
    package, engine = toys.model(tmp_path / "model", guidance=guidance)
    nothing = np.zeros(SHAPE, bool)

    (curve,) = evaluate_case(toys.case(nothing, toys.mask(SHAPE, PART)), package, engine, Cvpr2025(steps=2)).curves

    assert [score.clicks for score in curve.scores] == [0, 0, 0]


def test_postprocessing_is_as_users_get_it_or_off(tmp_path: Path) -> None:
    found = toys.mask(SHAPE, PART, (0, 0, 0))
    package, engine = toys.model(tmp_path / "model", postprocessing={"keep": "largest"})
    case = toys.case(toys.mask(SHAPE, PART), found)

    (on,) = evaluate_case(case, package, engine, Cvpr2025(steps=1)).curves
    (off,) = evaluate_case(case, package, engine, Cvpr2025(steps=1), SessionOptions(postprocessing=False)).curves

    assert on.scores[0].agreement.dice == 1
    assert off.scores[0].agreement.dice == pytest.approx(2 * 60 / (60 + 61))


def test_windows_and_seconds_are_those_of_the_session(tmp_path: Path) -> None:
    truth = np.zeros((9, 10, 40), bool)
    truth[4, 5, 2] = True
    package, engine = toys.model(tmp_path / "model", window={"roi": [8, 8, 8], "overlap": 0.0})

    (curve,) = evaluate_case(toys.case(truth, truth & False), package, engine, Cvpr2025(steps=1)).curves

    assert curve.scores[0].effort.windows == 2 * 2 * 5
    assert 1 <= curve.scores[1].effort.windows <= 4  # those that the click's voxel lies in
    assert all(score.effort.seconds > 0 for score in curve.scores)


def test_the_curve_without_clicks_stays_as_it_was(tmp_path: Path) -> None:
    truth = toys.mask(SHAPE, PART, (8, 1, 1))
    package, engine = toys.model(tmp_path / "model")
    (curve,) = evaluate_case(toys.case(truth, toys.mask(SHAPE, PART)), package, engine, Cvpr2025(steps=2)).curves

    still = curve.without_clicks()

    assert curve.scores[2].agreement.dice == 1
    assert (still.method, len(still.scores)) == (WITHOUT_CLICKS, 3)
    assert {score.agreement.dice for score in still.scores} == {2 * 60 / (60 + 61)}
    assert {score.clicks for score in still.scores} == {0}
    assert [score.step for score in still.scores] == [0, 1, 2]


def test_a_truth_of_another_grid_is_refused(tmp_path: Path) -> None:
    case = toys.case(np.zeros(SHAPE, bool), np.zeros(SHAPE, bool))
    other = toys.case(np.zeros((9, 10, 12), bool), np.zeros((9, 10, 12), bool))
    package, engine = toys.model(tmp_path / "model")

    with pytest.raises(InputError, match=r"truth: expected \(9, 10, 11\) voxels, got \(9, 10, 12\)"):
        evaluate_case(replace(case, truth=other.truth), package, engine, Cvpr2025())


def test_a_truth_of_more_classes_than_the_model_has_is_refused(tmp_path: Path) -> None:
    case = toys.case(np.zeros(SHAPE, bool), np.zeros(SHAPE, bool))
    case.truth.array[1, 1, 1] = 2
    package, engine = toys.model(tmp_path / "model")

    with pytest.raises(InputError, match="truth: expected classes 0 to 1, got 2"):
        evaluate_case(case, package, engine, Cvpr2025())


def test_an_image_that_the_model_is_not_for_is_refused(tmp_path: Path) -> None:
    case = toys.case(np.zeros(SHAPE, bool), np.zeros(SHAPE, bool), modality="MR")
    package, engine = toys.model(tmp_path / "model")

    with pytest.raises(ModelError, match="expected CT HU, got MR"):
        evaluate_case(case, package, engine, Cvpr2025())
