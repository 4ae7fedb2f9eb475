"""Half-lives of the radionuclides of PET (PS3.16, CID 4020), found by the codes of a radiopharmaceutical."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pydicom import Dataset
from pydicom import Sequence as DicomSequence

_MINUTE_S, _HOUR_S, _DAY_S = 60.0, 3600.0, 86400.0


@dataclass(frozen=True, slots=True)
class Radionuclide:
    """A radionuclide of PET.

    Attributes:
        symbol: The symbol of the element, such as ``F``.
        element: The name of the element, as in the code meanings of DICOM.
        mass: The mass number, such as ``18``, with ``m`` for a metastable state.
        half_life_s: The half-life in seconds. Where publications differ by 1 % or more, the middle of their values.
        codes: The code values: SNOMED CT or DCM, and for SNOMED CT the earlier SRT value.
    """

    symbol: str
    element: str
    mass: str
    half_life_s: float
    codes: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.symbol}-{self.mass}"

    def is_named_in(self, text: str) -> bool:
        """Whether a code meaning contains the nuclide: ``^18^Fluorine``, ``FDG F^18^``, ``F-18``, ``18F``."""
        name = f"(?:{self.symbol}|{self.element})"
        pattern = rf"\b{name}[ -]?{self.mass}\b|\b{self.mass}[ -]?{name}\b"
        return re.search(pattern, text.replace("^", ""), re.IGNORECASE) is not None


RADIONUCLIDES = (
    Radionuclide("C", "Carbon", "11", 20.36 * _MINUTE_S, ("40565003", "C-105A1")),
    Radionuclide("N", "Nitrogen", "13", 9.965 * _MINUTE_S, ("21576001", "C-107A1")),
    Radionuclide("O", "Oxygen", "14", 70.62, ("424875009", "C-1018C")),
    Radionuclide("O", "Oxygen", "15", 122.24, ("129504001", "C-B1038")),
    Radionuclide("F", "Fluorine", "18", 109.77 * _MINUTE_S, ("77004003", "C-111A1")),
    Radionuclide("Na", "Sodium", "22", 950.3 * _DAY_S, ("71633006", "C-155A1")),
    Radionuclide("K", "Potassium", "38", 7.64 * _MINUTE_S, ("423764008", "C-135A4")),
    Radionuclide("Sc", "Scandium", "43", 3.891 * _HOUR_S, ("126605",)),
    Radionuclide("Sc", "Scandium", "44", 4.006 * _HOUR_S, ("126600",)),  # 3.97 to 4.042 h
    Radionuclide("Ti", "Titanium", "45", 184.8 * _MINUTE_S, ("75696008", "C-166A2")),
    Radionuclide("Mn", "Manganese", "51", 45.9 * _MINUTE_S, ("126601",)),  # 45.6 to 46.2 min
    Radionuclide("Mn", "Manganese", "52", 5.591 * _DAY_S, ("37225000", "C-149A1")),
    Radionuclide("Mn", "Manganese", "52m", 21.1 * _MINUTE_S, ("126607",)),
    Radionuclide("Fe", "Iron", "52", 8.275 * _HOUR_S, ("69089000", "C-130A1")),
    Radionuclide("Cu", "Copper", "60", 23.7 * _MINUTE_S, ("425364008", "C-127A4")),
    Radionuclide("Cu", "Copper", "61", 3.34 * _HOUR_S, ("71425003", "C-127A1")),
    Radionuclide("Cu", "Copper", "62", 9.7 * _MINUTE_S, ("422934004", "C-127A5")),
    Radionuclide("Cu", "Copper", "64", 12.70 * _HOUR_S, ("3932008", "C-127A2")),
    Radionuclide("Zn", "Zinc", "62", 9.19 * _HOUR_S, ("65054007", "C-141A1")),
    Radionuclide("Ga", "Gallium", "66", 9.4 * _HOUR_S, ("79477007", "C-131A1")),  # 9.304 to 9.49 h
    Radionuclide("Ga", "Gallium", "68", 67.71 * _MINUTE_S, ("35337001", "C-131A3")),
    Radionuclide("Ge", "Germanium", "68", 270.95 * _DAY_S, ("53315004", "C-128A2")),
    Radionuclide("As", "Arsenic", "70", 52.6 * _MINUTE_S, ("126602",)),
    Radionuclide("As", "Arsenic", "72", 26.0 * _HOUR_S, ("2705002", "C-115A2")),
    Radionuclide("Se", "Selenium", "73", 7.15 * _HOUR_S, ("87437000", "C-116A2")),
    Radionuclide("Br", "Bromine", "75", 96.7 * _MINUTE_S, ("17910003", "C-113A1")),
    Radionuclide("Br", "Bromine", "76", 16.2 * _HOUR_S, ("79523006", "C-113A2")),
    Radionuclide("Br", "Bromine", "77", 57.04 * _HOUR_S, ("86521004", "C-113A3")),
    Radionuclide("Rb", "Rubidium", "82", 76.0, ("79197006", "C-159A2")),  # 75.45 to 76.4 s
    Radionuclide("Y", "Yttrium", "86", 14.74 * _HOUR_S, ("10738001", "C-162A3")),
    Radionuclide("Y", "Yttrium", "90", 64.05 * _HOUR_S, ("14691008", "C-162A7")),
    Radionuclide("Zr", "Zirconium", "89", 78.41 * _HOUR_S, ("63360001", "C-168A4")),
    Radionuclide("Nb", "Niobium", "90", 14.6 * _HOUR_S, ("126603",)),
    Radionuclide("Tc", "Technetium", "94m", 52.2 * _MINUTE_S, ("424079002", "C-163AA")),
    Radionuclide("I", "Iodine", "124", 4.176 * _DAY_S, ("40937006", "C-114A5")),
    Radionuclide("Tb", "Terbium", "152", 17.69 * _HOUR_S, ("126606",)),  # 17.5 to 17.88 h
)


def coded_radionuclide(tracer: Dataset) -> Radionuclide | None:
    """Returns the radionuclide that an item of Radiopharmaceutical Information Sequence (0054,0016) names by a code.

    The first code that names one is used, by its value in CID 4020, or else, for example a private one, by its meaning.

    Args:
        tracer: The item.

    Returns:
        The radionuclide; None if the item has no code, or its codes do not name a radionuclide of PET.
    """
    return next(filter(None, map(_named_radionuclide, _code_items(tracer))), None)


def _named_radionuclide(code: Dataset) -> Radionuclide | None:
    value, meaning = (str(code.get(keyword) or "").strip() for keyword in ("CodeValue", "CodeMeaning"))
    by_value = (nuclide for nuclide in RADIONUCLIDES if value in nuclide.codes)
    by_meaning = (nuclide for nuclide in RADIONUCLIDES if nuclide.is_named_in(meaning))
    return next(by_value, None) or next(by_meaning, None)


def _code_items(tracer: Dataset) -> Iterator[Dataset]:
    """Returns the codes of the nuclide, then those of the radiopharmaceutical, such as Fluorodeoxyglucose F^18^."""
    for keyword in ("RadionuclideCodeSequence", "RadiopharmaceuticalCodeSequence"):
        sequence = tracer.get(keyword)
        if isinstance(sequence, DicomSequence):  # a file can declare another VR
            yield from sequence
