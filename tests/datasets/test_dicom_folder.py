"""Truth in DICOM is where it was drawn, on oblique series too, and what refers to nothing is refused."""

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
from tests.helpers.dataset_folders import LPS_TO_RAS, labels, nifti, write_json
from tests.helpers.dicom_files import contour, rtstruct, save, segmentation, series
from tests.helpers.polygons import STAR, wound

BOX = np.array([[0.5, 1.5], [0.5, 12.5], [9.5, 11.5], [8.5, 0.5]])
HOLE = np.array([[3.4, 4.3], [3.6, 7.7], [5.7, 6.6]])


def in_slice(geometry: hd.VolumeGeometry, corners: np.ndarray, index: float) -> np.ndarray:
    """Corners (row, column) of a slice in LPS mm."""
    return geometry.map_indices_to_reference(np.column_stack([np.full(len(corners), index), corners]))


def drawn(folder: Path, truth: Path, modality: str = "CT", **names: tuple[tuple[str, ...], ...]) -> LabelledCase:
    return read_case(CaseFiles("one", (modality,), (folder,), truth), **names)


def at(volume: hd.Volume, points: np.ndarray) -> np.ndarray:
    """The values of a volume at LPS positions."""
    return volume.array[tuple(np.rint(volume.map_reference_to_indices(points)).astype(int).T)]


@pytest.fixture
def oblique(tmp_path: Path) -> list[Dataset]:
    return series(tmp_path / "in", phantoms.oblique_geometry())


def test_contours_are_filled_where_they_were_drawn(tmp_path: Path, oblique: list[Dataset]) -> None:
    geometry = phantoms.oblique_geometry()
    contours = [in_slice(geometry, *each) for each in [(BOX, 2), (HOLE, 2), (STAR, 5)]]
    path = rtstruct(tmp_path / "rs.dcm", oblique[0], {"GTV": contours})

    found = drawn(tmp_path / "in", path).truth

    expected = np.zeros(geometry.spatial_shape, bool)
    expected[2], expected[5] = wound(BOX, (11, 13)) & ~wound(HOLE, (11, 13)), wound(STAR, (11, 13))
    points = geometry.map_indices_to_reference(np.argwhere(np.ones(geometry.spatial_shape)))
    np.testing.assert_array_equal(at(found, points), expected.ravel())
    assert expected.sum() > 50


@pytest.mark.filterwarnings("ignore:The value length:UserWarning")  # of the study ID
@pytest.mark.parametrize("patient", ["STS_002", "STS_008"])
@pytest.mark.parametrize(("folder", "modality"), [("PET", "PT"), ("CT", "CT"), ("MR_T1", "MR")])
def test_contours_fill_the_voxels_that_ibsi_published(fixtures: Path, patient: str, folder: str, modality: str) -> None:
    study = fixtures / "petct_ibsi" / patient / folder
    judge = nibabel.load(fixtures / "petct_ibsi" / "nifti_masks" / patient / f"{folder}_mask.nii.gz")

    found = drawn(study / "image", study / "mask" / "RS.dcm", modality).truth

    voxels = np.argwhere(np.ones(judge.shape))
    points = nibabel.affines.apply_affine(LPS_TO_RAS @ judge.affine, voxels)
    np.testing.assert_array_equal(at(found, points), np.asarray(judge.dataobj).ravel())


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        ((), {0: 1, 1: 1, 2: 0, 3: 0}),
        ((("gtv*",),), {0: 1, 1: 1, 2: 0, 3: 0}),
        ((("Liver",), ("GTV_Mass", "no such")), {0: 2, 1: 0, 2: 1, 3: 0}),
        ((("GTV_Mass",), ("*",)), {0: 1, 1: 2, 2: 2, 3: 2}),
    ],
)
def test_regions_are_chosen_by_their_names(
    tmp_path: Path, oblique: list[Dataset], classes: tuple[tuple[str, ...], ...], expected: dict[int, int]
) -> None:
    geometry = phantoms.oblique_geometry()
    names = ["GTV_Mass", " GTV_edema ", "liver", "BODY"]
    regions = {name: [in_slice(geometry, STAR, index)] for index, name in enumerate(names)}
    path = rtstruct(tmp_path / "rs.dcm", oblique[0], regions, ["GTV", "", "ORGAN", "EXTERNAL"])

    found = drawn(tmp_path / "in", path, classes=classes).truth

    j, i = np.argwhere(wound(STAR, (11, 13)))[0]
    points = geometry.map_indices_to_reference(np.array([[index, j, i] for index in expected]))
    assert at(found, points).tolist() == list(expected.values())


