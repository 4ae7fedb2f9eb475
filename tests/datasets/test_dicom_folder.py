"""SEG and RTSTRUCT are at the right positions, also in oblique series; those without a series are rejected."""

from __future__ import annotations

import shutil
from pathlib import Path

import highdicom as hd
import nibabel
import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

from clickseg.core.errors import InputError
from clickseg.datasets.case import CaseFiles, LabelledCase
from clickseg.datasets.find import find_cases
from clickseg.datasets.read import read_case
from tests.helpers import phantoms
from tests.helpers.dataset_folders import LPS_TO_RAS, make_label_map, write_json, write_nifti
from tests.helpers.dicom_files import (
    contour_item,
    save_dataset,
    write_rtstruct,
    write_segmentation,
    write_series_on_grid,
)
from tests.helpers.polygons import STAR, winding_mask

BOX = np.array([[0.5, 1.5], [0.5, 12.5], [9.5, 11.5], [8.5, 0.5]])
HOLE = np.array([[3.4, 4.3], [3.6, 7.7], [5.7, 6.6]])


def to_slice(geometry: hd.VolumeGeometry, corners: np.ndarray, index: float) -> np.ndarray:
    """Converts corners (row, column) in a slice to LPS mm."""
    return geometry.map_indices_to_reference(np.column_stack([np.full(len(corners), index), corners]))


def read_labelled_case(
    folder: Path, truth: Path, modality: str = "CT", **options: tuple[tuple[str, ...], ...]
) -> LabelledCase:
    return read_case(CaseFiles("one", (modality,), (folder,), truth), **options)


def values_at(volume: hd.Volume, points: np.ndarray) -> np.ndarray:
    """The values of a volume at LPS positions."""
    return volume.array[tuple(np.rint(volume.map_reference_to_indices(points)).astype(int).T)]


@pytest.fixture
def oblique(tmp_path: Path) -> list[Dataset]:
    return write_series_on_grid(tmp_path / "in", phantoms.oblique_geometry())


def test_contours_are_filled_at_their_positions(tmp_path: Path, oblique: list[Dataset]) -> None:
    geometry = phantoms.oblique_geometry()
    contours = [to_slice(geometry, *arguments) for arguments in [(BOX, 2), (HOLE, 2), (STAR, 5)]]
    path = write_rtstruct(tmp_path / "rs.dcm", oblique[0], {"GTV": contours})

    labels = read_labelled_case(tmp_path / "in", path).truth

    expected = np.zeros(geometry.spatial_shape, bool)
    expected[2], expected[5] = winding_mask(BOX, (11, 13)) & ~winding_mask(HOLE, (11, 13)), winding_mask(STAR, (11, 13))
    points = geometry.map_indices_to_reference(np.argwhere(np.ones(geometry.spatial_shape)))
    np.testing.assert_array_equal(values_at(labels, points), expected.ravel())
    assert expected.sum() > 50


@pytest.mark.filterwarnings("ignore:The value length:UserWarning")  # of StudyID
@pytest.mark.parametrize("patient", ["STS_002", "STS_008"])
@pytest.mark.parametrize(("folder", "modality"), [("PET", "PT"), ("CT", "CT"), ("MR_T1", "MR")])
def test_contours_give_the_masks_that_ibsi_published(fixtures: Path, patient: str, folder: str, modality: str) -> None:
    study = fixtures / "petct_ibsi" / patient / folder
    reference = nibabel.load(fixtures / "petct_ibsi" / "nifti_masks" / patient / f"{folder}_mask.nii.gz")

    labels = read_labelled_case(study / "image", study / "mask" / "RS.dcm", modality).truth

    voxels = np.argwhere(np.ones(reference.shape))
    points = nibabel.affines.apply_affine(LPS_TO_RAS @ reference.affine, voxels)
    np.testing.assert_array_equal(values_at(labels, points), np.asarray(reference.dataobj).ravel())


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        ((), {0: 1, 1: 1, 2: 0, 3: 0}),
        ((("gtv*",),), {0: 1, 1: 1, 2: 0, 3: 0}),
        ((("Liver",), ("GTV_Mass", "no such")), {0: 2, 1: 0, 2: 1, 3: 0}),
        ((("GTV_Mass",), ("*",)), {0: 1, 1: 2, 2: 2, 3: 2}),
    ],
)
def test_regions_are_selected_by_their_names(
    tmp_path: Path, oblique: list[Dataset], classes: tuple[tuple[str, ...], ...], expected: dict[int, int]
) -> None:
    geometry = phantoms.oblique_geometry()
    names = ["GTV_Mass", " GTV_edema ", "liver", "BODY"]
    regions = {name: [to_slice(geometry, STAR, index)] for index, name in enumerate(names)}
    path = write_rtstruct(tmp_path / "rs.dcm", oblique[0], regions, ["GTV", "", "ORGAN", "EXTERNAL"])

    labels = read_labelled_case(tmp_path / "in", path, class_names=classes).truth

    j, i = np.argwhere(winding_mask(STAR, (11, 13)))[0]
    points = geometry.map_indices_to_reference(np.array([[index, j, i] for index in expected]))
    assert values_at(labels, points).tolist() == list(expected.values())


