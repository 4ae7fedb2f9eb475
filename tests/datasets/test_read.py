"""Positions and values of images and label maps, compared with nibabel and ITK."""

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
from tests.helpers.dataset_folders import LPS_TO_RAS, create_empty_file, make_label_map, write_nifti

DETACHED = {
    "late.nrrd": b"NRRD0004\n" + b"# a long comment\n" * 9000 + b"data file: b.raw\nencoding: raw\n\n",
    "a.mha": b"ObjectType = Image\nNDims = 3\nDimSize = 2 2 2\nElementType = MET_UCHAR\nElementDataFile = b.raw\n",
    "a.nrrd": b"NRRD0004\ntype: uint8\ndimension: 3\nsizes: 2 2 2\nencoding: raw\ndata file: b.raw\n\n",
}


def case_files(image: Path, truth: Path | None, modality: str = "PT") -> CaseFiles:
    return CaseFiles("one", (modality,), (image,), truth)


def test_values_and_classes_are_at_the_positions_that_nibabel_reports(tmp_path: Path) -> None:
    geometry = phantoms.oblique_geometry()
    image = write_nifti(tmp_path / "image.nii.gz", phantoms.distinct_volume(geometry))
    truth = write_nifti(tmp_path / "truth.nii.gz", make_label_map(geometry))

    read = read_case(case_files(image, truth))

    (loaded,) = read.images
    assert (read.name, loaded.modality, loaded.unit, loaded.volume.array.dtype) == ("one", "PT", "SUVbw", np.float32)
    assert read.truth.array.dtype == np.uint8
    for path, volume in ((image, loaded.volume), (truth, read.truth)):
        reference = nibabel.load(path)
        voxels = np.argwhere(np.ones(reference.shape))
        points = nibabel.affines.apply_affine(LPS_TO_RAS @ reference.affine, voxels)
        indices = volume.map_reference_to_indices(points)
        np.testing.assert_allclose(indices, np.rint(indices), atol=1e-4)
        k, j, i = np.rint(indices).astype(int).T
        np.testing.assert_array_equal(volume.array[k, j, i], np.asarray(reference.dataobj)[tuple(voxels.T)])


@pytest.mark.parametrize(("modality", "unit"), [("CT", "HU"), ("PT", "SUVbw"), ("MR", "")])
def test_the_modality_determines_the_unit(tmp_path: Path, modality: str, unit: str) -> None:
    image = write_nifti(tmp_path / "image.nii.gz", make_label_map())

    assert read_case(case_files(image, None, modality)).images[0].unit == unit


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".mha", ".nrrd"])
def test_positions_and_values_equal_those_of_itk(tmp_path: Path, ending: str) -> None:
    volume = phantoms.distinct_volume(phantoms.oblique_geometry())
    image = SimpleITK.GetImageFromArray(volume.array.astype(np.int16))
    image.SetOrigin((-3.5, 12.25, 40.0))
    image.SetSpacing((0.9, 1.7, 3.1))
    image.SetDirection(phantoms.rotation_matrix().ravel().tolist())
    SimpleITK.WriteImage(image, tmp_path / f"image{ending}")

    loaded = read_case(case_files(tmp_path / f"image{ending}", None)).images[0].volume

    for index in [(0, 0, 0), (3, 4, 5), (12, 10, 6)]:
        position = loaded.map_indices_to_reference(np.array([index[::-1]]))[0]
        np.testing.assert_allclose(position, image.TransformIndexToPhysicalPoint(index), atol=1e-4)
        assert loaded.array[index[::-1]] == image[index]


def test_scaled_values_equal_those_of_nibabel(tmp_path: Path) -> None:
    volume = phantoms.distinct_volume(phantoms.oblique_geometry())
    stored = nibabel.Nifti1Image(volume.array.astype(np.int16), LPS_TO_RAS @ volume.affine)
    stored.header.set_slope_inter(0.25, -7)
    nibabel.save(stored, tmp_path / "image.nii")

    loaded = read_case(case_files(tmp_path / "image.nii", None)).images[0].volume.array

    reference = nibabel.load(tmp_path / "image.nii").get_fdata()
    assert sorted(loaded.ravel()) == pytest.approx(sorted(reference.ravel()))


def test_axes_rounded_to_few_decimals_are_accepted(tmp_path: Path) -> None:
    volume = make_label_map()
    affine = np.round(LPS_TO_RAS @ volume.affine, 4)
    nibabel.save(nibabel.Nifti1Image(volume.array, affine), tmp_path / "a.nii.gz")

    loaded = read_case(case_files(tmp_path / "a.nii.gz", None)).images[0].volume

    assert np.linalg.norm(loaded.direction @ loaded.direction.T - np.eye(3)) < 1e-9