def test_the_only_region_counts_whatever_it_is(tmp_path: Path, oblique: list[Dataset]) -> None:
    contours = [in_slice(phantoms.oblique_geometry(), STAR, 1)]
    path = rtstruct(tmp_path / "rs.dcm", oblique[0], {"liver": contours}, ["ORGAN"])

    assert drawn(tmp_path / "in", path).truth.array.max() == 1


def test_the_later_class_counts_where_regions_overlap(tmp_path: Path, oblique: list[Dataset]) -> None:
    geometry = phantoms.oblique_geometry()
    regions = {"tumour": [in_slice(geometry, STAR, 1)], "organ": [in_slice(geometry, BOX, 1)]}
    path = rtstruct(tmp_path / "rs.dcm", oblique[0], regions)

    found = drawn(tmp_path / "in", path, classes=(("organ",), ("tumour",))).truth.array

    assert np.count_nonzero(found == 2) == wound(STAR, (11, 13)).sum()
    assert np.count_nonzero(found) == (wound(STAR, (11, 13)) | wound(BOX, (11, 13))).sum()


def test_regions_of_other_names_are_refused_with_those_there_are(tmp_path: Path, oblique: list[Dataset]) -> None:
    path = rtstruct(tmp_path / "rs.dcm", oblique[0], {"liver": [], "BO\x07DY": []}, ["ORGAN", "EXTERNAL"])

    with pytest.raises(InputError, match=r"rs.dcm: expected a lesion, got liver, BO\\x07DY"):
        drawn(tmp_path / "in", path)
    with pytest.raises(InputError, match="expected tumour, got liver"):
        drawn(tmp_path / "in", path, classes=(("tumour",),))


def test_a_region_without_contours_is_a_case_without_a_lesion(tmp_path: Path, oblique: list[Dataset]) -> None:
    path = rtstruct(tmp_path / "rs.dcm", oblique[0], {"GTV": []})

    assert not drawn(tmp_path / "in", path).truth.array.any()


@pytest.mark.parametrize(
    ("corners", "index", "message"),
    [
        (STAR, 2.4, r"expected contours in the slices of the image, got one 1.24 mm beside"),
        (STAR + np.array([30, 0]), 2, "a contour lies outside of the image"),
        (STAR[:2], 2, r"ContourData \(3006,0050\): expected three points or more, got 6 numbers"),
    ],
)
def test_contours_that_are_not_in_the_slices_are_refused(
    tmp_path: Path, oblique: list[Dataset], corners: np.ndarray, index: float, message: str
) -> None:
    contours = [in_slice(phantoms.oblique_geometry(), corners, index)]
    path = rtstruct(tmp_path / "rs.dcm", oblique[0], {"GTV": contours})

    with pytest.raises(InputError, match=message):
        drawn(tmp_path / "in", path)


@pytest.mark.parametrize("kind", ["OPEN_PLANAR", "", "OPEN_NONPLANAR"])
def test_contours_that_are_not_closed_are_refused(tmp_path: Path, oblique: list[Dataset], kind: str) -> None:
    path = rtstruct(tmp_path / "rs.dcm", oblique[0], {"GTV": [in_slice(phantoms.oblique_geometry(), STAR, 1)]})
    data = dcmread(path)
    data.ROIContourSequence[0].ContourSequence[0].ContourGeometricType = kind
    save(path, data)

    with pytest.raises(InputError, match=r"ContourGeometricType \(3006,0042\): expected CLOSED_PLANAR, got"):
        drawn(tmp_path / "in", path)


def test_points_have_no_area(tmp_path: Path, oblique: list[Dataset]) -> None:
    path = rtstruct(tmp_path / "rs.dcm", oblique[0], {"GTV": [in_slice(phantoms.oblique_geometry(), STAR, 1)]})
    data = dcmread(path)
    point = contour(in_slice(phantoms.oblique_geometry(), STAR[:1], 3))
    point.ContourGeometricType = "POINT"
    data.ROIContourSequence[0].ContourSequence.append(point)
    save(path, data)

    assert not drawn(tmp_path / "in", path).truth.array[3].any()