def test_a_single_region_is_used_whatever_its_type(tmp_path: Path, oblique: list[Dataset]) -> None:
    contours = [to_slice(phantoms.oblique_geometry(), STAR, 1)]
    path = write_rtstruct(tmp_path / "rs.dcm", oblique[0], {"liver": contours}, ["ORGAN"])

    assert read_labelled_case(tmp_path / "in", path).truth.array.max() == 1


def test_the_later_class_is_used_if_regions_overlap(tmp_path: Path, oblique: list[Dataset]) -> None:
    geometry = phantoms.oblique_geometry()
    regions = {"tumour": [to_slice(geometry, STAR, 1)], "organ": [to_slice(geometry, BOX, 1)]}
    path = write_rtstruct(tmp_path / "rs.dcm", oblique[0], regions)

    labels = read_labelled_case(tmp_path / "in", path, class_names=(("organ",), ("tumour",))).truth.array

    assert np.count_nonzero(labels == 2) == winding_mask(STAR, (11, 13)).sum()
    assert np.count_nonzero(labels) == (winding_mask(STAR, (11, 13)) | winding_mask(BOX, (11, 13))).sum()


def test_regions_with_other_names_are_rejected_with_a_list_of_the_regions(
    tmp_path: Path, oblique: list[Dataset]
) -> None:
    path = write_rtstruct(tmp_path / "rs.dcm", oblique[0], {"liver": [], "BO\x07DY": []}, ["ORGAN", "EXTERNAL"])

    with pytest.raises(InputError, match=r"rs.dcm: expected a region that can be a lesion, got liver, BO\\x07DY"):
        read_labelled_case(tmp_path / "in", path)
    with pytest.raises(InputError, match="expected a region named tumour, got liver"):
        read_labelled_case(tmp_path / "in", path, class_names=(("tumour",),))


def test_a_region_without_contours_is_empty(tmp_path: Path, oblique: list[Dataset]) -> None:
    path = write_rtstruct(tmp_path / "rs.dcm", oblique[0], {"GTV": []})

    assert not read_labelled_case(tmp_path / "in", path).truth.array.any()


@pytest.mark.parametrize(
    ("corners", "index", "message"),
    [
        (STAR, 2.4, r"expected contours in the slices of the image, got one 1.24 mm away"),
        (STAR + np.array([30, 0]), 2, "a contour is outside of the image"),
        (STAR[:2], 2, r"ContourData \(3006,0050\): expected at least 3 points \(9 numbers\), got 6 numbers"),
    ],
)
def test_contours_that_are_not_in_the_slices_are_rejected(
    tmp_path: Path, oblique: list[Dataset], corners: np.ndarray, index: float, message: str
) -> None:
    contours = [to_slice(phantoms.oblique_geometry(), corners, index)]
    path = write_rtstruct(tmp_path / "rs.dcm", oblique[0], {"GTV": contours})

    with pytest.raises(InputError, match=message):
        read_labelled_case(tmp_path / "in", path)


