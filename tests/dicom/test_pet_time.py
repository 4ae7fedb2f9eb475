"""The reference time of the decay correction: scans over midnight, and series without their first images."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from datetime import datetime

import pytest
from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from clickseg.core.errors import SuvError
from clickseg.datasets.phantom import pet_header, study_header
from clickseg.dicom.acquisition_time import acquisition_times
from clickseg.dicom.suv import compute_suv_scaling

HALF_LIFE_S, WEIGHT_KG, DOSE_BQ = 6586.2, 72.5, 3.1e8


@pytest.fixture
def header() -> Dataset:
    """An FDG PET header: injection at 08:30, scan at 09:30 on 2 January 2026."""
    return pet_header(study_header("pet time"))


def images(header: Dataset, times: Sequence[str], **attributes: Sequence[str | None]) -> list[Dataset]:
    """Returns an image for each Acquisition Time, with other attributes of each image."""
    headers = []
    for index, time in enumerate(times):
        image = deepcopy(header)
        image.AcquisitionTime = time
        for keyword, values in attributes.items():
            setattr(image, keyword, values[index])
        headers.append(image)
    return headers


def undated(header: Dataset, series_date: str, series_time: str, times: Sequence[str]) -> list[Dataset]:
    """Returns images without Acquisition Date."""
    header.SeriesDate, header.SeriesTime, header.AcquisitionDate = series_date, series_time, ""
    return images(header, times)


def suv_factor(headers: Sequence[Dataset]) -> float:
    return float(compute_suv_scaling(headers, units="BQML", series_headers=headers).factors[0])


def expected_factor(elapsed_s: float) -> float:
    return 1000 * WEIGHT_KG / (DOSE_BQ * 2 ** (-elapsed_s / HALF_LIFE_S))


def formatted(times: Sequence[datetime | None]) -> list[str]:
    return ["" if time is None else f"{time:%d %H:%M}" for time in times]


@pytest.mark.parametrize(
    ("series_date", "series_time", "times", "expected"),
    [
        ("20260102", "093000", ["0930", "0940"], ["02 09:30", "02 09:40"]),
        ("20260102", "235000", ["2350", "0005"], ["02 23:50", "03 00:05"]),
        ("20260102", "235000", ["0005", "0020"], ["03 00:05", "03 00:20"]),
        ("20260103", "001000", ["2340", "2350"], ["02 23:40", "02 23:50"]),
        ("20260103", "003000", ["2350", "0005"], ["02 23:50", "03 00:05"]),
        ("20260103", "150000", ["2350", "0005"], ["02 23:50", "03 00:05"]),
        ("20260102", "220000", ["0930", "0940"], ["02 09:30", "02 09:40"]),
        ("20260102", "233000", ["0600", "0610"], ["02 06:00", "02 06:10"]),
        ("20260102", "080000", ["1200", "1300"], ["02 12:00", "02 13:00"]),
        ("20260102", "000000", ["0005", "0015"], ["02 00:05", "02 00:15"]),
        ("20260102", "", ["2350", "0005"], ["02 23:50", "03 00:05"]),
        ("", "235000", ["2350", "0005"], ["", ""]),
        ("20260102", "235000", ["", "0005"], ["", "03 00:05"]),
    ],
)
def test_acquisitions_without_a_date_are_on_the_days_that_fit_the_series_time(
    header: Dataset, series_date: str, series_time: str, times: list[str], expected: list[str]
) -> None:
    headers = undated(header, series_date, series_time, times)

    assert formatted(acquisition_times(headers)) == expected


def test_the_date_of_an_acquisition_has_priority(header: Dataset) -> None:
    header.SeriesTime = "235000"
    by_date = images(header, ["2350", "0005"], AcquisitionDate=["20260102", "20260102"])
    by_date_time = images(header, ["", ""], AcquisitionDateTime=["20260101235000", "20260102000500"])

    assert formatted(acquisition_times(by_date)) == ["02 23:50", "02 00:05"]
    assert formatted(acquisition_times(by_date_time)) == ["01 23:50", "02 00:05"]


@pytest.mark.parametrize("start", ["", "20260102225000"])
@pytest.mark.parametrize(("date", "time"), [("20260102", "235000"), ("20260103", "010000"), ("20260103", "150000")])
@pytest.mark.parametrize("decay_correction", ["START", "NONE"])
def test_a_scan_over_midnight_without_acquisition_date_has_the_suv_of_the_same_scan_by_day(
    header: Dataset, start: str, date: str, time: str, decay_correction: str
) -> None:
    tracer = header.RadiopharmaceuticalInformationSequence[0]
    tracer.RadiopharmaceuticalStartTime, tracer.RadiopharmaceuticalStartDateTime = "225000", start
    header.DecayCorrection = decay_correction
    header.CorrectedImage = ["ATTN"] if decay_correction == "NONE" else ["ATTN", "DECY"]
    headers = undated(header, date, time, ["2350", "0005"])
    by_day = images(header, ["0930", "0945"], AcquisitionDate=["20260102", "20260102"])
    for image in by_day:
        image.SeriesDate, image.SeriesTime = "20260102", "093000"
        tracer = image.RadiopharmaceuticalInformationSequence[0]
        tracer.RadiopharmaceuticalStartTime, tracer.RadiopharmaceuticalStartDateTime = "083000", ""

    factors = [compute_suv_scaling(each, units="BQML", series_headers=each).factors for each in (headers, by_day)]

    assert factors[0] == pytest.approx(factors[1])


BEDS = ["093000", "094200", "095400"]
MEAN_MS, START_MS = ["59000", "779000", "1499000"], ["0", "720000", "1440000"]


@pytest.mark.parametrize("reference_ms", [MEAN_MS, START_MS], ids=["mean activity", "start of frame"])
@pytest.mark.parametrize("sent", [slice(1, None), slice(1, 2), slice(2, None)])
@pytest.mark.parametrize("series_time", ["150000", ""])
def test_a_series_without_its_first_bed_is_rejected_if_series_time_is_that_of_a_reconstruction(
    header: Dataset, reference_ms: list[str], sent: slice, series_time: str
) -> None:
    header.SeriesTime = series_time
    headers = images(header, BEDS, FrameReferenceTime=reference_ms)[sent]

    with pytest.raises(SuvError, match=r"FrameReferenceTime \(0054,1300\): .* expected at most 120 s, .* are missing"):
        suv_factor(headers)


@pytest.mark.parametrize("sent", [slice(None), slice(0, 1), slice(0, 2), slice(None, None, -1)])
@pytest.mark.parametrize(
    "reference_ms",
    [
        MEAN_MS,
        START_MS,
        ["120000", "840000", "1560000"],
        ["0", "0", "0"],
        [None, None, None],
        ["-720000", "0", "720000"],
        ["7259000", "7979000", "8699000"],
        ["1767346200000", "1767346920000", "1767347640000"],
    ],
    ids=["mean", "start", "end", "zero", "empty", "negative", "before the injection", "since 1970"],
)
def test_a_series_with_its_first_bed_is_decayed_to_its_earliest_acquisition(
    header: Dataset, reference_ms: list[str], sent: slice
) -> None:
    header.SeriesTime = "150000"
    headers = images(header, BEDS, FrameReferenceTime=reference_ms)[sent]

    assert suv_factor(headers) == pytest.approx(expected_factor(3600))


@pytest.mark.parametrize("sent", [slice(None), slice(0, 1), slice(1, None)])
@pytest.mark.parametrize("offset_ms", [3600000, 3659000, 3720000], ids=["start", "mean", "end"])
def test_frame_reference_times_that_count_from_the_injection_are_ignored(
    header: Dataset, offset_ms: int, sent: slice
) -> None:
    header.SeriesTime = "150000"
    times = [str(offset_ms + int(start)) for start in START_MS]
    headers = images(header, BEDS, FrameReferenceTime=times)[sent]

    assert suv_factor(headers) == pytest.approx(expected_factor(3600 + 720 * (sent.start or 0)))


def dynamic(header: Dataset, frame_count: int, start_ms: int) -> list[Dataset]:
    """Returns the images of a dynamic scan with one slice and frames of 12 minutes from 09:30."""
    header.SeriesTime, header.SeriesType = "150000", ["DYNAMIC", "IMAGE"]
    header.NumberOfSlices, header.NumberOfTimeSlices, header.ActualFrameDuration = 1, frame_count, "720000"
    times = [str(start_ms + int(start)) for start in START_MS]
    return images(header, BEDS, FrameReferenceTime=times)[:frame_count]


def test_a_dynamic_scan_that_begins_with_the_injection_is_rejected_without_its_first_frames(header: Dataset) -> None:
    header.RadiopharmaceuticalInformationSequence[0].RadiopharmaceuticalStartTime = "093000"
    headers = dynamic(header, 3, 0)

    assert suv_factor(headers) == pytest.approx(expected_factor(0))
    with pytest.raises(SuvError, match=r"FrameReferenceTime \(0054,1300\): .* are missing"):
        suv_factor(headers[2:])


def test_frame_reference_times_of_a_complete_dynamic_scan_can_count_from_the_injection(header: Dataset) -> None:
    assert suv_factor(dynamic(header, 3, 3600000)) == pytest.approx(expected_factor(3600))


@pytest.mark.parametrize(("keyword", "value"), [("FrameReferenceTime", "12 min"), ("ActualFrameDuration", None)])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_frame_whose_times_cannot_be_read_is_not_compared(header: Dataset, keyword: str, value: str | None) -> None:
    header.SeriesTime = "150000"
    (image,) = images(header, ["093000"], FrameReferenceTime=["779000"])
    vr = {"FrameReferenceTime": "DS", "ActualFrameDuration": "IS"}[keyword]
    tag = Tag(keyword)
    image[tag] = RawDataElement(tag, vr, 0, (value or "").encode(), 0, False, True)  # as read from a file

    assert suv_factor([image]) == pytest.approx(expected_factor(3600))


@pytest.mark.parametrize("sent", [slice(None), slice(1, None), slice(1, 2)])
def test_a_series_time_at_the_start_of_the_scan_needs_no_first_bed(header: Dataset, sent: slice) -> None:
    headers = images(header, BEDS, FrameReferenceTime=MEAN_MS)[sent]

    assert suv_factor(headers) == pytest.approx(expected_factor(3600))


def test_the_private_scan_time_of_ge_needs_no_first_bed(header: Dataset) -> None:
    header.SeriesTime = "150000"
    header.private_block(0x0009, "GEMS_PETD_01", create=True).add_new(0x0D, "DT", "20260102093000.00")
    headers = images(header, BEDS, FrameReferenceTime=START_MS)[1:]

    assert suv_factor(headers) == pytest.approx(expected_factor(3600))


def test_the_private_decay_correction_time_of_siemens_needs_no_first_bed(header: Dataset) -> None:
    header.SeriesTime = "150000"
    header.private_block(0x0071, "SIEMENS MED PT", create=True).add_new(0x22, "DT", "20260102093000.000000")
    headers = images(header, BEDS, FrameReferenceTime=START_MS)[1:]

    assert suv_factor(headers) == pytest.approx(expected_factor(3600))


def test_one_acquisition_time_in_all_beds_is_the_start_of_the_scan(header: Dataset) -> None:
    header.SeriesTime = "150000"
    headers = images(header, ["093000"] * 3, FrameReferenceTime=START_MS)[1:]

    assert suv_factor(headers) == pytest.approx(expected_factor(3600))


@pytest.mark.parametrize("decay_correction", ["ADMIN", "NONE"])
def test_other_decay_corrections_need_no_first_bed(header: Dataset, decay_correction: str) -> None:
    header.SeriesTime, header.DecayCorrection = "150000", decay_correction
    header.CorrectedImage = ["ATTN"] if decay_correction == "NONE" else ["ATTN", "DECY"]
    headers = images(header, BEDS, FrameReferenceTime=START_MS)

    assert suv_factor(headers[1:]) == pytest.approx(
        compute_suv_scaling(headers, units="BQML", series_headers=headers).factors[1]
    )
