"""The plan of a run on a folder: series, model and clicks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydicom import Dataset

from clickseg.batch.plan import RunPlan, make_plan
from clickseg.batch.settings import read_settings
from clickseg.clicks.click import Click, Clicks, Polarity
from clickseg.clicks.formats.clicks_json import write_clicks_json
from clickseg.core.errors import ClickError, InputError, MemoryLimitError, ModelError, SeriesError, UsageError
from clickseg.core.memory import Memory
from tests.helpers import phantoms

VOLUME = phantoms.distinct_volume(phantoms.oblique_geometry())


def series_uid(modality: str, name: str = "test") -> str:
    return str(phantoms.header(modality, name).SeriesInstanceUID)


def frame_uid(name: str = "test") -> str:
    return str(phantoms.header("CT", name).FrameOfReferenceUID)


def add_series(folder: Path, modality: str, name: str = "test") -> Path:
    return phantoms.write(folder / f"{modality}_{name}", VOLUME, modality, name)


def model_with_inputs(folder: Path, *inputs: str, name: str = "model", **changes: object) -> Path:
    """A folder with one model, with one input for each modality."""
    units = {"CT": "HU", "PT": "SUVbw", "MR": ""}
    specs = [{"name": m.lower(), "modality": m, "unit": units[m], "scaling": phantoms.RANGE} for m in inputs]
    section = phantoms.metadata(inputs=specs, guidance=phantoms.GUIDANCE, **changes)
    phantoms.write_package(folder / "models" / name, section)
    return folder / "models"


def model_for_any_modality(folder: Path) -> Path:
    """A folder with one model, for PET, CT or MR."""
    section = phantoms.metadata(inputs=[phantoms.ANY_MODALITY], guidance=phantoms.GUIDANCE)
    phantoms.write_package(folder / "models" / "any", section)
    return folder / "models"


def model_that_requires_clicks(folder: Path) -> Path:
    """A folder with one model, which requires a foreground click."""
    section = phantoms.metadata(guidance={**phantoms.GUIDANCE, "required": True})
    phantoms.write_package(folder / "models" / "clicked", section)
    return folder / "models"


def plan_run(folder: Path, models: Path, **options: str) -> RunPlan:
    return make_plan(read_settings(folder / "in", folder / "out", models, options, {}))


def set_uid(dataset: Dataset, uid: str) -> None:
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid


def planned_uids(plan: RunPlan) -> list[list[str]]:
    return sorted([series.files.series_uid for series in case.series] for case in plan.cases)


def write_click_file(folder: Path, frame: str | None = None, series: str | None = None) -> None:
    folder.mkdir(exist_ok=True, parents=True)
    write_clicks_json(Clicks((Click("hook", Polarity.FOREGROUND, (0, 0, 0)),), frame, series), folder / "clicks.json")


def test_the_series_of_the_models_modality_is_taken_and_the_other_is_skipped(tmp_path: Path) -> None:
    add_series(tmp_path / "in", "PT")
    add_series(tmp_path / "in", "CT")

    plan = plan_run(tmp_path, model_with_inputs(tmp_path, "PT"))

    assert planned_uids(plan) == [[series_uid("PT")]]
    (skipped,) = plan.skipped_without_error
    assert (skipped.files.modality, str(skipped.reason)) == ("CT", "model model is for PT")


def test_every_series_of_the_modality_is_taken(tmp_path: Path) -> None:
    add_series(tmp_path / "in", "CT", "a")
    add_series(tmp_path / "in", "CT", "b")

    plan = plan_run(tmp_path, model_with_inputs(tmp_path, "CT"))

    assert planned_uids(plan) == sorted([[series_uid("CT", "a")], [series_uid("CT", "b")]])


def test_only_the_named_series_is_segmented(tmp_path: Path) -> None:
    add_series(tmp_path / "in", "CT", "a")
    add_series(tmp_path / "in", "CT", "b")

    plan = plan_run(tmp_path, model_with_inputs(tmp_path, "CT"), series=series_uid("CT", "b"))

    assert planned_uids(plan) == [[series_uid("CT", "b")]]
    assert [str(skipped.reason) for skipped in plan.skipped_without_error] == ["not selected with --series"]


def test_a_named_series_of_another_modality_is_an_error_with_the_models(tmp_path: Path) -> None:
    add_series(tmp_path / "in", "CT")
    add_series(tmp_path / "in", "PT")

    with pytest.raises(ModelError, match=r"no model for CT series: available models: model \(for PT\)"):
        plan_run(tmp_path, model_with_inputs(tmp_path, "PT"), series=series_uid("CT"))
    with pytest.raises(ModelError, match="model model is for PT: the selected series are CT"):
        plan_run(tmp_path, model_with_inputs(tmp_path, "PT"), series=series_uid("CT"), model="model")


def test_a_missing_series_is_an_error_that_lists_the_others(tmp_path: Path) -> None:
    add_series(tmp_path / "in", "CT")

    with pytest.raises(InputError, match=rf"no series 9\.9 in the input; found: CT {series_uid('CT')} in CT_test"):
        plan_run(tmp_path, model_with_inputs(tmp_path, "CT"), series="9.9")


def remove_attenuation_correction(dataset: Dataset) -> None:
    dataset.CorrectedImage = ["DECY"]
    dataset.StudyInstanceUID = phantoms.header("PT", "ac").StudyInstanceUID


def test_corrected_pet_is_preferred_to_uncorrected_pet(tmp_path: Path) -> None:
    add_series(tmp_path / "in", "PT", "ac")
    phantoms.change(add_series(tmp_path / "in", "PT", "nac"), remove_attenuation_correction)

    plan = plan_run(tmp_path, model_with_inputs(tmp_path, "PT"))

    assert planned_uids(plan) == [[series_uid("PT", "ac")]]
    assert [str(skipped.reason) for skipped in plan.skipped_without_error] == [
        "not corrected for attenuation, but another series is"
    ]


def test_uncorrected_pet_is_taken_if_its_study_has_no_other_so_that_its_error_names_the_tag(tmp_path: Path) -> None:
    add_series(tmp_path / "in", "PT", "ac")
    phantoms.change(
        add_series(tmp_path / "in", "PT", "other"), lambda dataset: dataset.__setattr__("CorrectedImage", "DECY")
    )

    plan = plan_run(tmp_path, model_with_inputs(tmp_path, "PT"))

    assert planned_uids(plan) == sorted([[series_uid("PT", "ac")], [series_uid("PT", "other")]])


def test_uncorrected_pet_is_taken_if_it_is_named_so_that_its_error_names_the_tag(tmp_path: Path) -> None:
    add_series(tmp_path / "in", "PT", "ac")
    phantoms.change(add_series(tmp_path / "in", "PT", "nac"), remove_attenuation_correction)

    assert planned_uids(plan_run(tmp_path, model_with_inputs(tmp_path, "PT"), series=series_uid("PT", "nac"))) == [
        [series_uid("PT", "nac")]
    ]


def test_series_of_each_modality_of_a_model_are_segmented_separately(tmp_path: Path) -> None:
    for modality in ("PT", "CT", "MR"):
        add_series(tmp_path / "in", modality)

    plan = plan_run(tmp_path, model_for_any_modality(tmp_path))

    assert planned_uids(plan) == sorted([series_uid(modality)] for modality in ("PT", "CT", "MR"))
    assert plan.skipped_without_error == ()


def test_only_the_named_series_is_segmented_by_a_model_for_several_modalities(tmp_path: Path) -> None:
    add_series(tmp_path / "in", "CT")
    add_series(tmp_path / "in", "PT")

    plan = plan_run(tmp_path, model_for_any_modality(tmp_path), series=series_uid("CT"))

    assert planned_uids(plan) == [[series_uid("CT")]]
    assert [str(skipped.reason) for skipped in plan.skipped_without_error] == ["not selected with --series"]


def test_a_default_model_for_one_modality_is_preferred_to_a_model_for_several(tmp_path: Path) -> None:
    add_series(tmp_path / "in", "CT")
    add_series(tmp_path / "in", "PT")
    packages = model_with_inputs(tmp_path, "PT", name="pet")
    section = json.loads((packages / "pet" / "configs" / "metadata.json").read_text())["clickseg"]
    phantoms.write_package(packages / "pet", section | {"default": True})
    model_for_any_modality(tmp_path)

    plan, ct_plan = plan_run(tmp_path, packages), plan_run(tmp_path, packages, series=series_uid("CT"))

    assert (plan.package.name, planned_uids(plan)) == ("pet", [[series_uid("PT")]])
    assert [str(skipped.reason) for skipped in plan.skipped_without_error] == ["model pet is for PT"]
    assert (ct_plan.package.name, planned_uids(ct_plan)) == ("any", [[series_uid("CT")]])


def test_a_ct_is_not_treated_as_corrected_pet(tmp_path: Path) -> None:
    add_series(tmp_path / "in", "CT", "ac")
    phantoms.change(add_series(tmp_path / "in", "PT", "nac"), remove_attenuation_correction)

    plan = plan_run(tmp_path, model_for_any_modality(tmp_path))

    assert planned_uids(plan) == sorted([[series_uid("CT", "ac")], [series_uid("PT", "nac")]])


def test_a_series_of_another_modality_is_an_error_that_lists_the_modalities_of_the_model(tmp_path: Path) -> None:
    add_series(tmp_path / "in", "MR")
    section = phantoms.metadata(
        inputs=[phantoms.ANY_MODALITY | {"alternatives": phantoms.ANY_MODALITY["alternatives"][:1]}]
    )
    phantoms.write_package(tmp_path / "models" / "any", section)

    with pytest.raises(ModelError, match="model any is for PT or CT: the series in the input are MR"):
        plan_run(tmp_path, tmp_path / "models", model="any")


def test_the_error_of_a_single_irregular_series_is_raised(tmp_path: Path) -> None:
    sorted(add_series(tmp_path / "in", "CT").iterdir())[3].unlink()

    with pytest.raises(SeriesError, match="1 missing slice"):
        plan_run(tmp_path, model_with_inputs(tmp_path, "CT"))


def test_several_irregular_series_are_listed_with_their_reasons(tmp_path: Path) -> None:
    for name in ("a", "b"):
        sorted(add_series(tmp_path / "in", "CT", name).iterdir())[3].unlink()

    with pytest.raises(
        InputError, match=r"no CT, MR or PET series .*12 DICOM files.*CT_a: .*missing slice.*CT_b"
    ) as caught:
        plan_run(tmp_path, model_with_inputs(tmp_path, "CT"))
    assert "clickseg inspect" in (caught.value.hint or "")


def test_an_irregular_series_does_not_stop_the_others(tmp_path: Path) -> None:
    add_series(tmp_path / "in", "CT", "a")
    sorted(add_series(tmp_path / "in", "CT", "b").iterdir())[3].unlink()

    plan = plan_run(tmp_path, model_with_inputs(tmp_path, "CT"))

    assert planned_uids(plan) == [[series_uid("CT", "a")]]
    assert "1 missing slice" in str(plan.skipped_without_error[0].reason)


def test_an_input_without_dicom_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.txt").write_text("no DICOM")

    with pytest.raises(InputError, match=r"no DICOM files in the input \(1 other file\)"):
        plan_run(tmp_path, model_with_inputs(tmp_path, "CT"))


def test_clicks_on_a_rejected_series_give_the_reason_of_the_rejection(tmp_path: Path) -> None:
    add_series(tmp_path / "in", "CT")
    sorted(add_series(tmp_path / "in", "PT").iterdir())[3].unlink()
    click = Click("organ", Polarity.FOREGROUND, (0.0, 0.0, 0.0))
    write_clicks_json(Clicks((click,), series_instance_uid=series_uid("PT")), tmp_path / "in" / "clicks.json")

    with pytest.raises(SeriesError, match="1 missing slice"):
        plan_run(tmp_path, model_for_any_modality(tmp_path))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_damaged_file_is_an_error(tmp_path: Path) -> None:
    path = sorted(add_series(tmp_path / "in", "CT").iterdir())[0]
    path.write_bytes(path.read_bytes()[:400])

    with pytest.raises(InputError, match=r"1 damaged DICOM file: CT_test/0001\.dcm"):
        plan_run(tmp_path, model_with_inputs(tmp_path, "CT"))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_damaged_file_does_not_stop_other_series(tmp_path: Path) -> None:
    add_series(tmp_path / "in", "CT", "a")
    path = sorted(add_series(tmp_path / "in", "CT", "b").iterdir())[0]
    path.write_bytes(path.read_bytes()[:1200])

    plan = plan_run(tmp_path, model_with_inputs(tmp_path, "CT"))

    assert planned_uids(plan) == [[series_uid("CT", "a")]]
    assert "1 damaged DICOM file: CT_b/0001.dcm" in str(plan.skipped_without_error[0].reason)


def test_a_click_file_without_clicks_is_checked_and_reported(tmp_path: Path) -> None:
    add_series(tmp_path / "in", "CT")
    write_clicks_json(Clicks((), frame_uid()), tmp_path / "in" / "clicks.json")
    assert [case.clicks.source for case in plan_run(tmp_path, model_with_inputs(tmp_path, "CT")).cases] == [
        "clicks.json"
    ]

    write_clicks_json(Clicks((), "9.9"), tmp_path / "in" / "clicks.json")
    with pytest.raises(
        ClickError, match=r"in frame of reference 9\.9, but the series to be segmented are: CT .* in frame"
    ) as caught:
        plan_run(tmp_path, model_with_inputs(tmp_path, "CT"))
    assert caught.value.hint == "pass other clicks with --clicks FILE, or --clicks none to use no clicks"


def test_the_inputs_of_a_model_are_matched_by_frame_of_reference(tmp_path: Path) -> None:
    for name in ("a", "b"):
        add_series(tmp_path / "in", "PT", name)
        add_series(tmp_path / "in", "CT", name)

    plan = plan_run(tmp_path, model_with_inputs(tmp_path, "PT", "CT"))

    assert planned_uids(plan) == sorted([[series_uid("PT", n), series_uid("CT", n)] for n in ("a", "b")])


def test_a_missing_or_ambiguous_input_is_an_error(tmp_path: Path) -> None:
    add_series(tmp_path / "in", "PT", "a")
    add_series(tmp_path / "in", "CT", "b")
    packages = model_with_inputs(tmp_path, "PT", "CT")

    with pytest.raises(InputError, match=r"input ct: expected one CT series in frame of reference .*, got 0: none"):
        plan_run(tmp_path, packages)

    add_series(tmp_path / "in", "CT", "a")
    twin = phantoms.instances(VOLUME, "CT", "a")
    for dataset in twin:
        dataset.SeriesInstanceUID += "1"
        dataset.SOPInstanceUID += "1"
    phantoms.save(tmp_path / "in" / "twin", twin)
    with pytest.raises(InputError, match=r"input ct: expected one CT series .*, got 2: CT") as caught:
        plan_run(tmp_path, packages)
    assert "--series UID,UID" in (caught.value.hint or "")
    pair = [series_uid("PT", "a"), series_uid("CT", "a") + "1"]
    assert planned_uids(plan_run(tmp_path, packages, series=",".join(pair))) == [pair]


def test_a_series_with_a_missing_input_does_not_stop_the_others(tmp_path: Path) -> None:
    for name in ("a", "b"):
        add_series(tmp_path / "in", "PT", name)
    add_series(tmp_path / "in", "CT", "b")

    plan = plan_run(tmp_path, model_with_inputs(tmp_path, "PT", "CT"))

    assert planned_uids(plan) == [[series_uid("PT", "b"), series_uid("CT", "b")]]
    (incomplete,) = plan.failures
    assert incomplete.files.series_uid == series_uid("PT", "a")
    assert "input ct: expected one CT series" in str(incomplete.reason)
    assert plan.skipped_without_error == ()


def test_an_encoding_that_cannot_represent_the_result_is_a_usage_error(tmp_path: Path) -> None:
    add_series(tmp_path / "in", "CT")
    packages = model_with_inputs(tmp_path, "CT")
    phantoms.write_package(packages / "model", phantoms.metadata(activation="sigmoid"))

    with pytest.raises(UsageError, match="LABELMAP cannot represent classes that overlap"):
        plan_run(tmp_path, packages, **{"segmentation-type": "LABELMAP"})


def test_clicks_without_uids_are_assigned_to_the_only_series(tmp_path: Path) -> None:
    add_series(tmp_path / "in", "CT")
    add_series(tmp_path / "in", "PT", "elsewhere")
    write_click_file(tmp_path / "in")

    (case,) = plan_run(tmp_path, model_with_inputs(tmp_path, "CT")).cases

    assert len(case.clicks.points) == 1


def test_clicks_without_uids_are_ambiguous_if_frames_of_reference_differ(tmp_path: Path) -> None:
    add_series(tmp_path / "in", "CT", "a")
    add_series(tmp_path / "in", "CT", "b")
    write_click_file(tmp_path / "in")
    packages = model_with_inputs(tmp_path, "CT")

    with pytest.raises(
        ClickError, match=r"clicks\.json: the clicks do not define their series, and several series are to be segmented"
    ) as caught:
        plan_run(tmp_path, packages)

    assert caught.value.hint == "select one with --series"
    assert len(plan_run(tmp_path, packages, series=series_uid("CT", "a")).cases[0].clicks.points) == 1
    assert len(plan_run(tmp_path, packages, clicks="none").cases) == 2


@pytest.mark.parametrize("by", ["series", "frame"])
def test_clicks_are_assigned_to_the_series_that_they_name(tmp_path: Path, by: str) -> None:
    add_series(tmp_path / "in", "CT", "a")
    add_series(tmp_path / "in", "CT", "b")
    write_click_file(
        tmp_path / "in",
        frame_uid("b") if by == "frame" else None,
        series_uid("CT", "b") if by == "series" else None,
    )

    cases = plan_run(tmp_path, model_with_inputs(tmp_path, "CT")).cases

    assert {case.series_files.series_uid: len(case.clicks.points) for case in cases} == {
        series_uid("CT", "a"): 0,
        series_uid("CT", "b"): 1,
    }


@pytest.mark.parametrize(("frame", "series"), [("9.9", None), (None, "9.9")])
def test_clicks_for_none_of_the_series_are_an_error(tmp_path: Path, frame: str | None, series: str | None) -> None:
    add_series(tmp_path / "in", "CT")
    write_click_file(tmp_path / "in", frame, series)

    with pytest.raises(
        ClickError, match=r"clicks\.json: the clicks are for series .*9\.9.*, but the series to be segmented are: CT"
    ):
        plan_run(tmp_path, model_with_inputs(tmp_path, "CT"))


def test_a_series_too_large_for_memory_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_series(tmp_path / "in", "CT", "small")
    large = phantoms.distinct_volume(phantoms.oblique_geometry((9, 12, 14)))
    phantoms.write(tmp_path / "in" / "large", large, "CT", "large")
    monkeypatch.setattr(Memory, "free_bytes", lambda _: 7 * 11 * 13 * 5)  # float32 values and a label

    plan = plan_run(tmp_path, model_with_inputs(tmp_path, "CT"))

    assert planned_uids(plan) == [[series_uid("CT", "small")]]
    (too_large,) = plan.failures
    assert too_large.files.series_uid == series_uid("CT", "large")
    assert isinstance(too_large.reason, MemoryLimitError)
    assert "for 9 x 12 x 14 voxels" in str(too_large.reason)


@pytest.mark.filterwarnings("ignore::UserWarning")  # highdicom's legacy converter
def test_only_the_too_large_one_of_two_volumes_in_a_series_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, shape in enumerate([(7, 11, 13), (9, 12, 14)], 1):
        slices = phantoms.instances(phantoms.distinct_volume(phantoms.oblique_geometry(shape)), "CT")
        folder = phantoms.write_legacy_enhanced(tmp_path / "in" / f"volume{number}", slices)
        phantoms.change(folder, lambda dataset, uid=f"2.25.{number}": set_uid(dataset, uid))
    monkeypatch.setattr(Memory, "free_bytes", lambda _: 7 * 11 * 13 * 5)

    plan = plan_run(tmp_path, model_with_inputs(tmp_path, "CT"))

    assert [case.series_files.folder for case in plan.cases] == ["volume1"]
    (too_large,) = plan.skipped
    assert (too_large.files.folder, too_large.is_error) == ("volume2", True)
    assert too_large.files.series_uid == plan.cases[0].series_files.series_uid


def test_too_little_memory_for_any_series_is_an_error_before_one_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_series(tmp_path / "in", "CT")
    monkeypatch.setattr(Memory, "free_bytes", lambda _: 7 * 11 * 13 * 5 - 1)

    with pytest.raises(MemoryLimitError, match="memory: expected at least"):
        plan_run(tmp_path, model_with_inputs(tmp_path, "CT"))


def test_the_coefficients_of_cubic_images_need_the_memory_of_a_second_volume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_series(tmp_path / "in", "CT")
    model = model_with_inputs(tmp_path, "CT", grid={"spacing_mm": [2, 2, 2], "alignment": "edges", "image_order": 3})
    monkeypatch.setattr(Memory, "free_bytes", lambda _: 7 * 11 * 13 * 9)
    assert plan_run(tmp_path, model).cases

    monkeypatch.setattr(Memory, "free_bytes", lambda _: 7 * 11 * 13 * 9 - 1)
    with pytest.raises(MemoryLimitError, match="memory: expected at least"):
        plan_run(tmp_path, model)


@pytest.mark.parametrize(("factor", "volumes"), [(1.0, 2), (1.1, 3)], ids=["same grid", "another grid"])
def test_a_volume_that_is_brought_to_the_grid_of_the_first_needs_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, factor: float, volumes: int
) -> None:
    add_series(tmp_path / "in", "CT")
    grid = phantoms.oblique_geometry(slice_spacing=factor * phantoms.SLICE_SPACING)
    phantoms.write(tmp_path / "in" / "PT_test", phantoms.distinct_volume(grid), "PT", "test")
    model = model_with_inputs(tmp_path, "CT", "PT", grid={"spacing_mm": [2, 2, 2], "alignment": "edges"})
    monkeypatch.setattr(Memory, "free_bytes", lambda _: 7 * 11 * 13 * (4 * volumes + 1))
    assert plan_run(tmp_path, model).cases

    monkeypatch.setattr(Memory, "free_bytes", lambda _: 7 * 11 * 13 * (4 * volumes + 1) - 1)
    with pytest.raises(MemoryLimitError, match="memory: expected at least"):
        plan_run(tmp_path, model)


def test_volumes_that_are_scaled_before_resampling_need_the_memory_of_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_series(tmp_path / "in", "CT")
    image = {"name": "ct", "modality": "CT", "unit": "HU", "scaling": phantoms.RANGE, "scale_before_resampling": True}
    phantoms.write_package(tmp_path / "models" / "model", phantoms.metadata(inputs=[image]))
    monkeypatch.setattr(Memory, "free_bytes", lambda _: 7 * 11 * 13 * 9)
    assert plan_run(tmp_path, tmp_path / "models").cases

    monkeypatch.setattr(Memory, "free_bytes", lambda _: 7 * 11 * 13 * 9 - 1)
    with pytest.raises(MemoryLimitError, match="memory: expected at least"):
        plan_run(tmp_path, tmp_path / "models")


def test_a_model_that_requires_clicks_is_not_run_on_series_without_clicks(tmp_path: Path) -> None:
    add_series(tmp_path / "in", "CT", "a")
    add_series(tmp_path / "in", "CT", "b")
    write_click_file(tmp_path / "in", series=series_uid("CT", "b"))

    plan = plan_run(tmp_path, model_that_requires_clicks(tmp_path))

    assert planned_uids(plan) == [[series_uid("CT", "b")]]
    assert not plan.failures
    (unclicked,) = plan.skipped_without_error
    assert unclicked.files.series_uid == series_uid("CT", "a")
    assert "model clicked: expected a foreground click, got none" in str(unclicked.reason)


def test_a_named_series_without_clicks_is_an_error_of_that_series(tmp_path: Path) -> None:
    add_series(tmp_path / "in", "CT", "a")
    add_series(tmp_path / "in", "CT", "b")
    write_click_file(tmp_path / "in", series=series_uid("CT", "b"))
    named = ",".join(series_uid("CT", name) for name in "ab")

    plan = plan_run(tmp_path, model_that_requires_clicks(tmp_path), series=named)

    assert planned_uids(plan) == [[series_uid("CT", "b")]]
    assert [failed.files.series_uid for failed in plan.failures] == [series_uid("CT", "a")]


@pytest.mark.parametrize("polarity", [None, Polarity.BACKGROUND])
def test_a_model_that_requires_clicks_fails_without_a_foreground_click(
    tmp_path: Path, polarity: Polarity | None
) -> None:
    add_series(tmp_path / "in", "CT")
    clicks = () if polarity is None else (Click("hook", polarity, (0, 0, 0)),)
    write_clicks_json(Clicks(clicks), tmp_path / "in" / "clicks.json")

    with pytest.raises(ClickError, match="expected a foreground click, got none") as caught:
        plan_run(tmp_path, model_that_requires_clicks(tmp_path))

    assert "--session" in str(caught.value.hint)


def test_a_model_that_requires_clicks_can_start_a_session_without_clicks(tmp_path: Path) -> None:
    add_series(tmp_path / "in", "CT")
    settings = read_settings(tmp_path / "in", tmp_path / "out", model_that_requires_clicks(tmp_path), {}, {})

    assert len(make_plan(settings, allow_no_clicks=True).cases) == 1
