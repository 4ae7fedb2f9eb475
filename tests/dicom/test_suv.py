"""SUVbw: every rule is compared with a value computed by hand; every missing attribute is named by its tag."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from copy import deepcopy
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset

from clickseg.core.errors import PixelDataError, SuvError
from clickseg.datasets.phantom import pet_header, study_header
from clickseg.dicom.pet_corrections import is_attenuation_corrected
from clickseg.dicom.suv import SuvScaling, compute_suv_scaling
from tests.helpers import phantoms

HALF_LIFE_S = 6000.0
WEIGHT_KG, DOSE_BQ = 80.0, 4e8


@pytest.fixture
def header() -> Dataset:
    """A PET header: 80 kg, 400 MBq at 08:00, half-life 6000 s; the series began at 09:40, one half-life later."""
    header = pet_header(study_header("suv"))
    header.PatientWeight = str(WEIGHT_KG)
    tracer = header.RadiopharmaceuticalInformationSequence[0]
    del tracer.RadionuclideCodeSequence, tracer.RadiopharmaceuticalCodeSequence  # not F-18: its half-life is 6586 s
    tracer.RadionuclideTotalDose, tracer.RadionuclideHalfLife = str(DOSE_BQ), str(HALF_LIFE_S)
    tracer.RadiopharmaceuticalStartTime = "080000"
    header.SeriesTime, header.AcquisitionTime = "094000", "094000"
    return header


def set_decay_correction(header: Dataset, decay_correction: str) -> None:
    """Sets Decay Correction, and Corrected Image accordingly."""
    header.DecayCorrection = decay_correction
    header.CorrectedImage = ["ATTN", "SCAT", "NORM"] if decay_correction == "NONE" else ["DECY", "ATTN", "SCAT", "NORM"]


def suv_factor(*headers: Dataset) -> float:
    (value,) = set(suv_scaling(*headers).factors.tolist())
    return value


def suv_scaling(*headers: Dataset, series_headers: Sequence[Dataset] = ()) -> SuvScaling:
    units = str(headers[0].get("Units") or "")
    return compute_suv_scaling(headers, units=units, series_headers=series_headers or headers)


FACTOR_AFTER_ONE_HALF_LIFE = 80000 / 2e8


def test_start_decays_the_dose_to_the_series_time(header: Dataset) -> None:
    assert suv_factor(header) == pytest.approx(FACTOR_AFTER_ONE_HALF_LIFE)


def test_admin_uses_the_dose_without_decay(header: Dataset) -> None:
    header.DecayCorrection = "ADMIN"

    assert suv_factor(header) == pytest.approx(FACTOR_AFTER_ONE_HALF_LIFE / 2)


def test_none_decays_the_dose_to_the_mean_activity_of_each_frame(header: Dataset) -> None:
    set_decay_correction(header, "NONE")
    later = deepcopy(header)
    later.AcquisitionTime = "112000"
    for frame in (header, later):
        frame.ActualFrameDuration = "600000"

    factors = suv_scaling(header, later).factors

    time = np.linspace(0, 600, 100001)
    mean_activity = np.mean(2 ** (-time / HALF_LIFE_S))
    assert factors[0] == pytest.approx(FACTOR_AFTER_ONE_HALF_LIFE / mean_activity, rel=1e-5)
    assert factors[1] == pytest.approx(2 * factors[0])


def test_a_series_time_after_the_first_acquisition_is_ignored(header: Dataset) -> None:
    header.SeriesTime = "150000"

    assert suv_factor(header) == pytest.approx(FACTOR_AFTER_ONE_HALF_LIFE)


def test_the_earliest_acquisition_of_all_images_is_used(header: Dataset) -> None:
    header.SeriesTime = "150000"
    later = deepcopy(header)
    later.AcquisitionTime = "101500"

    assert suv_factor(header, later) == pytest.approx(FACTOR_AFTER_ONE_HALF_LIFE)


@pytest.mark.parametrize(
    ("keyword", "value"),
    [("Units", "GML"), ("CorrectedImage", ["DECY"]), ("DecayCorrection", "ADMIN"), ("PatientWeight", "81")],
)
def test_images_with_different_values_are_rejected(header: Dataset, keyword: str, value: object) -> None:
    different = deepcopy(header)
    setattr(different, keyword, value)

    with pytest.raises(SuvError, match=f"{keyword} .*: expected one value in all images of a volume, got 2"):
        suv_scaling(header, different, header)


def test_images_with_different_doses_are_rejected(header: Dataset) -> None:
    different = deepcopy(header)
    different.RadiopharmaceuticalInformationSequence[0].RadionuclideTotalDose = "1"

    with pytest.raises(SuvError, match="RadionuclideTotalDose"):
        suv_scaling(header, different)


@pytest.mark.parametrize(
    "keyword", ["PatientWeight", "RadionuclideTotalDose", "RadionuclideHalfLife", "RadiopharmaceuticalStartTime"]
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_values_that_a_stored_suv_does_not_need_can_differ(header: Dataset, keyword: str) -> None:
    header.Units = "GML"
    different = deepcopy(header)
    for owner in (different, different.RadiopharmaceuticalInformationSequence[0]):
        if keyword in owner:
            setattr(owner, keyword, "91")
    different.CorrectedImage = ["ATTN", "DECY", "RAN"]

    assert suv_factor(header, different) == 1


@pytest.mark.parametrize("keyword", ["RadionuclideHalfLife", "RadiopharmaceuticalStartTime"])
def test_times_that_a_dose_at_its_administration_does_not_need_can_differ(header: Dataset, keyword: str) -> None:
    header.DecayCorrection = "ADMIN"
    different = deepcopy(header)
    setattr(different.RadiopharmaceuticalInformationSequence[0], keyword, "0930")

    assert suv_factor(header, different) == pytest.approx(FACTOR_AFTER_ONE_HALF_LIFE / 2)


def test_one_value_written_in_several_ways_is_one_value(header: Dataset) -> None:
    different = deepcopy(header)
    tracer = different.RadiopharmaceuticalInformationSequence[0]
    tracer.RadiopharmaceuticalStartTime, tracer.RadionuclideTotalDose = "080000.000", "4.0E+8"
    different.RadiopharmaceuticalInformationSequence.insert(0, Dataset())

    assert suv_factor(header, different) == pytest.approx(FACTOR_AFTER_ONE_HALF_LIFE)


@pytest.mark.parametrize("seconds", [1, 30, 3600])
def test_an_injection_shortly_after_the_scan_is_rejected(header: Dataset, seconds: int) -> None:
    start = datetime.strptime(header.SeriesTime, "%H%M%S") + timedelta(seconds=seconds)
    header.RadiopharmaceuticalInformationSequence[0].RadiopharmaceuticalStartTime = f"{start:%H%M%S}"

    with pytest.raises(SuvError, match=r"RadiopharmaceuticalStartTime \(0018,1072\): .* is later than"):
        suv_scaling(header)


def test_the_private_scan_time_of_ge_has_priority_over_the_acquisition_time(header: Dataset) -> None:
    header.SeriesTime, header.AcquisitionTime = "150000", "103000"
    header.private_block(0x0009, "GEMS_PETD_01", create=True).add_new(0x0D, "DT", "20260102094000.00")

    assert suv_factor(header) == pytest.approx(FACTOR_AFTER_ONE_HALF_LIFE)


def test_an_injection_date_and_time_has_priority_over_a_time(header: Dataset) -> None:
    tracer = header.RadiopharmaceuticalInformationSequence[0]
    tracer.RadiopharmaceuticalStartTime = "070000"
    tracer.RadiopharmaceuticalStartDateTime = "20260102080000"

    assert suv_factor(header) == pytest.approx(FACTOR_AFTER_ONE_HALF_LIFE)


@pytest.mark.parametrize("start", ["20260102", "2026", "2026010208"])
def test_an_injection_date_without_minutes_is_ignored(header: Dataset, start: str) -> None:
    tracer = header.RadiopharmaceuticalInformationSequence[0]
    tracer.RadiopharmaceuticalStartDateTime = start

    assert suv_factor(header) == pytest.approx(FACTOR_AFTER_ONE_HALF_LIFE)
    tracer.RadiopharmaceuticalStartTime = "08"
    with pytest.raises(SuvError, match=r"RadiopharmaceuticalStartDateTime .* are missing"):
        suv_scaling(header)


def test_a_time_point_is_decayed_to_the_start_of_the_series(header: Dataset) -> None:
    header.SeriesTime = "150000"
    later = deepcopy(header)
    later.AcquisitionTime = "112000"

    assert suv_scaling(later, series_headers=[header, later]).factors[0] == pytest.approx(FACTOR_AFTER_ONE_HALF_LIFE)


def test_an_injection_before_midnight_is_on_the_previous_day(header: Dataset) -> None:
    header.RadiopharmaceuticalInformationSequence[0].RadiopharmaceuticalStartTime = "233000"
    header.SeriesTime, header.AcquisitionTime = "011000", "011000"

    assert suv_factor(header) == pytest.approx(FACTOR_AFTER_ONE_HALF_LIFE)


LONG_HALF_LIVES_S = {"Zr-89": 78.41 * 3600, "Y-90": 64.1 * 3600, "I-124": 4.18 * 86400, "As-72": 26.0 * 3600}
MIDDLE_HALF_LIVES_S = {"Cu-64": 12.7 * 3600, "Y-86": 14.74 * 3600, "Sc-44": 3.97 * 3600}
"""Half-lives of less than a day, with which an image is still possible a day later."""


@pytest.fixture
def long_lived(header: Dataset) -> Dataset:
    """Zr-89, injected at 08:00; the image is at 09:40."""
    header.RadiopharmaceuticalInformationSequence[0].RadionuclideHalfLife = str(LONG_HALF_LIVES_S["Zr-89"])
    return header


@pytest.mark.parametrize("half_life_s", LONG_HALF_LIVES_S.values(), ids=LONG_HALF_LIVES_S)
@pytest.mark.parametrize("decay_correction", ["START", "NONE"])
@pytest.mark.parametrize("date", ["", "20251230"])
def test_an_injection_time_that_fits_several_days_is_rejected(
    header: Dataset, half_life_s: float, decay_correction: str, date: str
) -> None:
    set_decay_correction(header, decay_correction)
    tracer = header.RadiopharmaceuticalInformationSequence[0]
    tracer.RadionuclideHalfLife, tracer.RadiopharmaceuticalStartDateTime = f"{half_life_s:.0f}", date

    with pytest.raises(SuvError, match=r"StartDateTime \(0018,1078\) is missing, .* 08:00:00 can be 1\.7 h or 25\.7 h"):
        suv_scaling(header)


@pytest.mark.parametrize(("start", "hours"), [("094001", "24.0 h or 48.0"), ("200000", "13.7 h or 37.7")])
def test_a_long_lived_tracer_may_be_injected_at_a_later_time_of_an_earlier_day(
    long_lived: Dataset, start: str, hours: str
) -> None:
    long_lived.RadiopharmaceuticalInformationSequence[0].RadiopharmaceuticalStartTime = start

    with pytest.raises(
        SuvError, match=rf"StartDateTime \(0018,1078\) is missing, .* can be {hours} h before the image"
    ):
        suv_scaling(long_lived)


@pytest.mark.parametrize("days", [0, 1, 3, 10])
@pytest.mark.parametrize("attribute", ["RadiopharmaceuticalStartDateTime", "RadiopharmaceuticalStopDateTime"])
def test_a_long_lived_tracer_is_decayed_over_the_days_since_its_injection(
    long_lived: Dataset, days: int, attribute: str
) -> None:
    start_or_end = datetime(2026, 1, 2, 8) - timedelta(days=days)
    setattr(long_lived.RadiopharmaceuticalInformationSequence[0], attribute, f"{start_or_end:%Y%m%d%H%M%S}")

    elapsed_s = days * 86400 + 6000
    assert suv_factor(long_lived) == pytest.approx(80000 / (DOSE_BQ * 2 ** (-elapsed_s / LONG_HALF_LIVES_S["Zr-89"])))


def test_a_half_life_of_many_years_is_read(long_lived: Dataset) -> None:
    tracer = long_lived.RadiopharmaceuticalInformationSequence[0]
    tracer.RadionuclideHalfLife, tracer.RadiopharmaceuticalStartDateTime = "1e20", "20260101080000"

    assert suv_factor(long_lived) == pytest.approx(80000 / DOSE_BQ)


def test_an_infusion_over_midnight_began_on_the_day_before_its_end(long_lived: Dataset) -> None:
    tracer = long_lived.RadiopharmaceuticalInformationSequence[0]
    tracer.RadiopharmaceuticalStartTime, tracer.RadiopharmaceuticalStopDateTime = "234000", "20260101001000"

    elapsed_s = 34 * 3600
    assert suv_factor(long_lived) == pytest.approx(80000 / (DOSE_BQ * 2 ** (-elapsed_s / LONG_HALF_LIVES_S["Zr-89"])))


def test_the_dose_of_a_long_lived_tracer_at_its_administration_needs_no_day(long_lived: Dataset) -> None:
    long_lived.DecayCorrection = "ADMIN"

    assert suv_factor(long_lived) == pytest.approx(FACTOR_AFTER_ONE_HALF_LIFE / 2)


@pytest.fixture(params=list(MIDDLE_HALF_LIVES_S.values()), ids=list(MIDDLE_HALF_LIVES_S))
def half_day(header: Dataset, request: pytest.FixtureRequest) -> Dataset:
    """A tracer with a half-life of some hours, injected at 08:00; the image is at 09:40."""
    header.RadiopharmaceuticalInformationSequence[0].RadionuclideHalfLife = f"{request.param:.0f}"
    return header


def factor_after(elapsed_s: float, header: Dataset) -> float:
    half_life_s = float(header.RadiopharmaceuticalInformationSequence[0].RadionuclideHalfLife)
    return 80000 / (DOSE_BQ * 2 ** (-elapsed_s / half_life_s))


@pytest.mark.parametrize("study_date", ["20260102", "", "2.1.2026"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_an_injection_time_with_a_half_life_of_hours_is_on_the_day_of_the_scan_with_a_warning(
    half_day: Dataset, study_date: str
) -> None:
    half_day.StudyDate = study_date

    assert suv_factor(half_day) == pytest.approx(factor_after(6000, half_day))
    assert suv_scaling(half_day).warnings == (
        "RadiopharmaceuticalStartTime (0018,1072) has no day: SUV is computed for an injection on the day of the scan",
    )


def test_the_warning_of_an_injection_time_without_a_day_names_the_series(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = phantoms.write(tmp_path, phantoms.distinct_volume(phantoms.oblique_geometry()), "PT")

    def set_half_life(dataset: Dataset) -> None:
        tracer = dataset.RadiopharmaceuticalInformationSequence[0]
        del tracer.RadionuclideCodeSequence, tracer.RadiopharmaceuticalCodeSequence
        tracer.RadionuclideHalfLife = "45720"

    phantoms.change(folder, set_half_life)

    phantoms.read(folder)

    assert re.search(r"PT .*: RadiopharmaceuticalStartTime \(0018,1072\) has no day", caplog.text)


def test_an_injection_time_with_a_half_life_of_hours_can_be_before_midnight(half_day: Dataset) -> None:
    half_day.RadiopharmaceuticalInformationSequence[0].RadiopharmaceuticalStartTime = "233000"
    half_day.SeriesTime, half_day.AcquisitionTime, half_day.StudyDate = "011000", "011000", "20260101"

    assert suv_factor(half_day) == pytest.approx(factor_after(6000, half_day))


def test_an_injection_time_with_a_half_life_of_hours_is_rejected_if_the_study_began_on_an_earlier_day(
    half_day: Dataset,
) -> None:
    half_day.StudyDate = "20260101"

    with pytest.raises(SuvError, match=r"StartDateTime \(0018,1078\) is missing, .* can be 1\.7 h or 25\.7 h"):
        suv_scaling(half_day)


def test_an_injection_time_more_than_12_hours_before_the_image_has_no_day(header: Dataset) -> None:
    tracer = header.RadiopharmaceuticalInformationSequence[0]
    tracer.RadionuclideHalfLife, tracer.RadiopharmaceuticalStartTime = str(12.7 * 3600), "140000"

    with pytest.raises(SuvError, match=r"StartDateTime \(0018,1078\) is missing, .* can be 19\.7 h or 43\.7 h"):
        suv_scaling(header)


def test_the_study_of_a_short_lived_tracer_can_begin_on_an_earlier_day(header: Dataset) -> None:
    header.StudyDate = "20260101"

    assert suv_factor(header) == pytest.approx(FACTOR_AFTER_ONE_HALF_LIFE)
    assert suv_scaling(header).warnings == ()


@pytest.mark.parametrize("days", [0, 3])
@pytest.mark.parametrize("time", ["075930", "080000", "080030"])
def test_the_private_injection_time_of_ge_contains_the_day_of_the_injection(
    long_lived: Dataset, days: int, time: str
) -> None:
    day = datetime(2026, 1, 2) - timedelta(days=days)
    block = long_lived.private_block(0x0009, "GEMS_PETD_01", create=True)
    block.add_new(0x3B, "DT", f"{day:%Y%m%d}{time}.00")

    assert suv_factor(long_lived) == pytest.approx(factor_after(days * 86400 + 6000, long_lived))
    assert suv_scaling(long_lived).warnings == ()


def test_the_injection_day_is_not_assumed_if_it_is_not_needed(half_day: Dataset) -> None:
    half_day.DecayCorrection = "ADMIN"

    assert suv_scaling(half_day).warnings == ()


@pytest.mark.parametrize("half_life_s", [75.45, 122.24, 597.9, 1221.8, 4062.6, 6586.2, 9000.0])
def test_an_injection_time_of_a_short_lived_tracer_needs_no_date(header: Dataset, half_life_s: float) -> None:
    elapsed_s = min(2 * half_life_s, 6000)
    start = datetime(2026, 1, 2, 9, 40) - timedelta(seconds=elapsed_s)
    tracer = header.RadiopharmaceuticalInformationSequence[0]
    tracer.RadionuclideHalfLife, tracer.RadiopharmaceuticalStartTime = str(half_life_s), f"{start:%H%M%S.%f}"

    assert suv_factor(header) == pytest.approx(80000 / (DOSE_BQ * 2 ** (-elapsed_s / half_life_s)))


@pytest.mark.parametrize(("zone", "elapsed_s"), [("+0100", 6000), ("+0000", 2400), ("", 6000)])
def test_an_injection_time_is_converted_to_the_time_zone_of_the_series(
    header: Dataset, zone: str, elapsed_s: float
) -> None:
    header.TimezoneOffsetFromUTC = "+0100"
    header.RadiopharmaceuticalInformationSequence[0].RadiopharmaceuticalStartDateTime = "20260102080000" + zone

    assert suv_factor(header) == pytest.approx(80000 / (DOSE_BQ * 2 ** (-elapsed_s / HALF_LIFE_S)))


def test_gml_is_not_converted(header: Dataset) -> None:
    header.Units = "GML"

    scaling = suv_scaling(header)

    assert scaling.factors.tolist() == [1]
    assert scaling.rule == "stored as SUVbw"


def test_philips_counts_are_converted_to_suv_by_the_private_factor(header: Dataset) -> None:
    header.Units = "CNTS"
    header.private_block(0x7053, "Philips PET Private Group", create=True).add_new(0x00, "DS", "0.000587")

    assert suv_factor(header) == pytest.approx(0.000587)


def test_philips_counts_are_converted_to_activity_if_the_suv_factor_is_zero(header: Dataset) -> None:
    header.Units = "CNTS"
    block = header.private_block(0x7053, "Philips PET Private Group", create=True)
    block.add_new(0x00, "DS", "0")
    block.add_new(0x09, "DS", "2.5")

    assert suv_factor(header) == pytest.approx(2.5 * FACTOR_AFTER_ONE_HALF_LIFE)


def remove_attribute(keyword: str) -> Callable[[Dataset], None]:
    return lambda header: header.__delattr__(keyword)


def remove_tracer_attribute(keyword: str) -> Callable[[Dataset], None]:
    return lambda header: header.RadiopharmaceuticalInformationSequence[0].__delattr__(keyword)


def set_attribute(keyword: str, value: object) -> Callable[[Dataset], None]:
    return lambda header: setattr(header, keyword, value)


def set_tracer_attribute(keyword: str, value: object) -> Callable[[Dataset], None]:
    return lambda header: setattr(header.RadiopharmaceuticalInformationSequence[0], keyword, value)


@pytest.mark.parametrize(
    ("change_header", "message"),
    [
        (remove_attribute("PatientWeight"), r"PatientWeight \(0010,1030\) is missing"),
        (set_attribute("PatientWeight", ""), r"PatientWeight \(0010,1030\) is missing"),
        (set_attribute("PatientWeight", "0"), r"PatientWeight \(0010,1030\): expected a number above 0, got 0"),
        (remove_tracer_attribute("RadionuclideTotalDose"), r"RadionuclideTotalDose \(0018,1074\) is missing"),
        (
            set_tracer_attribute("RadionuclideTotalDose", "-4"),
            r"RadionuclideTotalDose .*: expected a number above 0, got -4",
        ),
        (remove_tracer_attribute("RadionuclideHalfLife"), r"RadionuclideHalfLife \(0018,1075\) is missing"),
        (
            remove_tracer_attribute("RadiopharmaceuticalStartTime"),
            r"RadiopharmaceuticalStartTime \(0018,1072\) are missing",
        ),
        (
            set_tracer_attribute("RadiopharmaceuticalStartDateTime", "20260103080000"),
            r"RadiopharmaceuticalStartDateTime .* the reference time of the image is -22\.3 h after the injection",
        ),
        (
            set_tracer_attribute("RadiopharmaceuticalStartDateTime", "20251220080000"),
            r"the reference time of the image is 313\.7 h after the injection, expected 0 to 10 half-lives \(16\.7 h\)",
        ),
        (
            remove_attribute("RadiopharmaceuticalInformationSequence"),
            r"RadiopharmaceuticalInformationSequence \(0054,0016\)",
        ),
        (
            remove_attribute("DecayCorrection"),
            r"DecayCorrection \(0054,1102\): expected START, ADMIN or NONE, got no value",
        ),
        (set_attribute("DecayCorrection", "MAYBE"), r"DecayCorrection .*: expected START, ADMIN or NONE, got MAYBE"),
        (set_attribute("Units", "PCNT"), r"Units \(0054,1001\): expected BQML, GML or CNTS to compute SUV, got PCNT"),
        (set_attribute("Units", "PROPCPS"), r"Units .* got PROPCPS"),
        (remove_attribute("Units"), r"Units .* got no value"),
        (set_attribute("Units", "CNTS"), r"neither Philips SUV Scale Factor \(7053,1000\)"),
        (
            set_attribute("CorrectedImage", ["DECY", "SCAT"]),
            r"CorrectedImage \(0028,0051\): not corrected .* got DECY\\SCAT",
        ),
        (set_attribute("CorrectedImage", "DECY"), r"CorrectedImage .* got DECY"),
        (remove_attribute("CorrectedImage"), r"CorrectedImage .* got no value"),
    ],
)
def test_missing_and_invalid_attributes_are_named(
    header: Dataset, change_header: Callable[[Dataset], None], message: str
) -> None:
    change_header(header)

    with pytest.raises(SuvError, match=message):
        suv_scaling(header)


def test_missing_times_are_rejected(header: Dataset) -> None:
    del header.SeriesTime
    del header.AcquisitionTime

    with pytest.raises(SuvError, match=r"SeriesTime .* and AcquisitionTime .*, or their dates, are missing"):
        suv_scaling(header)


@pytest.mark.parametrize("units", ["GML", "BQML"])
@pytest.mark.parametrize("suv_type", ["LBM", "BSA", "IBW", "LBMJANMA"])
def test_suv_that_is_not_by_body_weight_is_rejected(header: Dataset, suv_type: str, units: str) -> None:
    header.Units, header.SUVType = units, suv_type

    with pytest.raises(SuvError, match=rf"SUVType \(0054,1006\): expected BW \(body weight\), got {suv_type}"):
        suv_scaling(header)


@pytest.mark.parametrize(
    ("decay_correction", "corrections"),
    [
        ("START", ["ATTN", "SCAT", "NORM"]),
        ("ADMIN", ["ATTN"]),
        ("START", "ATTN"),
        ("NONE", ["DECY", "ATTN", "SCAT"]),
    ],
)
@pytest.mark.parametrize("units", ["BQML", "CNTS"])
def test_corrections_that_contradict_the_decay_correction_are_rejected(
    header: Dataset, decay_correction: str, corrections: str | list[str], units: str
) -> None:
    header.DecayCorrection, header.CorrectedImage, header.Units = decay_correction, corrections, units
    header.private_block(0x7053, "Philips PET Private Group", create=True).add_new(0x09, "DS", "2.5")

    with pytest.raises(
        SuvError, match=rf"\(0054,1102\) is {decay_correction}, but CorrectedImage \(0028,0051\) is .*ATTN"
    ):
        suv_scaling(header)


@pytest.mark.parametrize(("decay_correction", "decay_corrected"), [("START", "NO"), ("NONE", "YES"), ("ADMIN", "NO")])
def test_decay_corrected_that_contradicts_the_decay_correction_is_rejected(
    header: Dataset, decay_correction: str, decay_corrected: str
) -> None:
    set_decay_correction(header, decay_correction)
    header.DecayCorrected, header.DecayCorrectionDateTime = decay_corrected, "20260102094000"

    with pytest.raises(
        SuvError, match=rf"is {decay_correction}, but DecayCorrected \(0018,9758\) is {decay_corrected}"
    ):
        suv_scaling(header)


@pytest.mark.parametrize("corrections", [["ATTN", "SCAT"], ["DECY", "ATTN"]])
def test_the_decay_correction_of_a_stored_suv_is_not_checked(header: Dataset, corrections: list[str]) -> None:
    header.Units, header.CorrectedImage = "GML", corrections

    assert suv_factor(header) == 1


def test_an_enhanced_image_without_corrected_image_is_decayed_to_its_decay_correction_time(header: Dataset) -> None:
    del header.CorrectedImage, header.DecayCorrection
    header.AttenuationCorrected = header.DecayCorrected = "YES"
    header.DecayCorrectionDateTime = "20260102094000"

    assert suv_factor(header) == pytest.approx(FACTOR_AFTER_ONE_HALF_LIFE)


def test_attenuation_correction_is_read_from_classic_and_enhanced_images() -> None:
    classic, enhanced, neither = Dataset(), Dataset(), Dataset()
    classic.CorrectedImage = ["ATTN", "DECY"]
    enhanced.AttenuationCorrected = "YES"

    assert [is_attenuation_corrected(header) for header in (classic, enhanced, neither)] == [True, True, False]


def test_a_slice_without_rescale_slope_is_rejected(tmp_path: Path) -> None:
    folder = phantoms.write(tmp_path, phantoms.distinct_volume(phantoms.oblique_geometry()), "PT")
    phantoms.change(folder, lambda dataset: dataset.__delattr__("RescaleSlope"), selection=slice(4, 5))

    with pytest.raises(PixelDataError, match=r"0005\.dcm: RescaleSlope \(0028,1053\) is missing"):
        phantoms.read(folder)


def test_a_missing_rescale_intercept_is_0(tmp_path: Path) -> None:
    folder = phantoms.write(tmp_path, phantoms.distinct_volume(phantoms.oblique_geometry()), "PT")
    before = phantoms.read(folder).volume.array
    phantoms.change(folder, lambda dataset: dataset.__delattr__("RescaleIntercept"))

    np.testing.assert_array_equal(phantoms.read(folder).volume.array, before)


def test_the_error_names_the_file(tmp_path: Path) -> None:
    folder = phantoms.write(tmp_path, phantoms.distinct_volume(phantoms.oblique_geometry()), "PT")
    phantoms.change(folder, lambda dataset: dataset.__delattr__("PatientWeight"))

    with pytest.raises(SuvError, match=r"0001\.dcm: PatientWeight"):
        phantoms.read(folder)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_whole_body_pet_agrees_with_the_published_suv_of_the_same_patient(fixtures: Path) -> None:
    raw = phantoms.read(fixtures / "pet_raw_sts001" / "FDG_PET" / "image").volume
    published = phantoms.read(fixtures / "pet_raw_sts001" / "ibsi_crops" / "PET" / "image").volume
    corner = raw.map_reference_to_indices(published.map_indices_to_reference(np.zeros((1, 3))))[0]
    start = np.round(corner).astype(int)
    np.testing.assert_allclose(corner, start, atol=0.02)
    crop = raw.array[
        tuple(slice(first, first + count) for first, count in zip(start, published.spatial_shape, strict=True))
    ]

    ratio = crop[published.array > 1] / published.array[published.array > 1]

    assert np.median(ratio) == pytest.approx(1, abs=1e-4)
    np.testing.assert_allclose(crop, published.array, atol=1e-3)