@pytest.mark.parametrize("kind", ["OPEN_PLANAR", "", "OPEN_NONPLANAR"])
def test_contours_that_are_not_closed_are_rejected(tmp_path: Path, oblique: list[Dataset], kind: str) -> None:
    path = write_rtstruct(tmp_path / "rs.dcm", oblique[0], {"GTV": [to_slice(phantoms.oblique_geometry(), STAR, 1)]})
    data = dcmread(path)
    data.ROIContourSequence[0].ContourSequence[0].ContourGeometricType = kind
    save_dataset(path, data)

    with pytest.raises(InputError, match=r"ContourGeometricType \(3006,0042\): expected CLOSED_PLANAR, got"):
        read_labelled_case(tmp_path / "in", path)


def test_points_are_ignored(tmp_path: Path, oblique: list[Dataset]) -> None:
    path = write_rtstruct(tmp_path / "rs.dcm", oblique[0], {"GTV": [to_slice(phantoms.oblique_geometry(), STAR, 1)]})
    data = dcmread(path)
    point = contour_item(to_slice(phantoms.oblique_geometry(), STAR[:1], 3))
    point.ContourGeometricType = "POINT"
    data.ROIContourSequence[0].ContourSequence.append(point)
    save_dataset(path, data)

    assert not read_labelled_case(tmp_path / "in", path).truth.array[3].any()


def test_contours_in_another_frame_of_reference_are_rejected(tmp_path: Path, oblique: list[Dataset]) -> None:
    path = write_rtstruct(tmp_path / "rs.dcm", oblique[0], {"GTV": [to_slice(phantoms.oblique_geometry(), STAR, 1)]})
    data = dcmread(path)
    data.StructureSetROISequence[0].ReferencedFrameOfReferenceUID = generate_uid()
    save_dataset(path, data)

    with pytest.raises(InputError, match="expected the frame of reference of the series"):
        read_labelled_case(tmp_path / "in", path)


def slices_in_order(sources: list[Dataset], volume: hd.Volume) -> np.ndarray:
    """Returns the slices of a volume in the order of the source images at their positions."""
    positions = np.array([source.ImagePositionPatient for source in sources], float)
    return volume.array[np.rint(volume.map_reference_to_indices(positions)[:, 0]).astype(int)]


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
def test_segments_are_at_the_positions_that_highdicom_wrote(tmp_path: Path, oblique: list[Dataset], kind: str) -> None:
    truth = make_label_map()
    truth.array[3:5] = 0  # empty frames are not stored
    pixels = slices_in_order(oblique, truth)
    path = write_segmentation(tmp_path / "seg.dcm", oblique, pixels, ["hook", "corner"], kind=kind)

    separate = read_labelled_case(tmp_path / "in", path, class_names=(("hook",), ("corner",))).truth
    combined = read_labelled_case(tmp_path / "in", path).truth

    points = truth.map_indices_to_reference(np.argwhere(np.ones(truth.spatial_shape)))
    np.testing.assert_array_equal(values_at(separate, points), truth.array.ravel())
    np.testing.assert_array_equal(values_at(combined, points), truth.array.ravel() > 0)


def test_a_fractional_segment_has_a_threshold_of_one_half(tmp_path: Path, oblique: list[Dataset]) -> None:
    fractions = slices_in_order(oblique, phantoms.hook_volume(phantoms.oblique_geometry(), 0.6, 0.4)).astype(np.float32)
    path = write_segmentation(tmp_path / "seg.dcm", oblique, fractions, ["hook"], kind="FRACTIONAL")

    labels = read_labelled_case(tmp_path / "in", path).truth

    expected = phantoms.hook_volume(phantoms.oblique_geometry())
    points = expected.map_indices_to_reference(np.argwhere(np.ones(expected.spatial_shape)))
    np.testing.assert_array_equal(values_at(labels, points), expected.array.ravel())