def test_contours_of_another_frame_of_reference_are_refused(tmp_path: Path, oblique: list[Dataset]) -> None:
    path = rtstruct(tmp_path / "rs.dcm", oblique[0], {"GTV": [in_slice(phantoms.oblique_geometry(), STAR, 1)]})
    data = dcmread(path)
    data.StructureSetROISequence[0].ReferencedFrameOfReferenceUID = generate_uid()
    save(path, data)

    with pytest.raises(InputError, match="expected the frame of reference of the series"):
        drawn(tmp_path / "in", path)


def in_order_of(sources: list[Dataset], volume: hd.Volume) -> np.ndarray:
    """The slices of a volume in the order of the images that lie there."""
    positions = np.array([source.ImagePositionPatient for source in sources], float)
    return volume.array[np.rint(volume.map_reference_to_indices(positions)[:, 0]).astype(int)]


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
def test_segments_are_where_highdicom_wrote_them(tmp_path: Path, oblique: list[Dataset], kind: str) -> None:
    truth = labels()
    truth.array[3:5] = 0  # frames without a voxel are left out
    pixels = in_order_of(oblique, truth)
    path = segmentation(tmp_path / "seg.dcm", oblique, pixels, ["hook", "corner"], kind=kind)

    both = drawn(tmp_path / "in", path, classes=(("hook",), ("corner",))).truth
    one = drawn(tmp_path / "in", path).truth

    points = truth.map_indices_to_reference(np.argwhere(np.ones(truth.spatial_shape)))
    np.testing.assert_array_equal(at(both, points), truth.array.ravel())
    np.testing.assert_array_equal(at(one, points), truth.array.ravel() > 0)


def test_a_fractional_segment_counts_from_one_half_on(tmp_path: Path, oblique: list[Dataset]) -> None:
    fractions = in_order_of(oblique, phantoms.hook(phantoms.oblique_geometry(), 0.6, 0.4)).astype(np.float32)
    path = segmentation(tmp_path / "seg.dcm", oblique, fractions, ["hook"], kind="FRACTIONAL")

    found = drawn(tmp_path / "in", path).truth

    expected = phantoms.hook(phantoms.oblique_geometry())
    points = expected.map_indices_to_reference(np.argwhere(np.ones(expected.spatial_shape)))
    np.testing.assert_array_equal(at(found, points), expected.array.ravel())


def test_slices_that_jitter_keep_their_segments(tmp_path: Path) -> None:
    made = phantoms.instances(phantoms.distinct(phantoms.oblique_geometry()), "CT")
    normal = phantoms.rotation()[:, 2]
    for number, image in enumerate(made):
        position = np.array(image.ImagePositionPatient, float) + normal * (0.1 if number % 2 else -0.1)
        image.ImagePositionPatient = [f"{value:.6f}" for value in position]
    phantoms.save(tmp_path / "in", made)
    pixels = in_order_of(made, labels())
    path = segmentation(tmp_path / "seg.dcm", made, pixels, ["hook", "corner"])

    found = drawn(tmp_path / "in", path, classes=(("hook",), ("corner",))).truth

    np.testing.assert_array_equal(in_order_of(made, found), pixels)


def test_a_segmentation_on_a_grid_of_its_own_takes_the_nearest_voxel(tmp_path: Path, oblique: list[Dataset]) -> None:
    fine = labels(phantoms.oblique_geometry((14, 22, 39), pixel_spacing=(0.85, 0.3), slice_spacing=1.55))
    own = hd.Volume(fine.array, fine.affine, "PATIENT", frame_of_reference_uid=oblique[0].FrameOfReferenceUID)
    path = segmentation(tmp_path / "seg.dcm", oblique, own, ["hook", "corner"])

    found = drawn(tmp_path / "in", path, classes=(("hook",), ("corner",))).truth

    nifti(tmp_path / "image.nii.gz", phantoms.distinct(phantoms.oblique_geometry()))
    same = read_case(
        CaseFiles("one", ("CT",), (tmp_path / "image.nii.gz",), nifti(tmp_path / "truth.nii.gz", fine))
    ).truth
    points = found.map_indices_to_reference(np.argwhere(np.ones(found.spatial_shape)))
    np.testing.assert_array_equal(at(same, points), found.array.ravel())


