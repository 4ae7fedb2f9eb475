"""Dose, half-life and weight that cannot be those of a PET are rejected; unusual values that occur are accepted."""

from __future__ import annotations

import pytest
from pydicom import Dataset
from pydicom.sr.codedict import codes

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
    tracer(header).RadionuclideTotalDose = "370"

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


@pytest.mark.parametrize("code", [None, ("1", "99LOCAL", "tracer"), ("1", "99LOCAL", "")])
def test_a_half_life_without_a_known_code_is_accepted(header: Dataset, code: tuple[str, str, str] | None) -> None:
    tracer(header).RadionuclideCodeSequence = [coded_item(*code)] if code else []
    del tracer(header).RadiopharmaceuticalCodeSequence
    tracer(header).RadionuclideHalfLife = "5000"

    assert suv_factor(header) == pytest.approx(expected_factor(72.5, 3.1e8, 5000))


def test_values_that_are_not_used_are_not_checked(header: Dataset) -> None:
    header.PatientWeight, tracer(header).RadionuclideTotalDose = "72500", "370"
    tracer(header).RadionuclideHalfLife = "109.77"

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
