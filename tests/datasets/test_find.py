"""Cases are found in all known dataset formats; images and labels that do not match are rejected."""

from __future__ import annotations

from pathlib import Path

import pytest

from clickseg.core.errors import InputError
from clickseg.datasets.case import CaseFiles
from clickseg.datasets.find import find_cases, find_model_cases
from clickseg.models.spec import ModelSpec
from tests.helpers import phantoms
from tests.helpers.dataset_folders import create_empty_file, write_json


def write_nnunet(folder: Path, channels: dict[str, str] | None = None, names: str = "AB", count: int = 2) -> Path:
    for name in names:
        create_empty_file(folder / "labelsTr" / f"case_{name}.nii.gz")
        for number in range(count):
            create_empty_file(folder / "imagesTr" / f"case_{name}_{number:04d}.nii.gz")
    if channels is not None:
        write_json(folder / "dataset.json", {"channel_names": channels, "labels": {"background": 0, "lesion": 1}})
    return folder


def write_paired(folder: Path) -> Path:
    for name in ("a_0001", "b_0002"):
        create_empty_file(folder / "imagesTr" / f"{name}.nii.gz")
        create_empty_file(folder / "labelsTr" / f"{name}.mha")
    return folder


def write_patients(folder: Path) -> Path:
    for name in ("STS_001", "STS_002"):
        for image in ("PET", "CT", "MR_T1"):
            create_empty_file(folder / name / f"{image}.nii.gz")
            create_empty_file(folder / name / f"{image}_gtv.nii.gz")
    return folder


def test_nnunet_channels_are_selected_by_their_names(tmp_path: Path) -> None:
    data = write_nnunet(tmp_path, {"1": "PET", "0": "CT"})

    cases = find_cases(data, ("PT", "CT"))

    images, truth = data / "imagesTr", data / "labelsTr"
    assert cases == tuple(
        CaseFiles(
            f"case_{name}",
            ("PT", "CT"),
            (images / f"case_{name}_0001.nii.gz", images / f"case_{name}_0000.nii.gz"),
            truth / f"case_{name}.nii.gz",
        )
        for name in "AB"
    )


def test_nnunet_for_a_model_of_one_modality_uses_one_channel(tmp_path: Path) -> None:
    cases = find_cases(write_nnunet(tmp_path, {"0": "CT", "1": "SUV"}), ("PT",))

    assert [path.name for case in cases for path in case.images] == ["case_A_0001.nii.gz", "case_B_0001.nii.gz"]


@pytest.mark.parametrize("channels", [None, {"0": "noNorm", "1": "CT"}])
def test_nnunet_channels_without_a_modality_are_used_in_their_order(
    tmp_path: Path, channels: dict[str, str] | None
) -> None:
    (case, _) = find_cases(write_nnunet(tmp_path, channels), ("PT", "CT"))

    assert [path.name for path in case.images] == ["case_A_0000.nii.gz", "case_A_0001.nii.gz"]


def test_several_channels_of_one_modality_keep_their_order(tmp_path: Path) -> None:
    data = write_nnunet(tmp_path, {"0": "T1", "1": "T2", "2": "CT"}, count=3)

    assert [p.name[-11:-7] for p in find_cases(data, ("MR", "MR"))[0].images] == ["0000", "0001"]
    with pytest.raises(InputError, match="expected the channels MR, got T1, T2, CT"):
        find_cases(data, ("MR",))