def test_a_case_without_ground_truth_has_an_empty_label_map(tmp_path: Path) -> None:
    image = write_nifti(tmp_path / "image.nii.gz", phantoms.distinct_volume(phantoms.oblique_geometry()))

    read = read_case(case_files(image, None))

    assert not read.truth.array.any()
    assert read.truth.array.dtype == np.uint8
    np.testing.assert_array_equal(read.truth.affine, read.images[0].volume.affine)


def test_further_images_keep_their_own_grids(tmp_path: Path) -> None:
    pet, ct = phantoms.oblique_geometry(), phantoms.oblique_geometry((9, 20, 22), pixel_spacing=(0.6, 0.4))
    paths = [
        write_nifti(tmp_path / f"{n}.nii.gz", phantoms.distinct_volume(g)) for n, g in {"pet": pet, "ct": ct}.items()
    ]

    read = read_case(CaseFiles("one", ("PT", "CT"), tuple(paths), None))

    assert [image.volume.spatial_shape[::-1] for image in read.images] == [(7, 11, 13), (9, 20, 22)]
    assert [image.unit for image in read.images] == ["SUVbw", "HU"]


def test_ground_truth_stored_along_other_axes_is_reoriented(tmp_path: Path) -> None:
    truth = make_label_map()
    image = write_nifti(tmp_path / "image.nii.gz", truth)
    turned = truth.flip_spatial((0, 2)).permute_spatial_axes((2, 0, 1))

    read = read_case(case_files(image, write_nifti(tmp_path / "truth.nii.gz", turned)))

    np.testing.assert_array_equal(read.truth.array, read.images[0].volume.array)


def test_ground_truth_on_a_finer_grid_is_resampled_to_the_nearest_voxel(tmp_path: Path) -> None:
    coarse = phantoms.oblique_geometry()
    fine = make_label_map(phantoms.oblique_geometry((14, 22, 39), pixel_spacing=(0.85, 0.3), slice_spacing=1.55))
    image = write_nifti(tmp_path / "image.nii.gz", phantoms.distinct_volume(coarse))

    read = read_case(case_files(image, write_nifti(tmp_path / "truth.nii.gz", fine)))

    truth = read.truth
    points = truth.map_indices_to_reference(np.argwhere(np.ones(truth.spatial_shape)))
    nearest = np.floor(fine.map_reference_to_indices(points) + 0.5).astype(int)
    inside = ((nearest >= 0) & (nearest < fine.spatial_shape)).all(axis=1)
    expected = np.where(inside, fine.array[tuple(np.where(inside[:, None], nearest, 0).T)], 0)
    np.testing.assert_array_equal(truth.array.ravel(), expected)
    assert {1, 2} <= {*truth.array.ravel().tolist()}


def test_ground_truth_outside_of_the_image_is_rejected(tmp_path: Path) -> None:
    truth = make_label_map()
    image = write_nifti(tmp_path / "image.nii.gz", phantoms.distinct_volume(phantoms.oblique_geometry((4, 5, 6))))

    with pytest.raises(InputError, match=r"truth.nii.gz: \d+ of \d+ labelled voxels are outside of the image"):
        read_case(case_files(image, write_nifti(tmp_path / "truth.nii.gz", truth)))


def test_a_class_that_would_disappear_on_a_coarser_grid_is_rejected(tmp_path: Path) -> None:
    fine = phantoms.oblique_geometry((21, 33, 39), pixel_spacing=(0.6, 0.3), slice_spacing=1.0)
    array = np.zeros(fine.spatial_shape, np.uint8)
    array[1, 1, 1] = 3
    image = write_nifti(tmp_path / "image.nii.gz", phantoms.distinct_volume(phantoms.oblique_geometry()))

    with pytest.raises(InputError, match="class 3 has no voxels on the grid of the image"):
        read_case(case_files(image, write_nifti(tmp_path / "truth.nii.gz", fine.with_array(array))))


@pytest.mark.parametrize("value", [0.5, -1, 256, 1e300])
def test_labels_that_are_not_class_numbers_are_rejected(tmp_path: Path, value: float) -> None:
    array = make_label_map().array.astype(np.float64)
    array[2, 3, 4] = value
    truth = write_nifti(tmp_path / "truth.nii.gz", make_label_map().with_array(array))

    with pytest.raises(InputError, match=r"truth.nii.gz: expected integer class numbers from 0 to 255, got .* in 1 of"):
        read_case(case_files(write_nifti(tmp_path / "image.nii.gz", make_label_map()), truth))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_rejected(tmp_path: Path, value: float) -> None:
    array = phantoms.distinct_volume(phantoms.oblique_geometry()).array
    array[1, 2, 3] = value
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(array), tmp_path / "image.nrrd")

    with pytest.raises(InputError, match="expected finite values, got 1 that are not finite"):
        read_case(case_files(tmp_path / "image.nrrd", None))
    with pytest.raises(InputError, match="expected integer class numbers"):
        image_file.read_label_map(tmp_path / "image.nrrd")


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 6, 2), (4, 5, 6, 1, 3)])
def test_images_that_are_not_3d_volumes_are_rejected(tmp_path: Path, shape: tuple[int, ...]) -> None:
    nibabel.save(nibabel.Nifti1Image(np.zeros(shape, np.float32), np.eye(4)), tmp_path / "image.nii.gz")

    with pytest.raises(InputError, match="expected a 3D volume with one value per voxel"):
        read_case(case_files(tmp_path / "image.nii.gz", None))


