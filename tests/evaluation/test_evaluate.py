"""Evaluation of a case: ground truth, classes, and clicks that the model does not accept."""

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
BOX = (slice(2, 5), slice(3, 7), slice(4, 9))


def test_an_empty_prediction_for_a_case_without_a_lesion_is_perfect(tmp_path: Path) -> None:
    empty = np.zeros(SHAPE, bool)
    package, engine = toys.make_model(tmp_path / "model")

    (curve,) = evaluate_case(toys.make_case(empty, empty), package, engine, Cvpr2025(steps=1)).curves

    assert [(score.metrics.dice, score.metrics.nsd) for score in curve.scores] == [(1, 1), (1, 1)]


def test_a_prediction_in_a_case_without_a_lesion_is_a_false_positive(tmp_path: Path) -> None:
    empty = np.zeros(SHAPE, bool)
    package, engine = toys.make_model(tmp_path / "model", radius_vox=1)
    false_positive = toys.make_mask(SHAPE, (4, 5, slice(5, 8)))  # a click at an end leaves one voxel

    (curve,) = evaluate_case(toys.make_case(empty, false_positive), package, engine, Cvpr2025(steps=2)).curves

    assert curve.dice in ([0, 1, 1], [0, 0, 1])
    assert curve.scores[0].metrics.fpv_ml == pytest.approx(0.003)
    assert curve.scores[2].metrics.fpv_ml == 0


def test_clicks_in_oblique_anisotropic_volumes_are_at_the_right_position(tmp_path: Path) -> None:
    """The prediction lacks one voxel of the ground truth; the click adds it, on any grid."""
    geometry = phantoms.oblique_geometry(SHAPE)
    spacing = tuple(float(step) for step in geometry.to_patient_orientation("RAS").spacing)
    truth, prediction = toys.make_mask(SHAPE, BOX, (7, 1, 2)), toys.make_mask(SHAPE, BOX)
    case = toys.make_case(truth, prediction)
    case = replace(
        case,
        images=(replace(case.images[0], volume=geometry.with_array(case.images[0].volume.array)),),
        truth=geometry.with_array(case.truth.array),
    )
    package, engine = toys.make_model(tmp_path / "model", spacing=[round(step, 6) for step in spacing])

    (curve,) = evaluate_case(case, package, engine, Cvpr2025(steps=1)).curves

    assert curve.scores[0].metrics.fnv_ml == pytest.approx(1.7 * 0.9 * 3.1 / 1000)
    assert curve.scores[1].metrics.dice == 1


def test_each_class_gets_a_click_in_each_step(tmp_path: Path) -> None:
    """The model predicts the first class above 0, and the second class at clicks only."""
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
    phantoms.write_linear_model(
        folder,
        phantoms.metadata(**{**section, "inputs": toys.INPUTS, "grid": toys.GRID}),
        weights=[[0, 0, 0], [1, 100, 0], [0, 0, 100]],
        bias=[0, 0, -1],
    )
    package, engine = toys.load_model(folder)
    case = toys.make_case(toys.make_mask(SHAPE, (1, 1, slice(1, 3))), toys.make_mask(SHAPE, (8, 8, 8)))
    case.truth.array[5, 5, 5] = 2

    one, two = evaluate_case(case, package, engine, Cvpr2025(steps=1)).curves

    assert (one.label, two.label) == ("one", "two")
    assert one.dice == [0, 2 * 1 / (2 + 2)]
    assert two.dice == [0, 1]
    assert [(score.foreground_clicks, score.background_clicks) for score in (*one.scores, *two.scores)] == [
        (0, 0),
        (1, 0),
    ] * 2


def test_clicks_that_the_model_does_not_accept_are_not_made(tmp_path: Path) -> None:
    guidance = {"kind": "ball", "radius_vox": 0, "channels": [{"takes": [["hook", "foreground"]]}] * 2}
    package, engine = toys.make_model(tmp_path / "model", guidance=guidance)
    empty = np.zeros(SHAPE, bool)

    (curve,) = evaluate_case(
        toys.make_case(empty, toys.make_mask(SHAPE, BOX)), package, engine, Cvpr2025(steps=2)
    ).curves

    assert [score.clicks for score in curve.scores] == [0, 0, 0]


