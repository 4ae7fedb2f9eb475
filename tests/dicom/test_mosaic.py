"""Siemens mosaics: each image is a whole volume, so that their positions are not those of slices."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom import Dataset

from clickseg.core.errors import SeriesError
from tests.helpers import phantoms

MOSAIC_TYPE = ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]
MESSAGE = r"{} \(all slices of a volume as tiles of one image\): ImageType \(0008,0008\) contains MOSAIC in image"


def make_mosaics(count: int, image_type: list[str]) -> list[Dataset]:
    """Returns images whose positions are those of a regular volume."""
    datasets = phantoms.instances(phantoms.distinct_volume(phantoms.oblique_geometry((count, 11, 13))), "MR")
    for dataset in datasets:
        dataset.ImageType = image_type
    return datasets


@pytest.mark.parametrize(
    "image_type",
    [
        MOSAIC_TYPE,
        ["DERIVED", "PRIMARY", "DIFFUSION", "TRACEW", "MOSAIC"],
        ["ORIGINAL", "PRIMARY", "FMRI_MOSAIC"],
        ["ORIGINAL", "PRIMARY", "M", "MOSAIC_36"],
    ],
    ids="/".join,
)
def test_mosaics_at_the_positions_of_slices_are_rejected(tmp_path: Path, image_type: list[str]) -> None:
    folder = phantoms.save(tmp_path, make_mosaics(5, image_type))

    with pytest.raises(SeriesError, match=MESSAGE.format("5 Siemens mosaics")):
        phantoms.read_geometry(folder)


@pytest.mark.parametrize("repair", ["resample", "drop-localizers", "volume=1"])
def test_no_repair_makes_a_volume_of_mosaics(tmp_path: Path, repair: str) -> None:
    folder = phantoms.save(tmp_path, make_mosaics(5, MOSAIC_TYPE))

    with pytest.raises(SeriesError, match="Siemens mosaic"):
        phantoms.read_geometry(folder, repair)


def test_mosaics_at_one_position_are_rejected_as_mosaics(tmp_path: Path) -> None:
    datasets = make_mosaics(3, MOSAIC_TYPE)
    for dataset in datasets:
        dataset.ImagePositionPatient = datasets[0].ImagePositionPatient

    with pytest.raises(SeriesError, match="Siemens mosaic"):
        phantoms.read_geometry(phantoms.save(tmp_path, datasets))


def test_mosaics_without_positions_are_rejected_as_mosaics(tmp_path: Path) -> None:
    datasets = make_mosaics(3, MOSAIC_TYPE)
    for dataset in datasets:
        del dataset.ImagePositionPatient

    with pytest.raises(SeriesError, match="Siemens mosaic"):
        phantoms.read_geometry(phantoms.save(tmp_path, datasets))


def test_a_single_mosaic_is_rejected_as_a_mosaic(tmp_path: Path) -> None:
    datasets = make_mosaics(2, MOSAIC_TYPE)[:1]

    with pytest.raises(SeriesError, match=MESSAGE.format("1 Siemens mosaic")):
        phantoms.read_geometry(phantoms.save(tmp_path, datasets))


def test_a_mosaic_among_slices_is_named(tmp_path: Path) -> None:
    datasets = make_mosaics(5, ["ORIGINAL", "PRIMARY", "M", "ND"])
    datasets[4].ImageType = MOSAIC_TYPE

    with pytest.raises(SeriesError, match=MESSAGE.format("1 Siemens mosaic")):
        phantoms.read_geometry(phantoms.save(tmp_path, datasets))


@pytest.mark.filterwarnings("ignore::UserWarning")  # highdicom's legacy converter
def test_a_multi_frame_image_that_keeps_the_word_mosaic_is_read(tmp_path: Path) -> None:
    folder = phantoms.write_legacy_enhanced(tmp_path, make_mosaics(5, MOSAIC_TYPE))

    assert phantoms.read_geometry(folder).stack.geometry.spatial_shape == (5, 11, 13)


def test_slices_whose_image_type_contains_another_word_are_read(tmp_path: Path) -> None:
    datasets = make_mosaics(5, ["ORIGINAL", "PRIMARY", "M", "NOMOSAIC"])

    assert phantoms.read_geometry(phantoms.save(tmp_path, datasets)).stack.geometry.spatial_shape == (5, 11, 13)


def number_tiles(datasets: list[Dataset], acquired_rows: int) -> list[Dataset]:
    """Adds the private number of tiles of Siemens, and the size of an acquired slice."""
    for dataset in datasets:
        dataset.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0A, "US", 16)
        dataset.AcquisitionMatrix = [acquired_rows, 0, 0, acquired_rows]
    return datasets


def test_a_mosaic_is_found_by_its_number_of_tiles_if_image_type_was_replaced(tmp_path: Path) -> None:
    datasets = number_tiles(make_mosaics(5, ["ORIGINAL", "PRIMARY"]), acquired_rows=3)

    with pytest.raises(SeriesError, match=r"5 Siemens mosaics .*: Number of Images in Mosaic \(0019,xx0A\) is above 1"):
        phantoms.read_geometry(phantoms.save(tmp_path, datasets))


def test_slices_that_keep_the_number_of_tiles_of_their_mosaic_are_read(tmp_path: Path) -> None:
    datasets = number_tiles(make_mosaics(5, ["ORIGINAL", "PRIMARY"]), acquired_rows=11)

    assert phantoms.read_geometry(phantoms.save(tmp_path, datasets)).stack.geometry.spatial_shape == (5, 11, 13)
