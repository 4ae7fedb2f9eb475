"""What is read is where it was, and has the values that it had: nibabel and ITK are the judges."""

from __future__ import annotations

from pathlib import Path

import highdicom as hd
import nibabel
import numpy as np
import pytest
import SimpleITK

from clickseg.core.errors import InputError
from clickseg.datasets import image_file
from clickseg.datasets.case import CaseFiles
from clickseg.datasets.find import find_cases
from clickseg.datasets.read import read_case
from tests.helpers import phantoms, runs
from tests.helpers.dataset_folders import LPS_TO_RAS, empty, labels, nifti

DETACHED = {
    "late.nrrd": b"NRRD0004\n" + b"# said at length\n" * 9000 + b"data file: b.raw\nencoding: raw\n\n",
    "a.mha": b"ObjectType = Image\nNDims = 3\nDimSize = 2 2 2\nElementType = MET_UCHAR\nElementDataFile = b.raw\n",
    "a.nrrd": b"NRRD0004\ntype: uint8\ndimension: 3\nsizes: 2 2 2\nencoding: raw\ndata file: b.raw\n\n",
}


def case(image: Path, truth: Path | None, modality: str = "PT") -> CaseFiles:
    return CaseFiles("one", (modality,), (image,), truth)


def test_values_and_classes_are_where_nibabel_says_that_they_are(tmp_path: Path) -> None:
    geometry = phantoms.oblique_geometry()
    image = nifti(tmp_path / "image.nii.gz", phantoms.distinct(geometry))
    truth = nifti(tmp_path / "truth.nii.gz", labels(geometry))

    read = read_case(case(image, truth))

    (found,) = read.images
    assert (read.name, found.modality, found.unit, found.volume.array.dtype) == ("one", "PT", "SUVbw", np.float32)
    assert read.truth.array.dtype == np.uint8
    for path, volume in ((image, found.volume), (truth, read.truth)):
        judge = nibabel.load(path)
        voxels = np.argwhere(np.ones(judge.shape))
        places = nibabel.affines.apply_affine(LPS_TO_RAS @ judge.affine, voxels)
        indices = volume.map_reference_to_indices(places)
        np.testing.assert_allclose(indices, np.rint(indices), atol=1e-4)
        k, j, i = np.rint(indices).astype(int).T
        np.testing.assert_array_equal(volume.array[k, j, i], np.asarray(judge.dataobj)[tuple(voxels.T)])


@pytest.mark.parametrize(("modality", "unit"), [("CT", "HU"), ("PT", "SUVbw"), ("MR", "")])
def test_the_unit_is_that_of_the_modality(tmp_path: Path, modality: str, unit: str) -> None:
    image = nifti(tmp_path / "image.nii.gz", labels())

    assert read_case(case(image, None, modality)).images[0].unit == unit


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".mha", ".nrrd"])
def test_files_of_itk_are_read_as_itk_reads_them(tmp_path: Path, ending: str) -> None:
    volume = phantoms.distinct(phantoms.oblique_geometry())
    image = SimpleITK.GetImageFromArray(volume.array.astype(np.int16))
    image.SetOrigin((-3.5, 12.25, 40.0))
    image.SetSpacing((0.9, 1.7, 3.1))
    image.SetDirection(phantoms.rotation().ravel().tolist())
    SimpleITK.WriteImage(image, tmp_path / f"image{ending}")

    found = read_case(case(tmp_path / f"image{ending}", None)).images[0].volume

    for index in [(0, 0, 0), (3, 4, 5), (12, 10, 6)]:
        place = found.map_indices_to_reference(np.array([index[::-1]]))[0]
        np.testing.assert_allclose(place, image.TransformIndexToPhysicalPoint(index), atol=1e-4)
        assert found.array[index[::-1]] == image[index]


def test_scaled_values_are_what_nibabel_says_that_they_are(tmp_path: Path) -> None:
    volume = phantoms.distinct(phantoms.oblique_geometry())
    stored = nibabel.Nifti1Image(volume.array.astype(np.int16), LPS_TO_RAS @ volume.affine)
    stored.header.set_slope_inter(0.25, -7)
    nibabel.save(stored, tmp_path / "image.nii")

    found = read_case(case(tmp_path / "image.nii", None)).images[0].volume.array

    judge = nibabel.load(tmp_path / "image.nii").get_fdata()
    assert sorted(found.ravel()) == pytest.approx(sorted(judge.ravel()))


def test_axes_rounded_to_few_decimals_are_read(tmp_path: Path) -> None:
    volume = labels()
    affine = np.round(LPS_TO_RAS @ volume.affine, 4)
    nibabel.save(nibabel.Nifti1Image(volume.array, affine), tmp_path / "a.nii.gz")

    found = read_case(case(tmp_path / "a.nii.gz", None)).images[0].volume

    assert np.linalg.norm(found.direction @ found.direction.T - np.eye(3)) < 1e-9