def test_segments_whose_rows_are_columns_of_the_series_are_where_they_were_drawn(tmp_path: Path) -> None:
    geometry = phantoms.oblique_geometry((7, 13, 13))
    sources, truth = series(tmp_path / "in", geometry), labels(geometry)
    turned = truth.permute_spatial_axes((0, 2, 1))
    own = hd.Volume(turned.array, turned.affine, "PATIENT", frame_of_reference_uid=sources[0].FrameOfReferenceUID)
    path = segmentation(tmp_path / "seg.dcm", sources, own, ["hook", "corner"])

    found = drawn(tmp_path / "in", path, classes=(("hook",), ("corner",))).truth

    points = truth.map_indices_to_reference(np.argwhere(np.ones(truth.spatial_shape)))
    np.testing.assert_array_equal(at(found, points), truth.array.ravel())


def test_organs_are_left_out_beside_a_lesion(tmp_path: Path, oblique: list[Dataset]) -> None:
    categories = [codes.SCT.AnatomicalStructure, codes.SCT.MorphologicallyAbnormalStructure]
    path = segmentation(
        tmp_path / "seg.dcm", oblique, in_order_of(oblique, labels()), ["liver", "tumour"], categories=categories
    )

    found = drawn(tmp_path / "in", path).truth

    assert found.array.sum() == np.count_nonzero(labels().array == 2)


@pytest.mark.parametrize("folder", ["23x38x3", "24x38x3"])
def test_segments_of_dcmqi_are_where_highdicom_reads_them(fixtures: Path, folder: str) -> None:
    data = fixtures / "edge_dcmqi_seg" / "segmentations" / folder

    (case,) = find_cases(data, ("CT",))
    found = read_case(case).truth

    judge = hd.seg.segread(case.truth).get_volume()
    points = judge.map_indices_to_reference(np.argwhere(np.ones(judge.spatial_shape)))
    np.testing.assert_array_equal(at(found, points), judge.array.any(axis=-1).ravel())
    assert found.array.any()


def test_segments_of_another_frame_of_reference_are_refused(tmp_path: Path, oblique: list[Dataset]) -> None:
    path = segmentation(tmp_path / "seg.dcm", oblique, in_order_of(oblique, labels()), ["hook", "corner"])
    phantoms.change(tmp_path / "in", lambda dataset: setattr(dataset, "FrameOfReferenceUID", "2.25.1"))

    with pytest.raises(InputError, match=r"seg.dcm: expected the frame of reference of the series"):
        drawn(tmp_path / "in", path)


def test_frames_that_lie_on_no_grid_are_refused(tmp_path: Path, oblique: list[Dataset]) -> None:
    path = segmentation(tmp_path / "seg.dcm", oblique, in_order_of(oblique, labels()), ["hook", "corner"])
    data = dcmread(path)
    position = data.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0]
    position.ImagePositionPatient = [value + 1.3 for value in position.ImagePositionPatient]
    data.save_as(path)

    with pytest.raises(InputError, match="its frames lie neither in the slices of the series nor on a uniform grid"):
        drawn(tmp_path / "in", path)


def test_a_segmentation_that_reaches_out_of_the_series_is_refused(tmp_path: Path, oblique: list[Dataset]) -> None:
    path = segmentation(tmp_path / "seg.dcm", oblique, in_order_of(oblique, labels()), ["hook", "corner"])
    small = tmp_path / "small"
    series(small, phantoms.oblique_geometry()[:4])

    with pytest.raises(InputError, match="labelled voxels lie outside of the image"):
        drawn(small, path)


def test_a_segmentation_without_frames_is_refused(tmp_path: Path, oblique: list[Dataset]) -> None:
    path = segmentation(tmp_path / "seg.dcm", oblique, in_order_of(oblique, labels()), ["hook", "corner"])
    data = dcmread(path)
    data.NumberOfFrames = 0
    data.save_as(path)

    with pytest.raises(InputError, match="0 voxels: expected 1 to"):
        drawn(tmp_path / "in", path)


@pytest.mark.parametrize("keyword", ["SegmentSequence", "SharedFunctionalGroupsSequence", "Rows", "SegmentationType"])
def test_a_segmentation_that_lacks_what_it_must_have_is_refused(
    tmp_path: Path, oblique: list[Dataset], keyword: str
) -> None:
    path = segmentation(tmp_path / "seg.dcm", oblique, in_order_of(oblique, labels()), ["hook", "corner"])
    data = dcmread(path)
    delattr(data, keyword)
    data.save_as(path)

    with pytest.raises(InputError, match=r"seg.dcm: "):
        drawn(tmp_path / "in", path)


