"""The corrections of a PET image for attenuation and decay: Corrected Image (0028,0051), Decay Correction (0054,1102).

An Enhanced PET image has attributes of its own for each correction, such as Decay Corrected (0018,9758).
"""

from __future__ import annotations

from pydicom import Dataset

from clickseg.core.errors import SuvError
from clickseg.dicom.multi_values import has_other_delimiter, split_values

DECAY_HINT = "ask the sending modality whether the images are corrected for decay"


def is_attenuation_corrected(header: Dataset) -> bool:
    """Whether the header states that a PET image is corrected for attenuation: (0028,0051), (0018,9759)."""
    return "ATTN" in read_corrections(header) or header.get("AttenuationCorrected") == "YES"


def read_corrections(header: Dataset) -> tuple[str, ...]:
    """Returns the values of Corrected Image (0028,0051), also if they are not separated by backslashes."""
    return tuple(value.upper() for value in split_values(header.get("CorrectedImage")))


def delimiter_warnings(header: Dataset) -> tuple[str, ...]:
    """Returns a warning if the values of Corrected Image (0028,0051) are not separated by backslashes."""
    value = header.get("CorrectedImage")
    if not has_other_delimiter(value):
        return ()
    values = ", ".join(read_corrections(header))
    return (f"CorrectedImage (0028,0051) is one value with commas or semicolons: it is read as the values {values}",)


def check_attenuation(header: Dataset) -> None:
    """Rejects an image that is not corrected for attenuation.

    Raises:
        SuvError: The image is not corrected.
    """
    if not is_attenuation_corrected(header):
        found = "\\".join(read_corrections(header)) or "no value"
        raise SuvError(
            f"CorrectedImage (0028,0051): not corrected for attenuation: expected ATTN, got {found}",
            hint="use the attenuation-corrected series of the study",
        )


def decay_correction(header: Dataset) -> str:
    """Returns Decay Correction (0054,1102), or its equivalent in an Enhanced PET image."""
    if header.get("DecayCorrected") == "YES" and header.get("DecayCorrectionDateTime"):
        return "START"
    return str(header.get("DecayCorrection") or "").strip()


def check_decay_correction(header: Dataset) -> None:
    """Rejects an image whose attributes contradict each other about whether it is corrected for decay.

    Raises:
        SuvError: Decay Correction contradicts Corrected Image or Decay Corrected.
    """
    method = str(header.get("DecayCorrection") or "").strip()
    if method not in ("START", "ADMIN", "NONE"):
        return
    corrections, decay_corrected = read_corrections(header), header.get("DecayCorrected")
    if corrections and ("DECY" in corrections) != (method != "NONE"):
        found = "\\".join(corrections)
        other = f"CorrectedImage (0028,0051) is {found}"
    elif decay_corrected in ("YES", "NO") and (decay_corrected == "YES") != (method != "NONE"):
        other = f"DecayCorrected (0018,9758) is {decay_corrected}"
    else:
        return
    raise SuvError(
        f"DecayCorrection (0054,1102) is {method}, but {other}: one of them is wrong",
        hint=DECAY_HINT,
    )
