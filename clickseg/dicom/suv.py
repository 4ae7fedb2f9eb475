"""Computes the standardized uptake value by body weight (SUVbw) from the attributes of a PET series.

Follows the vendor-neutral computation of the RSNA QIBA (https://qibawiki.rsna.org, Standardized Uptake Value) and PS3.3
C.8.9.1: SUVbw = activity concentration * body weight / injected dose, with both decayed to the same reference time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
from pydicom import Dataset

from clickseg.core.arrays import FloatArray
from clickseg.core.errors import SuvError
from clickseg.dicom.acquisition_time import acquisition_times
from clickseg.dicom.frame_reference_time import check_first_frame
from clickseg.dicom.hints import CLOCK_HINT, MISSING_VALUE_HINT
from clickseg.dicom.injection_time import MAX_HALF_LIVES, injection_time, is_injection_day_assumed
from clickseg.dicom.pet_corrections import (
    DECAY_HINT,
    check_attenuation,
    check_decay_correction,
    decay_correction,
    delimiter_warnings,
    is_attenuation_corrected,
    read_corrections,
)
from clickseg.dicom.pet_time import decay_reference
from clickseg.dicom.philips_pet import ACTIVITY_FACTOR, SUV_FACTOR, missing_factor_error, read_philips_factor
from clickseg.dicom.tracer import comparable_value, half_life_s, injected_dose_bq, read_positive, tracer_item

_MAX_WEIGHT_KG = 400
"""Above the load limit of the tables of scanners. A weight in g is above it for every adult."""

Attributes = Mapping[str, Callable[[Dataset], object]]
"""Attributes that must be equal in all images of a volume, by name and tag, each with a function that reads it."""

_UNIT_ATTRIBUTES: Attributes = {
    "Units (0054,1001)": lambda header: header.get("Units"),
    "SUVType (0054,1006)": lambda header: header.get("SUVType"),
    "CorrectedImage (0028,0051)": lambda header: is_attenuation_corrected(header),
}
_DOSE_ATTRIBUTES: Attributes = {
    "CorrectedImage (0028,0051)": lambda header: "DECY" in read_corrections(header),
    "DecayCorrection (0054,1102)": lambda header: header.get("DecayCorrection"),
    "PatientWeight (0010,1030)": lambda header: header.get("PatientWeight"),
    "RadionuclideTotalDose (0018,1074)": lambda header: tracer_item(header).get("RadionuclideTotalDose"),
}
_DECAY_ATTRIBUTES: Attributes = {
    "RadionuclideHalfLife (0018,1075)": lambda h: tracer_item(h).get("RadionuclideHalfLife"),
    "RadiopharmaceuticalStartDateTime (0018,1078)": lambda h: tracer_item(h).get("RadiopharmaceuticalStartDateTime"),
    "RadiopharmaceuticalStartTime (0018,1072)": lambda h: tracer_item(h).get("RadiopharmaceuticalStartTime"),
}


@dataclass(frozen=True, slots=True)
class SuvScaling:
    """The factors that convert the rescaled values of a PET series to SUVbw in g/ml.

    Attributes:
        factors: For each image, the factor by which its rescaled values are multiplied.
        rule: How the factors were computed, for the report.
        warnings: Assumptions of the computation that can be wrong.
    """

    factors: FloatArray
    rule: str
    warnings: tuple[str, ...] = ()


def compute_suv_scaling(headers: Sequence[Dataset], *, units: str, series_headers: Sequence[Dataset]) -> SuvScaling:
    """Returns the SUVbw factors of a PET volume.

    Args:
        headers: The headers of the planes.
        units: The units of the rescaled values, as in Units (0054,1001).
        series_headers: The headers of all images of the series, which determine the start of the scan; the volume may
            be only a part of the series.

    Raises:
        SuvError: The series is not corrected for attenuation, SUVbw cannot be computed from its units, or a value is
            missing; the message names the attribute.
    """
    _check_equal(headers, _UNIT_ATTRIBUTES)
    check_attenuation(headers[0])
    _check_suv_type(headers[0])
    match units:
        case "GML":
            scaling = SuvScaling(np.ones(len(headers)), "stored as SUVbw")
        case "BQML":
            factors = _activity_factors(headers, series_headers)
            rule = f"BQML, decay correction {decay_correction(headers[0])}"
            scaling = SuvScaling(factors, rule, _injection_warnings(headers[0]))
        case "CNTS":
            scaling = _scaling_from_counts(headers, series_headers)
        case other:
            raise SuvError(
                f"Units (0054,1001): expected BQML, GML or CNTS to compute SUV, got {other or 'no value'}",
                hint="export the series in BQML",
            )
    return replace(scaling, warnings=(*scaling.warnings, *delimiter_warnings(headers[0])))


def _check_suv_type(header: Dataset) -> None:
    suv_type = str(header.get("SUVType") or "BW").strip()
    if suv_type != "BW":
        raise SuvError(
            f"SUVType (0054,1006): expected BW (body weight), got {suv_type}",
            hint="export the series as SUV by body weight, or in BQML",
        )


def _check_equal(headers: Sequence[Dataset], attributes: Attributes) -> None:
    """Rejects a volume whose images have different values of an attribute; the others are read from the first image."""
    for attribute, read_value in attributes.items():
        values = {str(comparable_value(read_value(header))) for header in headers}
        if len(values) > 1:
            raise SuvError(
                f"{attribute}: expected one value in all images of a volume, got {len(values)}",
                hint="send the images of each value as a series of their own, or correct the wrong value",
            )


def _scaling_from_counts(headers: Sequence[Dataset], series_headers: Sequence[Dataset]) -> SuvScaling:
    """Converts counts (Philips) to SUV by (7053,1000), or else to Bq/ml by (7053,1009)."""
    factors = [read_philips_factor(header, SUV_FACTOR) for header in headers]
    if all(factors):
        return SuvScaling(np.array(factors, dtype=np.float64), "counts, by Philips SUV Scale Factor (7053,1000)")
    activities = [read_philips_factor(header, ACTIVITY_FACTOR) for header in headers]
    if not all(activities):
        raise missing_factor_error(headers)
    becquerel_per_count = np.array(activities, dtype=np.float64)
    return SuvScaling(
        becquerel_per_count * _activity_factors(headers, series_headers),
        "counts, by Philips Activity Concentration (7053,1009)",
        _injection_warnings(headers[0]),
    )


def _activity_factors(headers: Sequence[Dataset], series_headers: Sequence[Dataset]) -> FloatArray:
    """Returns SUV per Bq/ml: weight in g divided by the dose in Bq at the reference time of each image."""
    _check_equal(headers, _DOSE_ATTRIBUTES)
    check_decay_correction(headers[0])
    weight_g = 1000 * _patient_weight_kg(headers[0])
    dose_bq = injected_dose_bq(headers[0])
    return weight_g / (dose_bq * _remaining_dose_fractions(headers, series_headers))


def _patient_weight_kg(header: Dataset) -> float:
    weight_kg = read_positive(header, "PatientWeight", "(0010,1030)")
    if weight_kg > _MAX_WEIGHT_KG:
        raise SuvError(
            f"PatientWeight (0010,1030): expected at most {_MAX_WEIGHT_KG} kg, got {weight_kg:g}",
            hint="the weight is probably in another unit, such as g: correct it where it was entered or exported",
        )
    return weight_kg


def _remaining_dose_fractions(headers: Sequence[Dataset], series_headers: Sequence[Dataset]) -> FloatArray:
    """Returns the fraction of the dose that remains at the reference time of each image."""
    if decay_correction(headers[0]) in ("START", "NONE"):
        _check_equal(headers, _DECAY_ATTRIBUTES)
    match decay_correction(headers[0]):
        case "ADMIN":
            return np.ones(len(headers))
        case "START":
            reference = decay_reference(series_headers)
            seconds = _seconds_since_injection(headers[0], reference.time)
            if reference.is_earliest_acquisition:
                check_first_frame(series_headers, seconds)
            fractions = [_remaining_fraction(headers[0], seconds)] * len(headers)
        case "NONE":
            starts = zip(headers, acquisition_times(headers), strict=True)
            fractions = [
                _remaining_fraction(header, _seconds_to_mean_activity(header, start)) for header, start in starts
            ]
        case other:
            raise SuvError(
                f"DecayCorrection (0054,1102): expected START, ADMIN or NONE, got {other or 'no value'}",
                hint=f"{DECAY_HINT}, and export the series with this attribute",
            )
    return np.array(fractions)


def _seconds_since_injection(header: Dataset, reference_time: datetime) -> float:
    tracer = tracer_item(header)
    injected = injection_time(header, tracer, reference_time, half_life_s(tracer))
    return (reference_time - injected).total_seconds()


def _injection_warnings(header: Dataset) -> tuple[str, ...]:
    tracer = tracer_item(header)
    if decay_correction(header) == "ADMIN" or not is_injection_day_assumed(header, tracer, half_life_s(tracer)):
        return ()
    return (
        "RadiopharmaceuticalStartTime (0018,1072) has no day: SUV is computed for an injection on the day of the scan",
    )


def _seconds_to_mean_activity(header: Dataset, start: datetime | None) -> float:
    """Returns the seconds from injection to the time at which the activity equals its mean over the frame.

    This is the reference time of an image that is not corrected for decay.
    """
    if start is None:
        raise SuvError(
            "AcquisitionTime (0008,0032) or its date is missing: both are needed if DecayCorrection (0054,1102) is "
            "NONE",
            hint=MISSING_VALUE_HINT,
        )
    duration_s = read_positive(header, "ActualFrameDuration", "(0018,1242)") / 1000
    decay_per_s = math.log(2) / half_life_s(tracer_item(header))
    mean_s = math.log(decay_per_s * duration_s / -math.expm1(-decay_per_s * duration_s)) / decay_per_s
    return _seconds_since_injection(header, start) + mean_s


def _remaining_fraction(header: Dataset, seconds: float) -> float:
    half_life = half_life_s(tracer_item(header))
    if not 0 <= seconds <= MAX_HALF_LIVES * half_life:
        raise SuvError(
            "RadiopharmaceuticalStartDateTime (0018,1078) or RadiopharmaceuticalStartTime (0018,1072): the "
            f"reference time of the image is {seconds / 3600:.1f} h after the injection, expected 0 to "
            f"{MAX_HALF_LIVES} half-lives ({MAX_HALF_LIVES * half_life / 3600:.1f} h)",
            hint=CLOCK_HINT,
        )
    return float(2.0 ** (-seconds / half_life))