def test_a_case_without_truth_is_one_in_which_there_is_nothing(tmp_path: Path) -> None:
    image = nifti(tmp_path / "image.nii.gz", phantoms.distinct(phantoms.oblique_geometry()))

    read = read_case(case(image, None))

    assert not read.truth.array.any()
    assert read.truth.array.dtype == np.uint8
    np.testing.assert_array_equal(read.truth.affine, read.images[0].volume.affine)


def test_further_images_stay_on_their_own_grids(tmp_path: Path) -> None:
    pet, ct = phantoms.oblique_geometry(), phantoms.oblique_geometry((9, 20, 22), pixel_spacing=(0.6, 0.4))
    paths = [nifti(tmp_path / f"{n}.nii.gz", phantoms.distinct(g)) for n, g in {"pet": pet, "ct": ct}.items()]

    read = read_case(CaseFiles("one", ("PT", "CT"), tuple(paths), None))

    assert [image.volume.spatial_shape[::-1] for image in read.images] == [(7, 11, 13), (9, 20, 22)]
    assert [image.unit for image in read.images] == ["SUVbw", "HU"]


def test_truth_that_is_stored_along_other_axes_is_turned(tmp_path: Path) -> None:
    truth = labels()
    image = nifti(tmp_path / "image.nii.gz", truth)
    turned = truth.flip_spatial((0, 2)).permute_spatial_axes((2, 0, 1))

    read = read_case(case(image, nifti(tmp_path / "truth.nii.gz", turned)))

    np.testing.assert_array_equal(read.truth.array, read.images[0].volume.array)


def test_truth_on_a_finer_grid_takes_the_nearest_voxel(tmp_path: Path) -> None:
    coarse = phantoms.oblique_geometry()
    fine = labels(phantoms.oblique_geometry((14, 22, 39), pixel_spacing=(0.85, 0.3), slice_spacing=1.55))
    image = nifti(tmp_path / "image.nii.gz", phantoms.distinct(coarse))

    read = read_case(case(image, nifti(tmp_path / "truth.nii.gz", fine)))

    truth = read.truth
    places = truth.map_indices_to_reference(np.argwhere(np.ones(truth.spatial_shape)))
    nearest = np.floor(fine.map_reference_to_indices(places) + 0.5).astype(int)
    inside = ((nearest >= 0) & (nearest < fine.spatial_shape)).all(axis=1)
    expected = np.where(inside, fine.array[tuple(np.where(inside[:, None], nearest, 0).T)], 0)
    np.testing.assert_array_equal(truth.array.ravel(), expected)
    assert {1, 2} <= {*truth.array.ravel().tolist()}


def test_truth_that_reaches_out_of_the_image_is_refused(tmp_path: Path) -> None:
    truth = labels()
    image = nifti(tmp_path / "image.nii.gz", phantoms.distinct(phantoms.oblique_geometry((4, 5, 6))))

    with pytest.raises(InputError, match=r"truth.nii.gz: \d+ of \d+ labelled voxels lie outside of the image"):
        read_case(case(image, nifti(tmp_path / "truth.nii.gz", truth)))


def test_a_class_that_would_vanish_between_larger_voxels_is_refused(tmp_path: Path) -> None:
    fine = phantoms.oblique_geometry((21, 33, 39), pixel_spacing=(0.6, 0.3), slice_spacing=1.0)
    array = np.zeros(fine.spatial_shape, np.uint8)
    array[1, 1, 1] = 3
    image = nifti(tmp_path / "image.nii.gz", phantoms.distinct(phantoms.oblique_geometry()))

    with pytest.raises(InputError, match="nothing is left of class 3"):
        read_case(case(image, nifti(tmp_path / "truth.nii.gz", fine.with_array(array))))


@pytest.mark.parametrize("value", [0.5, -1, 256, 1e300])
def test_labels_that_are_no_class_numbers_are_refused(tmp_path: Path, value: float) -> None:
    array = labels().array.astype(np.float64)
    array[2, 3, 4] = value
    truth = nifti(tmp_path / "truth.nii.gz", labels().with_array(array))

    with pytest.raises(InputError, match=r"truth.nii.gz: expected whole class numbers from 0 to 255, got .* in 1 of"):
        read_case(case(nifti(tmp_path / "image.nii.gz", labels()), truth))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_refused(tmp_path: Path, value: float) -> None:
    array = phantoms.distinct(phantoms.oblique_geometry()).array
    array[1, 2, 3] = value
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(array), tmp_path / "image.nrrd")

    with pytest.raises(InputError, match="expected finite values, got 1 that are not"):
        read_case(case(tmp_path / "image.nrrd", None))
    with pytest.raises(InputError, match="expected whole class numbers"):
        image_file.read_label_map(tmp_path / "image.nrrd")


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 6, 2), (4, 5, 6, 1, 3)])
def test_what_is_no_volume_is_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    nibabel.save(nibabel.Nifti1Image(np.zeros(shape, np.float32), np.eye(4)), tmp_path / "image.nii.gz")

    with pytest.raises(InputError, match="expected one volume of numbers"):
        read_case(case(tmp_path / "image.nii.gz", None))