def test_a_structure_set_that_lacks_what_it_must_have_is_refused(tmp_path: Path, oblique: list[Dataset]) -> None:
    path = rtstruct(tmp_path / "rs.dcm", oblique[0], {"GTV": [in_slice(phantoms.oblique_geometry(), STAR, 1)]})
    data = dcmread(path)
    del data.ROIContourSequence[0].ReferencedROINumber
    save(path, data)

    with pytest.raises(InputError, match=r"rs.dcm: cannot be read: AttributeError"):
        drawn(tmp_path / "in", path)


def test_segments_are_known_by_the_images_that_their_frames_name(tmp_path: Path, oblique: list[Dataset]) -> None:
    path = segmentation(tmp_path / "seg.dcm", oblique, in_order_of(oblique, labels()), ["hook", "corner"])
    data = dcmread(path)
    del data.ReferencedSeriesSequence
    data.save_as(path)

    assert [case.truth for case in find_cases(tmp_path, ("CT",))] == [path]


@pytest.mark.parametrize("content", [b"", b"not DICOM at all" * 20])
def test_truth_that_is_no_dicom_is_refused(tmp_path: Path, oblique: list[Dataset], content: bytes) -> None:
    (tmp_path / "seg.dcm").write_bytes(content)

    with pytest.raises(InputError, match=r"seg.dcm: expected one DICOM SEG or RTSTRUCT, got 0"):
        drawn(tmp_path / "in", tmp_path / "seg.dcm")


def study(folder: Path, name: str, *modalities: str) -> dict[str, list[Dataset]]:
    """A study with a series of each modality in one frame of reference."""
    made = {}
    for modality in modalities:
        volume = phantoms.distinct(phantoms.oblique_geometry())
        made[modality] = phantoms.instances(volume, modality, name)
        for image in made[modality]:
            image.PatientID = name
        phantoms.save(folder / modality, made[modality])
    return made


def star(path: Path, images: list[Dataset], **kwargs: bool) -> Path:
    return rtstruct(path, images[0], {"GTV": [in_slice(phantoms.oblique_geometry(), STAR, 1)]}, **kwargs)


def test_studies_in_folders(tmp_path: Path) -> None:
    for name in ("A", "B"):
        made = study(tmp_path / "data" / name, name, "PT", "CT")
        star(tmp_path / "data" / name / "truth" / "rs.dcm", made["PT"])

    alone, both = find_cases(tmp_path / "data", ("PT",)), find_cases(tmp_path / "data", ("PT", "CT"))

    first = tmp_path / "data" / "A"
    assert alone[0] == CaseFiles("A_PT", ("PT",), (first / "PT",), first / "truth" / "rs.dcm")
    assert both[0] == CaseFiles("A_PT_CT", ("PT", "CT"), (first / "PT", first / "CT"), first / "truth" / "rs.dcm")
    assert [case.name for case in both] == ["A_PT_CT", "B_PT_CT"]
    read = read_case(both[1])
    assert [(image.modality, image.unit) for image in read.images] == [("PT", "SUVbw"), ("CT", "HU")]
    assert read.truth.array.sum() == wound(STAR, (11, 13)).sum()


def test_series_and_truth_of_several_patients_in_one_folder(tmp_path: Path) -> None:
    for name in ("A", "B"):
        made = study(tmp_path / name, name, "PT", "CT")
        star(tmp_path / name / "truth" / "rs.dcm", made["CT"])
        for path in [*(tmp_path / name).rglob("image*"), tmp_path / name / "truth" / "rs.dcm"]:
            (tmp_path / "data").mkdir(exist_ok=True)
            shutil.move(path, tmp_path / "data" / f"{name}{path.parent.name}{path.name}")

    cases = find_cases(tmp_path / "data", ("CT", "PT"))

    assert [case.name for case in cases] == ["patient1_CT_PT", "patient2_CT_PT"]
    assert {path for case in cases for path in case.images} == {tmp_path / "data"}
    assert all(read_case(case).truth.array.any() for case in cases)


def test_an_image_that_is_no_more_where_it_was_found_is_refused(tmp_path: Path) -> None:
    made = study(tmp_path, "A", "PT", "CT")
    star(tmp_path / "rs.dcm", made["PT"])
    files = CaseFiles("one", ("PT", "CT"), (tmp_path / "PT", tmp_path), tmp_path / "rs.dcm")
    assert len(read_case(files).images) == 2
    shutil.rmtree(tmp_path / "CT")

    with pytest.raises(InputError, match=r"expected one CT series in frame of reference .* got 0: none"):
        read_case(files)