def test_slices_with_small_position_errors_keep_their_segments(tmp_path: Path) -> None:
    images = phantoms.instances(phantoms.distinct_volume(phantoms.oblique_geometry()), "CT")
    normal = phantoms.rotation_matrix()[:, 2]
    for number, image in enumerate(images):
        position = np.array(image.ImagePositionPatient, float) + normal * (0.1 if number % 2 else -0.1)
        image.ImagePositionPatient = [f"{value:.6f}" for value in position]
    phantoms.save(tmp_path / "in", images)
    pixels = slices_in_order(images, make_label_map())
    path = write_segmentation(tmp_path / "seg.dcm", images, pixels, ["hook", "corner"])

    labels = read_labelled_case(tmp_path / "in", path, class_names=(("hook",), ("corner",))).truth

    np.testing.assert_array_equal(slices_in_order(images, labels), pixels)


def test_a_seg_on_its_own_grid_is_resampled_to_the_nearest_voxel(tmp_path: Path, oblique: list[Dataset]) -> None:
    fine = make_label_map(phantoms.oblique_geometry((14, 22, 39), pixel_spacing=(0.85, 0.3), slice_spacing=1.55))
    own = hd.Volume(fine.array, fine.affine, "PATIENT", frame_of_reference_uid=oblique[0].FrameOfReferenceUID)
    path = write_segmentation(tmp_path / "seg.dcm", oblique, own, ["hook", "corner"])

    labels = read_labelled_case(tmp_path / "in", path, class_names=(("hook",), ("corner",))).truth

    write_nifti(tmp_path / "image.nii.gz", phantoms.distinct_volume(phantoms.oblique_geometry()))
    expected = read_case(
        CaseFiles("one", ("CT",), (tmp_path / "image.nii.gz",), write_nifti(tmp_path / "truth.nii.gz", fine))
    ).truth
    points = labels.map_indices_to_reference(np.argwhere(np.ones(labels.spatial_shape)))
    np.testing.assert_array_equal(values_at(expected, points), labels.array.ravel())


def test_segments_with_swapped_rows_and_columns_are_at_their_positions(tmp_path: Path) -> None:
    geometry = phantoms.oblique_geometry((7, 13, 13))
    sources, truth = write_series_on_grid(tmp_path / "in", geometry), make_label_map(geometry)
    permuted = truth.permute_spatial_axes((0, 2, 1))
    own = hd.Volume(permuted.array, permuted.affine, "PATIENT", frame_of_reference_uid=sources[0].FrameOfReferenceUID)
    path = write_segmentation(tmp_path / "seg.dcm", sources, own, ["hook", "corner"])

    labels = read_labelled_case(tmp_path / "in", path, class_names=(("hook",), ("corner",))).truth

    points = truth.map_indices_to_reference(np.argwhere(np.ones(truth.spatial_shape)))
    np.testing.assert_array_equal(values_at(labels, points), truth.array.ravel())


def test_organs_are_ignored_if_there_is_a_lesion(tmp_path: Path, oblique: list[Dataset]) -> None:
    categories = [codes.SCT.AnatomicalStructure, codes.SCT.MorphologicallyAbnormalStructure]
    path = write_segmentation(
        tmp_path / "seg.dcm",
        oblique,
        slices_in_order(oblique, make_label_map()),
        ["liver", "tumour"],
        categories=categories,
    )

    labels = read_labelled_case(tmp_path / "in", path).truth

    assert labels.array.sum() == np.count_nonzero(make_label_map().array == 2)


@pytest.mark.parametrize("folder", ["23x38x3", "24x38x3"])
def test_segments_of_dcmqi_are_at_the_positions_that_highdicom_reads(fixtures: Path, folder: str) -> None:
    data = fixtures / "edge_dcmqi_seg" / "segmentations" / folder

    (case,) = find_cases(data, ("CT",))
    labels = read_case(case).truth

    reference = hd.seg.segread(case.truth).get_volume()
    points = reference.map_indices_to_reference(np.argwhere(np.ones(reference.spatial_shape)))
    np.testing.assert_array_equal(values_at(labels, points), reference.array.any(axis=-1).ravel())
    assert labels.array.any()


