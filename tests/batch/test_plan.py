"""What is run on a folder: which series, which model, which clicks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydicom import Dataset

from clickseg.batch.plan import Plan, make_plan
from clickseg.batch.settings import read_settings
from clickseg.clicks.click import Click, Clicks, Polarity
from clickseg.clicks.formats.clicks_json import write_clicks_json
from clickseg.core.errors import ClickError, InputError, MemoryLimitError, ModelError, SeriesError, UsageError
from clickseg.core.memory import Memory
from tests.helpers import phantoms

VOLUME = phantoms.distinct(phantoms.oblique_geometry())


def series_uid(modality: str, name: str = "test") -> str:
    return str(phantoms.header(modality, name).SeriesInstanceUID)


def frame_uid(name: str = "test") -> str:
    return str(phantoms.header("CT", name).FrameOfReferenceUID)


def add(folder: Path, modality: str, name: str = "test") -> Path:
    return phantoms.write(folder / f"{modality}_{name}", VOLUME, modality, name)


def models(folder: Path, *inputs: str, name: str = "model") -> Path:
    units = {"CT": "HU", "PT": "SUVbw", "MR": ""}
    specs = [{"name": m.lower(), "modality": m, "unit": units[m], "scaling": phantoms.RANGE} for m in inputs]
    phantoms.write_package(folder / "models" / name, phantoms.metadata(inputs=specs, guidance=phantoms.GUIDANCE))
    return folder / "models"


def any_modality(folder: Path) -> Path:
    """Packages of one model that takes PET, CT or MR."""
    section = phantoms.metadata(inputs=[phantoms.ANY_MODALITY], guidance=phantoms.GUIDANCE)
    phantoms.write_package(folder / "models" / "any", section)
    return folder / "models"


def that_needs_clicks(folder: Path) -> Path:
    """Packages of one model that only clicks tell what is meant."""
    section = phantoms.metadata(guidance={**phantoms.GUIDANCE, "required": True})
    phantoms.write_package(folder / "models" / "clicked", section)
    return folder / "models"


def plan(folder: Path, models: Path, **options: str) -> Plan:
    return make_plan(read_settings(folder / "in", folder / "out", models, options, {}))


def set_uid(dataset: Dataset, uid: str) -> None:
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid


def chosen(made: Plan) -> list[list[str]]:
    return sorted([series.candidate.series_uid for series in task.series] for task in made.tasks)


def click_file(folder: Path, frame: str | None = None, series: str | None = None) -> None:
    folder.mkdir(exist_ok=True, parents=True)
    write_clicks_json(Clicks((Click("hook", Polarity.FOREGROUND, (0, 0, 0)),), frame, series), folder / "clicks.json")


def test_the_series_of_the_models_modality_is_taken_and_the_other_named(tmp_path: Path) -> None:
    add(tmp_path / "in", "PT")
    add(tmp_path / "in", "CT")

    made = plan(tmp_path, models(tmp_path, "PT"))

    assert chosen(made) == [[series_uid("PT")]]
    ((passed_over),) = made.series_passed_over
    assert (passed_over.candidate.modality, str(passed_over.reason)) == ("CT", "model model takes PT")


def test_every_series_of_the_modality_is_taken(tmp_path: Path) -> None:
    add(tmp_path / "in", "CT", "a")
    add(tmp_path / "in", "CT", "b")

    made = plan(tmp_path, models(tmp_path, "CT"))

    assert chosen(made) == sorted([[series_uid("CT", "a")], [series_uid("CT", "b")]])


def test_a_named_series_is_the_only_one(tmp_path: Path) -> None:
    add(tmp_path / "in", "CT", "a")
    add(tmp_path / "in", "CT", "b")

    made = plan(tmp_path, models(tmp_path, "CT"), series=series_uid("CT", "b"))

    assert chosen(made) == [[series_uid("CT", "b")]]
    assert [str(each.reason) for each in made.series_passed_over] == ["not asked for"]


def test_a_named_series_of_another_modality_is_an_error_with_the_models(tmp_path: Path) -> None:
    add(tmp_path / "in", "CT")
    add(tmp_path / "in", "PT")

    with pytest.raises(ModelError, match=r"no model for CT series: there are model \(for PT\)"):
        plan(tmp_path, models(tmp_path, "PT"), series=series_uid("CT"))
    with pytest.raises(ModelError, match="model model is for PT: the series here are CT"):
        plan(tmp_path, models(tmp_path, "PT"), series=series_uid("CT"), model="model")


def test_a_series_that_is_not_there_is_an_error_that_lists_the_others(tmp_path: Path) -> None:
    add(tmp_path / "in", "CT")

    with pytest.raises(InputError, match=rf"no series 9\.9 in the input: there are CT {series_uid('CT')} in CT_test"):
        plan(tmp_path, models(tmp_path, "CT"), series="9.9")


def uncorrected(dataset: Dataset) -> None:
    dataset.CorrectedImage = ["DECY"]
    dataset.StudyInstanceUID = phantoms.header("PT", "ac").StudyInstanceUID


def test_corrected_pet_comes_before_uncorrected(tmp_path: Path) -> None:
    add(tmp_path / "in", "PT", "ac")
    phantoms.change(add(tmp_path / "in", "PT", "nac"), uncorrected)

    made = plan(tmp_path, models(tmp_path, "PT"))

    assert chosen(made) == [[series_uid("PT", "ac")]]
    assert [str(e.reason) for e in made.series_passed_over] == ["not corrected for attenuation, and another series is"]


def test_uncorrected_pet_is_taken_where_its_study_has_no_other_so_that_it_fails_by_its_tag(tmp_path: Path) -> None:
    add(tmp_path / "in", "PT", "ac")
    phantoms.change(add(tmp_path / "in", "PT", "other"), lambda dataset: dataset.__setattr__("CorrectedImage", "DECY"))

    made = plan(tmp_path, models(tmp_path, "PT"))

    assert chosen(made) == sorted([[series_uid("PT", "ac")], [series_uid("PT", "other")]])


def test_uncorrected_pet_is_taken_where_it_is_named_so_that_it_fails_by_its_tag(tmp_path: Path) -> None:
    add(tmp_path / "in", "PT", "ac")
    phantoms.change(add(tmp_path / "in", "PT", "nac"), uncorrected)

    assert chosen(plan(tmp_path, models(tmp_path, "PT"), series=series_uid("PT", "nac"))) == [[series_uid("PT", "nac")]]


def test_series_of_each_modality_of_a_model_are_segmented_each_on_its_own(tmp_path: Path) -> None:
    for modality in ("PT", "CT", "MR"):
        add(tmp_path / "in", modality)

    made = plan(tmp_path, any_modality(tmp_path))

    assert chosen(made) == sorted([series_uid(modality)] for modality in ("PT", "CT", "MR"))
    assert made.series_passed_over == ()


def test_of_a_model_for_several_modalities_a_named_series_is_the_only_one(tmp_path: Path) -> None:
    add(tmp_path / "in", "CT")
    add(tmp_path / "in", "PT")

    made = plan(tmp_path, any_modality(tmp_path), series=series_uid("CT"))

    assert chosen(made) == [[series_uid("CT")]]
    assert [str(each.reason) for each in made.series_passed_over] == ["not asked for"]


def test_a_default_for_one_modality_comes_before_a_model_for_several(tmp_path: Path) -> None:
    add(tmp_path / "in", "CT")
    add(tmp_path / "in", "PT")
    where = models(tmp_path, "PT", name="pet")
    section = json.loads((where / "pet" / "configs" / "metadata.json").read_text())["clickseg"]
    phantoms.write_package(where / "pet", section | {"default": True})
    any_modality(tmp_path)

    made, of_ct = plan(tmp_path, where), plan(tmp_path, where, series=series_uid("CT"))

    assert (made.package.name, chosen(made)) == ("pet", [[series_uid("PT")]])
    assert [str(each.reason) for each in made.series_passed_over] == ["model pet takes PT"]
    assert (of_ct.package.name, chosen(of_ct)) == ("any", [[series_uid("CT")]])


def test_a_ct_is_no_corrected_pet(tmp_path: Path) -> None:
    add(tmp_path / "in", "CT", "ac")
    phantoms.change(add(tmp_path / "in", "PT", "nac"), uncorrected)

    made = plan(tmp_path, any_modality(tmp_path))

    assert chosen(made) == sorted([[series_uid("CT", "ac")], [series_uid("PT", "nac")]])


def test_a_series_of_none_of_several_modalities_is_an_error_that_lists_them(tmp_path: Path) -> None:
    add(tmp_path / "in", "MR")
    section = phantoms.metadata(
        inputs=[phantoms.ANY_MODALITY | {"alternatives": phantoms.ANY_MODALITY["alternatives"][:1]}]
    )
    phantoms.write_package(tmp_path / "models" / "any", section)

    with pytest.raises(ModelError, match="model any is for PT or CT: the series here are MR"):
        plan(tmp_path, tmp_path / "models", model="any")


def test_the_one_series_that_forms_no_volume_is_the_error(tmp_path: Path) -> None:
    sorted(add(tmp_path / "in", "CT").iterdir())[3].unlink()

    with pytest.raises(SeriesError, match="1 missing slice"):
        plan(tmp_path, models(tmp_path, "CT"))


def test_several_that_form_no_volume_are_listed_with_their_reasons(tmp_path: Path) -> None:
    for name in ("a", "b"):
        sorted(add(tmp_path / "in", "CT", name).iterdir())[3].unlink()

    with pytest.raises(
        InputError, match=r"no CT, MR or PET series .*12 DICOM files.*CT_a: .*missing slice.*CT_b"
    ) as caught:
        plan(tmp_path, models(tmp_path, "CT"))
    assert "clickseg inspect" in (caught.value.hint or "")


def test_one_that_forms_no_volume_does_not_take_the_others_along(tmp_path: Path) -> None:
    add(tmp_path / "in", "CT", "a")
    sorted(add(tmp_path / "in", "CT", "b").iterdir())[3].unlink()

    made = plan(tmp_path, models(tmp_path, "CT"))

    assert chosen(made) == [[series_uid("CT", "a")]]
    assert "1 missing slice" in str(made.series_passed_over[0].reason)


def test_no_dicom_at_all_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()

    with pytest.raises(InputError, match=r"no CT, MR or PET series .*0 DICOM files.*there are none"):
        plan(tmp_path, models(tmp_path, "CT"))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_damaged_file_is_an_error(tmp_path: Path) -> None:
    path = sorted(add(tmp_path / "in", "CT").iterdir())[0]
    path.write_bytes(path.read_bytes()[:400])

    with pytest.raises(InputError, match=r"1 damaged DICOM file: CT_test/0001\.dcm"):
        plan(tmp_path, models(tmp_path, "CT"))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_damaged_file_of_another_series_is_in_no_ones_way(tmp_path: Path) -> None:
    add(tmp_path / "in", "CT", "a")
    path = sorted(add(tmp_path / "in", "CT", "b").iterdir())[0]
    path.write_bytes(path.read_bytes()[:1200])

    made = plan(tmp_path, models(tmp_path, "CT"))

    assert chosen(made) == [[series_uid("CT", "a")]]
    assert "1 damaged DICOM file: CT_b/0001.dcm" in str(made.series_passed_over[0].reason)


def test_a_click_file_without_clicks_is_checked_and_named(tmp_path: Path) -> None:
    add(tmp_path / "in", "CT")
    write_clicks_json(Clicks((), frame_uid()), tmp_path / "in" / "clicks.json")
    assert [task.clicks.source for task in plan(tmp_path, models(tmp_path, "CT")).tasks] == ["clicks.json"]

    write_clicks_json(Clicks((), "9.9"), tmp_path / "in" / "clicks.json")
    with pytest.raises(ClickError, match=r"in frame of reference 9\.9, but to be segmented: CT .* in frame") as caught:
        plan(tmp_path, models(tmp_path, "CT"))
    assert caught.value.hint == "--clicks none uses none"


def test_the_inputs_of_a_model_are_matched_by_frame_of_reference(tmp_path: Path) -> None:
    for name in ("a", "b"):
        add(tmp_path / "in", "PT", name)
        add(tmp_path / "in", "CT", name)

    made = plan(tmp_path, models(tmp_path, "PT", "CT"))

    assert chosen(made) == sorted([[series_uid("PT", n), series_uid("CT", n)] for n in ("a", "b")])


def test_an_input_that_is_missing_or_ambiguous_is_an_error(tmp_path: Path) -> None:
    add(tmp_path / "in", "PT", "a")
    add(tmp_path / "in", "CT", "b")
    where = models(tmp_path, "PT", "CT")

    with pytest.raises(InputError, match=r"input ct: expected one CT series in frame of reference .*, got 0: none"):
        plan(tmp_path, where)

    add(tmp_path / "in", "CT", "a")
    twin = phantoms.instances(VOLUME, "CT", "a")
    for dataset in twin:
        dataset.SeriesInstanceUID += "1"
        dataset.SOPInstanceUID += "1"
    phantoms.save(tmp_path / "in" / "twin", twin)
    with pytest.raises(InputError, match=r"input ct: expected one CT series .*, got 2: CT") as caught:
        plan(tmp_path, where)
    assert "--series UID,UID" in (caught.value.hint or "")
    pair = [series_uid("PT", "a"), series_uid("CT", "a") + "1"]
    assert chosen(plan(tmp_path, where, series=",".join(pair))) == [pair]


def test_a_series_that_lacks_an_input_does_not_take_the_others_along(tmp_path: Path) -> None:
    for name in ("a", "b"):
        add(tmp_path / "in", "PT", name)
    add(tmp_path / "in", "CT", "b")

    made = plan(tmp_path, models(tmp_path, "PT", "CT"))

    assert chosen(made) == [[series_uid("PT", "b"), series_uid("CT", "b")]]
    (lacking,) = made.failures
    assert lacking.candidate.series_uid == series_uid("PT", "a")
    assert "input ct: expected one CT series" in str(lacking.reason)
    assert made.series_passed_over == ()


def test_an_encoding_that_cannot_hold_the_result_is_wrong_use(tmp_path: Path) -> None:
    add(tmp_path / "in", "CT")
    where = models(tmp_path, "CT")
    phantoms.write_package(where / "model", phantoms.metadata(activation="sigmoid"))

    with pytest.raises(UsageError, match="LABELMAP segmentation cannot hold classes that overlap"):
        plan(tmp_path, where, **{"segmentation-type": "LABELMAP"})


def test_clicks_without_uids_go_to_the_only_series(tmp_path: Path) -> None:
    add(tmp_path / "in", "CT")
    add(tmp_path / "in", "PT", "elsewhere")
    click_file(tmp_path / "in")

    (task,) = plan(tmp_path, models(tmp_path, "CT")).tasks

    assert len(task.clicks.points) == 1


def test_clicks_without_uids_are_ambiguous_where_frames_of_reference_differ(tmp_path: Path) -> None:
    add(tmp_path / "in", "CT", "a")
    add(tmp_path / "in", "CT", "b")
    click_file(tmp_path / "in")
    where = models(tmp_path, "CT")

    with pytest.raises(ClickError, match=r"clicks\.json names no series, and there are several to segment") as caught:
        plan(tmp_path, where)

    assert caught.value.hint == "name one with --series"
    assert len(plan(tmp_path, where, series=series_uid("CT", "a")).tasks[0].clicks.points) == 1
    assert len(plan(tmp_path, where, clicks="none").tasks) == 2


@pytest.mark.parametrize("by", ["series", "frame"])
def test_clicks_go_to_the_series_that_they_name(tmp_path: Path, by: str) -> None:
    add(tmp_path / "in", "CT", "a")
    add(tmp_path / "in", "CT", "b")
    click_file(
        tmp_path / "in",
        frame_uid("b") if by == "frame" else None,
        series_uid("CT", "b") if by == "series" else None,
    )

    tasks = plan(tmp_path, models(tmp_path, "CT")).tasks

    assert {task.candidate.series_uid: len(task.clicks.points) for task in tasks} == {
        series_uid("CT", "a"): 0,
        series_uid("CT", "b"): 1,
    }


@pytest.mark.parametrize(("frame", "series"), [("9.9", None), (None, "9.9")])
def test_clicks_for_none_of_the_series_are_an_error(tmp_path: Path, frame: str | None, series: str | None) -> None:
    add(tmp_path / "in", "CT")
    click_file(tmp_path / "in", frame, series)

    with pytest.raises(ClickError, match=r"clicks\.json: for series .*9\.9.*but to be segmented: CT|for series 9\.9"):
        plan(tmp_path, models(tmp_path, "CT"))


def test_a_series_too_large_for_memory_does_not_take_the_others_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(tmp_path / "in", "CT", "small")
    large = phantoms.distinct(phantoms.oblique_geometry((9, 12, 14)))
    phantoms.write(tmp_path / "in" / "large", large, "CT", "large")
    monkeypatch.setattr(Memory, "left", lambda _: 7 * 11 * 13 * 5)  # float32 values and a label

    made = plan(tmp_path, models(tmp_path, "CT"))

    assert chosen(made) == [[series_uid("CT", "small")]]
    (too_large,) = made.failures
    assert too_large.candidate.series_uid == series_uid("CT", "large")
    assert isinstance(too_large.reason, MemoryLimitError)
    assert "for 9 x 12 x 14 voxels" in str(too_large.reason)


@pytest.mark.filterwarnings("ignore::UserWarning")  # highdicom's legacy converter
def test_of_two_volumes_of_one_series_only_the_one_that_is_too_large_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, shape in enumerate([(7, 11, 13), (9, 12, 14)], 1):
        slices = phantoms.instances(phantoms.distinct(phantoms.oblique_geometry(shape)), "CT")
        folder = phantoms.legacy_enhanced(tmp_path / "in" / f"volume{number}", slices)
        phantoms.change(folder, lambda dataset, uid=f"2.25.{number}": set_uid(dataset, uid))
    monkeypatch.setattr(Memory, "left", lambda _: 7 * 11 * 13 * 5)

    made = plan(tmp_path, models(tmp_path, "CT"))

    assert [task.candidate.folder for task in made.tasks] == ["volume1"]
    (too_large,) = made.skipped
    assert (too_large.candidate.folder, too_large.is_error) == ("volume2", True)
    assert too_large.candidate.series_uid == made.tasks[0].candidate.series_uid


def test_memory_for_no_series_is_an_error_before_any_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add(tmp_path / "in", "CT")
    monkeypatch.setattr(Memory, "left", lambda _: 7 * 11 * 13 * 5 - 1)

    with pytest.raises(MemoryLimitError, match="memory: expected at least"):
        plan(tmp_path, models(tmp_path, "CT"))


def test_a_model_that_needs_clicks_is_not_run_on_series_without(tmp_path: Path) -> None:
    add(tmp_path / "in", "CT", "a")
    add(tmp_path / "in", "CT", "b")
    click_file(tmp_path / "in", series=series_uid("CT", "b"))

    made = plan(tmp_path, that_needs_clicks(tmp_path))

    assert chosen(made) == [[series_uid("CT", "b")]]
    assert not made.failures
    (unclicked,) = made.series_passed_over
    assert unclicked.candidate.series_uid == series_uid("CT", "a")
    assert "model clicked: expected a foreground click, got none" in str(unclicked.reason)


def test_a_series_that_was_named_and_not_clicked_is_an_error_of_its_own(tmp_path: Path) -> None:
    add(tmp_path / "in", "CT", "a")
    add(tmp_path / "in", "CT", "b")
    click_file(tmp_path / "in", series=series_uid("CT", "b"))
    named = ",".join(series_uid("CT", name) for name in "ab")

    made = plan(tmp_path, that_needs_clicks(tmp_path), series=named)

    assert chosen(made) == [[series_uid("CT", "b")]]
    assert [each.candidate.series_uid for each in made.failures] == [series_uid("CT", "a")]


@pytest.mark.parametrize("polarity", [None, Polarity.BACKGROUND])
def test_a_model_that_needs_clicks_is_an_error_where_none_says_what_is_meant(
    tmp_path: Path, polarity: Polarity | None
) -> None:
    add(tmp_path / "in", "CT")
    clicks = () if polarity is None else (Click("hook", polarity, (0, 0, 0)),)
    write_clicks_json(Clicks(clicks), tmp_path / "in" / "clicks.json")

    with pytest.raises(ClickError, match="expected a foreground click, got none") as caught:
        plan(tmp_path, that_needs_clicks(tmp_path))

    assert "--session" in str(caught.value.hint)


def test_a_model_that_needs_clicks_begins_a_session_without(tmp_path: Path) -> None:
    add(tmp_path / "in", "CT")
    settings = read_settings(tmp_path / "in", tmp_path / "out", that_needs_clicks(tmp_path), {}, {})

    assert len(make_plan(settings, clicks_follow=True).tasks) == 1