def test_a_fourth_axis_of_length_one_is_ignored(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 5, 6, 1), np.float32), np.eye(4)), tmp_path / "image.nii.gz")

    assert read_case(case_files(tmp_path / "image.nii.gz", None)).truth.spatial_shape == (6, 5, 4)


def test_a_volume_that_is_too_large_is_rejected_by_its_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = write_nifti(tmp_path / "image.nii", make_label_map())
    header = bytearray(image.read_bytes())
    header[42:48] = np.array([4000, 4000, 4000], "<i2").tobytes()
    image.write_bytes(header)

    with pytest.raises(InputError, match="4000 x 4000 x 4000 voxels: expected at most"):
        read_case(case_files(image, None))


@pytest.mark.parametrize("name", ["image.nii.gz", "image.nii", "image.mha", "image.nrrd"])
@pytest.mark.parametrize("kept_part", [0, 40, 0.5])
def test_a_truncated_file_is_rejected(tmp_path: Path, name: str, kept_part: float) -> None:
    volume = phantoms.distinct_volume(phantoms.oblique_geometry())
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(volume.array), tmp_path / name)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: int(kept_part if kept_part >= 1 else kept_part * len(content))])

    with pytest.raises(InputError, match=rf"{name}: "):
        read_case(case_files(tmp_path / name, None))


def test_a_damaged_compressed_file_is_rejected(tmp_path: Path) -> None:
    values = np.random.default_rng(1).random((40, 41, 42), np.float32)  # only the beginning can be decompressed
    image = write_nifti(tmp_path / "image.nii.gz", phantoms.oblique_geometry(values.shape).with_array(values))
    content = bytearray(image.read_bytes())
    content[-6] ^= 4  # in the checksum
    image.write_bytes(content)

    with pytest.raises(InputError, match=r"image.nii.gz: the file is truncated or damaged"):
        read_case(case_files(image, None))


def test_nifti_with_big_endian_byte_order_is_read(tmp_path: Path) -> None:
    volume = phantoms.distinct_volume(phantoms.oblique_geometry())
    header = nibabel.Nifti1Header(endianness=">")
    nibabel.save(nibabel.Nifti1Image(volume.array, LPS_TO_RAS @ volume.affine, header), tmp_path / "big.nii.gz")

    loaded = read_case(case_files(tmp_path / "big.nii.gz", None)).images[0].volume

    np.testing.assert_array_equal(loaded.array, volume.array.T)


@pytest.mark.parametrize("name", DETACHED)
def test_a_header_that_refers_to_another_file_is_rejected(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(DETACHED[name])
    (tmp_path / "b.raw").write_bytes(bytes(8))

    with pytest.raises(InputError, match="expected the values in the same file"):
        read_case(case_files(tmp_path / name, None))


def test_a_file_with_an_unknown_extension_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a.npz: expected an image file ending in .nii.gz, .nii, .mha, .nrrd"):
        image_file.read_image(create_empty_file(tmp_path / "a.npz"))


def test_all_cases_of_a_dataset_are_read(tmp_path: Path) -> None:
    geometry = phantoms.oblique_geometry()
    for name in ("x", "y"):
        write_nifti(tmp_path / "imagesTr" / f"{name}_0000.nii.gz", phantoms.distinct_volume(geometry))
        write_nifti(tmp_path / "labelsTr" / f"{name}.nii.gz", make_label_map(geometry))

    cases = [read_case(files) for files in find_cases(tmp_path, ("CT",))]

    assert [(item.name, item.images[0].unit, int(item.truth.array.max())) for item in cases] == [
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


IMPORT_SCRIPT = """
import sys
from clickseg.datasets import find, folds, read
read.read_case(find.find_cases(read.Path(sys.argv[1]), ("PT",))[0])
print({"torch", "monai", "nibabel", "openvino"} & set(sys.modules))
"""


def test_reading_a_case_imports_neither_torch_nor_monai(tmp_path: Path) -> None:
    write_nifti(tmp_path / "imagesTr" / "a.nii.gz", make_label_map())
    write_nifti(tmp_path / "labelsTr" / "a.nii.gz", make_label_map())

    result = runs.run_process(["python", "-c", IMPORT_SCRIPT, tmp_path])

    assert (result.stdout, result.stderr) == ("set()\n", "")
