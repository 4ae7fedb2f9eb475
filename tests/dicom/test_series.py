"""Grouping of instances into series, and checks of a series before its geometry is checked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from clickseg.core.errors import PixelDataError, SeriesError, UsageError
from clickseg.dicom import series as series_module
from clickseg.dicom.files import scan
from clickseg.dicom.repairs import Repairs
from clickseg.dicom.series import check_series
from clickseg.dicom.series_files import group_by_series
from tests.helpers import phantoms


@pytest.fixture
def slices() -> list[Dataset]:
    return phantoms.instances(phantoms.distinct_volume(phantoms.oblique_geometry()))


def test_series_in_one_folder_are_separated(tmp_path: Path) -> None:
    volume = phantoms.distinct_volume(phantoms.oblique_geometry())
    mixed = phantoms.instances(volume, "CT") + phantoms.instances(volume, "PT") + phantoms.instances(volume, "CT", "b")

    groups = group_by_series(scan(phantoms.save(tmp_path, mixed)).instances)

    assert sorted((files.modality, len(files.instances)) for files in groups) == [("CT", 7), ("CT", 7), ("PT", 7)]


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"])
def test_an_empty_uid_is_rejected_with_its_name(tmp_path: Path, slices: list[Dataset], keyword: str) -> None:
    for dataset in slices:
        setattr(dataset, keyword, "")
        dataset.file_meta.MediaStorageSOPInstanceUID = "2.25.5"

    with pytest.raises(SeriesError, match=rf"{keyword} \(.*\) is empty in 7 files, such as image"):
        phantoms.read_geometry(phantoms.save(tmp_path, slices))


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "FrameOfReferenceUID", "SOPInstanceUID"])
@pytest.mark.parametrize("value", ["abc", "1." + "2" * 70])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_an_invalid_uid_is_rejected(tmp_path: Path, slices: list[Dataset], keyword: str, value: str) -> None:
    setattr(slices[2], keyword, value)

    with pytest.raises(SeriesError, match=rf"{keyword} .*: expected a UID, got"):
        phantoms.read_geometry(phantoms.save(tmp_path, slices))


@pytest.mark.parametrize("keyword", ["PatientID", "PatientName"])
def test_slices_of_two_patients_are_rejected_without_their_names(
    tmp_path: Path, slices: list[Dataset], keyword: str
) -> None:
    setattr(slices[2], keyword, "Another^One")

    with pytest.raises(SeriesError, match=rf"{keyword} .*: expected one patient in a series, got 2") as caught:
        phantoms.read_geometry(phantoms.save(tmp_path, slices))
    assert "Another" not in str(caught.value)


def test_a_series_with_two_study_uids_is_rejected(tmp_path: Path, slices: list[Dataset]) -> None:
    slices[0].StudyInstanceUID = "2.25.9"

    with pytest.raises(SeriesError, match=r"StudyInstanceUID .*: expected one value in a series, got .* in 6 files"):
        phantoms.read_geometry(phantoms.save(tmp_path, slices))


def test_two_different_files_of_one_instance_are_rejected(tmp_path: Path, slices: list[Dataset]) -> None:
    slices[1].SOPInstanceUID = slices[0].SOPInstanceUID

    with pytest.raises(SeriesError, match=r"SOPInstanceUID .* is the same in 2 different files") as caught:
        phantoms.read_geometry(phantoms.save(tmp_path, slices))
    assert "they are different slices" in str(caught.value.hint)


def test_of_two_versions_of_one_slice_one_is_to_be_removed(tmp_path: Path, slices: list[Dataset]) -> None:
    other = phantoms.instances(phantoms.distinct_volume(phantoms.oblique_geometry()))[1]
    other.SeriesDescription = "edited"

    with pytest.raises(SeriesError, match=r"SOPInstanceUID .* is the same in 2 different files") as caught:
        phantoms.read_geometry(phantoms.save(tmp_path, [*slices, other]))
    assert caught.value.hint == "remove all but one of them"


def test_a_missing_frame_of_reference_is_rejected_or_repaired(tmp_path: Path, slices: list[Dataset]) -> None:
    for dataset in slices:
        del dataset.FrameOfReferenceUID
    folder = phantoms.save(tmp_path, slices)

    with pytest.raises(SeriesError, match=r"FrameOfReferenceUID .* is missing") as caught:
        phantoms.read_geometry(folder)
    repaired = phantoms.read_geometry(folder, "frame-of-reference")

    assert caught.value.hint is not None
    assert repaired.stack.geometry.frame_of_reference_uid.startswith("2.25.")
    assert repaired.files.applied_repairs == ("created a Frame of Reference UID from the Series Instance UID",)
    second = phantoms.read_geometry(folder, "frame-of-reference")
    assert second.stack.geometry.frame_of_reference_uid == repaired.stack.geometry.frame_of_reference_uid


def test_a_slice_with_a_different_size_is_named(tmp_path: Path, slices: list[Dataset]) -> None:
    slices[3].Columns = 12
    slices[3].PixelData = slices[3].PixelData[: 11 * 12 * 2]

    with pytest.raises(SeriesError, match="expected 11 x 13 as in the other images, got 11 x 12"):
        phantoms.read_geometry(phantoms.save(tmp_path, slices))


@pytest.mark.parametrize(("rows", "columns"), [(0, 13), (65535, 65535)])
def test_sizes_out_of_bounds_are_rejected(tmp_path: Path, slices: list[Dataset], rows: int, columns: int) -> None:
    for dataset in slices:
        dataset.Rows, dataset.Columns = rows, columns

    with pytest.raises(SeriesError, match=f"expected 1 to .* pixels, got {rows} x {columns}"):
        phantoms.read_geometry(phantoms.save(tmp_path, slices))


def test_too_many_voxels_are_rejected(tmp_path: Path, slices: list[Dataset], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series_module, "MAX_VOXELS", 7 * 11 * 13 - 1)

    with pytest.raises(SeriesError, match="7 x 11 x 13 voxels: expected at most 1000"):
        phantoms.read_geometry(phantoms.save(tmp_path, slices))


def test_localizers_are_rejected_or_excluded_by_a_repair(tmp_path: Path, slices: list[Dataset]) -> None:
    scout = phantoms.instances(phantoms.distinct_volume(phantoms.oblique_geometry((2, 20, 20))))[0]
    scout.SOPInstanceUID = "2.25.3"
    scout.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    scout.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
    folder = phantoms.save(tmp_path, [*slices, scout])

    with pytest.raises(SeriesError, match=r"the series contains 1 localizer: image\d+"):
        phantoms.read_geometry(folder)
    repaired = phantoms.read_geometry(folder, "drop-localizers")

    assert repaired.stack.geometry.spatial_shape == (7, 11, 13)
    assert "excluded 1 localizer" in repaired.files.applied_repairs[0]


def test_secondary_captures_are_rejected_or_excluded_by_a_repair(tmp_path: Path, slices: list[Dataset]) -> None:
    capture = phantoms.instances(phantoms.distinct_volume(phantoms.oblique_geometry((2, 20, 20))))[0]
    capture.SOPInstanceUID = "2.25.3"
    capture.SOPClassUID = SecondaryCaptureImageStorage
    folder = phantoms.save(tmp_path, [*slices, capture])

    with pytest.raises(SeriesError, match=r"the series contains 1 secondary capture: image\d+"):
        phantoms.read_geometry(folder)

    assert len(phantoms.read_geometry(folder, "drop-localizers").stack.planes) == 7


def test_a_series_with_only_localizers_is_rejected(tmp_path: Path, slices: list[Dataset]) -> None:
    for dataset in slices:
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]

    with pytest.raises(SeriesError, match="all 7 images of the series are localizers"):
        phantoms.read_geometry(phantoms.save(tmp_path, slices), "drop-localizers")


def test_a_series_that_is_not_ct_mr_or_pet_is_rejected(tmp_path: Path, slices: list[Dataset]) -> None:
    for dataset in slices:
        dataset.SOPClassUID = "1.2.111.10008.2.1.4.1.1.2"

    with pytest.raises(SeriesError, match=r"SOPClassUID .*: expected a CT, MR or PET image"):
        phantoms.read_geometry(phantoms.save(tmp_path, slices))


@pytest.mark.parametrize(
    ("keyword", "values", "shown"),
    [
        ("TemporalPositionIdentifier", [1, 2, 3], "1, 2, 3"),
        ("AcquisitionNumber", [4, 11], "4, 11"),
        ("EchoTime", ["2.5", "12.5"], "2.5, 12.5"),
        ("DiffusionBValue", [0.0, 800.0], "0.0, 800.0"),
    ],
)
def test_several_volumes_are_rejected_or_one_is_selected_by_a_repair(
    tmp_path: Path, keyword: str, values: list[object], shown: str
) -> None:
    geometry = phantoms.oblique_geometry()
    datasets = []
    for number, value in enumerate(values):
        volume = geometry.with_array(np.full(geometry.spatial_shape, 10.0 * number, dtype=np.float32))
        for index, dataset in enumerate(phantoms.instances(volume, "MR")):
            setattr(dataset, keyword, value)
            dataset.SOPInstanceUID = f"2.25.{100 * number + index + 1}"
            datasets.append(dataset)
    folder = phantoms.save(tmp_path, datasets)

    message = rf"{len(values)} volumes in one series \({keyword} \(....,....\): {shown}\), 7 slices each"
    with pytest.raises(SeriesError, match=message) as caught:
        phantoms.read_geometry(folder)
    second = phantoms.read(folder, "volume=2")

    assert f"N-th of {len(values)}" in (caught.value.hint or "")
    assert second.volume.array.mean() == 10
    assert second.files.applied_repairs == (f"used volume 2 of {len(values)}",)
    with pytest.raises(SeriesError, match=f"volume 9 was requested, but the series contains {len(values)}"):
        phantoms.read_geometry(folder, "volume=9")


def test_a_series_with_one_volume_ignores_the_requested_volume(tmp_path: Path, slices: list[Dataset]) -> None:
    geometry = phantoms.read_geometry(phantoms.save(tmp_path, slices), "volume=3")

    assert len(geometry.stack.planes) == 7
    assert geometry.files.applied_repairs == ()


@pytest.mark.parametrize(("total", "is_rejected"), [(3, True), (None, True), (1, False)])
def test_a_part_of_a_concatenation_is_rejected(
    tmp_path: Path, slices: list[Dataset], total: int | None, is_rejected: bool
) -> None:
    for dataset in slices:
        dataset.ConcatenationUID = "2.25.9"
        dataset.InConcatenationTotalNumber = total
    folder = phantoms.save(tmp_path, slices)

    if is_rejected:
        with pytest.raises(SeriesError, match=r"ConcatenationUID \(0020,9161\): the instance is only a part of"):
            phantoms.read_geometry(folder)
    else:
        assert len(phantoms.read_geometry(folder).stack.planes) == 7


@pytest.mark.parametrize("with_times", [False, True])
def test_volumes_that_differ_only_in_two_attributes_together_are_found(tmp_path: Path, with_times: bool) -> None:
    datasets = []
    for number, (echo_time, image_type) in enumerate([(1, "M"), (1, "P"), (2, "M"), (2, "P")]):
        for index, dataset in enumerate(
            phantoms.instances(phantoms.distinct_volume(phantoms.oblique_geometry()), "MR")
        ):
            dataset.EchoTime, dataset.ImageType = echo_time, ["ORIGINAL", "PRIMARY", image_type]
            dataset.SOPInstanceUID = f"2.25.{100 * number + index + 1}"
            if with_times:
                dataset.ContentTime = f"1000{10 * number + index:02d}"
            datasets.append(dataset)

    with pytest.raises(
        SeriesError,
        match=r"4 volumes in one series \(EchoTime \(0018,0081\), ImageType \(0008,0008\): 1\.0 \['ORIGINAL",
    ):
        phantoms.read_geometry(phantoms.save(tmp_path, datasets))


def test_volumes_that_differ_only_in_the_time_of_each_image_are_found(tmp_path: Path) -> None:
    geometry, datasets = phantoms.oblique_geometry(), []
    for number in range(3):
        volume = geometry.with_array(np.full(geometry.spatial_shape, 10.0 * number, dtype=np.float32))
        for index, dataset in enumerate(phantoms.instances(volume, "MR")):
            dataset.AcquisitionTime = (
                f"1000{2 * (3 * index + number):02d}"  # all time points of a slice, then the next slice
            )
            dataset.SOPInstanceUID = f"2.25.{100 * number + index + 1}"
            datasets.append(dataset)
    folder = phantoms.save(tmp_path, datasets)

    with pytest.raises(
        SeriesError, match=r"3 volumes in one series \(order of AcquisitionTime \(0008,0032\) at each position: 1, 2, 3"
    ):
        phantoms.read_geometry(folder)
    assert phantoms.read(folder, "volume=3").volume.array.min() == 20


def test_a_single_frame_image_with_several_frames_is_rejected(tmp_path: Path, slices: list[Dataset]) -> None:
    for dataset in slices:
        dataset.NumberOfFrames = 3
        dataset.PixelData = dataset.PixelData * 3

    with pytest.raises(
        PixelDataError, match=r"NumberOfFrames \(0028,0008\): expected 1 in a single-frame image, got 3"
    ):
        phantoms.read_geometry(phantoms.save(tmp_path, slices))


@pytest.mark.parametrize(
    ("keyword", "value", "message"),
    [
        ("ImagePositionPatient", None, "ImagePositionPatient .*: expected 3 numbers, got no value"),
        ("ImageOrientationPatient", [1, 0, 0, 1, 0, 0], "expected two perpendicular unit vectors"),
        ("ImageOrientationPatient", [2, 0, 0, 0, 1, 0], "expected two perpendicular unit vectors"),
        ("PixelSpacing", [0, 1], "expected two lengths above 0"),
        ("PixelSpacing", None, "PixelSpacing .*: expected 2 numbers, got no value"),
    ],
)
def test_a_plane_with_invalid_geometry_is_rejected(
    tmp_path: Path, slices: list[Dataset], keyword: str, value: object, message: str
) -> None:
    setattr(slices[2], keyword, value)

    with pytest.raises(SeriesError, match=message):
        phantoms.read_geometry(phantoms.save(tmp_path, slices))


def test_colour_images_are_rejected(tmp_path: Path, slices: list[Dataset]) -> None:
    for dataset in slices:
        dataset.PhotometricInterpretation = "PALETTE COLOR"

    with pytest.raises(PixelDataError, match="expected MONOCHROME1 or MONOCHROME2 with one sample, got PALETTE COLOR"):
        phantoms.read_geometry(phantoms.save(tmp_path, slices))


@pytest.mark.parametrize("name", ["resampl", "volume=0", "volume=x", "volume", ""])
def test_an_unknown_repair_is_a_usage_error(name: str) -> None:
    with pytest.raises(UsageError, match="unknown repair"):
        Repairs.parse([name])


def test_a_multi_frame_instance_is_a_group_of_its_own(tmp_path: Path, slices: list[Dataset]) -> None:
    folder = phantoms.write_legacy_enhanced(tmp_path, slices)

    (files,) = group_by_series(scan(folder).instances)

    assert len(files.instances) == 1
    assert check_series(files, Repairs()).stack.geometry.spatial_shape == (7, 11, 13)