def test_postprocessing_is_on_by_default_and_can_be_off(tmp_path: Path) -> None:
    prediction = toys.make_mask(SHAPE, BOX, (0, 0, 0))
    package, engine = toys.make_model(tmp_path / "model", postprocessing={"keep": "largest"})
    case = toys.make_case(toys.make_mask(SHAPE, BOX), prediction)

    (on,) = evaluate_case(case, package, engine, Cvpr2025(steps=1)).curves
    (off,) = evaluate_case(case, package, engine, Cvpr2025(steps=1), SessionOptions(postprocessing=False)).curves

    assert on.scores[0].metrics.dice == 1
    assert off.scores[0].metrics.dice == pytest.approx(2 * 60 / (60 + 61))


def test_windows_and_seconds_are_reported_by_the_session(tmp_path: Path) -> None:
    truth = np.zeros((9, 10, 40), bool)
    truth[4, 5, 2] = True
    package, engine = toys.make_model(tmp_path / "model", window={"roi": [8, 8, 8], "overlap": 0.0})

    (curve,) = evaluate_case(toys.make_case(truth, truth & False), package, engine, Cvpr2025(steps=1)).curves

    assert curve.scores[0].cost.windows == 2 * 2 * 5
    assert 1 <= curve.scores[1].cost.windows <= 4  # the windows that contain the voxel of the click
    assert all(score.cost.seconds > 0 for score in curve.scores)


def test_the_curve_without_clicks_repeats_the_first_score(tmp_path: Path) -> None:
    truth = toys.make_mask(SHAPE, BOX, (8, 1, 1))
    package, engine = toys.make_model(tmp_path / "model")
    (curve,) = evaluate_case(
        toys.make_case(truth, toys.make_mask(SHAPE, BOX)), package, engine, Cvpr2025(steps=2)
    ).curves

    without_clicks = curve.without_clicks()

    assert curve.scores[2].metrics.dice == 1
    assert (without_clicks.method, len(without_clicks.scores)) == (WITHOUT_CLICKS, 3)
    assert {score.metrics.dice for score in without_clicks.scores} == {2 * 60 / (60 + 61)}
    assert {score.clicks for score in without_clicks.scores} == {0}
    assert [score.step for score in without_clicks.scores] == [0, 1, 2]


def test_a_ground_truth_with_another_shape_is_rejected(tmp_path: Path) -> None:
    case = toys.make_case(np.zeros(SHAPE, bool), np.zeros(SHAPE, bool))
    other = toys.make_case(np.zeros((9, 10, 12), bool), np.zeros((9, 10, 12), bool))
    package, engine = toys.make_model(tmp_path / "model")

    with pytest.raises(InputError, match=r"ground truth: expected \(9, 10, 11\) voxels, got \(9, 10, 12\)"):
        evaluate_case(replace(case, truth=other.truth), package, engine, Cvpr2025())


def test_a_ground_truth_with_more_classes_than_the_model_is_rejected(tmp_path: Path) -> None:
    case = toys.make_case(np.zeros(SHAPE, bool), np.zeros(SHAPE, bool))
    case.truth.array[1, 1, 1] = 2
    package, engine = toys.make_model(tmp_path / "model")

    with pytest.raises(InputError, match="ground truth: expected class numbers 0 to 1, got 2"):
        evaluate_case(case, package, engine, Cvpr2025())


def test_an_image_of_a_modality_that_the_model_does_not_support_is_rejected(tmp_path: Path) -> None:
    case = toys.make_case(np.zeros(SHAPE, bool), np.zeros(SHAPE, bool), modality="MR")
    package, engine = toys.make_model(tmp_path / "model")

    with pytest.raises(ModelError, match="expected CT HU, got MR"):
        evaluate_case(case, package, engine, Cvpr2025())