def test_several_studies_of_a_patient_are_told_apart(tmp_path: Path) -> None:
    for name in ("one", "two"):
        made = study(tmp_path / "A" / name, name, "CT")
        phantoms.change(tmp_path / "A" / name / "CT", lambda dataset: setattr(dataset, "PatientID", "A"))
        made["CT"][0].PatientID = "A"
        star(tmp_path / "A" / f"{name}.dcm", made["CT"])

    assert [case.name for case in find_cases(tmp_path, ("CT",))] == ["A_study1_CT", "A_study2_CT"]
    assert [case.name for case in find_cases(tmp_path / "A", ("CT",))] == ["patient1_study1_CT", "patient1_study2_CT"]


def test_truth_of_the_second_image_counts_where_the_first_has_none(tmp_path: Path) -> None:
    made = study(tmp_path / "A", "A", "PT", "CT")
    star(tmp_path / "A" / "rs.dcm", made["CT"])

    (case,) = find_cases(tmp_path, ("PT", "CT"))

    assert read_case(case).truth.array.sum() == wound(STAR, (11, 13)).sum()
    with pytest.raises(InputError, match="A/PT: PT series without a SEG or an RTSTRUCT that refers to it"):
        find_cases(tmp_path, ("PT",))


def test_truth_that_refers_to_nothing_here_is_refused(tmp_path: Path) -> None:
    made = study(tmp_path / "A", "A", "CT")
    star(tmp_path / "A" / "rs.dcm", made["CT"], refers=False)

    with pytest.raises(InputError, match=r"A/rs.dcm: refers to no CT, MR or PET series here"):
        find_cases(tmp_path, ("CT",))


def test_truth_is_known_by_the_images_that_its_contours_name(tmp_path: Path) -> None:
    made = study(tmp_path / "A", "A", "CT")
    path = star(tmp_path / "A" / "rs.dcm", made["CT"], refers=False)
    data, image = dcmread(path), Dataset()
    image.ReferencedSOPInstanceUID = made["CT"][3].SOPInstanceUID
    data.ROIContourSequence[0].ContourSequence[0].ContourImageSequence = [image]
    save(path, data)

    assert [case.truth for case in find_cases(tmp_path, ("CT",))] == [path]


def test_two_truths_of_one_series_are_refused(tmp_path: Path) -> None:
    made = study(tmp_path / "A", "A", "CT")
    for name in ("one", "two"):
        star(tmp_path / "A" / f"{name}.dcm", made["CT"])

    with pytest.raises(InputError, match=r"expected one SEG or RTSTRUCT for a series, got A/one.dcm, A/two.dcm"):
        find_cases(tmp_path, ("CT",))


def test_truth_of_a_series_that_is_no_volume_says_why_it_is_none(tmp_path: Path) -> None:
    made = study(tmp_path / "A", "A", "CT")
    star(tmp_path / "A" / "rs.dcm", made["CT"])
    sorted((tmp_path / "A" / "CT").iterdir())[3].unlink()

    with pytest.raises(InputError, match="missing slice"):
        find_cases(tmp_path, ("CT",))


def test_dicom_without_the_modality_is_refused(tmp_path: Path) -> None:
    made = study(tmp_path / "A", "A", "CT")
    star(tmp_path / "A" / "rs.dcm", made["CT"])

    with pytest.raises(InputError, match="expected MR series that form volumes, got none"):
        find_cases(tmp_path, ("MR",))


def test_a_datalist_of_dicom(tmp_path: Path) -> None:
    made = study(tmp_path / "A", "A", "PT", "CT")
    star(tmp_path / "rs.dcm", made["PT"])
    entries = [{"image": ["A/PT", "A/CT"], "label": "rs.dcm"}]

    (case,) = find_cases(write_json(tmp_path / "list.json", {"training": entries}), ("PT", "CT"))

    assert case.name == "PT"
    assert read_case(case).truth.array.sum() == wound(STAR, (11, 13)).sum()


def test_a_case_of_dicom_without_truth(tmp_path: Path) -> None:
    study(tmp_path, "A", "PT")

    read = read_case(CaseFiles("one", ("PT",), (tmp_path / "PT",), None))

    assert not read.truth.array.any()
    assert read.truth.frame_of_reference_uid == read.images[0].volume.frame_of_reference_uid
