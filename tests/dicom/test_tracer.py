"""Injections, doses, half-lives and weights: those that SUV cannot be computed from are rejected."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import pytest
from pydicom import DataElement, Dataset
from pydicom.sr.codedict import codes
from pydicom.tag import Tag
from pydicom.uid import EnhancedPETImageStorage

from clickseg.core.errors import SuvError
from clickseg.datasets.phantom import pet_header, study_header
from clickseg.dicom.radionuclide import coded_radionuclide
from clickseg.dicom.suv import compute_suv_scaling
from tests.helpers.dicom_files import coded_item

SCAN_AFTER_S = 3600.0  # from the injection to the scan of the phantom
F18_HALF_LIFE_S = 6586.2


@pytest.fixture
def header() -> Dataset:
    """An FDG PET header with the code of F-18, scanned one hour after the injection."""
    return pet_header(study_header("tracer"))


def tracer(header: Dataset) -> Dataset:
    item: Dataset = header.RadiopharmaceuticalInformationSequence[0]
    return item


def suv_factor(header: Dataset, *, units: str = "BQML") -> float:
    return float(compute_suv_scaling([header], units=units, series_headers=[header]).factors[0])


def expected_factor(weight_kg: float, dose_bq: float, half_life_s: float = F18_HALF_LIFE_S) -> float:
    return 1000 * weight_kg / (dose_bq * 2 ** (-SCAN_AFTER_S / half_life_s))


@pytest.mark.parametrize("dose", ["370", "310", "10", "8400", "10000", "99999", "1.1e11", "3.7e11"])
def test_a_dose_in_another_unit_is_rejected(header: Dataset, dose: str) -> None:
    tracer(header).RadionuclideTotalDose = dose

    with pytest.raises(SuvError, match=r"RadionuclideTotalDose \(0018,1074\): expected a dose in Bq, .*, got"):
        suv_factor(header)


@pytest.mark.parametrize("decay_correction", ["START", "ADMIN", "NONE"])
def test_a_dose_in_another_unit_is_rejected_for_each_decay_correction(header: Dataset, decay_correction: str) -> None:
    header.DecayCorrection = decay_correction
    header.CorrectedImage = ["ATTN"] if decay_correction == "NONE" else ["DECY", "ATTN"]
    tracer(header).RadionuclideTotalDose = "370"

    with pytest.raises(SuvError, match="RadionuclideTotalDose"):
        suv_factor(header)


@pytest.mark.parametrize("decay_correction", ["START", "ADMIN"])
@pytest.mark.parametrize("dose", ["310", "3.1e8"])
def test_the_dose_of_an_enhanced_image_is_in_mbq_or_in_bq(header: Dataset, dose: str, decay_correction: str) -> None:
    header.DecayCorrection, header.SOPClassUID = decay_correction, EnhancedPETImageStorage
    tracer(header).RadionuclideTotalDose = dose
    expected = {"START": expected_factor(72.5, 3.1e8), "ADMIN": 72500 / 3.1e8}[decay_correction]

    assert suv_factor(header) == pytest.approx(expected)


@pytest.mark.parametrize("dose", ["0.05", "1.1e11"])
def test_a_dose_of_an_enhanced_image_in_another_unit_is_rejected(header: Dataset, dose: str) -> None:
    header.SOPClassUID, tracer(header).RadionuclideTotalDose = EnhancedPETImageStorage, dose

    with pytest.raises(SuvError, match="RadionuclideTotalDose"):
        suv_factor(header)


@pytest.mark.parametrize(
    ("weight", "dose"),
    [("0.021", "5e6"), ("0.3", "2e7"), ("0.02", "1e5"), ("3.1", "1.2e7"), ("400", "7e8"), ("80", "1e11")],
)
def test_small_animals_infants_and_heavy_patients_are_accepted(header: Dataset, weight: str, dose: str) -> None:
    header.PatientWeight, tracer(header).RadionuclideTotalDose = weight, dose

    assert suv_factor(header) == pytest.approx(expected_factor(float(weight), float(dose)))


@pytest.mark.parametrize("weight", ["72500", "401", "3100"])
def test_a_weight_in_another_unit_is_rejected(header: Dataset, weight: str) -> None:
    header.PatientWeight = weight

    with pytest.raises(SuvError, match=rf"PatientWeight \(0010,1030\): expected at most 400 kg, got {weight}"):
        suv_factor(header)


@pytest.mark.parametrize("weight", ["0", "-70"])
def test_a_weight_that_is_not_above_0_is_rejected(header: Dataset, weight: str) -> None:
    header.PatientWeight = weight

    with pytest.raises(SuvError, match=rf"PatientWeight \(0010,1030\): expected a number above 0, got {weight}"):
        suv_factor(header)


F18_CODES = [
    ("77004003", "SCT", "^18^Fluorine"),
    ("C-111A1", "SRT", "^18^Fluorine"),
    ("C-111A1", "SNM3", "18F"),
    ("C-111A1", "99SDM", ""),
    ("F18", "99LOCAL", "Fluorine-18"),
    ("1", "99LOCAL", "[18F]FDG"),
    ("1", "99LOCAL", "F 18"),
]


@pytest.mark.parametrize("code", F18_CODES)
@pytest.mark.parametrize("half_life", ["109.77", "1.83", "4062.6", "6450", "6720"])
def test_a_half_life_that_differs_from_the_code_is_rejected(
    header: Dataset, code: tuple[str, str, str], half_life: str
) -> None:
    tracer(header).RadionuclideCodeSequence = [coded_item(*code)]
    tracer(header).RadionuclideHalfLife = half_life

    with pytest.raises(SuvError, match=r"RadionuclideHalfLife \(0018,1075\): expected 6586\.2 s, .* F-18, got"):
        suv_factor(header)


@pytest.mark.parametrize("code", F18_CODES)
@pytest.mark.parametrize("half_life", ["6586.2", "6588", "6584.04", "6600", "6470", "6700"])
def test_a_half_life_of_the_coded_radionuclide_is_accepted(
    header: Dataset, code: tuple[str, str, str], half_life: str
) -> None:
    tracer(header).RadionuclideCodeSequence = [coded_item(*code)]
    tracer(header).RadionuclideHalfLife = half_life

    assert suv_factor(header) == pytest.approx(expected_factor(72.5, 3.1e8, float(half_life)))


def test_the_code_of_the_radiopharmaceutical_is_used_if_the_radionuclide_has_none(header: Dataset) -> None:
    del tracer(header).RadionuclideCodeSequence
    tracer(header).RadionuclideHalfLife = "4062.6"

    with pytest.raises(SuvError, match="RadionuclideHalfLife"):
        suv_factor(header)


def test_the_radionuclide_has_priority_over_a_code_of_the_radiopharmaceutical(header: Dataset) -> None:
    tracer(header).RadionuclideCodeSequence = [coded_item("Ga68", "99LOCAL", "Ga-68")]
    tracer(header).RadiopharmaceuticalCodeSequence = [coded_item("C-111A1", "SRT", "FDG")]
    tracer(header).RadionuclideHalfLife = "4062.6"

    assert suv_factor(header) == pytest.approx(expected_factor(72.5, 3.1e8, 4062.6))


@pytest.mark.parametrize("code", [None, ("1", "99LOCAL", "tracer"), ("1", "99LOCAL", "")])
def test_a_half_life_without_a_known_code_is_accepted(header: Dataset, code: tuple[str, str, str] | None) -> None:
    tracer(header).RadionuclideCodeSequence = [coded_item(*code)] if code else []
    del tracer(header).RadiopharmaceuticalCodeSequence
    tracer(header).RadionuclideHalfLife = "5000"

    assert suv_factor(header) == pytest.approx(expected_factor(72.5, 3.1e8, 5000))


def test_a_code_sequence_that_is_a_text_is_ignored(header: Dataset) -> None:
    del tracer(header).RadiopharmaceuticalCodeSequence
    tracer(header)[Tag("RadionuclideCodeSequence")] = DataElement(Tag("RadionuclideCodeSequence"), "LO", "F-18")
    tracer(header).RadionuclideHalfLife = "5000"

    assert suv_factor(header) == pytest.approx(expected_factor(72.5, 3.1e8, 5000))


def test_values_that_are_not_used_are_not_checked(header: Dataset) -> None:
    header.PatientWeight, tracer(header).RadionuclideTotalDose = "72500", "370"
    tracer(header).RadionuclideHalfLife = "109.77"

    assert suv_factor(header, units="GML") == 1


def add_item(header: Dataset, item: Dataset) -> None:
    header.RadiopharmaceuticalInformationSequence.append(item)


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"RadionuclideTotalDose": "150000000"}, "RadionuclideTotalDose (0018,1074)"),
        ({"RadiopharmaceuticalStartTime": "084500"}, "RadiopharmaceuticalStartTime (0018,1072)"),
        ({"RadiopharmaceuticalStartDateTime": "20260102083000"}, "RadiopharmaceuticalStartDateTime (0018,1078)"),
        ({"RadionuclideHalfLife": "4062.6", "Radiopharmaceutical": "Ga-68"}, "Radiopharmaceutical (0018,0031)"),
        ({"RadionuclideTotalDose": None}, "RadionuclideTotalDose (0018,1074)"),
        ({"RadiopharmaceuticalVolume": "5"}, "RadiopharmaceuticalVolume (0018,1071)"),
        (
            {"RadionuclideCodeSequence": [coded_item("35337001", "SCT", "^68^Gallium")]},
            "RadionuclideCodeSequence (0054,0300)",
        ),
    ],
)
@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("decay_correction", ["START", "ADMIN", "NONE"])
def test_items_that_differ_are_rejected(
    header: Dataset, changes: dict[str, object], difference: str, first: bool, decay_correction: str
) -> None:
    header.DecayCorrection = decay_correction
    header.CorrectedImage = ["ATTN"] if decay_correction == "NONE" else ["DECY", "ATTN"]
    other = deepcopy(tracer(header))
    for keyword, value in changes.items():
        setattr(other, keyword, value)
    header.RadiopharmaceuticalInformationSequence = [other, tracer(header)] if first else [tracer(header), other]

    with pytest.raises(SuvError) as error:
        suv_factor(header)

    assert str(error.value) == (
        "RadiopharmaceuticalInformationSequence (0054,0016): expected one radiopharmaceutical, "
        f"got items that differ in {difference}"
    )


def test_a_third_item_that_differs_is_rejected(header: Dataset) -> None:
    other = deepcopy(tracer(header))
    other.RadionuclideTotalDose = "1.85e8"
    for item in (deepcopy(tracer(header)), other):
        add_item(header, item)

    with pytest.raises(SuvError, match="items that differ in RadionuclideTotalDose"):
        suv_factor(header)


def test_two_items_in_one_image_of_a_volume_are_rejected(header: Dataset) -> None:
    other = deepcopy(header)
    add_item(other, deepcopy(tracer(header)))
    other.RadiopharmaceuticalInformationSequence[1].RadiopharmaceuticalStartTime = "084500"

    with pytest.raises(SuvError, match="items that differ in RadiopharmaceuticalStartTime"):
        compute_suv_scaling([header, other], units="BQML", series_headers=[header, other])


def unchanged(_: Dataset) -> None:
    """Leaves the copy of the item identical."""


def as_text(item: Dataset) -> None:
    item.RadionuclideTotalDose, item.RadionuclideHalfLife = "3.1E+8", "6586.20"
    item.RadiopharmaceuticalStartTime = "083000.00"


def with_empty_values(item: Dataset) -> None:
    item.RadiopharmaceuticalVolume = item.RadiopharmaceuticalStartDateTime = None
    item.AdministrationRouteCodeSequence = []


@pytest.mark.parametrize("change", [unchanged, as_text, with_empty_values, Dataset.clear])
@pytest.mark.parametrize("copies", [1, 2])
def test_an_item_that_is_repeated_or_empty_is_ignored(
    header: Dataset, change: Callable[[Dataset], None], copies: int
) -> None:
    for _ in range(copies):
        item = deepcopy(tracer(header))
        change(item)
        add_item(header, item)

    assert suv_factor(header) == pytest.approx(expected_factor(72.5, 3.1e8))


def test_several_items_do_not_matter_for_a_stored_suv(header: Dataset) -> None:
    add_item(header, deepcopy(tracer(header)))
    header.RadiopharmaceuticalInformationSequence[1].RadionuclideTotalDose = "1.5e8"

    assert suv_factor(header, units="GML") == 1


PUBLISHED_HALF_LIVES_S = {
    "_11Carbon": (1220.04, 1223.4),
    "_13Nitrogen": (597.9, 598.0),
    "_15Oxygen": (122.2, 123.0),
    "_18Fluorine": (6586.2, 6588.0),
    "_64Copper": (45723.6, 45720.0),
    "_68Gallium": (4057.7, 4069.8, 4080.0),
    "_82Rubidium": (75.0, 75.45, 76.38),
    "_89Zirconium": (282276.0, 282240.0),
    "_90Yttrium": (230400.0, 230760.0),
    "_124Iodine": (360806.0, 361152.0),
}


@pytest.mark.parametrize("name", [name for name in dir(codes.cid4020) if name[1:2].isdigit()])
def test_every_radionuclide_of_the_standard_is_recognized_by_value_and_by_meaning(name: str) -> None:
    code = getattr(codes.cid4020, name)
    by_value, by_meaning = Dataset(), Dataset()
    by_value.RadionuclideCodeSequence = [coded_item(code.value, code.scheme_designator, "")]
    by_meaning.RadionuclideCodeSequence = [coded_item("1", "99LOCAL", code.meaning)]

    found = coded_radionuclide(by_value), coded_radionuclide(by_meaning)

    assert found[0] is found[1]
    assert found[0] is not None
    assert f"^{found[0].mass}^{found[0].element}" == code.meaning


@pytest.mark.parametrize("name", PUBLISHED_HALF_LIVES_S)
def test_half_lives_that_scanners_write_are_within_the_tolerance(name: str) -> None:
    item = Dataset()
    code = getattr(codes.cid4020, name)
    item.RadionuclideCodeSequence = [coded_item(code.value, code.scheme_designator, code.meaning)]

    nuclide = coded_radionuclide(item)

    assert nuclide is not None
    for published_s in PUBLISHED_HALF_LIVES_S[name]:
        assert published_s == pytest.approx(nuclide.half_life_s, rel=0.02)