def test_segments_in_another_frame_of_reference_are_rejected(tmp_path: Path, oblique: list[Dataset]) -> None:
    path = write_segmentation(
        tmp_path / "seg.dcm", oblique, slices_in_order(oblique, make_label_map()), ["hook", "corner"]
    )
    phantoms.change(tmp_path / "in", lambda dataset: setattr(dataset, "FrameOfReferenceUID", "2.25.1"))

    with pytest.raises(InputError, match=r"seg.dcm: expected the frame of reference of the series"):
        read_labelled_case(tmp_path / "in", path)


def test_frames_that_are_not_on_a_grid_are_rejected(tmp_path: Path, oblique: list[Dataset]) -> None:
    path = write_segmentation(
        tmp_path / "seg.dcm", oblique, slices_in_order(oblique, make_label_map()), ["hook", "corner"]
    )
    data = dcmread(path)
    position = data.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0]
    position.ImagePositionPatient = [value + 1.3 for value in position.ImagePositionPatient]
    data.save_as(path)

    with pytest.raises(InputError, match="its frames are neither on the slices of the series nor on a uniform grid"):
        read_labelled_case(tmp_path / "in", path)


def test_a_seg_outside_of_the_series_is_rejected(tmp_path: Path, oblique: list[Dataset]) -> None:
    path = write_segmentation(
        tmp_path / "seg.dcm", oblique, slices_in_order(oblique, make_label_map()), ["hook", "corner"]
    )
    small = tmp_path / "small"
    write_series_on_grid(small, phantoms.oblique_geometry()[:4])

    with pytest.raises(InputError, match="labelled voxels are outside of the image"):
        read_labelled_case(small, path)


def test_a_seg_without_frames_is_rejected(tmp_path: Path, oblique: list[Dataset]) -> None:
    path = write_segmentation(
        tmp_path / "seg.dcm", oblique, slices_in_order(oblique, make_label_map()), ["hook", "corner"]
    )
    data = dcmread(path)
    data.NumberOfFrames = 0
    data.save_as(path)

    with pytest.raises(InputError, match="0 voxels: expected 1 to"):
        read_labelled_case(tmp_path / "in", path)


@pytest.mark.parametrize("keyword", ["SegmentSequence", "SharedFunctionalGroupsSequence", "Rows", "SegmentationType"])
def test_a_seg_without_a_required_attribute_is_rejected(tmp_path: Path, oblique: list[Dataset], keyword: str) -> None:
    path = write_segmentation(
        tmp_path / "seg.dcm", oblique, slices_in_order(oblique, make_label_map()), ["hook", "corner"]
    )
    data = dcmread(path)
    delattr(data, keyword)
    data.save_as(path)

    with pytest.raises(InputError, match=r"seg.dcm: "):
        read_labelled_case(tmp_path / "in", path)


def test_an_rtstruct_without_a_required_attribute_is_rejected(tmp_path: Path, oblique: list[Dataset]) -> None:
    path = write_rtstruct(tmp_path / "rs.dcm", oblique[0], {"GTV": [to_slice(phantoms.oblique_geometry(), STAR, 1)]})
    data = dcmread(path)
    del data.ROIContourSequence[0].ReferencedROINumber
    save_dataset(path, data)

    with pytest.raises(InputError, match=r"rs.dcm: cannot be read: AttributeError"):
        read_labelled_case(tmp_path / "in", path)


def test_a_seg_can_refer_to_the_images_of_its_frames_only(tmp_path: Path, oblique: list[Dataset]) -> None:
    path = write_segmentation(
        tmp_path / "seg.dcm", oblique, slices_in_order(oblique, make_label_map()), ["hook", "corner"]
    )
    data = dcmread(path)
    del data.ReferencedSeriesSequence
    data.save_as(path)

    assert [case.truth for case in find_cases(tmp_path, ("CT",))] == [path]