@pytest.mark.parametrize(
    ("channels", "modalities", "message"),
    [
        ({"0": "CT", "1": "CT"}, ("PT", "CT"), "expected the channels PT, CT, got CT, CT"),
        ({"0": "noNorm", "1": "PET"}, ("PT", "CT"), "expected the channels PT, CT, got noNorm, PET"),
        (None, ("PT",), "expected the channels PT, got 2 images for each case"),
        ({"0": "CT"}, ("CT",), "dataset.json has 1 channel, got 2 images"),
        ({"1": "CT", "2": "PET"}, ("CT",), "expected channels numbered from 0, got 1, 2"),
    ],
)
def test_channels_that_are_not_the_inputs_of_the_model_are_rejected(
    tmp_path: Path, channels: dict[str, str] | None, modalities: tuple[str, ...], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        find_cases(write_nnunet(tmp_path, channels), modalities)


def test_an_nnunet_case_without_one_of_the_channels_is_rejected(tmp_path: Path) -> None:
    data = write_nnunet(tmp_path)
    (data / "imagesTr" / "case_B_0000.nii.gz").unlink()

    with pytest.raises(InputError, match=r"case_B: expected 2 channels from 0000 on, got 0001"):
        find_cases(data, ("PT", "CT"))


@pytest.mark.parametrize("labels", [{"background": 0, "lesion": 1, "ignore": 2}, {"0": "background", "1": "ignore"}])
def test_ignore_labels_are_rejected(tmp_path: Path, labels: dict[str, object]) -> None:
    data = write_nnunet(tmp_path)
    write_json(data / "dataset.json", {"modality": {"0": "PET", "1": "CT"}, "labels": labels})

    with pytest.raises(InputError, match="labels: ignore"):
        find_cases(data, ("PT", "CT"))


def test_images_and_labels_with_the_same_names(tmp_path: Path) -> None:
    data = write_paired(tmp_path)
    create_empty_file(data / "imagesTr" / "._a_0001.nii.gz")
    create_empty_file(data / "imagesTr" / "readme.txt")

    cases = find_cases(data, ("PT",))

    assert cases == tuple(
        CaseFiles(name, ("PT",), (data / "imagesTr" / f"{name}.nii.gz",), data / "labelsTr" / f"{name}.mha")
        for name in ("a_0001", "b_0002")
    )


def test_study_folders_of_monai_label(tmp_path: Path) -> None:
    for name in ("one.nii.gz", "two.nii.gz"):
        create_empty_file(tmp_path / name)
        create_empty_file(tmp_path / "labels" / "final" / name)
    create_empty_file(tmp_path / "labels" / "original" / "one.nii.gz")

    cases = find_cases(tmp_path, ("CT",))

    assert [(case.name, case.images[0], case.truth) for case in cases] == [
        (name, tmp_path / f"{name}.nii.gz", tmp_path / "labels" / "final" / f"{name}.nii.gz") for name in ("one", "two")
    ]


def test_an_image_without_a_label_and_a_label_without_an_image_are_rejected(tmp_path: Path) -> None:
    data = write_paired(tmp_path)
    (data / "imagesTr" / "b_0002.nii.gz").rename(data / "imagesTr" / "c.nii.gz")

    with pytest.raises(InputError, match="1 image without a label: c; 1 label without an image: b_0002") as caught:
        find_cases(data, ("PT",))

    assert caught.value.hint is not None
    assert "JSON datalist" in caught.value.hint


def test_two_files_with_the_same_name_are_rejected(tmp_path: Path) -> None:
    data = write_paired(tmp_path)
    create_empty_file(data / "labelsTr" / "a_0001.nii")

    with pytest.raises(InputError, match=r"a_0001.mha and a_0001.nii: expected one file for each name"):
        find_cases(data, ("PT",))


def test_folders_without_images_are_rejected(tmp_path: Path) -> None:
    (tmp_path / "imagesTr").mkdir()
    (tmp_path / "labelsTr").mkdir()

    with pytest.raises(InputError, match=r"no images: expected files ending in .nii.gz"):
        find_cases(tmp_path, ("PT",))


def test_one_image_for_two_inputs_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected the channels PT, CT, got 1 image for each case"):
        find_cases(write_paired(tmp_path), ("PT", "CT"))


def test_a_datalist(tmp_path: Path) -> None:
    for name in ("img/a.nii.gz", "img/a_ct.nii.gz", "lab/a.nii.gz", "img/b.nii.gz", "img/b_ct.nii.gz"):
        create_empty_file(tmp_path / name)
    entries = [
        {"image": ["img/a.nii.gz", "img/a_ct.nii.gz"], "label": "lab/a.nii.gz", "fold": 3, "age": 71},
        {"image": [str(tmp_path / "img/b.nii.gz"), "img/b_ct.nii.gz"], "fold": 1},
    ]
    data = write_json(tmp_path / "list.json", {"training": entries, "testing": [{"image": "c.nii.gz"}]})

    first, second = find_cases(data, ("PT", "CT"))

    images = tmp_path / "img"
    assert first == CaseFiles(
        "a", ("PT", "CT"), (images / "a.nii.gz", images / "a_ct.nii.gz"), tmp_path / "lab" / "a.nii.gz", 3
    )
    assert second == CaseFiles("b", ("PT", "CT"), (images / "b.nii.gz", images / "b_ct.nii.gz"), None, 1)


def test_images_with_the_same_name_get_the_names_of_their_folders(tmp_path: Path) -> None:
    for name in ("P1", "P2"):
        create_empty_file(tmp_path / "all" / name / "PET.nii.gz")
    entries = [{"image": f"./all/{name}/PET.nii.gz"} for name in ("P1", "P2")]

    cases = find_cases(write_json(tmp_path / "list.json", {"training": entries}), ("PT",))

    assert [case.name for case in cases] == ["all_P1_PET", "all_P2_PET"]


def test_the_dataset_json_of_the_decathlon_is_a_datalist(tmp_path: Path) -> None:
    data = write_paired(tmp_path)
    entries = [
        {"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.mha"} for name in ("a_0001", "b_0002")
    ]
    write_json(data / "dataset.json", {"modality": {"0": "CT"}, "labels": {"0": "background"}, "training": entries})

    assert find_cases(data / "dataset.json", ("CT",)) == find_cases(data, ("CT",))
    with pytest.raises(InputError, match="expected the channels PT, got CT"):
        find_cases(data / "dataset.json", ("PT",))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"training": []}, "training: "),
        ({"validation": []}, "training: missing"),
        ({"training": [{"label": "a.nii.gz"}]}, "training.0.image: missing"),
        ({"training": [{"image": "a.nii.gz", "fold": -1}]}, "training.0.fold: "),
        ({"training": [{"image": "no.nii.gz"}]}, "no such file or folder: .*no.nii.gz"),
        ({"training": [{"image": "a.nii.gz", "label": "no.nii.gz"}]}, "no such file or folder: .*no.nii.gz"),
        ({"training": [{"image": "a.nii.gz"}, {"image": "./a.nii.gz"}]}, "expected a unique name for each case"),
        ([1, 2], "valid dictionary"),
    ],
)
def test_an_invalid_datalist_is_rejected(tmp_path: Path, content: object, message: str) -> None:
    create_empty_file(tmp_path / "a.nii.gz")

    with pytest.raises(InputError, match=message):
        find_cases(write_json(tmp_path / "list.json", content), ("PT",))


