"""Measurements of a segment as DICOM SR gives them (TID 1411; CID 7464, 7466)."""

from __future__ import annotations

from highdicom import sr
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from clickseg.measure import Measured, Uptake

_MILLILITER = Code("ml", "UCUM", "milliliter")
_GRAM = Code("g", "UCUM", "gram")
_SUV = Code("126401", "DCM", "SUVbw")
_SUV_UNIT = codes.UCUM.StandardizedUptakeValueBodyWeight


def sr_measurements(measured: Measured) -> list[sr.Measurement]:
    """Returns the measurements of a segment: volume, and for PET SUVmax, SUVmean, SUVpeak and TLG."""
    volume = sr_volume(measured.volume_ml)
    return [volume, *(_uptake(measured.uptake) if measured.uptake else [])]


def sr_volume(volume_ml: float) -> sr.Measurement:
    """Returns a volume."""
    return sr.Measurement(name=codes.SCT.Volume, value=volume_ml, unit=_MILLILITER)


def _uptake(uptake: Uptake) -> list[sr.Measurement]:
    derived = (
        (uptake.suv_max, codes.SCT.Maximum),
        (uptake.suv_mean, codes.SCT.Mean),
        (uptake.suv_peak, codes.DCM.PeakValueWithinROI),
    )
    suv = [sr.Measurement(name=_SUV, value=value, unit=_SUV_UNIT, derivation=code) for value, code in derived]
    return [*suv, sr.Measurement(name=codes.DCM.TotalLesionGlycolysis, value=uptake.tlg_g, unit=_GRAM)]