@pytest.mark.parametrize("content", [b"", b"not DICOM at all" * 20])
def test_ground_truth_that_is_not_dicom_is_rejected(tmp_path: Path, oblique: list[Dataset], content: bytes) -> None:
    (tmp_path / "seg.dcm").write_bytes(content)

    with pytest.raises(InputError, match=r"seg.dcm: expected one DICOM SEG or RTSTRUCT, got 0"):
        read_labelled_case(tmp_path / "in", tmp_path / "seg.dcm")


def write_study(folder: Path, name: str, *modalities: str) -> dict[str, list[Dataset]]:
    """Writes a study with a series of each modality in one frame of reference."""
    instances = {}
    for modality in modalities:
        volume = phantoms.distinct_volume(phantoms.oblique_geometry())
        instances[modality] = phantoms.instances(volume, modality, name)
        for image in instances[modality]:
            image.PatientID = name
        phantoms.save(folder / modality, instances[modality])
    return instances


def write_star(path: Path, images: list[Dataset], **kwargs: bool) -> Path:
    return write_rtstruct(path, images[0], {"GTV": [to_slice(phantoms.oblique_geometry(), STAR, 1)]}, **kwargs)


def test_studies_in_folders(tmp_path: Path) -> None:
    for name in ("A", "B"):
        instances = write_study(tmp_path / "data" / name, name, "PT", "CT")
        write_star(tmp_path / "data" / name / "truth" / "rs.dcm", instances["PT"])

    pet_cases, pet_ct_cases = find_cases(tmp_path / "data", ("PT",)), find_cases(tmp_path / "data", ("PT", "CT"))

    first = tmp_path / "data" / "A"
    assert pet_cases[0] == CaseFiles("A_PT", ("PT",), (first / "PT",), first / "truth" / "rs.dcm")
    assert pet_ct_cases[0] == CaseFiles(
        "A_PT_CT", ("PT", "CT"), (first / "PT", first / "CT"), first / "truth" / "rs.dcm"
    )
    assert [case.name for case in pet_ct_cases] == ["A_PT_CT", "B_PT_CT"]
    read = read_case(pet_ct_cases[1])
    assert [(image.modality, image.unit) for image in read.images] == [("PT", "SUVbw"), ("CT", "HU")]
    assert read.truth.array.sum() == winding_mask(STAR, (11, 13)).sum()


def test_series_and_truth_of_several_patients_in_one_folder(tmp_path: Path) -> None:
    for name in ("A", "B"):
        instances = write_study(tmp_path / name, name, "PT", "CT")
        write_star(tmp_path / name / "truth" / "rs.dcm", instances["CT"])
        for path in [*(tmp_path / name).rglob("image*"), tmp_path / name / "truth" / "rs.dcm"]:
            (tmp_path / "data").mkdir(exist_ok=True)
            shutil.move(path, tmp_path / "data" / f"{name}{path.parent.name}{path.name}")

    cases = find_cases(tmp_path / "data", ("CT", "PT"))

    assert [case.name for case in cases] == ["patient1_CT_PT", "patient2_CT_PT"]
    assert {path for case in cases for path in case.images} == {tmp_path / "data"}
    assert all(read_case(case).truth.array.any() for case in cases)


def test_an_image_that_was_removed_is_rejected(tmp_path: Path) -> None:
    instances = write_study(tmp_path, "A", "PT", "CT")
    write_star(tmp_path / "rs.dcm", instances["PT"])
    files = CaseFiles("one", ("PT", "CT"), (tmp_path / "PT", tmp_path), tmp_path / "rs.dcm")
    assert len(read_case(files).images) == 2
    shutil.rmtree(tmp_path / "CT")

    with pytest.raises(InputError, match=r"expected one CT series in frame of reference .* got 0: none"):
        read_case(files)


def test_several_studies_of_a_patient_get_numbers(tmp_path: Path) -> None:
    for name in ("one", "two"):
        instances = write_study(tmp_path / "A" / name, name, "CT")
        phantoms.change(tmp_path / "A" / name / "CT", lambda dataset: setattr(dataset, "PatientID", "A"))
        instances["CT"][0].PatientID = "A"
        write_star(tmp_path / "A" / f"{name}.dcm", instances["CT"])

    assert [case.name for case in find_cases(tmp_path, ("CT",))] == ["A_study1_CT", "A_study2_CT"]
    assert [case.name for case in find_cases(tmp_path / "A", ("CT",))] == ["patient1_study1_CT", "patient1_study2_CT"]