def test_patient_folders(tmp_path: Path) -> None:
    data = write_patients(tmp_path)

    alone, both = find_cases(data, ("MR",)), find_cases(data, ("PT", "CT"))

    first = data / "STS_001"
    assert [case.name for case in alone] == ["STS_001_MR_T1", "STS_002_MR_T1"]
    assert alone[0].truth == first / "MR_T1_gtv.nii.gz"
    assert both[0] == CaseFiles(
        "STS_001_PET_CT", ("PT", "CT"), (first / "PET.nii.gz", first / "CT.nii.gz"), first / "PET_gtv.nii.gz"
    )


ANY = ModelSpec.model_validate(phantoms.metadata(inputs=[phantoms.ANY_MODALITY]))


def test_a_model_for_several_modalities_uses_the_images_of_each(tmp_path: Path) -> None:
    cases = find_model_cases(write_patients(tmp_path), ANY)

    images = {"PT": "PET", "CT": "CT", "MR": "MR_T1"}
    assert {(case.name, case.modalities, case.images) for case in cases} == {
        (f"{patient}_{image}", (modality,), (tmp_path / patient / f"{image}.nii.gz",))
        for patient in ("STS_001", "STS_002")
        for modality, image in images.items()
    }


def test_a_missing_label_does_not_exclude_its_modality(tmp_path: Path) -> None:
    data = write_patients(tmp_path)
    (data / "STS_002" / "MR_T1_gtv.nii.gz").unlink()

    with pytest.raises(InputError, match=r"no such file: STS_002/MR_T1_gtv\.nii\.gz"):
        find_model_cases(data, ANY)


def test_a_modality_that_no_patient_has_is_ignored(tmp_path: Path) -> None:
    data = write_patients(tmp_path)
    for path in data.glob("*/MR_T1*"):
        path.unlink()

    assert {case.modalities for case in find_model_cases(data, ANY)} == {("PT",), ("CT",)}


def test_cases_with_the_same_name_get_their_modality_as_suffix(tmp_path: Path) -> None:
    cases = find_model_cases(write_nnunet(tmp_path, {"0": "CT", "1": "PET"}, names="A"), ANY)

    assert {(case.name, case.images[0].name) for case in cases} == {
        ("case_A_CT", "case_A_0000.nii.gz"),
        ("case_A_PT", "case_A_0001.nii.gz"),
    }


def test_a_model_with_two_inputs_uses_cases_with_both_images(tmp_path: Path) -> None:
    inputs = [{**phantoms.ANY_MODALITY, "alternatives": []}, *phantoms.metadata()["inputs"]]
    spec = ModelSpec.model_validate(phantoms.metadata(inputs=inputs))
    data = write_patients(tmp_path)

    assert find_model_cases(data, spec) == find_cases(data, ("PT", "CT"))


def test_images_of_an_ambiguous_modality_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match="expected images of a known modality, got images that could be CT or MR or PT"
    ):
        find_model_cases(write_paired(tmp_path), ANY)


def test_a_dataset_without_any_of_the_modalities_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected exactly one known dataset format, got none"):
        find_model_cases(tmp_path, ANY)


@pytest.mark.parametrize("name", ["PET.nii.gz", "PET_gtv.nii.gz", "CT.nii.gz"])
def test_a_patient_without_an_image_or_the_ground_truth_is_rejected(tmp_path: Path, name: str) -> None:
    data = write_patients(tmp_path)
    (data / "STS_002" / name).unlink()

    with pytest.raises(InputError, match=f"no such file: STS_002/{name}"):
        find_cases(data, ("PT", "CT"))


def test_an_unknown_format_is_rejected_with_a_list_of_the_known_formats(tmp_path: Path) -> None:
    create_empty_file(tmp_path / "images" / "a.nii.gz")

    with pytest.raises(InputError, match="expected exactly one known dataset format, got none") as caught:
        find_cases(tmp_path, ("PT",))

    assert caught.value.hint is not None
    for name in ("datalist", "nnU-Net", "imagesTr", "MONAI Label", "PET_gtv"):
        assert name in caught.value.hint


def test_a_dataset_of_two_formats_is_rejected(tmp_path: Path) -> None:
    write_patients(write_paired(tmp_path))

    with pytest.raises(InputError, match=r"got imagesTr.* and X/PET.nii.gz"):
        find_cases(tmp_path, ("PT",))


def test_a_missing_dataset_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file or folder"):
        find_cases(tmp_path / "none", ("PT",))
