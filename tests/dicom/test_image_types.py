"""Images that are not slices of the volume of their series: projections, reformats and reports."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset

from clickseg.core.errors import SeriesError
from tests.helpers import phantoms

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
