"""Images that are not slices of the volume of their series: projections, reformats and reports."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset

from clickseg.core.errors import SeriesError
from tests.helpers import phantoms
from tests.helpers.dicom_files import make_dataset

SLICE_TYPE = ["ORIGINAL", "PRIMARY", "AXIAL"]
OTHER_TYPES = [
    ["DERIVED", "SECONDARY", "PROJECTION IMAGE"],
    ["DERIVED", "SECONDARY", "MPR"],
    ["DERIVED", "PRIMARY", "AXIAL", "CT_SOM5 MIP"],
    ["DERIVED", "SECONDARY", "REFORMATTED", "AVERAGE"],
    ["DERIVED", "SECONDARY", "AXIAL"],
    ["DERIVED", "SECONDARY"],
    ["ORIGINAL", "PRIMARY", "OTHER"],
    ["DERIVED", "SECONDARY", "OTHER", "CSA REPORT"],
    ["DERIVED", "PRIMARY", "AXIAL", "SCREEN SAVE"],
    ["DERIVED", "PRIMARY", "AXIAL", "MAX_IP"],
    ["DERIVED", "PRIMARY", "AXIAL", "MAXIMUM"],
    ["ORIGINAL", "PRIMARY", "AXIAL", "SCOUT"],
]


@pytest.fixture
def slices() -> list[Dataset]:
    datasets = phantoms.instances(phantoms.distinct_volume(phantoms.oblique_geometry((12, 11, 13))))
    for dataset in datasets:
        dataset.ImageType = SLICE_TYPE
    return datasets


def append_image(datasets: list[Dataset], image_type: list[str], steps: float) -> list[Dataset]:
    """Returns the slices and an image that is a number of slice spacings away from the first slice."""
    image = deepcopy(datasets[0])
    image.SOPInstanceUID = f"2.25.{len(datasets)}"
    image.ImageType = image_type
    first, second = (np.array(dataset.ImagePositionPatient, dtype=float) for dataset in datasets[:2])
    image.ImagePositionPatient = [f"{value:.8g}" for value in first + steps * (second - first)]
    return [*datasets, image]


@pytest.mark.parametrize("steps", [-1, 12, 13])
@pytest.mark.parametrize("image_type", OTHER_TYPES, ids="/".join)
def test_an_appended_image_that_is_not_a_slice_is_named_or_excluded(
    tmp_path: Path, slices: list[Dataset], image_type: list[str], steps: float
) -> None:
    complete = phantoms.read(phantoms.save(tmp_path / "slices", slices)).volume
    folder = phantoms.save(tmp_path / "mixed", append_image(slices, image_type, steps))

    with pytest.raises(SeriesError, match=r"1 image with another ImageType \(0008,0008\): image\d+: ") as caught:
        phantoms.read_geometry(folder)
    repaired = phantoms.read(folder, "drop-localizers")

    assert "\\".join(image_type) + ": expected ORIGINAL\\PRIMARY\\AXIAL" in str(caught.value)
    assert "drop-localizers" in (caught.value.hint or "")
    np.testing.assert_array_equal(repaired.volume.array, complete.array)
    assert repaired.files.applied_repairs[0].startswith("excluded 1 image with another ImageType")


@pytest.mark.parametrize("steps", [0, 4, 4.5])
@pytest.mark.parametrize("image_type", OTHER_TYPES, ids="/".join)
def test_an_image_at_a_slice_or_between_slices_that_is_not_a_slice_is_named(
    tmp_path: Path, slices: list[Dataset], image_type: list[str], steps: float
) -> None:
    folder = phantoms.save(tmp_path, append_image(slices, image_type, steps))

    with pytest.raises(SeriesError, match="1 image with another ImageType"):
        phantoms.read_geometry(folder)
    assert len(phantoms.read_geometry(folder, "drop-localizers").stack.planes) == 12


def test_several_appended_projections_are_counted(tmp_path: Path, slices: list[Dataset]) -> None:
    mixed = append_image(append_image(slices, OTHER_TYPES[0], 12), OTHER_TYPES[0], 13)

    with pytest.raises(SeriesError, match=r"2 images with another ImageType .* image\d+: .*; image\d+: "):
        phantoms.read_geometry(phantoms.save(tmp_path, mixed))


def test_a_projection_behind_several_volumes_is_named_before_the_volumes(tmp_path: Path, slices: list[Dataset]) -> None:
    echoes = [*slices, *(deepcopy(dataset) for dataset in slices)]
    for number, dataset in enumerate(echoes):
        dataset.SOPInstanceUID = f"2.25.{number + 100}"
        dataset.EchoTime = "5" if number < 12 else "10"
    folder = phantoms.save(tmp_path, append_image(echoes, OTHER_TYPES[0], 12))

    with pytest.raises(SeriesError, match="1 image with another ImageType"):
        phantoms.read_geometry(folder)
    with pytest.raises(SeriesError, match="2 volumes in one series"):
        phantoms.read_geometry(folder, "drop-localizers")
    assert len(phantoms.read_geometry(folder, "drop-localizers", "volume=2").stack.planes) == 12


@pytest.mark.filterwarnings("ignore::UserWarning")  # highdicom's legacy converter
def test_an_appended_projection_of_a_multi_frame_image_is_named_or_excluded(
    tmp_path: Path, slices: list[Dataset]
) -> None:
    folder = phantoms.write_legacy_enhanced(tmp_path, append_image(slices, OTHER_TYPES[0], 12))

    with pytest.raises(SeriesError, match=r"enhanced\.dcm frame \d+: DERIVED\\PRIMARY\\PROJECTION IMAGE"):
        phantoms.read_geometry(folder)
    assert phantoms.read(folder, "drop-localizers").volume.spatial_shape == (12, 11, 13)


@pytest.mark.parametrize("image_type", OTHER_TYPES, ids="/".join)
def test_a_series_in_which_all_images_have_such_a_type_is_a_volume(
    tmp_path: Path, slices: list[Dataset], image_type: list[str]
) -> None:
    for dataset in slices:
        dataset.ImageType = image_type

    assert len(phantoms.read_geometry(phantoms.save(tmp_path, slices)).stack.planes) == 12


@pytest.mark.parametrize(
    ("image_type", "selection"),
    [
        (["DERIVED", "PRIMARY", "AXIAL"], slice(11, 12)),  # lossy compression of one slice
        (["ORIGINAL", "PRIMARY", "AXIAL", "CT_SOM5 SPI"], slice(11, 12)),
        (["ORIGINAL", "PRIMARY"], slice(0, 1)),
        (["DERIVED", "SECONDARY", "AXIAL"], slice(6, 12)),  # the second half of the stack
        (["DERIVED", "SECONDARY", "OTHER"], slice(5, 6)),  # it fills the gap between its neighbours
        (None, slice(11, 12)),
    ],
)
def test_slices_with_another_image_type_stay_in_the_volume(
    tmp_path: Path, slices: list[Dataset], image_type: list[str] | None, selection: slice
) -> None:
    for dataset in slices[selection]:
        dataset.ImageType = image_type

    assert len(phantoms.read_geometry(phantoms.save(tmp_path, slices)).stack.planes) == 12


def make_colour(image: Dataset) -> None:
    image.SamplesPerPixel, image.PhotometricInterpretation, image.PlanarConfiguration = 3, "RGB", 0
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 8, 8, 7, 0
    image.PixelData = bytes(image.Rows * image.Columns * 3 + 1)


def enlarge(image: Dataset) -> None:
    image.Rows, image.Columns = 2 * image.Rows, 3 * image.Columns
    image.PixelData = bytes(2 * image.Rows * image.Columns)


def turn(image: Dataset) -> None:
    image.ImageOrientationPatient = ["1", "0", "0", "0", "0", "-1"]


def zoom(image: Dataset) -> None:
    image.PixelSpacing = ["0.25", "0.25"]


def remove_geometry(image: Dataset) -> None:
    del image.ImagePositionPatient, image.ImageOrientationPatient, image.PixelSpacing, image.FrameOfReferenceUID


@pytest.mark.parametrize("change", [make_colour, enlarge, turn, zoom, remove_geometry])
@pytest.mark.parametrize(
    "image_type", [["DERIVED", "SECONDARY", "SCREEN SAVE"], ["DERIVED", "SECONDARY"], ["DERIVED", "PRIMARY", "AXIAL"]]
)
def test_an_image_of_another_type_that_cannot_be_a_slice_is_named_or_excluded(
    tmp_path: Path, slices: list[Dataset], image_type: list[str], change: Callable[[Dataset], None]
) -> None:
    complete = phantoms.read(phantoms.save(tmp_path / "slices", slices)).volume
    mixed = append_image(slices, image_type, 12)
    change(mixed[-1])
    folder = phantoms.save(tmp_path / "mixed", mixed)

    with pytest.raises(SeriesError, match=r"1 image with another ImageType \(0008,0008\): image\d+: DERIVED") as caught:
        phantoms.read_geometry(folder)
    repaired = phantoms.read(folder, "drop-localizers")

    assert "drop-localizers" in (caught.value.hint or "")
    np.testing.assert_array_equal(repaired.volume.array, complete.array)
    assert len(repaired.files.instances) == 12


def test_projections_at_both_ends_of_the_stack_are_named(tmp_path: Path, slices: list[Dataset]) -> None:
    mixed = append_image(append_image(slices, ["DERIVED", "SECONDARY"], 12), ["DERIVED", "SECONDARY"], -1)

    with pytest.raises(SeriesError, match="2 images with another ImageType"):
        phantoms.read_geometry(phantoms.save(tmp_path, mixed))


def combine(image: Dataset) -> None:
    """Refers to the images that were combined (PS3.3, C.7.6.1.1.4)."""
    image.SourceImageSequence = [
        make_dataset(ReferencedSOPClassUID=image.SOPClassUID, ReferencedSOPInstanceUID=f"2.25.{number}")
        for number in range(2)
    ]


def reformat(image: Dataset) -> None:
    image.DerivationCodeSequence = [
        make_dataset(CodeValue="113072", CodingSchemeDesignator="DCM", CodeMeaning="Multiplanar reformatting")
    ]


def compress_lossily_twice(image: Dataset) -> None:
    image.LossyImageCompression = "01"
    combine(image)


@pytest.mark.parametrize("derive", [combine, reformat])
def test_an_appended_image_that_was_derived_from_several_images_is_no_slice(
    tmp_path: Path, slices: list[Dataset], derive: Callable[[Dataset], None]
) -> None:
    mixed = append_image(slices, ["DERIVED", "PRIMARY", "AXIAL"], 12)
    derive(mixed[-1])
    folder = phantoms.save(tmp_path, mixed)

    with pytest.raises(SeriesError, match="1 image with another ImageType"):
        phantoms.read_geometry(folder)
    assert len(phantoms.read_geometry(folder, "drop-localizers").stack.planes) == 12


@pytest.mark.parametrize("selection", [slice(11, 12), slice(9, 12), slice(3, 9)])
def test_slices_that_are_derived_because_of_lossy_compression_stay_in_the_volume(
    tmp_path: Path, slices: list[Dataset], selection: slice
) -> None:
    for dataset in slices[selection]:
        dataset.ImageType = ["DERIVED", "PRIMARY", "AXIAL"]
        compress_lossily_twice(dataset)

    assert len(phantoms.read_geometry(phantoms.save(tmp_path, slices)).stack.planes) == 12


def test_slices_that_are_all_reformatted_from_several_images_are_a_volume(
    tmp_path: Path, slices: list[Dataset]
) -> None:
    for dataset in slices:
        dataset.ImageType = ["DERIVED", "PRIMARY", "AXIAL"]
        combine(dataset)

    assert len(phantoms.read_geometry(phantoms.save(tmp_path, slices)).stack.planes) == 12


@pytest.mark.filterwarnings("ignore::UserWarning")  # highdicom's legacy converter
@pytest.mark.parametrize("technique", ["MAX_IP", "NONE"])
def test_a_frame_that_was_calculated_from_the_others_is_named(
    tmp_path: Path, slices: list[Dataset], technique: str
) -> None:
    image = phantoms.make_legacy_enhanced(append_image(slices, SLICE_TYPE, 12))
    positions = [
        frame.PlanePositionSequence[0].ImagePositionPatient for frame in image.PerFrameFunctionalGroupsSequence
    ]
    for frame, position in zip(image.PerFrameFunctionalGroupsSequence, positions, strict=True):
        is_last = np.allclose(np.array(position, float) - np.array(positions[0], float), 0)
        frame_type = ["DERIVED" if is_last else "ORIGINAL", "PRIMARY", "VOLUME", "MAXIMUM" if is_last else "NONE"]
        frame.CTImageFrameTypeSequence = [
            make_dataset(
                FrameType=["ORIGINAL", "PRIMARY", "VOLUME", "NONE"] if technique == "MAX_IP" else frame_type,
                VolumeBasedCalculationTechnique=technique if is_last else "NONE",
            )
        ]
    image.save_as(phantoms.save(tmp_path, []) / "enhanced.dcm")

    with pytest.raises(SeriesError, match="1 image with another ImageType"):
        phantoms.read_geometry(tmp_path)
    assert phantoms.read(tmp_path, "drop-localizers").volume.spatial_shape == (12, 11, 13)
