"""Several images at one position: copies of one image, or parts of several volumes that must not be mixed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.uid import RLELossless, generate_uid

from clickseg.core.errors import SeriesError
from clickseg.dicom.files import scan
from clickseg.dicom.planes import read_planes
from clickseg.dicom.stack import make_stack
from tests.helpers import phantoms

ATTRIBUTES = [
    ("EchoTime", "10", "80", r"EchoTime \(0018,0081\): 10 and 80"),
    ("ContrastBolusAgent", "", "Iopamidol", r"ContrastBolusAgent \(0018,0010\): Iopamidol and no value"),
    ("AcquisitionTime", "100000", "100130", r"AcquisitionTime \(0008,0032\): 100000 and 100130"),
    ("TriggerTime", "0", "40", r"TriggerTime \(0018,1060\): 0 and 40"),
    ("ConvolutionKernel", "B30f", "B70f", r"ConvolutionKernel \(0018,1210\): B30f and B70f"),
    ("SliceThickness", "1.5", "5", r"SliceThickness \(0018,0050\): 1.5 and 5"),
    ("FlipAngle", "5", "15", r"FlipAngle \(0018,1314\): 15 and 5"),
    ("TemporalPositionIdentifier", 1, 2, r"TemporalPositionIdentifier \(0020,0100\): 1 and 2"),
    ("AcquisitionNumber", 14, 15, r"AcquisitionNumber \(0020,0012\): 14 and 15"),
    ("SeriesDescription", "arterial", "venous", r"SeriesDescription \(0008,103E\): arterial and venous"),
]


@pytest.mark.parametrize(("keyword", "first", "second", "message"), ATTRIBUTES, ids=[row[0] for row in ATTRIBUTES])
def test_images_of_two_volumes_are_not_called_superfluous(
    tmp_path: Path, keyword: str, first: object, second: object, message: str
) -> None:
    slices, others = make_slices(), make_slices()[2:5]
    for dataset in slices:
        setattr(dataset, keyword, first)
    for dataset in others:
        setattr(dataset, keyword, second)

    error = stack_error(tmp_path, [*slices, *others])

    assert str(error).startswith("3 duplicate slice positions: image")
    assert error.hint is not None
    assert "keep only one" not in error.hint
    assert "send the images of each volume as a series of its own" in error.hint
    with pytest.raises(SeriesError, match=f"images at one position differ in .*{message}"):
        raise error


def test_at_most_three_attributes_are_named(tmp_path: Path) -> None:
    slices, others = make_slices(), make_slices()[2:5]
    for dataset in others:
        dataset.EchoTime, dataset.InversionTime, dataset.FlipAngle = "80", "900", "7"
        dataset.ContentTime = "235959"

    message = str(stack_error(tmp_path, [*slices, *others]))

    assert all(keyword in message for keyword in ("EchoTime", "InversionTime", "FlipAngle"))
    assert "ContentTime" not in message


def test_of_copies_with_other_uids_one_is_enough(tmp_path: Path) -> None:
    error = stack_error(tmp_path, [*make_slices(), *make_slices()[2:5]])

    assert "their pixels are equal" in str(error)
    assert error.hint == "keep only one file for each position"


def test_images_with_other_pixels_are_not_called_superfluous(tmp_path: Path) -> None:
    others = make_slices()[2:5]
    others[-1].PixelData = bytes(len(others[-1].PixelData))

    error = stack_error(tmp_path, [*make_slices(), *others])

    assert "no attribute distinguishes them" in str(error)
    assert "keep only one" not in str(error.hint)


def test_images_with_another_encoding_are_not_compared(tmp_path: Path) -> None:
    others = make_slices()[2:3]
    others[0].compress(RLELossless, generate_instance_uid=False)

    assert "no attribute distinguishes them" in str(stack_error(tmp_path, [*make_slices(), *others]))


def test_frames_of_one_file_are_to_be_sent_as_several_images(tmp_path: Path) -> None:
    folder = phantoms.write_legacy_enhanced(tmp_path, make_slices())
    (instance,) = scan(folder).instances
    planes = read_planes(instance)

    with pytest.raises(SeriesError, match="1 duplicate slice position: enhanced") as caught:
        make_stack([*planes, planes[2]], rows=11, columns=13, resample=False)
    assert caught.value.hint == "send each volume as its own image"


def make_slices() -> list[Dataset]:
    slices = phantoms.instances(phantoms.distinct_volume(phantoms.oblique_geometry()))
    for dataset in slices:
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    return slices


def stack_error(folder: Path, datasets: Sequence[Dataset]) -> SeriesError:
    """Returns the error of a stack of all images, without a search for volumes."""
    planes = [plane for instance in scan(phantoms.save(folder, datasets)).instances for plane in read_planes(instance)]
    with pytest.raises(SeriesError) as caught:
        make_stack(planes, rows=11, columns=13, resample=False)
    return caught.value
