"""Philips PET in counts whose private scale factors cannot be read: the message names the cause (PS3.5, 7.8.1)."""

from __future__ import annotations

from copy import deepcopy

import pytest
from pydicom import Dataset

from clickseg.core.errors import SuvError
from clickseg.datasets.phantom import pet_header, study_header
from clickseg.dicom.suv import compute_suv_scaling

CREATOR = "Philips PET Private Group"


@pytest.fixture
def header() -> Dataset:
    header = pet_header(study_header("philips"))
    header.Units = "CNTS"
    return header


@pytest.mark.parametrize(
    ("element", "name"),
    [(0x00, r"SUV Scale Factor \(7053,1000\)"), (0x09, r"Activity Concentration Scale Factor \(7053,1009\)")],
)
@pytest.mark.parametrize("value_representation", ["DS", "UN"])
def test_a_factor_without_its_private_creator_is_named(
    header: Dataset, element: int, name: str, value_representation: str
) -> None:
    add_factor(header, element, "0.000587", value_representation)
    del header[0x7053, 0x10]

    with pytest.raises(SuvError, match=rf"{name} has no private creator \(7053,0010\)") as caught:
        scale(header)
    assert f"restore (7053,0010) as '{CREATOR}'" in str(caught.value.hint)


def test_an_empty_private_creator_is_missing(header: Dataset) -> None:
    add_factor(header, 0x00, "0.000587")
    del header[0x7053, 0x10]
    header.add_new((0x7053, 0x10), "LO", "")

    with pytest.raises(SuvError, match=r"has no private creator \(7053,0010\)"):
        scale(header)


def test_the_block_of_the_factor_is_named(header: Dataset) -> None:
    header.add_new((0x7053, 0x10), "LO", "Other Group")
    add_factor(header, 0x00, "0.000587")
    del header[0x7053, 0x11]

    with pytest.raises(SuvError, match=r"has no private creator \(7053,0011\)"):
        scale(header)


def test_a_creator_that_is_missing_in_one_image_is_named(header: Dataset) -> None:
    add_factor(header, 0x00, "0.000587")
    other = deepcopy(header)
    del other[0x7053, 0x10]

    with pytest.raises(SuvError, match=r"has no private creator \(7053,0010\)"):
        scale(header, other)


@pytest.mark.parametrize("value", ["0", "-1", "", "abc"])
def test_a_factor_that_is_valid_in_only_some_images_is_named(header: Dataset, value: str) -> None:
    other = deepcopy(header)
    add_factor(header, 0x00, "0.000587")
    add_factor(other, 0x00, value, "LO")

    with pytest.raises(SuvError, match=r"SUV Scale Factor \(7053,1000\) is a number above 0 in only 1 of 2 images"):
        scale(header, other)


def test_a_group_that_was_removed_completely_is_named(header: Dataset) -> None:
    with pytest.raises(
        SuvError, match=r"neither Philips SUV Scale Factor \(7053,1000\) nor .* in every image"
    ) as caught:
        scale(header)
    assert "keep the private group 7053" in str(caught.value.hint)


def test_a_factor_in_another_block_is_read(header: Dataset) -> None:
    header.add_new((0x7053, 0x10), "LO", "Other Group")
    add_factor(header, 0x00, "0.000587")

    assert scale(header) == [0.000587]


def add_factor(header: Dataset, element: int, value: str, value_representation: str = "DS") -> None:
    block = header.private_block(0x7053, CREATOR, create=True)
    block.add_new(element, value_representation, value.encode() if value_representation == "UN" else value)


def scale(*headers: Dataset) -> list[float]:
    return compute_suv_scaling(headers, units="CNTS", series_headers=headers).factors.tolist()
