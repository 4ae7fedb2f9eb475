"""SUVbw: every rule against a number worked out by hand, every lack named by its tag."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset

from clickseg.core.errors import PixelDataError, SuvError
from clickseg.datasets.phantom import pet_header, study_header
from clickseg.dicom.suv import Suv, is_attenuation_corrected, suv_of
from tests.helpers import phantoms

HALF_LIFE_S = 6000.0
WEIGHT_KG, DOSE_BQ = 80.0, 4e8


@pytest.fixture
def header() -> Dataset:
    """80 kg, 400 MBq at 08:00, half-life 6000 s; the series began at 09:40, which is one half-life later."""
    header = pet_header(study_header("suv"))
    header.PatientWeight = str(WEIGHT_KG)
    tracer = header.RadiopharmaceuticalInformationSequence[0]
    tracer.RadionuclideTotalDose, tracer.RadionuclideHalfLife = str(DOSE_BQ), str(HALF_LIFE_S)
    tracer.RadiopharmaceuticalStartTime = "080000"
    header.SeriesTime, header.AcquisitionTime = "094000", "094000"
    return header


def factor(*headers: Dataset) -> float:
    (value,) = set(suv(*headers).factors.tolist())
    return value


def suv(*headers: Dataset, scan: Sequence[Dataset] = ()) -> Suv:
    return suv_of(headers, units=str(headers[0].get("Units") or ""), scan=scan or headers)


ONE_HALF_LIFE = 80000 / 2e8


def test_start_decays_the_dose_to_the_series_time(header: Dataset) -> None:
    assert factor(header) == pytest.approx(ONE_HALF_LIFE)


def test_admin_takes_the_dose_as_it_was_given(header: Dataset) -> None:
    header.DecayCorrection = "ADMIN"

    assert factor(header) == pytest.approx(ONE_HALF_LIFE / 2)


def test_none_decays_the_dose_to_the_mean_of_each_frame(header: Dataset) -> None:
    header.DecayCorrection = "NONE"
    later = deepcopy(header)
    later.AcquisitionTime = "112000"
    for each in (header, later):
        each.ActualFrameDuration = "600000"

    factors = suv(header, later).factors

    time = np.linspace(0, 600, 100001)
    mean_activity = np.mean(2 ** (-time / HALF_LIFE_S))
    assert factors[0] == pytest.approx(ONE_HALF_LIFE / mean_activity, rel=1e-5)
    assert factors[1] == pytest.approx(2 * factors[0])


def test_a_series_time_after_the_first_acquisition_is_that_of_a_reconstruction(header: Dataset) -> None:
    header.SeriesTime = "150000"

    assert factor(header) == pytest.approx(ONE_HALF_LIFE)


def test_the_earliest_acquisition_of_all_images_counts(header: Dataset) -> None:
    header.SeriesTime = "150000"
    later = deepcopy(header)
    later.AcquisitionTime = "101500"

    assert factor(header, later) == pytest.approx(ONE_HALF_LIFE)


@pytest.mark.parametrize(
    ("keyword", "value"),
    [("Units", "GML"), ("CorrectedImage", ["DECY"]), ("DecayCorrection", "ADMIN"), ("PatientWeight", "81")],
)
def test_images_that_say_different_things_are_an_error(header: Dataset, keyword: str, value: object) -> None:
    other = deepcopy(header)
    setattr(other, keyword, value)

    with pytest.raises(SuvError, match=f"{keyword} .*: expected one value in all images of a volume, got 2"):
        suv(header, other, header)


def test_doses_that_differ_are_an_error(header: Dataset) -> None:
    other = deepcopy(header)
    other.RadiopharmaceuticalInformationSequence[0].RadionuclideTotalDose = "1"

    with pytest.raises(SuvError, match="RadionuclideTotalDose"):
        suv(header, other)


@pytest.mark.parametrize("seconds", [1, 30, 3600])
def test_an_injection_after_the_scan_is_an_error_and_not_on_the_day_before(header: Dataset, seconds: int) -> None:
    start = datetime.strptime(header.SeriesTime, "%H%M%S") + timedelta(seconds=seconds)
    header.RadiopharmaceuticalInformationSequence[0].RadiopharmaceuticalStartTime = f"{start:%H%M%S}"

    with pytest.raises(SuvError, match=r"RadiopharmaceuticalStartTime \(0018,1072\): .* is later than"):
        suv(header)


def test_ge_private_scan_time_comes_before_the_acquisition(header: Dataset) -> None:
    header.SeriesTime, header.AcquisitionTime = "150000", "103000"
    header.private_block(0x0009, "GEMS_PETD_01", create=True).add_new(0x0D, "DT", "20260102094000.00")

    assert factor(header) == pytest.approx(ONE_HALF_LIFE)


def test_an_injection_date_and_time_comes_before_a_bare_time(header: Dataset) -> None:
    tracer = header.RadiopharmaceuticalInformationSequence[0]
    tracer.RadiopharmaceuticalStartTime = "070000"
    tracer.RadiopharmaceuticalStartDateTime = "20260102080000"

    assert factor(header) == pytest.approx(ONE_HALF_LIFE)


@pytest.mark.parametrize("start", ["20260102", "2026", "2026010208"])
def test_an_injection_date_without_minutes_is_as_good_as_none(header: Dataset, start: str) -> None:
    tracer = header.RadiopharmaceuticalInformationSequence[0]
    tracer.RadiopharmaceuticalStartDateTime = start

    assert factor(header) == pytest.approx(ONE_HALF_LIFE)
    tracer.RadiopharmaceuticalStartTime = "08"
    with pytest.raises(SuvError, match=r"RadiopharmaceuticalStartDateTime .* are missing"):
        suv(header)


def test_one_time_point_is_decayed_to_the_beginning_of_all(header: Dataset) -> None:
    header.SeriesTime = "150000"
    later = deepcopy(header)
    later.AcquisitionTime = "112000"

    assert suv(later, scan=[header, later]).factors[0] == pytest.approx(ONE_HALF_LIFE)


def test_an_injection_before_midnight_was_on_the_day_before(header: Dataset) -> None:
    header.RadiopharmaceuticalInformationSequence[0].RadiopharmaceuticalStartTime = "233000"
    header.SeriesTime, header.AcquisitionTime = "011000", "011000"

    assert factor(header) == pytest.approx(ONE_HALF_LIFE)


@pytest.mark.parametrize(("zone", "elapsed_s"), [("+0100", 6000), ("+0000", 2400), ("", 6000)])
def test_an_injection_time_in_another_zone_is_brought_to_that_of_the_series(
    header: Dataset, zone: str, elapsed_s: float
) -> None:
    header.TimezoneOffsetFromUTC = "+0100"
    header.RadiopharmaceuticalInformationSequence[0].RadiopharmaceuticalStartDateTime = "20260102080000" + zone

    assert factor(header) == pytest.approx(80000 / (DOSE_BQ * 2 ** (-elapsed_s / HALF_LIFE_S)))


def test_gml_is_suv_already(header: Dataset) -> None:
    header.Units = "GML"

    found = suv(header)

    assert found.factors.tolist() == [1]
    assert found.rule == "stored as SUVbw"


def test_philips_counts_become_suv_by_their_private_factor(header: Dataset) -> None:
    header.Units = "CNTS"
    header.private_block(0x7053, "Philips PET Private Group", create=True).add_new(0x00, "DS", "0.000587")

    assert factor(header) == pytest.approx(0.000587)


def test_philips_counts_become_activity_where_the_suv_factor_is_zero(header: Dataset) -> None:
    header.Units = "CNTS"
    block = header.private_block(0x7053, "Philips PET Private Group", create=True)
    block.add_new(0x00, "DS", "0")
    block.add_new(0x09, "DS", "2.5")

    assert factor(header) == pytest.approx(2.5 * ONE_HALF_LIFE)


def without(keyword: str) -> Callable[[Dataset], None]:
    return lambda header: header.__delattr__(keyword)


def tracer_without(keyword: str) -> Callable[[Dataset], None]:
    return lambda header: header.RadiopharmaceuticalInformationSequence[0].__delattr__(keyword)


def having(keyword: str, value: object) -> Callable[[Dataset], None]:
    return lambda header: setattr(header, keyword, value)


def tracer_having(keyword: str, value: object) -> Callable[[Dataset], None]:
    return lambda header: setattr(header.RadiopharmaceuticalInformationSequence[0], keyword, value)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (without("PatientWeight"), r"PatientWeight \(0010,1030\) is missing"),
        (having("PatientWeight", ""), r"PatientWeight \(0010,1030\) is missing"),
        (having("PatientWeight", "0"), r"PatientWeight \(0010,1030\): expected a number above 0, got 0"),
        (tracer_without("RadionuclideTotalDose"), r"RadionuclideTotalDose \(0018,1074\) is missing"),
        (tracer_having("RadionuclideTotalDose", "-4"), r"RadionuclideTotalDose .*: expected a number above 0, got -4"),
        (tracer_without("RadionuclideHalfLife"), r"RadionuclideHalfLife \(0018,1075\) is missing"),
        (tracer_without("RadiopharmaceuticalStartTime"), r"RadiopharmaceuticalStartTime \(0018,1072\) are missing"),
        (
            tracer_having("RadiopharmaceuticalStartDateTime", "20260103080000"),
            r"RadiopharmaceuticalStartDateTime .* the image refers to -22\.3 h after the injection",
        ),
        (
            tracer_having("RadiopharmaceuticalStartDateTime", "20251220080000"),
            r"the image refers to 313\.7 h after the injection, expected 0 to 10 half-lives \(16\.7 h\)",
        ),
        (without("RadiopharmaceuticalInformationSequence"), r"RadiopharmaceuticalInformationSequence \(0054,0016\)"),
        (without("DecayCorrection"), r"DecayCorrection \(0054,1102\): expected START, ADMIN or NONE, got nothing"),
        (having("DecayCorrection", "MAYBE"), r"DecayCorrection .*: expected START, ADMIN or NONE, got MAYBE"),
        (having("Units", "PCNT"), r"Units \(0054,1001\): expected BQML, GML or CNTS, got PCNT"),
        (having("Units", "PROPCPS"), r"Units .* got PROPCPS"),
        (without("Units"), r"Units .* got nothing"),
        (having("Units", "CNTS"), r"neither Philips SUV Scale Factor \(7053,1000\)"),
        (having("CorrectedImage", ["DECY", "SCAT"]), r"CorrectedImage \(0028,0051\): not corrected .* got DECY SCAT"),
        (having("CorrectedImage", "DECY"), r"CorrectedImage .* got DECY"),
        (without("CorrectedImage"), r"CorrectedImage .* got nothing"),
    ],
)
def test_what_is_missing_or_unfit_is_named_by_its_tag(
    header: Dataset, spoil: Callable[[Dataset], None], message: str
) -> None:
    spoil(header)

    with pytest.raises(SuvError, match=message):
        suv(header)


def test_missing_times_are_an_error(header: Dataset) -> None:
    del header.SeriesTime
    del header.AcquisitionTime

    with pytest.raises(SuvError, match=r"SeriesTime \(0008,0031\) and AcquisitionTime \(0008,0032\) are missing"):
        suv(header)


@pytest.mark.parametrize("units", ["GML", "BQML"])
@pytest.mark.parametrize("suv_type", ["LBM", "BSA", "IBW", "LBMJANMA"])
def test_suv_by_anything_but_body_weight_is_refused(header: Dataset, suv_type: str, units: str) -> None:
    header.Units, header.SUVType = units, suv_type

    with pytest.raises(SuvError, match=rf"SUVType \(0054,1006\): expected BW \(body weight\), got {suv_type}"):
        suv(header)


def test_attenuation_correction_is_read_from_classic_and_enhanced_images() -> None:
    classic, enhanced, neither = Dataset(), Dataset(), Dataset()
    classic.CorrectedImage = ["ATTN", "DECY"]
    enhanced.AttenuationCorrected = "YES"

    assert [is_attenuation_corrected(each) for each in (classic, enhanced, neither)] == [True, True, False]


def test_a_slice_without_rescale_slope_is_an_error(tmp_path: Path) -> None:
    folder = phantoms.write(tmp_path, phantoms.distinct(phantoms.oblique_geometry()), "PT")
    phantoms.change(folder, lambda dataset: dataset.__delattr__("RescaleSlope"), which=slice(4, 5))

    with pytest.raises(PixelDataError, match=r"0005\.dcm: RescaleSlope \(0028,1053\) is missing"):
        phantoms.read(folder)


def test_a_rescale_intercept_that_is_missing_is_0(tmp_path: Path) -> None:
    folder = phantoms.write(tmp_path, phantoms.distinct(phantoms.oblique_geometry()), "PT")
    before = phantoms.read(folder).volume.array
    phantoms.change(folder, lambda dataset: dataset.__delattr__("RescaleIntercept"))

    np.testing.assert_array_equal(phantoms.read(folder).volume.array, before)


def test_the_error_names_the_file(tmp_path: Path) -> None:
    folder = phantoms.write(tmp_path, phantoms.distinct(phantoms.oblique_geometry()), "PT")
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
    part = raw.array[tuple(slice(s, s + n) for s, n in zip(start, published.spatial_shape, strict=True))]

    ratio = part[published.array > 1] / published.array[published.array > 1]

    assert np.median(ratio) == pytest.approx(1, abs=1e-4)
    np.testing.assert_allclose(part, published.array, atol=1e-3)