def test_ground_truth_of_the_second_image_is_used_if_the_first_has_none(tmp_path: Path) -> None:
    instances = write_study(tmp_path / "A", "A", "PT", "CT")
    write_star(tmp_path / "A" / "rs.dcm", instances["CT"])

    (case,) = find_cases(tmp_path, ("PT", "CT"))

    assert read_case(case).truth.array.sum() == winding_mask(STAR, (11, 13)).sum()
    with pytest.raises(InputError, match="A/PT: PT series without a SEG or an RTSTRUCT that refers to it"):
        find_cases(tmp_path, ("PT",))


def test_ground_truth_without_a_series_in_the_dataset_is_rejected(tmp_path: Path) -> None:
    instances = write_study(tmp_path / "A", "A", "CT")
    write_star(tmp_path / "A" / "rs.dcm", instances["CT"], refers=False)

    with pytest.raises(InputError, match=r"A/rs.dcm: does not refer to a CT, MR or PET series of the dataset"):
        find_cases(tmp_path, ("CT",))


def test_an_rtstruct_can_refer_to_the_images_of_its_contours_only(tmp_path: Path) -> None:
    instances = write_study(tmp_path / "A", "A", "CT")
    path = write_star(tmp_path / "A" / "rs.dcm", instances["CT"], refers=False)
    data, image = dcmread(path), Dataset()
    image.ReferencedSOPInstanceUID = instances["CT"][3].SOPInstanceUID
    data.ROIContourSequence[0].ContourSequence[0].ContourImageSequence = [image]
    save_dataset(path, data)

    assert [case.truth for case in find_cases(tmp_path, ("CT",))] == [path]


def test_two_ground_truths_of_one_series_are_rejected(tmp_path: Path) -> None:
    instances = write_study(tmp_path / "A", "A", "CT")
    for name in ("one", "two"):
        write_star(tmp_path / "A" / f"{name}.dcm", instances["CT"])

    with pytest.raises(InputError, match=r"expected one SEG or RTSTRUCT for a series, got A/one.dcm, A/two.dcm"):
        find_cases(tmp_path, ("CT",))


def test_ground_truth_of_a_rejected_series_gives_the_error_of_the_series(tmp_path: Path) -> None:
    instances = write_study(tmp_path / "A", "A", "CT")
    write_star(tmp_path / "A" / "rs.dcm", instances["CT"])
    sorted((tmp_path / "A" / "CT").iterdir())[3].unlink()

    with pytest.raises(InputError, match="missing slice"):
        find_cases(tmp_path, ("CT",))


def test_dicom_without_the_modality_is_rejected(tmp_path: Path) -> None:
    instances = write_study(tmp_path / "A", "A", "CT")
    write_star(tmp_path / "A" / "rs.dcm", instances["CT"])

    with pytest.raises(InputError, match="expected MR series that are regular volumes, got none"):
        find_cases(tmp_path, ("MR",))


def test_a_datalist_of_dicom(tmp_path: Path) -> None:
    instances = write_study(tmp_path / "A", "A", "PT", "CT")
    write_star(tmp_path / "rs.dcm", instances["PT"])
    entries = [{"image": ["A/PT", "A/CT"], "label": "rs.dcm"}]

    (case,) = find_cases(write_json(tmp_path / "list.json", {"training": entries}), ("PT", "CT"))

    assert case.name == "PT"
    assert read_case(case).truth.array.sum() == winding_mask(STAR, (11, 13)).sum()


def test_a_dicom_case_without_ground_truth(tmp_path: Path) -> None:
    write_study(tmp_path, "A", "PT")

    read = read_case(CaseFiles("one", ("PT",), (tmp_path / "PT",), None))

    assert not read.truth.array.any()
    assert read.truth.frame_of_reference_uid == read.images[0].volume.frame_of_reference_uid
