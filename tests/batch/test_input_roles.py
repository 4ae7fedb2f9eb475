"""Which series is which input of a model: by the user, by descriptions, by elimination, or one clear error."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pydicom
import pytest

from clickseg.batch.plan import RunPlan, make_plan
from clickseg.batch.report import log_plan
from clickseg.batch.settings import read_settings
from clickseg.core.errors import InputError, UsageError
from clickseg.models.importers.roles import role_descriptions
from tests.helpers import phantoms
from tests.helpers.described_series import CONTRASTS, described_uid, write_described_series

VOLUME = phantoms.distinct_volume(phantoms.oblique_geometry())
ZSCORE = {"kind": "zscore"}


def write_model(folder: Path, inputs: Mapping[str, Sequence[str]], modality: str = "MR") -> Path:
    """A folder with one model, with the descriptions of each input."""
    unit = {"MR": "", "CT": "HU"}[modality]
    entries = [
        {"name": name, "modality": modality, "unit": unit, "scaling": ZSCORE, "descriptions": list(patterns)}
        for name, patterns in inputs.items()
    ]
    phantoms.write_package(folder / "models" / "brain", phantoms.metadata(inputs=entries))
    return folder / "models"


def brain_model(folder: Path) -> Path:
    return write_model(folder, {name: role_descriptions(name) for name in CONTRASTS})


def write_study(folder: Path, *descriptions: str, name: str = "test") -> None:
    write_described_series(folder / "in", [(description, VOLUME) for description in descriptions], name=name)


def plan_run(folder: Path, models: Path, **options: str) -> RunPlan:
    return make_plan(read_settings(folder / "in", folder / "out", models, options, {}))


def series_numbers(plan: RunPlan) -> list[list[int]]:
    """The numbers of the series of each case, in the order of the inputs."""
    return [[int(series.files.series_uid.rpartition(".")[2]) for series in case.series] for case in plan.cases]


def test_the_series_of_four_contrasts_are_told_apart_by_their_descriptions(tmp_path: Path) -> None:
    write_study(tmp_path, "localizer", *reversed(CONTRASTS.values()), "DWI b1000")

    plan = plan_run(tmp_path, brain_model(tmp_path))

    assert series_numbers(plan) == [[5, 4, 3, 2]]
    reasons = {str(skipped.reason) for skipped in plan.skipped_without_error}
    assert (len(plan.skipped_without_error), plan.failures) == (2, ())
    assert reasons == {"not chosen as an input of model brain"}


def test_the_most_specific_pattern_decides(tmp_path: Path) -> None:
    write_study(tmp_path, "T1 post", "T1")

    assert series_numbers(plan_run(tmp_path, write_model(tmp_path, {"a": ["*t1*"], "b": ["*t1*post*"]}))) == [[2, 1]]


def test_a_series_that_fits_two_inputs_equally_is_left_for_the_one_that_has_no_other(tmp_path: Path) -> None:
    write_study(tmp_path, "one two", "one")

    plan = plan_run(tmp_path, write_model(tmp_path, {"a": ["*one*"], "b": ["*two*"]}))

    assert series_numbers(plan) == [[2, 1]]


def test_an_input_without_patterns_takes_the_series_that_remains(tmp_path: Path) -> None:
    write_study(tmp_path, "something", "T2 axial")

    assert series_numbers(plan_run(tmp_path, write_model(tmp_path, {"any": [], "T2": ["*t2*"]}))) == [[1, 2]]


def test_a_named_series_is_the_input_whatever_its_description(tmp_path: Path) -> None:
    write_study(tmp_path, "Ax T1", "Ax T1 repeated", "post", "T2", "FLAIR")
    models = brain_model(tmp_path)

    plan = plan_run(tmp_path, models, input=f"T1={described_uid(2)},T1c={described_uid(3)}")

    assert series_numbers(plan) == [[3, 2, 4, 5]]


def test_a_series_of_a_named_input_is_no_candidate_for_others(tmp_path: Path) -> None:
    write_study(tmp_path, "Ax T1 +C", "Sag T1 +C", "Ax T1", "T2", "FLAIR")

    plan = plan_run(tmp_path, brain_model(tmp_path), input=f"T1c={described_uid(1)}")

    assert series_numbers(plan) == [[1, 3, 4, 5]]


def test_a_second_series_of_a_named_input_does_not_replace_one_that_is_missing(tmp_path: Path) -> None:
    write_study(tmp_path, "Ax T1 +C", "Sag T1 +C", "T2", "FLAIR")

    with pytest.raises(InputError, match=r"T1 \(MR, described as .*\) matches none"):
        plan_run(tmp_path, brain_model(tmp_path), input=f"T1c={described_uid(1)}")


def test_series_can_be_named_for_all_inputs_of_a_model_without_patterns(tmp_path: Path) -> None:
    write_study(tmp_path, "a", "b")
    models = write_model(tmp_path, {"x": [], "y": []})

    plan = plan_run(tmp_path, models, input=f"y={described_uid(1)},x={described_uid(2)}")

    assert series_numbers(plan) == [[2, 1]]


def test_of_several_series_that_fit_the_one_named_with_series_is_taken(tmp_path: Path) -> None:
    write_study(tmp_path, "Ax T1", "Ax T1 repeated", "Ax T1 +C", "T2", "FLAIR")
    models = brain_model(tmp_path)

    plan = plan_run(tmp_path, models, series=f"{described_uid(2)},{described_uid(3)}")

    assert series_numbers(plan) == [[3, 2, 4, 5]]


@pytest.mark.parametrize(
    ("descriptions", "expected"),
    [
        (("Ax T1", "Sag T1", "Ax T1 +C", "T2", "FLAIR"), r"T1 \(MR, described as .*\) matches 2\S+\.1, 2\S+\.2\. "),
        (("Ax T1", "Ax T1 +C", "T2"), r"FLAIR \(MR, described as .*\) matches none\. "),
        (("", "", "", ""), "T1c .* matches none; T1 .* matches none; T2 .* matches none; FLAIR .* matches none"),
    ],
)
def test_what_cannot_be_decided_is_one_error_that_lists_series_and_inputs(
    tmp_path: Path, descriptions: tuple[str, ...], expected: str
) -> None:
    write_study(tmp_path, *descriptions)

    with pytest.raises(InputError, match=r"^model brain: cannot decide which series is which input: ") as caught:
        plan_run(tmp_path, brain_model(tmp_path))

    text = str(caught.value)
    assert "\n" not in text
    assert re.search(expected, text), text
    found = text.partition("Found: ")[2]
    shown = descriptions[0] or "no description"
    assert f"{described_uid(1)} (MR, {shown}, {phantoms.SHAPE[0]} images)" in found
    assert found.count("(MR, ") == len(descriptions)
    assert "--input '" in (caught.value.hint or "")


def test_the_error_suggests_only_a_series_that_the_input_may_have(tmp_path: Path) -> None:
    write_study(tmp_path, "Ax T1", "Ax T1 +C", "T2")

    with pytest.raises(InputError) as caught:
        plan_run(tmp_path, brain_model(tmp_path))

    assert (caught.value.hint or "").endswith("--input 'FLAIR=UID'")


def test_a_choice_without_the_first_input_is_an_error_that_names_it(tmp_path: Path) -> None:
    write_study(tmp_path, "Ax T1", "Ax T1 +C", "T2", "FLAIR")

    with pytest.raises(InputError, match=r"T1c .* matches none") as caught:
        plan_run(tmp_path, brain_model(tmp_path), series=described_uid(3))

    assert "--series must contain the series of the first input, T1c" in (caught.value.hint or "")


def test_the_error_names_the_number_of_series_in_other_frames_of_reference(tmp_path: Path) -> None:
    write_study(tmp_path, "Ax T1 +C", "Ax T1", "T2", name="first")
    write_study(tmp_path, "FLAIR", name="second")

    with pytest.raises(InputError, match=r"FLAIR .* none\..*frames of reference do not count: 1"):
        plan_run(tmp_path, brain_model(tmp_path))


def test_each_frame_of_reference_is_a_case_and_one_without_the_first_input_is_not_an_error(tmp_path: Path) -> None:
    for name in ("first", "second"):
        write_study(tmp_path, *CONTRASTS.values(), name=name)
    write_study(tmp_path, "survey", name="third")
    write_study(tmp_path, "Ax T1 +C", name="fourth")

    plan = plan_run(tmp_path, brain_model(tmp_path))

    assert series_numbers(plan) == [[1, 2, 3, 4]] * 2
    assert len({case.series_files.frame_of_reference_uid for case in plan.cases}) == 2
    (failure,) = plan.failures
    assert failure.files.series_uid == described_uid(1, name="fourth")
    assert described_uid(1, name="third") in {skipped.files.series_uid for skipped in plan.skipped_without_error}


@pytest.mark.parametrize(
    ("option", "error", "message"),
    [
        ("T1", UsageError, "input: expected NAME=UID for each input once, got 'T1'"),
        ("T1=1,T1=2", UsageError, "input: expected NAME=UID for each input once, got 'T1=2'"),
        ("PD=UID1", UsageError, "input: model brain has no input 'PD': expected one of T1c, T1, T2, FLAIR"),
        ("T1=UID1,T2=UID1", UsageError, "input: series UID1 is named for T1 and T2: expected different series"),
        ("T1=9.9", InputError, "no series 9.9 in the input; found: MR "),
        ("T1=CT", InputError, "input: T1: expected a series with the modality MR, got CT"),
        ("T1=UID1,T2=OTHER", InputError, "input: expected series in one frame of reference, got "),
    ],
)
def test_a_series_that_cannot_be_the_named_input_is_an_error(
    tmp_path: Path, option: str, error: type[Exception], message: str
) -> None:
    write_study(tmp_path, *CONTRASTS.values())
    write_study(tmp_path, "T2", name="other")
    phantoms.write(tmp_path / "in" / "ct", VOLUME, "CT")
    uids = {
        "UID1": described_uid(1),
        "OTHER": described_uid(1, name="other"),
        "=CT": f"={phantoms.header('CT').SeriesInstanceUID}",
    }
    for name, uid in uids.items():
        option, message = option.replace(name, uid), message.replace(name, uid)

    with pytest.raises(error) as caught:
        plan_run(tmp_path, brain_model(tmp_path), input=option)

    assert message in str(caught.value)


def test_inputs_of_several_studies_are_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_study(tmp_path, "Ax T1", "T2")
    for path in (tmp_path / "in" / "MR_test_2").iterdir():
        dataset = pydicom.dcmread(path)
        dataset.StudyInstanceUID = f"{dataset.StudyInstanceUID}.1"
        dataset.save_as(path)

    log_plan(plan_run(tmp_path, write_model(tmp_path, {"T1": ["*t1*"], "T2": ["*t2*"]})))

    assert "the inputs of model brain are series of 2 studies" in caplog.text


def test_a_model_with_one_input_segments_the_series_that_it_describes_else_all(tmp_path: Path) -> None:
    write_study(tmp_path, "T1", "T2 ax", "T2 sag")

    described = plan_run(tmp_path, write_model(tmp_path, {"image": ["*t2*"]}))
    others = plan_run(tmp_path, write_model(tmp_path, {"image": ["*adc*"]}))
    named = plan_run(tmp_path, write_model(tmp_path, {"image": ["*t2*"]}), input=f"image={described_uid(1)}")
    selected = plan_run(
        tmp_path, write_model(tmp_path, {"image": ["*t2*"]}), series=f"{described_uid(1)},{described_uid(3)}"
    )

    assert sorted(series_numbers(selected)) == [[1], [3]]
    assert sorted(series_numbers(described)) == [[2], [3]]
    assert sorted(series_numbers(others)) == [[1], [2], [3]]
    assert series_numbers(named) == [[1]]


def test_the_only_input_of_a_modality_takes_the_only_series_even_if_its_description_does_not_match(
    tmp_path: Path,
) -> None:
    phantoms.write(tmp_path / "in" / "ct", VOLUME, "CT")
    phantoms.write(tmp_path / "in" / "mr", VOLUME, "MR")
    entries = [
        {"name": "ct", "modality": "CT", "unit": "HU", "scaling": ZSCORE},
        {"name": "t2", "modality": "MR", "unit": "", "scaling": ZSCORE, "descriptions": ["*t2*"]},
    ]
    phantoms.write_package(tmp_path / "models" / "both", phantoms.metadata(inputs=entries))

    (case,) = plan_run(tmp_path, tmp_path / "models").cases

    assert [series.files.modality for series in case.series] == ["CT", "MR"]
