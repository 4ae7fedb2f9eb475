"""The standardized uptake value by body weight (SUVbw) from the attributes of a PET series.

After the vendor-neutral computation of the RSNA QIBA (https://qibawiki.rsna.org, Standardized Uptake Value) and PS3.3
C.8.9.1: SUVbw = activity concentration * body weight / injected dose, both decayed to the same moment.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from pydicom import Dataset

from clickseg.core.arrays import Doubles
from clickseg.core.errors import SuvError
from clickseg.dicom.part10 import READ_ERRORS
from clickseg.dicom.pet_time import frame_start, injection_time, scan_start

_MAX_HALF_LIVES = 10
_SAME: Mapping[str, Callable[[Dataset], object]] = {
    "Units (0054,1001)": lambda header: header.get("Units"),
    "SUVType (0054,1006)": lambda header: header.get("SUVType"),
    "CorrectedImage (0028,0051)": lambda header: sorted(_corrections(header)),
    "DecayCorrection (0054,1102)": lambda header: header.get("DecayCorrection"),
    "PatientWeight (0010,1030)": lambda header: header.get("PatientWeight"),
    "RadionuclideTotalDose (0018,1074)": lambda header: _of_tracer(header, "RadionuclideTotalDose"),
    "RadionuclideHalfLife (0018,1075)": lambda header: _of_tracer(header, "RadionuclideHalfLife"),
    "RadiopharmaceuticalStartDateTime (0018,1078)": lambda h: _of_tracer(h, "RadiopharmaceuticalStartDateTime"),
    "RadiopharmaceuticalStartTime (0018,1072)": lambda h: _of_tracer(h, "RadiopharmaceuticalStartTime"),
}
"""What the SUV of all images of a volume is computed from; read from the first."""


@dataclass(frozen=True, slots=True)
class Suv:
    """How the rescaled values of a PET series become SUVbw in g/ml.

    Attributes:
        factors: One factor per header, to multiply the values with.
        rule: What the factors come from, for the report.
    """

    factors: Doubles
    rule: str


def suv_of(headers: Sequence[Dataset], *, units: str, scan: Sequence[Dataset]) -> Suv:
    """Returns the SUVbw factors of a PET volume.

    Args:
        headers: The header of each of its planes.
        units: What the rescaled values are: Units (0054,1001).
        scan: The headers of all images of the series, of which the volume may be a part: its beginning is theirs.

    Raises:
        SuvError: The series is not corrected for attenuation, has units that are no SUVbw and cannot become one, or
            lacks a value; the message names the attribute.
    """
    _check_same(headers)
    _check_attenuation(headers[0])
    _check_suv_type(headers[0])
    match units:
        case "GML":
            return Suv(np.ones(len(headers)), "stored as SUVbw")
        case "BQML":
            return Suv(_activity_factors(headers, scan), f"BQML, decay correction {_decay_correction(headers[0])}")
        case "CNTS":
            return _from_counts(headers, scan)
        case other:
            raise SuvError(f"Units (0054,1001): expected BQML, GML or CNTS, got {other or 'nothing'}: no SUV follows")


def is_attenuation_corrected(header: Dataset) -> bool:
    """Whether a PET image says that it is corrected for attenuation (0028,0051), (0018,9759)."""
    return "ATTN" in _corrections(header) or header.get("AttenuationCorrected") == "YES"


def _corrections(header: Dataset) -> list[str]:
    value = header.get("CorrectedImage") or []
    return [value] if isinstance(value, str) else [str(item) for item in value]


def _check_attenuation(header: Dataset) -> None:
    if not is_attenuation_corrected(header):
        raise SuvError(
            "CorrectedImage (0028,0051): not corrected for attenuation: expected ATTN, got "
            f"{' '.join(_corrections(header)) or 'nothing'}",
            hint="use the attenuation-corrected series of the study",
        )


def _check_suv_type(header: Dataset) -> None:
    suv_type = str(header.get("SUVType") or "BW").strip()
    if suv_type != "BW":
        raise SuvError(f"SUVType (0054,1006): expected BW (body weight), got {suv_type}")


def _check_same(headers: Sequence[Dataset]) -> None:
    """Refuses a volume whose images say different things of how they become SUV."""
    for tag, values_of in _SAME.items():
        values = {_comparable(values_of(header)) for header in headers}
        if len(values) > 1:
            raise SuvError(f"{tag}: expected one value in all images of a volume, got {len(values)}")


def _from_counts(headers: Sequence[Dataset], scan: Sequence[Dataset]) -> Suv:
    """Philips: counts become SUV by (7053,1000), or else Bq/ml by (7053,1009)."""
    factors = [_philips(header, 0x00) for header in headers]
    if all(factors):
        return Suv(np.array(factors, dtype=np.float64), "counts, by Philips SUV Scale Factor (7053,1000)")
    activities = [_philips(header, 0x09) for header in headers]
    if not all(activities):
        raise SuvError(
            "Units (0054,1001) are CNTS, but neither Philips SUV Scale Factor (7053,1000) nor Activity Concentration "
            "Scale Factor (7053,1009) is given in every image"
        )
    becquerel = np.array(activities, dtype=np.float64)
    return Suv(becquerel * _activity_factors(headers, scan), "counts, by Philips Activity Concentration (7053,1009)")


def _philips(header: Dataset, element: int) -> float | None:
    try:
        value = header.private_block(0x7053, "Philips PET Private Group")[element].value
        number = float(value.decode("ascii").strip("\0 ") if isinstance(value, bytes) else value)
    except READ_ERRORS:
        return None
    return number if math.isfinite(number) and number > 0 else None


def _activity_factors(headers: Sequence[Dataset], scan: Sequence[Dataset]) -> Doubles:
    """Returns SUV per Bq/ml: weight in g over the dose in Bq at the moment that each image refers to."""
    header = headers[0]
    weight_g = 1000 * _positive(header, "PatientWeight", "(0010,1030)")
    dose_bq = _positive(_tracer(header), "RadionuclideTotalDose", "(0018,1074)")
    return weight_g / (dose_bq * _dose_left(headers, scan))


def _dose_left(headers: Sequence[Dataset], scan: Sequence[Dataset]) -> Doubles:
    """Returns for each image which part of the dose is left at the moment that it refers to."""
    match _decay_correction(headers[0]):
        case "ADMIN":
            return np.ones(len(headers))
        case "START":
            start = scan_start(scan)
            left = [_left_after(headers[0], _seconds_since_injection(headers[0], start))] * len(headers)
        case "NONE":
            left = [_left_after(header, _seconds_to_mean(header)) for header in headers]
        case other:
            raise SuvError(f"DecayCorrection (0054,1102): expected START, ADMIN or NONE, got {other or 'nothing'}")
    return np.array(left)


def _decay_correction(header: Dataset) -> str:
    """Returns Decay Correction (0054,1102), or what an Enhanced PET image says in its place."""
    if header.get("DecayCorrected") == "YES" and header.get("DecayCorrectionDateTime"):
        return "START"
    return str(header.get("DecayCorrection") or "").strip()


def _seconds_since_injection(header: Dataset, moment: datetime) -> float:
    return (moment - injection_time(header, _tracer(header), moment)).total_seconds()


def _seconds_to_mean(header: Dataset) -> float:
    """Returns when an image that is not corrected for decay shows what was there: at its mean over the frame."""
    duration_s = _positive(header, "ActualFrameDuration", "(0018,1242)") / 1000
    decay_per_s = math.log(2) / _half_life_s(header)
    mean_s = math.log(decay_per_s * duration_s / -math.expm1(-decay_per_s * duration_s)) / decay_per_s
    return _seconds_since_injection(header, frame_start(header)) + mean_s


def _left_after(header: Dataset, seconds: float) -> float:
    half_life_s = _half_life_s(header)
    if not 0 <= seconds <= _MAX_HALF_LIVES * half_life_s:
        raise SuvError(
            "RadiopharmaceuticalStartDateTime (0018,1078) or RadiopharmaceuticalStartTime (0018,1072): the image "
            f"refers to {seconds / 3600:.1f} h after the injection, expected 0 to {_MAX_HALF_LIVES} half-lives "
            f"({_MAX_HALF_LIVES * half_life_s / 3600:.1f} h)"
        )
    return float(2.0 ** (-seconds / half_life_s))


def _half_life_s(header: Dataset) -> float:
    return _positive(_tracer(header), "RadionuclideHalfLife", "(0018,1075)")


def _comparable(value: object) -> float | str:
    return float(value) if isinstance(value, int | float) else str(value)


def _of_tracer(header: Dataset, keyword: str) -> object:
    sequence = header.get("RadiopharmaceuticalInformationSequence")
    return sequence[0].get(keyword) if sequence else None


def _tracer(header: Dataset) -> Dataset:
    sequence = header.get("RadiopharmaceuticalInformationSequence")
    if not sequence:
        raise SuvError("RadiopharmaceuticalInformationSequence (0054,0016) is missing")
    item: Dataset = sequence[0]
    return item


def _positive(dataset: Dataset, keyword: str, tag: str) -> float:
    value = dataset.get(keyword)
    if value is None or str(value).strip() == "":
        raise SuvError(f"{keyword} {tag} is missing")
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise SuvError(f"{keyword} {tag}: expected a number above 0, got {value}") from error
    if not math.isfinite(number) or number <= 0:
        raise SuvError(f"{keyword} {tag}: expected a number above 0, got {value}")
    return number