def test_a_fourth_axis_of_one_time_is_none(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 5, 6, 1), np.float32), np.eye(4)), tmp_path / "image.nii.gz")

    assert read_case(case(tmp_path / "image.nii.gz", None)).truth.spatial_shape == (6, 5, 4)


def test_a_volume_that_fits_into_no_memory_is_refused_by_its_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = nifti(tmp_path / "image.nii", labels())
    header = bytearray(image.read_bytes())
    header[42:48] = np.array([4000, 4000, 4000], "<i2").tobytes()
    image.write_bytes(header)

    with pytest.raises(InputError, match="4000 x 4000 x 4000 voxels: expected at most"):
        read_case(case(image, None))


@pytest.mark.parametrize("name", ["image.nii.gz", "image.nii", "image.mha", "image.nrrd"])
@pytest.mark.parametrize("kept", [0, 40, 0.5])
def test_a_file_that_was_cut_is_refused(tmp_path: Path, name: str, kept: float) -> None:
    volume = phantoms.distinct(phantoms.oblique_geometry())
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(volume.array), tmp_path / name)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: int(kept if kept >= 1 else kept * len(content))])

    with pytest.raises(InputError, match=rf"{name}: "):
        read_case(case(tmp_path / name, None))


def test_a_compressed_file_that_was_damaged_is_refused(tmp_path: Path) -> None:
    values = np.random.default_rng(1).random((40, 41, 42), np.float32)  # the beginning alone can be expanded
    image = nifti(tmp_path / "image.nii.gz", phantoms.oblique_geometry(values.shape).with_array(values))
    content = bytearray(image.read_bytes())
    content[-6] ^= 4  # of the checksum
    image.write_bytes(content)

    with pytest.raises(InputError, match=r"image.nii.gz: it was cut, or is damaged"):
        read_case(case(image, None))


def test_nifti_of_the_other_byte_order_is_read(tmp_path: Path) -> None:
    volume = phantoms.distinct(phantoms.oblique_geometry())
    header = nibabel.Nifti1Header(endianness=">")
    nibabel.save(nibabel.Nifti1Image(volume.array, LPS_TO_RAS @ volume.affine, header), tmp_path / "big.nii.gz")

    found = read_case(case(tmp_path / "big.nii.gz", None)).images[0].volume

    np.testing.assert_array_equal(found.array, volume.array.T)


@pytest.mark.parametrize("name", DETACHED)
def test_a_header_that_names_another_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(DETACHED[name])
    (tmp_path / "b.raw").write_bytes(bytes(8))

    with pytest.raises(InputError, match="expected its values in the same file"):
        read_case(case(tmp_path / name, None))


def test_a_file_of_an_unknown_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a.npz: expected an image ending in .nii.gz, .nii, .mha, .nrrd"):
        image_file.read_image(empty(tmp_path / "a.npz"))


def test_a_whole_data_set_from_folders_to_memory(tmp_path: Path) -> None:
    geometry = phantoms.oblique_geometry()
    for name in ("x", "y"):
        nifti(tmp_path / "imagesTr" / f"{name}_0000.nii.gz", phantoms.distinct(geometry))
        nifti(tmp_path / "labelsTr" / f"{name}.nii.gz", labels(geometry))

    cases = [read_case(files) for files in find_cases(tmp_path, ("CT",))]

    assert [(each.name, each.images[0].unit, int(each.truth.array.max())) for each in cases] == [
        ("x", "HU", 2),
        ("y", "HU", 2),
    ]


@pytest.mark.parametrize("modality", ["PT", "CT", "MR"])
def test_the_patients_of_soft_tissue_sarcoma(sarcoma: Path, modality: str) -> None:
    cases = find_cases(sarcoma, (modality,))

    assert len(cases) == 36
    for files in cases[::12]:
        read = read_case(files)
        image, truth = nibabel.load(files.images[0]), nibabel.load(files.truth)
        assert isinstance(read.truth, hd.Volume)
        np.testing.assert_array_equal(read.images[0].volume.array, image.get_fdata(dtype=np.float32).T)
        np.testing.assert_array_equal(read.truth.array, np.asarray(truth.dataobj).T)


IMPORTED = """
import sys
from clickseg.datasets import find, folds, read
read.read_case(find.find_cases(read.Path(sys.argv[1]), ("PT",))[0])
print({"torch", "monai", "nibabel", "openvino"} & set(sys.modules))
"""


def test_no_case_needs_torch_or_monai(tmp_path: Path) -> None:
    nifti(tmp_path / "imagesTr" / "a.nii.gz", labels())
    nifti(tmp_path / "labelsTr" / "a.nii.gz", labels())

    ended = runs.process(["python", "-c", IMPORTED, tmp_path])

    assert (ended.stdout, ended.stderr) == ("set()\n", "")
