"""A volume whose slices have a Series Instance UID each, and single images that belong to no common volume."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.uid import generate_uid

from clickseg.cli.inspection import inspect_series
from clickseg.core.errors import SeriesError
from clickseg.dicom.files import scan
from clickseg.dicom.read import read_series
from clickseg.dicom.repairs import Repairs
from clickseg.dicom.series import check_all_series
from tests.helpers import phantoms

MESSAGE = r"SeriesInstanceUID \(0020,000E\): 7 images that could be the slices of one volume, .* 7 different values"


@pytest.fixture
def slices() -> list[Dataset]:
    """The slices of a volume, each with a Series Instance UID of its own."""
    slices = phantoms.instances(phantoms.distinct_volume(phantoms.oblique_geometry()))
    for dataset in slices:
        dataset.SeriesInstanceUID = generate_uid()
    return slices


@pytest.mark.parametrize(
    "keywords",
    [(), ("StudyInstanceUID", "FrameOfReferenceUID"), ("FrameOfReferenceUID",)],
    ids=["series", "all UIDs", "frame of reference"],
)
def test_the_cause_is_named_once(tmp_path: Path, slices: list[Dataset], keywords: tuple[str, ...]) -> None:
    for dataset in slices:
        for keyword in keywords:
            setattr(dataset, keyword, generate_uid())

    with pytest.raises(SeriesError, match=MESSAGE) as caught:
        read_series(phantoms.save(tmp_path, slices))

    assert "repeat it with one Series Instance UID for all images" in str(caught.value.hint)


def test_slices_without_a_series_number_are_found(tmp_path: Path, slices: list[Dataset]) -> None:
    for dataset in slices:
        dataset.SeriesNumber = None

    with pytest.raises(SeriesError, match=MESSAGE):
        read_series(phantoms.save(tmp_path, slices))


def test_slices_with_a_series_number_each_are_found(tmp_path: Path, slices: list[Dataset]) -> None:
    give_each_a_number(slices)

    with pytest.raises(SeriesError, match=MESSAGE):
        read_series(phantoms.save(tmp_path, slices))


def test_slices_with_a_series_number_each_are_found_if_one_is_missing(tmp_path: Path, slices: list[Dataset]) -> None:
    give_each_a_number(slices)

    with pytest.raises(SeriesError, match="6 images that could be the slices of one volume"):
        read_series(phantoms.save(tmp_path, [*slices[:5], *slices[6:]]))


def test_the_slices_of_two_volumes_are_counted_separately(tmp_path: Path, slices: list[Dataset]) -> None:
    others = [deepcopy(dataset) for dataset in slices]
    for dataset in others:
        dataset.SeriesNumber, dataset.SeriesInstanceUID, dataset.SOPInstanceUID = 99, generate_uid(), generate_uid()

    _, rejected = check_all_series(scan(phantoms.save(tmp_path, [*slices, *others])), Repairs())

    assert len(rejected) == 14
    assert all("7 images that could be the slices" in str(series.error) for series in rejected)


def test_inspection_names_the_cause_for_each_image(tmp_path: Path, slices: list[Dataset]) -> None:
    rows = inspect_series(scan(phantoms.save(tmp_path, slices)), Repairs())

    assert len(rows) == 7
    assert {"7 images that could be the slices of one volume" in str(row.problem) for row in rows} == {True}


def test_another_series_is_still_read(tmp_path: Path, slices: list[Dataset]) -> None:
    phantoms.save(tmp_path / "split", slices)
    phantoms.write(tmp_path / "whole", phantoms.distinct_volume(phantoms.oblique_geometry()), name="whole")

    assert read_series(tmp_path).volume.spatial_shape == phantoms.SHAPE


def give_each_a_number(slices: list[Dataset]) -> None:
    for number, dataset in enumerate(slices):
        dataset.SeriesNumber = number


def give_each_a_number_and_keep_uneven_distances(slices: list[Dataset]) -> None:
    give_each_a_number(slices)
    del slices[1:3], slices[3:4]


def move_to_one_position(slices: list[Dataset]) -> None:
    for dataset in slices:
        dataset.ImagePositionPatient = slices[0].ImagePositionPatient


def make_localizers(slices: list[Dataset]) -> None:
    for dataset in slices:
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]


def give_each_a_patient(slices: list[Dataset]) -> None:
    for number, dataset in enumerate(slices):
        dataset.PatientID = f"patient {number}"


def keep_two(slices: list[Dataset]) -> None:
    del slices[2:]


def remove_orientation(slices: list[Dataset]) -> None:
    for dataset in slices:
        del dataset.ImageOrientationPatient


def remove_position(slices: list[Dataset]) -> None:
    del slices[3].ImagePositionPatient


@pytest.mark.parametrize(
    "change",
    [
        give_each_a_number_and_keep_uneven_distances,
        move_to_one_position,
        make_localizers,
        give_each_a_patient,
        keep_two,
        remove_orientation,
        remove_position,
    ],
)
def test_single_images_without_a_common_volume_keep_their_reason(
    tmp_path: Path, slices: list[Dataset], change: Callable[[list[Dataset]], None]
) -> None:
    change(slices)

    accepted, rejected = check_all_series(scan(phantoms.save(tmp_path, slices)), Repairs())

    assert accepted == ()
    assert not any("could be the slices" in str(series.error) for series in rejected)
